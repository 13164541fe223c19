"""The transparency log: what the exchange did, in an order that nobody can change later.

  entry       append, in the act's own transaction
  sequencer   number, hash, make tiles, sign checkpoints
  memory      what was signed last, outside the database
  opening     the clear side of entries, field by field
  checking    whether the clear side is what was signed
  proofs      read tiles, checkpoints and inclusion proofs

The server is trusted with the clear side of an entry (`log_entry`) only. The log itself need not be trusted: at worst
it withholds; what it has signed it cannot change without showing two trees that do not agree.
"""

from registry.log.checking import ClearSide, proven
from registry.log.entry import Appended, Entry, append, committed_values, leaf_for
from registry.log.memory import SIGNED_FILE
from registry.log.opening import Opening, entry_of_query, openings
from registry.log.proofs import (
    InclusionProof,
    consistency,
    entries_tile,
    latest_checkpoint,
    proof,
    proofs,
    tile,
)
from registry.log.rows import SignedCheckpoint
from registry.log.sequencer import sequence, sequence_all

__all__ = [
    "SIGNED_FILE",
    "Appended",
    "ClearSide",
    "Entry",
    "InclusionProof",
    "Opening",
    "SignedCheckpoint",
    "append",
    "committed_values",
    "consistency",
    "entries_tile",
    "entry_of_query",
    "latest_checkpoint",
    "leaf_for",
    "openings",
    "proof",
    "proofs",
    "proven",
    "sequence",
    "sequence_all",
    "tile",
]

"""The transparency log: what the exchange did, in an order that nobody can change later.

  entry       append, in the act's own transaction
  sequencer   number, hash, make tiles, sign checkpoints
  opening     the clear side of entries, field by field
  proofs      read tiles, checkpoints and inclusion proofs

The server is trusted with the clear side of an entry (`log_entry`) only. The log itself need not be trusted: at worst
it withholds; what it has signed it cannot change without showing two trees that do not agree.
"""

from registry.log.entry import Appended, Entry, append, committed_values, leaf_for
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
    "Appended",
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
    "sequence",
    "sequence_all",
    "tile",
]

"""What a question counts for, as keys of rows. Pure, but for the key under which subjects are hashed.

  c:<client>            the system
  u:<lender>, <user>    a person at the lender, through whichever system: taking another system does not help
  n:<client>            the system where it names no person
  b:<client>            its lines of batches
  s:<hash>, <lender>    a subject, asked about by this lender
  d:<client>            the system at its other doors (`pacing`)

A subject's hash is keyed: the database alone cannot find out whom it stands for, nor whether it is somebody known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple
from uuid import UUID

from registry.canonical import b64url
from registry.identifiers import Identifier
from registry.suites import hmac_sha256_each

_HASH_BYTES: Final = 12  # 2^48 subjects before two share a count
_TAIL: Final = 4  # characters in which neighbours differ: of a resident id sequence and check


class Place(NamedTuple):
    """The row that something counts in."""

    key: str
    part: str = ""


class How(Enum):
    """How a question comes."""

    BY_HAND = auto()  # by itself
    AS_LINE = auto()  # in a batch: no pace, no person
    AGAIN = auto()  # an answer once more: pace alone


@dataclass(frozen=True, slots=True)
class Question:
    """What limits look at of a question. `about` is None where nothing is asked anew, or what is asked counts already.

    `client` is the row of the system, `who` that of the person or of what stands for it where none is named, `about`
    that of the subject as this lender asks about it; `is_a_persons`: by hand, by somebody who is named.
    """

    client_id: str
    lender: str
    how: How
    client: Place
    who: Place
    about: Place | None
    is_a_persons: bool

    @classmethod
    def put(cls, client_id: str, lender: str, user: str | None, how: How, subject: str | None) -> "Question":
        """Put a question; `subject` is the keyed hash of whom it is about."""
        if how is How.AS_LINE:
            who = Place(f"b:{client_id}")
        else:
            who = Place(f"n:{client_id}") if user is None else Place(f"u:{lender}", user)
        about = None if subject is None else Place(f"s:{subject}", lender)
        named = how is How.BY_HAND and user is not None
        return cls(client_id, lender, how, Place(f"c:{client_id}"), who, about, named)

    @property
    def counted_in(self) -> tuple[Place, ...]:
        """The rows in which it counts against caps."""
        return () if self.about is None else (self.client, self.who, self.about)


def hashes(secret: bytes, subjects: Sequence[Identifier | UUID]) -> list[str]:
    """Hash whom questions are about: by identifier, or by id where a consent was named instead."""
    told = [f"limit|id|{one}" if isinstance(one, UUID) else f"limit|{one.kind.value}|{one.text}" for one in subjects]
    return _hashed(secret, told)


def neighbourhoods(secret: bytes, identifiers: Sequence[Identifier]) -> list[str]:
    """Hash what neighbours have in common, all but the last characters; and after a dot, which of them it is."""
    near = _hashed(secret, [f"near|{one.kind.value}|{one.text[:-_TAIL]}" for one in identifiers])
    return [f"{one}.{own}" for one, own in zip(near, hashes(secret, identifiers), strict=True)]


def _hashed(secret: bytes, texts: Sequence[str]) -> list[str]:
    return [b64url(one[:_HASH_BYTES]) for one in hmac_sha256_each(secret, [text.encode() for text in texts])]

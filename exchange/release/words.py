"""A person's own words, words to it, and what lenders report of it: sealed under its data key, opened here alone.

Statements (本人声明), grounds of a dispute, complaints and the replies to them, details of outcomes. Each is bound to
what it stands in, so that it cannot be moved. Erasing the person's data key erases them all.

Not here: who may read which (`marking`, `exchange.disputes`, `exchange.complaints`, `exchange.outcomes`).
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from exchange.home import Home
from registry.suites import intl, seal, unseal


class Where(StrEnum):
    """What a text stands in."""

    STATEMENT = "statement"
    DISPUTE = "dispute"
    DISPUTE_REPLY = "dispute-reply"
    COMPLAINT = "complaint"
    COMPLAINT_ORGANISATION = "complaint-organisation"
    COMPLAINT_REPLY = "complaint-reply"
    OUTCOME = "outcome"


Place = tuple[UUID, Where, UUID]  # whose, in what, in which


def seal_words(home: Home, place: Place, text: str, *, now: datetime) -> bytes:
    """Seal a text for its place, making the subject's data key if there is none.

    Raises:
        KeyMissing: the subject's data key has been erased.
    """
    return seal(intl, home.datakeys.ensure([place[0]], now=now)[place[0]], text.encode(), _binding(place))


def open_words(home: Home, sealed: Mapping[Place, bytes]) -> dict[Place, str]:
    """Open texts. Those whose subject's data key has been erased are absent: nobody can open them.

    Raises:
        SealBroken: the stored bytes are not those that were sealed for that place.
    """
    keys = home.datakeys.standing({place[0] for place in sealed}) if sealed else {}
    return {
        place: unseal(keys[place[0]], one, _binding(place)).decode()
        for place, one in sealed.items()
        if place[0] in keys
    }


def _binding(place: Place) -> bytes:
    return b"words|" + place[1].encode() + b"|" + place[0].bytes + place[2].bytes

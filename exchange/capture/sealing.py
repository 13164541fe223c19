"""What belongs to a person while somebody still has to decide: sealed under the person's own data key.

Bound to what it is kept for, so that it cannot be moved; destroyed with the decision, and with the key if the person is
erased before. Opened only to be handed to `exchange.consents`, which needs to know who consents, or back to the
organisation that brought it; never to answer a question.
"""

from datetime import datetime
from uuid import UUID

from exchange.home import Home
from registry.errors import KeyMissing
from registry.identifiers import Identifier, SubjectKind, parse_identifier
from registry.suites import seal, unseal


def keep(home: Home, owner: UUID, place: bytes, content: bytes, *, now: datetime) -> bytes | None:
    """Seal something; None if the owner's key has been erased."""
    key = home.datakeys.ensure_standing([owner], now=now).get(owner)
    return None if key is None else seal(home.sealing.suite, key, content, b"capture|" + place)


def keep_either(  # what is sealed, and under whose key
    home: Home, owner: UUID, otherwise: UUID, place: bytes, content: bytes, *, now: datetime
) -> bytes:
    """Seal something under the owner's key, or, if that has been erased, under one of its own: nobody is told which.

    Raises:
        KeyMissing: both were erased.
    """
    sealed = keep(home, owner, place, content, now=now) or keep(home, otherwise, place, content, now=now)
    if sealed is None:
        raise KeyMissing("what it was to be sealed under was erased")
    return sealed


def either(home: Home, owner: UUID, otherwise: UUID) -> UUID:
    """Say under whose key `keep_either` sealed."""
    return otherwise if otherwise in home.datakeys.standing([otherwise]) else owner


def opened(home: Home, owner: UUID, place: bytes, sealed: bytes) -> bytes:
    """Open what `keep` sealed.

    Raises:
        KeyMissing: the person was erased.
        SealBroken: it was changed, or sealed for another place.
    """
    return unseal(home.datakeys.get([owner])[owner], sealed, b"capture|" + place)


def keep_identifier(home: Home, owner: UUID, place: bytes, who: Identifier, *, now: datetime) -> bytes | None:
    """Seal an identifier; None if the owner's key has been erased."""
    return keep(home, owner, b"identifier|" + place, f"{who.kind.value}|{who.text}".encode(), now=now)


def identifier(home: Home, owner: UUID, place: bytes, sealed: bytes) -> Identifier:
    """Open an identifier.

    Raises:
        KeyMissing, SealBroken: see `opened`.
    """
    kind, _, text = opened(home, owner, b"identifier|" + place, sealed).decode().partition("|")
    return parse_identifier(SubjectKind(kind), text)

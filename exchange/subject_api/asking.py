"""Who asks at the persons' door: an admitted phone, and the person it speaks for now."""

from dataclasses import dataclass
from uuid import UUID

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from exchange import binding
from exchange.errors import TokenRefused
from exchange.home import Home
from exchange.oauth.doors import require
from exchange.oauth.scopes import Scope
from registry.database import Transaction


@dataclass(frozen=True, slots=True)
class Person:
    """A person, through one of the person's phones."""

    client_id: str
    subject_id: UUID

    def acts(self, tx: Transaction) -> None:
        """Hold the person, and admit the phone anew: every transaction that changes something begins so.

        Raises:
            TokenRefused: the phone was ended since it was admitted.
        """
        binding.hold_owner(tx, self.client_id, self.subject_id)


class asking:  # noqa: N801  # reads as what it does: Depends(asking(home))
    """A dependency that gives the endpoint its `Person`. One instance serves a router and its routes: it admits once.

    Raises (when called):
        CredentialsRefused: the token does not open this door, or the phone speaks for nobody (any more, or yet).
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._admit = require(Scope.SUBJECT)

    async def __call__(self, request: Request) -> Person:
        """Admit the phone, then look up whom it speaks for."""
        caller = await self._admit(request)
        subject_id = await run_in_threadpool(self._subject_of, caller.client_id)
        if subject_id is None:
            raise TokenRefused(binding.SPEAKS_FOR_NOBODY)
        return Person(caller.client_id, subject_id)

    def _subject_of(self, client_id: str) -> UUID | None:
        with self._home.database.transaction() as tx:
            return binding.subject_of(tx, client_id)

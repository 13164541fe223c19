"""How a router asks for credentials: `Depends(require(Scope.AUDIT_READ))`.

All doors are closed unless listed as public: `app` verifies credentials for every other path
before any route runs (so that nothing of a request is parsed for a stranger) and leaves what it found
in the request's scope. A route then names the scope it needs, in one of two ways:

  * `require(scope)`: a dependency; admits the caller in a short transaction of its own, shared with
    whoever calls at the same moment, and gives the endpoint its `Caller`; a lender's system that calls too fast is
    told when to come again, and every one what is left of its pace (`taken`)
    `require_own(scope)` admits a system that calls in its own name, and no token that rests on one person's agreement
  * `presented(request, scope)`: for the release gate, which admits callers in its own transaction
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeGuard

from fastapi import Request
from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from starlette.types import Scope as Asked

from exchange.batching import Together
from exchange.errors import CredentialsMissing, CredentialsRefused, RequestRefused
from exchange.oauth import guard
from exchange.oauth.guard import Caller, Presented
from exchange.oauth.scopes import Role, Scope
from registry.database import Database, Transaction

PRESENTED: Final = "qingqiao.presented"
PACED: Final = "qingqiao.paced"

Admitted = Caller | CredentialsRefused | RequestRefused


@dataclass(frozen=True, slots=True)
class Turn:
    """A call as its system's pace has it: the seconds to wait (None: it may now), and what is left, as headers."""

    wait: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Admission(NamedTuple):
    """What became of a caller; a lender's system has a turn, too."""

    outcome: Admitted
    turn: Turn = Turn()


Admissions = Together[Presented, Admission]
Paces = Callable[[Transaction, Sequence[str]], Sequence[Turn]]


def taken(turn: Turn, asked: Asked) -> int | None:
    """Leave in a request's scope what its answer will say of the pace; give the seconds to wait."""
    asked[PACED] = turn.headers
    return turn.wait


def _unpaced(_: Transaction, clients: Sequence[str]) -> Sequence[Turn]:
    return [Turn()] * len(clients)


def admissions(database: Database, paces: Paces = _unpaced) -> Admissions:
    """Return what admits callers in transactions of its own, many at a time; `paces` looks at lenders' systems."""

    def admit(batch: Sequence[Presented]) -> list[Admission]:
        with database.transaction() as tx:
            came = [Admission(one) for one in guard.admit(tx, batch)]
            lenders = [(n, one.outcome) for n, one in enumerate(came) if _is_lenders(one.outcome)]
            turns = paces(tx, [caller.client_id for _, caller in lenders])  # after admission: a replay moves nothing
            for (n, caller), turn in zip(lenders, turns, strict=True):
                over = None if turn.wait is None else RequestRefused("rate-exceeded", retry_after_seconds=turn.wait)
                came[n] = Admission(over or caller, turn)
        return came

    return Together(admit)


def _is_lenders(one: Admitted) -> TypeGuard[Caller]:
    return isinstance(one, Caller) and one.kind == Role.LENDER


def presented(request: Request, scope: Scope) -> Presented:
    """Return the caller's verified credentials, not yet admitted.

    Raises:
        CredentialsMissing: the path is a public one, where no credentials are read.
        ScopeMissing: the token does not reach this door.
    """
    found = request.scope.get(PRESENTED)
    if not isinstance(found, Presented):
        raise CredentialsMissing("an access token under the DPoP scheme is needed")
    return guard.need(found, scope)


class require(SecurityBase):  # noqa: N801  # reads as what it does: Depends(require(scope))
    """A dependency that gives the endpoint its admitted `Caller`.

    Raises (when called):
        CredentialsRefused: one of its kinds; the problem says which.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.scheme_name = "DPoP"
        self.model = HTTPBase(scheme="DPoP", description="RFC 9449: DPoP-bound access token, with a proof per request")

    async def __call__(self, request: Request) -> Caller:
        """Admit the caller; waits for a commit."""
        door: Admissions = request.app.state.admissions
        outcome, turn = await door(presented(request, self._wanted(request)))
        taken(turn, request.scope)
        if not isinstance(outcome, Caller):
            raise outcome
        return outcome

    def _wanted(self, request: Request) -> Scope:
        del request
        return self.scope


class require_own(require):  # noqa: N801  # as above
    """A dependency like `require`, for what concerns a lender's people altogether.

    Raises (when called):
        CredentialsRefused: as `require`.
        RequestRefused: `bulk-token`: the token rests on one person's agreement.
    """

    async def __call__(self, request: Request) -> Caller:
        """Admit the caller; waits for a commit."""
        caller = await super().__call__(request)
        if caller.consent_id is not None:
            raise RequestRefused("bulk-token")
        return caller


class require_one_of(require):  # noqa: N801  # as above
    """A dependency like `require`, for a door that opens to each of several scopes."""

    def __init__(self, *scopes: Scope) -> None:
        super().__init__(scopes[0])
        self.scopes = scopes

    def _wanted(self, request: Request) -> Scope:
        """Choose the one that the token has; if it has none, the first, which it will be told is missing."""
        found = request.scope.get(PRESENTED)
        held = found.scopes if isinstance(found, Presented) else frozenset()
        return next((scope for scope in self.scopes if scope.value in held), self.scope)

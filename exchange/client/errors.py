"""What can go wrong between a lender's system and an exchange, sorted by who must act.

KitError
├── Refused             the exchange answered with a problem (RFC 9457) or an OAuth error; `problem` has all it said
│   ├── QueryRefused    no consent covers the query; obtain one, or leave it: asking again changes nothing
│   ├── AccessRefused   client, token or proof were not taken; look at key, registration and clock
│   ├── RequestWrong    the request states what it may not; correct it
│   ├── ComeLater       busy or out of service; come again after `retry_after_seconds`
│   └── ExchangeFailed  a mistake inside the exchange, or an answer that is no problem; tell the operator
├── NotReached          nobody answered, or the line broke; try again with the same idempotency key
├── NotReady            no checkpoint covers the query yet; fetch its evidence later
├── NotAgreed           the person did not agree, or the answer belongs to another request or server
└── NotGenuine          a signature, a digest or the metadata do not hold; use nothing of it, tell the operator

Messages and representations hold status and published code, and nothing that an answer may have brought along: what
was sent is somebody's identifier, and nobody knows what stands between a client and the exchange.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Self

import httpx

_CODE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
_UNREADABLE: Final = "unreadable"
_LATER: Final = frozenset({429, 502, 503, 504})
_ACCESS_CODES: Final = frozenset(
    {
        "credentials-missing", "token-invalid", "proof-invalid", "scope-missing",
        "invalid_client", "invalid_dpop_proof", "invalid_scope", "invalid_target", "unauthorized_client",
    }
)  # fmt: skip


class KitError(Exception):
    """Anything that the kit raises."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request is wrong, as a JSON pointer, and how it is mended, in English and Chinese."""

    at: str
    code: str
    cause: str = field(repr=False)
    cause_zh: str = field(repr=False)
    mend: str = field(repr=False)
    mend_zh: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """What an exchange said. `mend` says what to do; `explain` of a client fetches the whole published description.

    An OAuth error (RFC 6749 §5.2) has its `error` as code and its `error_description` as detail.
    """

    status: int
    code: str
    type: str = field(repr=False)
    title: str = field(repr=False)
    title_zh: str = field(repr=False)
    detail: str = field(repr=False)
    query_id: str | None = field(repr=False)
    places: tuple[Place, ...] = field(repr=False)

    @property
    def mend(self) -> str:
        """What to do about it: of each wrong place, or what the detail says after the cause."""
        if self.places:
            return "; ".join(place.mend for place in self.places)
        return self.detail.partition(": ")[2] or self.detail

    @classmethod
    def read(cls, response: httpx.Response) -> Self:
        """Read a response that is no success; what is missing or of another shape is left empty."""
        try:
            body = response.json()
        except ValueError:
            body = None
        said: Mapping[str, Any] = body if isinstance(body, dict) else {}
        code = next((one for name in ("code", "error") if isinstance(one := said.get(name), str)), "")
        errors = said.get("errors")
        return cls(
            status=response.status_code,
            code=code if _CODE.fullmatch(code) else _UNREADABLE,
            type=_text(said, "type") or "about:blank",
            title=_text(said, "title"),
            title_zh=_text(said, "title_zh"),
            detail=_text(said, "detail") or _text(said, "error_description"),
            query_id=_text(said, "query_id") or None,
            places=tuple(
                Place(*(_text(one, name) for name in ("at", "code", "cause", "cause_zh", "mend", "mend_zh")))
                for one in (errors if isinstance(errors, list) else [])
                if isinstance(one, dict)
            ),
        )


class Refused(KitError):
    """The exchange answered with a problem; `problem` is what it said."""

    def __init__(self, problem: Problem, retry_after_seconds: int | None = None) -> None:
        """Name status and code, and nothing else."""
        super().__init__(f"{problem.status} {problem.code}")
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    @property
    def status(self) -> int:
        """HTTP's status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The published code, which never changes its meaning."""
        return self.problem.code


class QueryRefused(Refused):
    """The consent decision refused a query; `problem.query_id` finds it in the exchange's log."""


class AccessRefused(Refused):
    """Client, token, proof or scope were not taken."""


class RequestWrong(Refused):
    """The request must be corrected."""


class ComeLater(Refused):
    """Too much at once, or out of service for the moment."""


class ExchangeFailed(Refused):
    """A mistake inside the exchange, or something else that speaks in its place."""


class NotReached(KitError):
    """Nobody answered. Whether the request arrived is not known: repeat it with the same idempotency key."""


class NotReady(KitError):
    """No checkpoint covered the query within the time that the caller was willing to wait."""


class NotAgreed(KitError):
    """A person did not agree; `code` is the error of the redirect, or says whose answer it is not."""

    def __init__(self, code: str) -> None:
        """Name the code."""
        self.code = code if _CODE.fullmatch(code) else _UNREADABLE
        super().__init__(self.code)


class NotGenuine(KitError):
    """What came does not hold: a signature, a digest, or the metadata."""


def refusal(response: httpx.Response) -> Refused:
    """Sort a response that is no success into its family."""
    problem = Problem.read(response)
    return _family(problem)(problem, retry_after(response))


def retry_after(response: httpx.Response) -> int | None:
    """Give the seconds that Retry-After states; a date in it, which the exchange never sends, is not read."""
    text = response.headers.get("Retry-After", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _family(problem: Problem) -> type[Refused]:
    if problem.status in _LATER:
        return ComeLater
    if problem.code in _ACCESS_CODES or problem.status == HTTPStatus.UNAUTHORIZED:
        return AccessRefused
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR or problem.code == _UNREADABLE:
        return ExchangeFailed
    return QueryRefused if problem.query_id is not None else RequestWrong


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""

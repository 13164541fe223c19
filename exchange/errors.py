"""Errors of the doors, sorted by who must act. `problems` alone says which status code each becomes.

ExchangeError
├── CredentialsRefused      who calls must mend its credentials; said in one fixed sentence each
│   ├── CredentialsMissing  no access token, or one not presented under the DPoP scheme
│   ├── TokenRefused        the access token is not ours, not valid now, taken back, or its client is not active
│   ├── ProofRefused        the DPoP proof does not fit this request, this token or this moment, or was used before
│   ├── AssertionRefused    the client assertion at the token endpoint does not prove the client
│   └── ScopeMissing        the token is good but does not reach this door
├── RequestRefused          the request cannot be taken as it stands; who calls must correct it
├── KeyRefused              a public key that a client may not register or use; whoever registers it must correct it
├── RulesRefused            the declared consistency rules cannot be carried out; whoever wrote them must correct them
└── OutOfService            a part this needs cannot be reached; the operator must act, who calls may come again

Messages are fixed sentences. They never repeat what was sent: it may be somebody's identifier.
"""

from collections.abc import Mapping
from typing import Any


class ExchangeError(Exception):
    """Any failure that the doors name."""


class CredentialsRefused(ExchangeError):
    """Credentials that do not open this door."""


class CredentialsMissing(CredentialsRefused):
    """No access token under the DPoP scheme."""


class TokenRefused(CredentialsRefused):
    """An access token that is not valid here and now."""


class ProofRefused(CredentialsRefused):
    """A DPoP proof that proves nothing for this request."""


class AssertionRefused(CredentialsRefused):
    """A client assertion that does not prove the client."""


class ScopeMissing(CredentialsRefused):
    """A valid token without the scope this door asks for."""

    def __init__(self, scope: str) -> None:
        """Name the scope that is missing; it is published, so it may be said."""
        super().__init__(f"this door needs the scope {scope}")
        self.scope = scope


class RequestRefused(ExchangeError):
    """A request that cannot be taken as it stands. `code` is a code of the problem catalogue."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        more: Mapping[str, Any] | None = None,
        retry_after_seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Take the problem's code and, at most, one fixed sentence that repeats nothing of the request.

        `more` are further members of the problem: places and mends, nothing of the request either. With
        `retry_after_seconds` it is said when to come again; `headers` are sent besides.
        """
        super().__init__(detail or code)
        self.code = code
        self.detail = detail
        self.more = more
        self.retry_after_seconds = retry_after_seconds
        self.headers = headers or {}


class KeyRefused(ExchangeError):
    """A public key of a kind, size or form that is not accepted."""


class RulesRefused(ExchangeError):
    """Consistency rules that are not understood, or that name a kind, a field or a code which does not exist."""


class OutOfService(ExchangeError):
    """A part that the request needs cannot be reached now."""

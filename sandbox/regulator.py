"""A regulator's system (监管部门) as the exchange meets it: it reads the audit trail, and nothing else.

`exchange.client` has the OAuth.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

from exchange.client import Client, Connection

SCOPE: Final = "audit:read"


class Regulator(Connection):
    """A session of one regulator's client with one exchange. The arguments are those of `Connection`."""

    def __init__(
        self,
        issuer: str,
        client: Client,
        *,
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(issuer, client, scope=SCOPE, http=http, clock=clock, pause=pause)

    def events(self, **filters: str) -> Mapping[str, Any]:
        """Read one page of the audit trail (GET /audit/v1/events).

        Raises:
            Refused: the client has no such scope, or a filter is not understood.
        """
        page: Mapping[str, Any] = self.call("GET", "/audit/v1/events", params=filters).json()
        return page

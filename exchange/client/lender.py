"""The clients: `Lender` and `AsyncLender`, with the same methods; and what they stand on, for other systems' clients.

Methods are flows (`queries`, `batches`, `consents`, `asking`, `following`, `reporting`, `registering`, `subscribing`)
bound to a client that runs them. What each takes and raises is said there.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypedDict, TypeVar, Unpack

import httpx

from exchange.client import asking, batches, consents, following, queries, registering, reporting, subscribing
from exchange.client.flow import Flow, drive, drive_async
from exchange.client.keys import Client, read_client
from exchange.client.retrying import Retrying
from exchange.client.session import Ask, Session
from registry.trust import TrustPolicy

P = ParamSpec("P")
T = TypeVar("T")
_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)


class Options(TypedDict, total=False):
    """How a client is set up, besides whom it calls as whom.

    `scope` is what its token is to open; without any, all that it is registered for. With `trust`, the trust policy,
    every answer and receipt is checked before it is handed out. `clock` gives seconds since 1970.
    """

    scope: str
    trust: TrustPolicy | None
    clock: Callable[[], float]
    retrying: Retrying


class _Common:
    """What both clients have: a session."""

    def __init__(self, issuer: str, client: Client, **options: Unpack[Options]) -> None:
        self._session = Session(
            issuer,
            client,
            scope=options.get("scope", ""),
            trust=options.get("trust"),
            clock=options.get("clock", time.time),
            retrying=options.get("retrying", Retrying()),
        )

    @property
    def client_id(self) -> str:
        """Under which id this system is registered."""
        return self._session.client.client_id

    @property
    def issuer(self) -> str:
        """The exchange's public address."""
        return self._session.issuer

    def now(self) -> float:
        """Seconds since 1970 by the exchange's clock, as far as its answers have told."""
        return self._session.now()


class Connection(_Common):
    """A session of one registered client with one exchange, sync.

    Args:
        issuer: the exchange's public address: `aud` of assertions and the start of every `htu`.
        client: who calls.
        http: how the exchange is reached, when not directly at `issuer` (a proxy, a test); its maker closes it.
        pause: waits a number of seconds.
        options: see `Options`.
    """

    def __init__(
        self,
        issuer: str,
        client: Client,
        *,
        http: httpx.Client | None = None,
        pause: Callable[[float], None] = time.sleep,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(issuer, client, **options)
        self._own = http is None
        self._http = http or httpx.Client(base_url=self.issuer, timeout=_TIMEOUT)
        self._pause = pause

    @classmethod
    def of_file(cls, issuer: str, key: Path, **options: Unpack[Options]) -> Self:
        """Open a session by the key file of `qingqiao lender add --make-key`."""
        return cls(issuer, read_client(key), **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, unless it was handed in."""
        if self._own:
            self._http.close()

    def call(  # what a request is made of
        self,
        method: str,
        path: str,
        *,
        json_body: Any = None,  # noqa: ANN401  # any JSON
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        safe: bool | None = None,
    ) -> httpx.Response:
        """Call an interface that has no method here; `safe` says that it may be sent twice, as reading may.

        Raises:
            Refused, NotReached: as every call.
        """
        harmless = method in {"GET", "HEAD"} if safe is None else safe
        return self._run(self._session.call(Ask(method, path, json_body, content, params, headers or {}, harmless)))

    def credentials(self) -> tuple[str, Any]:
        """Give a fresh access token and the key that its proofs must be signed with; for load generators."""
        return self._run(self._session.token(anew=True)), self._session.proof_key

    def _run(self, flow: Flow[T]) -> T:
        return drive(flow, self._http, self._pause)


class AsyncConnection(_Common):
    """A session of one registered client with one exchange, async; calls may run together.

    The arguments are those of `Connection`, of asyncio's kind.
    """

    def __init__(
        self,
        issuer: str,
        client: Client,
        *,
        http: httpx.AsyncClient | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(issuer, client, **options)
        self._own = http is None
        self._http = http or httpx.AsyncClient(base_url=self.issuer, timeout=_TIMEOUT)
        self._pause = pause

    @classmethod
    def of_file(cls, issuer: str, key: Path, **options: Unpack[Options]) -> Self:
        """Open a session by the key file of `qingqiao lender add --make-key`."""
        return cls(issuer, read_client(key), **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, unless it was handed in."""
        if self._own:
            await self._http.aclose()

    async def _run(self, flow: Flow[T]) -> T:
        return await drive_async(flow, self._http, self._pause)


def _sync(flow: Callable[Concatenate[Session, P], Flow[T]]) -> Callable[Concatenate[Connection, P], T]:
    @wraps(flow)
    def method(self: Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(flow(self._session, *args, **kwargs))

    return method


def _async(
    flow: Callable[Concatenate[Session, P], Flow[T]],
) -> Callable[Concatenate[AsyncConnection, P], Coroutine[Any, Any, T]]:
    @wraps(flow)
    async def method(self: AsyncConnection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(flow(self._session, *args, **kwargs))

    return method


class Lender(Connection):
    """A lender's system."""

    query = _sync(queries.query)
    verify = _sync(queries.verify)
    tags = _sync(queries.tags)
    summary = _sync(queries.summary)
    report = _sync(queries.report)
    report_pdf = _sync(queries.report_pdf)
    evidence = _sync(queries.evidence)
    explain = _sync(queries.explain)
    record_consent = _sync(consents.record_consent)
    record_no = _sync(consents.record_no)
    see_consent = _sync(consents.see_consent)
    receipt_sheet = _sync(consents.receipt_sheet)
    withdraw = _sync(consents.withdraw)
    pause = _sync(consents.pause)
    narrow = _sync(consents.narrow)
    reconfirm = _sync(consents.reconfirm)
    ask_phone = _sync(consents.ask_phone)
    see_request = _sync(consents.see_request)
    push = _sync(asking.push)
    redeem = _sync(asking.redeem)
    introspect = _sync(asking.introspect)
    revoke = _sync(asking.revoke)
    see_grant = _sync(asking.see_grant)
    give_up_grant = _sync(asking.give_up_grant)
    hand_in = _sync(batches.hand_in)
    see_batch = _sync(batches.see_batch)
    cancel_batch = _sync(batches.cancel_batch)
    fetch_part = _sync(batches.fetch_part)
    fetch_manifest = _sync(batches.fetch_manifest)
    fetch_batch = _sync(batches.fetch_batch)
    list_batches = _sync(batches.list_batches)
    report_outcome = _sync(reporting.report_outcome)
    outcomes = _sync(reporting.outcomes)
    poll_events = _sync(following.poll_events)
    deletions = _sync(following.deletions)
    acknowledge_deletion = _sync(following.acknowledge_deletion)
    notices = _sync(following.notices)
    acknowledge_notice = _sync(following.acknowledge_notice)
    catalogue = _sync(following.catalogue)
    sources = _sync(following.sources)
    subscribe = _sync(subscribing.subscribe)
    unsubscribe = _sync(subscribing.unsubscribe)
    happenings = _sync(subscribing.happenings)
    set_webhook = _sync(subscribing.set_webhook)
    webhook = _sync(subscribing.webhook)
    replay = _sync(subscribing.replay)
    published_keys = _sync(subscribing.published_keys)
    own_registration = _sync(registering.own_registration)
    change_keys = _sync(registering.change_keys)
    put_staff = _sync(registering.put_staff)
    end_staff = _sync(registering.end_staff)
    staff = _sync(registering.staff)


class AsyncLender(AsyncConnection):
    """A lender's system, for asyncio: the methods of `Lender`, awaited."""

    query = _async(queries.query)
    verify = _async(queries.verify)
    tags = _async(queries.tags)
    summary = _async(queries.summary)
    report = _async(queries.report)
    report_pdf = _async(queries.report_pdf)
    evidence = _async(queries.evidence)
    explain = _async(queries.explain)
    record_consent = _async(consents.record_consent)
    record_no = _async(consents.record_no)
    see_consent = _async(consents.see_consent)
    receipt_sheet = _async(consents.receipt_sheet)
    withdraw = _async(consents.withdraw)
    pause = _async(consents.pause)
    narrow = _async(consents.narrow)
    reconfirm = _async(consents.reconfirm)
    ask_phone = _async(consents.ask_phone)
    see_request = _async(consents.see_request)
    push = _async(asking.push)
    redeem = _async(asking.redeem)
    introspect = _async(asking.introspect)
    revoke = _async(asking.revoke)
    see_grant = _async(asking.see_grant)
    give_up_grant = _async(asking.give_up_grant)
    hand_in = _async(batches.hand_in)
    see_batch = _async(batches.see_batch)
    cancel_batch = _async(batches.cancel_batch)
    fetch_part = _async(batches.fetch_part)
    fetch_manifest = _async(batches.fetch_manifest)
    fetch_batch = _async(batches.fetch_batch)
    list_batches = _async(batches.list_batches)
    report_outcome = _async(reporting.report_outcome)
    outcomes = _async(reporting.outcomes)
    poll_events = _async(following.poll_events)
    deletions = _async(following.deletions)
    acknowledge_deletion = _async(following.acknowledge_deletion)
    notices = _async(following.notices)
    acknowledge_notice = _async(following.acknowledge_notice)
    catalogue = _async(following.catalogue)
    sources = _async(following.sources)
    subscribe = _async(subscribing.subscribe)
    unsubscribe = _async(subscribing.unsubscribe)
    happenings = _async(subscribing.happenings)
    set_webhook = _async(subscribing.set_webhook)
    webhook = _async(subscribing.webhook)
    replay = _async(subscribing.replay)
    published_keys = _async(subscribing.published_keys)
    own_registration = _async(registering.own_registration)
    change_keys = _async(registering.change_keys)
    put_staff = _async(registering.put_staff)
    end_staff = _async(registering.end_staff)
    staff = _async(registering.staff)

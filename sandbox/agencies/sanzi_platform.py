"""A 三资 platform (农村集体三资管理平台) as its outsiders meet it: JSON over HTTP with OAuth, on loopback.

  POST /oauth/token                     client_credentials; client_secret_basic, or private_key_jwt (RFC 7523)
  GET  /api/v1/{ledger}                 ?since= (RFC 3339), ?cursor=, ?limit= organisations; ETag and 304
  POST /api/v1/{ledger}/query           the same as a body, and `organisations` or `people` to be asked about

Ledgers are funds, assets, resources, contracts. A page has `items` (rows, heading to value, each with the
`changed_at` of its set) and `next` (cursor, null at the end). An organisation's rows are never divided
between pages: what is delivered is its whole set. Identifiers stand in bodies only.

It is no model of good design: it is what a provincial platform offers, with its faults (`sandbox.agencies.faults`).
"""

import contextlib
import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final

from numpy.random import default_rng
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.agencies.faults import CLOCK_FAULTS, LINE_FAULTS, SCHEMA_FAULTS, Fault, Faults
from sandbox.agencies.holdings import FUNDS, Ledger, Row, ledgers
from sandbox.agencies.line import line
from sandbox.agencies.listening import listening
from sandbox.agencies.tokens import Tokens
from sandbox.people import Province

USUAL_PAGE: Final = 10  # organisations
MOST_ON_A_PAGE: Final = 100
_FAULTS: Final = frozenset(
    {
        *LINE_FAULTS,
        *SCHEMA_FAULTS,
        *CLOCK_FAULTS,
        Fault.UNAVAILABLE,
        Fault.BUSY,
        Fault.REPEATED_PAGE,
        Fault.SHUFFLED_PAGES,
        Fault.TRUNCATED,
        Fault.AUTH_EXPIRED,
    }
)
_PERSON: Final = "承包方身份证号"
_RENAMED: Final[Mapping[str, str]] = {  # what a new release of the platform calls them
    "银行余额(元)": "资金沉淀(元)",
    "原值(万元)": "入账数(万元)",
    "总面积(亩)": "资源规模",
    "年承包费(元)": "对价(元)",
}
_GONE: Final = ("银行余额(元)", "净值(万元)", "原值(万元)", "资源类型", "合同编号")
_CHALLENGE: Final = 'Bearer error="invalid_token"'


@dataclass
class _Set:
    """The whole set of one organisation in one ledger, and when it changed last."""

    organisation: str
    changed_at: datetime
    rows: list[Row] = field(repr=False)


class _NotUnderstood(ValueError):
    """A request that this platform refuses with 400; the message is for the client's engineer."""


class SanziPlatform:
    """The platform's state; `serve` opens its door.

    Args:
        province: whose collectives it keeps.
        seed: of what is in the ledgers.
        clock: seconds since 1970.
    """

    def __init__(self, province: Province, *, seed: int = 7, clock: Callable[[], float] = time.time) -> None:
        self.faults = Faults(_FAULTS)
        self.tokens = Tokens(self.faults, clock)
        self._clock = clock
        self._rng = default_rng([seed, 8])
        self._lock = Lock()
        self._ledgers: dict[str, Ledger] = ledgers(province, seed=seed)
        began = self._now() - timedelta(days=30)
        self._sets = {
            name: {
                code: _Set(code, began + timedelta(seconds=number), list(rows))
                for number, (code, rows) in enumerate(ledger.holdings.items())
            }
            for name, ledger in self._ledgers.items()
        }
        self.address = ""

    @property
    def expected(self) -> dict[str, Mapping[str, object]]:
        """What must become of each ledger as it was at first."""
        return {name: ledger.expected for name, ledger in self._ledgers.items()}

    @property
    def organisations(self) -> list[str]:
        """Credit codes of all organisations with funds."""
        return list(self._sets[FUNDS])

    def advance(self, count: int) -> list[str]:
        """Let `count` organisations book something: their funds change now. Gives their credit codes."""
        with self._lock:
            held = self._sets[FUNDS]
            chosen = [list(held)[int(i)] for i in self._rng.choice(len(held), min(count, len(held)), replace=False)]
            for number, code in enumerate(chosen):
                booked = int(self._rng.integers(1, 5_000))
                held[code] = _Set(
                    code,
                    self._now() + timedelta(microseconds=number),
                    [_booked(row, booked) for row in held[code].rows],
                )
        return chosen

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """Open the door on loopback; give the address."""
        app = Starlette(
            routes=[
                Route("/oauth/token", self._token, methods=["POST"]),
                Route("/api/v1/{ledger}", self._changes, methods=["GET"]),
                Route("/api/v1/{ledger}/query", self._query, methods=["POST"]),
            ]
        )
        with (
            listening(app, "sanzi-platform") as inner,
            line(lambda: socket.create_connection(("127.0.0.1", inner)), self.faults) as port,
        ):
            self.address = f"http://127.0.0.1:{port}"
            yield self.address

    # ---- doors ------------------------------------------------------------------------------------------------------

    async def _token(self, request: Request) -> Response:
        return self._trouble() or await self.tokens.grant(request, self.address)

    async def _changes(self, request: Request) -> Response:
        return self._page(request, request.path_params["ledger"], dict(request.query_params))

    async def _query(self, request: Request) -> Response:
        try:
            asked = await request.json()
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return JSONResponse({"message": "请求体应为 JSON 对象"}, 400)
        return self._page(request, request.path_params["ledger"], asked)

    def _page(self, request: Request, ledger: str, asked: Mapping[str, Any]) -> Response:
        if (trouble := self._trouble()) is not None:
            return trouble
        if not self.tokens.allows(request):
            return JSONResponse(
                {"message": "令牌无效或已过期"}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            )
        if ledger not in self._sets:
            return JSONResponse({"message": "没有该台账"}, 404)
        try:
            body = json.dumps(self._found(ledger, asked), ensure_ascii=False).encode()
        except _NotUnderstood as error:
            return JSONResponse({"message": str(error)}, 400)
        if (cut := self.faults.strikes(Fault.TRUNCATED)) is not None:
            body = body[: int(len(body) * cut.amount)]
        tag = f'"{zlib.crc32(body):08x}-{len(body)}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(body, media_type="application/json", headers={"ETag": tag})

    def _trouble(self) -> Response | None:
        if self.faults.strikes(Fault.UNAVAILABLE):
            return JSONResponse({"message": "系统内部错误"}, 500)
        if (busy := self.faults.strikes(Fault.BUSY)) is not None:
            return JSONResponse({"message": "请求过于频繁"}, 429, {"Retry-After": f"{busy.amount:.0f}"})
        return None

    def _found(self, ledger: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Put one page together: sets by time of change, from where the cursor points."""
        limit, first = _whole(asked, "limit", USUAL_PAGE), _whole(asked, "cursor", 0)
        limit = min(max(limit, 1), MOST_ON_A_PAGE)
        skew = timedelta(seconds=self.faults.skew_seconds())
        with self._lock:
            held = sorted(self._sets[ledger].values(), key=lambda one: (one.changed_at, one.organisation))
        held = _asked_for(held, ledger, asked)
        since = _moment(asked.get("since"))
        held = [one for one in held if since is None or one.changed_at + skew > since]
        start = self._misled(first, limit)
        page = held[start : start + limit]
        if self.faults.is_on(Fault.SHUFFLED_PAGES):
            page = [*reversed(held)][start : start + limit]
        following = first + limit
        return {
            "items": [row for one in page for row in self._written(one, ledger, one.changed_at + skew)],
            "next": str(following) if following < len(held) else None,
        }

    def _written(self, one: _Set, ledger: str, changed_at: datetime) -> list[Row]:
        """Write a set's rows with the columns of today's release, each with its own number and the set's time."""
        serial = one.organisation[8:17]
        return [
            {"id": f"{ledger}-{serial}-{number}", **self._shape(row), "changed_at": changed_at.isoformat()}
            for number, row in enumerate(one.rows, start=1)
        ]

    def _misled(self, first: int, limit: int) -> int:
        """Say which page is delivered instead of the one that was asked for."""
        return max(0, first - limit) if first and self.faults.strikes(Fault.REPEATED_PAGE) else first

    def _shape(self, row: Row) -> Row:
        """Rename, drop or add columns."""
        shaped = dict(row)
        if self.faults.is_on(Fault.COLUMN_RENAMED):
            shaped = {_RENAMED.get(name, name): cell for name, cell in shaped.items()}
        if self.faults.is_on(Fault.COLUMN_GONE):
            shaped = {name: cell for name, cell in shaped.items() if name not in _GONE}
        if self.faults.is_on(Fault.COLUMN_NEW):
            shaped["系统流水号"] = f"LS{len(shaped):06d}"
        return shaped

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _asked_for(held: Sequence[_Set], ledger: str, asked: Mapping[str, Any]) -> list[_Set]:
    """Keep the sets of the organisations asked for, or the rows of the people asked for."""
    organisations, people = asked.get("organisations"), asked.get("people")
    for listed in (organisations, people):
        if listed is not None and not isinstance(listed, list):
            raise _NotUnderstood("organisations 与 people 应为数组")
    kept = [one for one in held if organisations is None or one.organisation in organisations]
    if people is None:
        return kept
    if ledger != "contracts":
        raise _NotUnderstood("该台账不能按人员查询")
    named = set(people)
    matched = [
        _Set(one.organisation, one.changed_at, [row for row in one.rows if row[_PERSON] in named]) for one in kept
    ]
    return [one for one in matched if one.rows]


def _whole(asked: Mapping[str, Any], name: str, usual: int) -> int:
    try:
        found = int(asked.get(name) or usual)
    except (TypeError, ValueError):
        raise _NotUnderstood(f"{name} 应为整数") from None
    if found < 0:
        raise _NotUnderstood(f"{name} 不能为负数")
    return found


def _moment(text: object) -> datetime | None:
    if text in (None, ""):
        return None
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise _NotUnderstood("since 应为 RFC 3339 时间") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _booked(row: Row, yuan: int) -> Row:
    """Book an amount on an account: the bank's balance and the books' go up together."""
    return {
        name: round(float(cell) + yuan, 2) if name in ("银行余额(元)", "账面余额(元)") and cell is not None else cell
        for name, cell in row.items()
    }

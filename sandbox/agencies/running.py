"""The three agencies of one province together, and for each thing they offer a feed to read it by.

A feed is what an engineer would write for it (docs/feeds.md), as plain values, with the credential that belongs to it
beside: this room does not know who reads them.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy import make_url

from sandbox.agencies.faults import Faults
from sandbox.agencies.holdings import ledgers
from sandbox.agencies.rating_office import OUTBOX, USER, RatingOffice
from sandbox.agencies.sanzi_platform import SanziPlatform
from sandbox.agencies.subsidy_system import COLUMNS, VIEW, SubsidySystem
from sandbox.agencies.tokens import CLIENT_ID
from sandbox.people import Province

SANZI, SUBSIDY, RATING = "sanzi", "subsidy", "rating"
_KINDS: Final = {
    "funds": "SANZI_FUND",
    "assets": "SANZI_ASSET",
    "resources": "SANZI_RESOURCE",
    "contracts": "SANZI_CONTRACT",
}
_SCHEDULE: Final = {"cron": "*/10 * * * *", "deadline": "PT30M", "catch_up": True}
_RETRY: Final = {"attempts": 4, "first": 0.05, "most": 1.0, "timeout": 10.0}  # loopback: nothing is far away


class Agency(Protocol):
    """What the three have in common."""

    faults: Faults

    def advance(self, count: int) -> object:
        """Let so many things change."""


@dataclass(frozen=True)
class Running:
    """Agencies that serve; `credentials` are by feed, as `feeds` are."""

    sanzi: SanziPlatform
    subsidy: SubsidySystem
    rating: RatingOffice
    addresses: Mapping[str, str]
    feeds: Mapping[str, Mapping[str, Any]]
    credentials: Mapping[str, str] = field(repr=False)

    @property
    def agencies(self) -> dict[str, Agency]:
        """The three by the names that the control door uses."""
        return {SANZI: self.sanzi, SUBSIDY: self.subsidy, RATING: self.rating}

    @property
    def expected(self) -> dict[str, Mapping[str, object]]:
        """What must become of the rows of each feed, in the shape of an intake report; of ratings, by workbook."""
        of_ledgers = {f"sandbox_{name}": expected for name, expected in self.sanzi.expected.items()}
        return {**of_ledgers, "sandbox_subsidy": self.subsidy.expected_of_people, **self.rating.expected}


@contextlib.contextmanager
def running(
    province: Province, database_url: str, *, seed: int = 7, clock: Callable[[], float] = time.time
) -> Iterator[Running]:
    """Start the three; they stop with the block.

    Args:
        province: whose data they hold.
        database_url: an empty PostgreSQL database for the subsidy system.
        seed: of the data.
        clock: seconds since 1970.
    """
    sanzi = SanziPlatform(province, seed=seed, clock=clock)
    subsidy = SubsidySystem(database_url, province, seed=seed, clock=clock)
    rating = RatingOffice(province, seed=seed, clock=clock)
    with sanzi.serve() as web, subsidy.serve() as database, rating.serve() as (host, port):
        address = make_url(database)
        bare = address._replace(password=None).render_as_string()
        feeds = {f"sandbox_{name}": _ledger_feed(web, name, _columns(province, seed, name)) for name in _KINDS}
        credentials = dict.fromkeys(feeds, sanzi.tokens.secret)
        feeds["sandbox_contracts"]["transport"]["auth"] |= {"method": "private_key_jwt", "algorithm": "ES256"}
        credentials["sandbox_contracts"] = sanzi.tokens.private_key
        feeds["sandbox_subsidy"] = _subsidy_feed(bare)
        feeds["sandbox_rating"] = _rating_feed(host, port, rating.host_key_line)
        credentials |= {"sandbox_subsidy": str(address.password), "sandbox_rating": rating.password}
        addresses = {SANZI: web, SUBSIDY: bare, RATING: f"sftp://{USER}@{host}:{port}{OUTBOX}"}
        yield Running(
            sanzi,
            subsidy,
            rating,
            addresses,
            {code: {"feed": code, **feed, "schedule": _SCHEDULE, "retry": _RETRY} for code, feed in feeds.items()},
            credentials,
        )


def _columns(province: Province, seed: int, name: str) -> list[str]:
    rows = next(iter(ledgers(province, seed=seed)[name].holdings.values()))
    return list(rows[0])


def _ledger_feed(web: str, name: str, columns: list[str]) -> dict[str, Any]:
    return {
        "source": "sanzi_ledger",
        "agency": "平安区农业农村局（沙箱）",
        "kind": _KINDS[name],
        "sets": "whole",
        "transport": {
            "kind": "rest",
            "url": f"{web}/api/v1/{name}",
            "rows": "items",
            "columns": {"id": None, **{column: column for column in columns}, "changed_at": None},
            "id": "id",
            "paging": {"by": "cursor", "path": "next"},
            "since": {"parameter": "since", "column": "changed_at"},
            "auth": {"by": "oauth", "token_url": f"{web}/oauth/token", "client_id": CLIENT_ID},
        },
    }


def _subsidy_feed(address: str) -> dict[str, Any]:
    return {
        "source": "subsidy_roster",
        "agency": "民和县农业农村局（沙箱）",
        "kind": "SUBSIDY",
        "filter": "subjects",
        "transport": {
            "kind": "sql",
            "url": address,
            "view": VIEW,
            "columns": {**{name: name for name in COLUMNS}, "id": None, "changed_at": None},
            "changed_at": "changed_at",
            "id": "id",
            "subject": "身份证号",
        },
    }


def _rating_feed(host: str, port: int, host_key: str) -> dict[str, Any]:
    return {
        "source": "rating_results",
        "agency": "民和县信用联社（沙箱）",
        "transport": {
            "kind": "sftp",
            "host": host,
            "port": port,
            "user": USER,
            "host_key": host_key,
            "folder": OUTBOX,
            "pattern": "*.xlsx",
            "complete": "rename",
        },
    }

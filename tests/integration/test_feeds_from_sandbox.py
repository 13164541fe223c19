"""Everything that the sandbox's agencies offer arrives through a feed; every fault is survived or refused clearly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from psycopg import sql

from connectors.collecting import Collected, Patience, collect
from connectors.credentials import Credentials
from connectors.errors import SourceError
from connectors.feed import Feed, feeds
from connectors.intake import Intake
from exchange import consent_registers
from exchange.home import Home
from exchange.jobs import intake_of
from exchange.release.collecting import people_for
from registry import clock, store
from registry.identifiers import CreditCode
from sandbox.agencies.faults import Fault
from sandbox.agencies.running import Running, running
from sandbox.people import settle
from sandbox.register import register
from tests.databases import Server

_DAY = date(2026, 6, 15)
_LEDGERS = ("sandbox_funds", "sandbox_assets", "sandbox_resources", "sandbox_contracts")
_FILES = "sandbox_rating"


@pytest.fixture(scope="module")
def agencies(server: Server) -> Iterator[Running]:
    name = f"qq_agency_{uuid4().hex[:12]}"
    server.run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        province = settle(seed=7, households=100, as_of=_DAY)
        with running(province, server.address(name)) as started:
            yield started
    finally:
        server.run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(autouse=True)
def _mended(agencies: Running) -> Iterator[None]:
    yield
    for one in agencies.agencies.values():
        one.faults.off()


@dataclass(frozen=True)
class Connected:
    """An installation that is connected to the agencies, and to which people have consented."""

    home: Home
    intake: Intake
    feeds: dict[str, Feed]
    credentials: Credentials

    def collect(self, code: str, *, later: timedelta = timedelta(0)) -> Collected:
        """Run a feed once, now or later; what it would wait between tries is not waited."""
        feed = self.feeds[code]
        return collect(
            self.intake,
            feed,
            credentials=self.credentials,
            people=partial(people_for, self.home, actor=feed.agency, at=_DAY) if feed.filter else None,
            now=clock.now() + later,
            as_of=_DAY,
            patience=Patience(sleep=_waits_for_nothing),
        )

    def funds(self, organisations: Sequence[str]) -> dict[str, set[tuple[UUID, int]]]:
        """The records, with their versions, that stand of each organisation's funds."""
        codes = [CreditCode.parse(one) for one in organisations]
        with self.home.database.transaction() as tx:
            found = store.lookup(tx, self.home.keyring, codes)
            standing = store.visible(tx, {(subject, "SANZI_FUND") for subject in found.values()})
        of = {subject: code for code, subject in found.items()}
        shown: dict[str, set[tuple[UUID, int]]] = {one: set() for one in organisations}
        for record in standing:
            shown[of[record.ref.subject_id]].add((record.ref.record_id, record.ref.version))
        return shown

    def counts(self) -> dict[str, dict[str, Any]]:
        """What became of every table taken in so far, by its name."""
        files: dict[str, dict[str, Any]] = self.intake.report(as_of=_DAY)["files"]  # type: ignore[assignment]
        return files


@pytest.fixture
def connected(exchange_home: Home, agencies: Running, tmp_path: Path) -> Connected:
    people = settle(seed=7, households=100, as_of=_DAY)
    written = register(people.households, as_of=_DAY, seed=7).write(tmp_path)
    consent_registers.import_register(
        exchange_home, consent_registers.read_register(written.read_bytes()), actor="test"
    )
    folder = tmp_path / "feeds"
    folder.mkdir()
    credentials = Credentials(exchange_home.database, exchange_home.sealing)
    for code, feed in agencies.feeds.items():
        (folder / f"{code}.yml").write_text(yaml.safe_dump(feed, allow_unicode=True), encoding="utf-8")
        credentials.set(code, agencies.credentials[code], now=clock.now())
    return Connected(exchange_home, intake_of(exchange_home), feeds(folder), credentials)


def _waits_for_nothing(_: float) -> None:
    return None


def _hold_to_what_was_planted(connected: Connected, agencies: Running, code: str) -> None:
    found = connected.counts()
    if code == _FILES:
        assert found == {name: agencies.expected[name] for name in agencies.rating.expected}
    else:
        assert list(found.values()) == [agencies.expected[code]]


@pytest.mark.parametrize("code", [*_LEDGERS, "sandbox_subsidy"])
def test_every_row_of_an_interface_arrives_and_becomes_what_was_planted(
    connected: Connected, agencies: Running, code: str
) -> None:
    done = connected.collect(code)
    assert done.error is None
    _hold_to_what_was_planted(connected, agencies, code)
    assert done.rows == agencies.expected[code]["rows"]
    assert connected.collect(code).error is None
    _hold_to_what_was_planted(connected, agencies, code)


def test_every_workbook_arrives_and_becomes_what_was_planted(connected: Connected, agencies: Running) -> None:
    done = connected.collect(_FILES)
    assert (done.files, done.error) == (2, None)
    _hold_to_what_was_planted(connected, agencies, _FILES)
    assert connected.collect(_FILES).files == 0


def test_a_changed_set_replaces_that_organisations_and_no_others(
    connected: Connected, agencies: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    sanzi = agencies.sanzi
    monkeypatch.setattr(sanzi, "_sets", {name: dict(sets) for name, sets in sanzi._sets.items()})  # as they were, after
    first = connected.collect("sandbox_funds")
    assert first.error is None
    before = connected.funds(sanzi.organisations)
    booked = set(sanzi.advance(len(sanzi.organisations) // 3))
    second = connected.collect("sandbox_funds", later=timedelta(minutes=5))
    assert second.error is None
    assert 0 < second.rows <= first.rows  # what changed, and what the overlap of the watermark brings again
    after = connected.funds(sanzi.organisations)
    changed = {code for code in before if before[code] != after[code]}
    assert changed
    assert changed == {code for code in before if before[code]} & booked
    for code in changed:
        assert len(after[code]) == len(before[code])
        assert after[code].isdisjoint(before[code]), "of the old set something is still shown"
    assert connected.collect("sandbox_funds", later=timedelta(minutes=10)).error is None
    assert connected.funds(sanzi.organisations) == after


_AGENCY_OF = {**dict.fromkeys(_LEDGERS, "sanzi"), "sandbox_subsidy": "subsidy", _FILES: "rating"}
_SURVIVED = [
    ("sandbox_assets", Fault.UNAVAILABLE, {"times": 2}),
    ("sandbox_assets", Fault.BUSY, {"times": 2, "amount": 1}),
    ("sandbox_assets", Fault.TRUNCATED, {"times": 1}),
    ("sandbox_assets", Fault.RESET, {"times": 1, "amount": 2500}),
    ("sandbox_assets", Fault.AUTH_EXPIRED, {"times": 1}),
    ("sandbox_assets", Fault.SLOW, {"amount": 60_000}),
    ("sandbox_assets", Fault.SHUFFLED_PAGES, {}),
    ("sandbox_assets", Fault.CLOCK_AHEAD, {"amount": 86_400}),
    ("sandbox_assets", Fault.CLOCK_BEHIND, {"amount": 86_400}),
    ("sandbox_subsidy", Fault.UNAVAILABLE, {"times": 1}),
    ("sandbox_subsidy", Fault.RESET, {"times": 1, "amount": 3000}),
    ("sandbox_subsidy", Fault.SLOW, {"amount": 60_000}),
    ("sandbox_subsidy", Fault.CLOCK_AHEAD, {"amount": 86_400}),
    ("sandbox_subsidy", Fault.CLOCK_BEHIND, {"amount": 86_400}),
    (_FILES, Fault.UNAVAILABLE, {"times": 1}),
    (_FILES, Fault.RESET, {"times": 1, "amount": 9000}),
    (_FILES, Fault.SLOW, {"amount": 60_000}),
    (_FILES, Fault.CLOCK_AHEAD, {"amount": 86_400}),
]


@pytest.mark.parametrize(("code", "fault", "how"), _SURVIVED, ids=lambda one: str(getattr(one, "value", one)))
def test_a_fault_that_passes_is_survived_and_nothing_is_lost(
    connected: Connected, agencies: Running, code: str, fault: Fault, how: dict[str, Any]
) -> None:
    agencies.agencies[_AGENCY_OF[code]].faults.on(fault, **how)
    done = connected.collect(code)
    assert done.error is None
    _hold_to_what_was_planted(connected, agencies, code)


_REFUSED = [
    ("sandbox_assets", Fault.UNAVAILABLE, "SERVER_FAILED"),
    ("sandbox_assets", Fault.BUSY, "TOO_MANY_REQUESTS"),
    ("sandbox_assets", Fault.TRUNCATED, "CUT_OFF"),
    ("sandbox_assets", Fault.RESET, "CUT_OFF"),
    ("sandbox_assets", Fault.REPEATED_PAGE, "PAGE_REPEATED"),
    ("sandbox_assets", Fault.COLUMN_RENAMED, "SCHEMA_CHANGED"),
    ("sandbox_assets", Fault.COLUMN_GONE, "SCHEMA_CHANGED"),
    ("sandbox_assets", Fault.COLUMN_NEW, "SCHEMA_CHANGED"),
    ("sandbox_assets", Fault.AUTH_EXPIRED, "CREDENTIAL_REFUSED"),
    ("sandbox_subsidy", Fault.UNAVAILABLE, "NOT_REACHED"),
    ("sandbox_subsidy", Fault.COLUMN_RENAMED, "SCHEMA_CHANGED"),
    ("sandbox_subsidy", Fault.COLUMN_GONE, "SCHEMA_CHANGED"),
    ("sandbox_subsidy", Fault.COLUMN_NEW, "SCHEMA_CHANGED"),
    ("sandbox_subsidy", Fault.AUTH_EXPIRED, "CREDENTIAL_REFUSED"),
    (_FILES, Fault.UNAVAILABLE, "CUT_OFF"),
    (_FILES, Fault.AUTH_EXPIRED, "CREDENTIAL_REFUSED"),
]


@pytest.mark.parametrize(("code", "fault", "said"), _REFUSED, ids=lambda one: str(getattr(one, "value", one)))
def test_a_fault_that_stays_is_refused_by_its_name_and_the_next_run_brings_everything(
    connected: Connected, agencies: Running, code: str, fault: Fault, said: str
) -> None:
    faults = agencies.agencies[_AGENCY_OF[code]].faults
    faults.on(fault)
    with pytest.raises(SourceError) as failed:
        connected.collect(code)
    assert failed.value.fault == said
    assert connected.counts() == {}
    faults.off()
    assert connected.collect(code, later=timedelta(minutes=5)).error is None
    _hold_to_what_was_planted(connected, agencies, code)

"""Files from a real OpenSSH agency: taken once, whole, from the right agency only, and nothing of the key is told."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paramiko
import pytest

from connectors import collecting
from connectors.collecting import Collected, Patience, collect
from connectors.credentials import Credentials
from connectors.errors import IntakeBusy, LimitExceeded, SourceRefused, SourceUnavailable
from connectors.feed import Feed
from connectors.intake import Intake
from connectors.spool import Spool
from connectors.transports import sftp
from exchange.home import Home
from tests.openssh import OpenSsh, openssh
from tests.unit.connectors.consent_register import AS_OF, SAMPLES, basis_of_register

ROSTER = SAMPLES / "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"
NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)


@pytest.fixture
def agency(short_path: Path) -> Iterator[OpenSsh]:
    with openssh(short_path) as running:
        yield running


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())


@pytest.fixture
def run(intake: Intake, agency: OpenSsh) -> Callable[..., Collected]:
    kept = Credentials(intake.database, intake.sealing)
    kept.set("rosters", agency.private_key, now=NOW)

    def run(now: datetime = NOW, limits: dict[str, int] | None = None, **transport: Any) -> Collected:
        return collect(
            intake,
            feed(agency, limits=limits, **transport),
            credentials=kept,
            people=None,
            now=now,
            as_of=AS_OF,
            patience=Patience(sleep=lambda _: None),
        )

    return run


def feed(agency: OpenSsh, *, limits: dict[str, int] | None = None, **transport: Any) -> Feed:
    return Feed.model_validate(
        {
            "feed": "rosters",
            "source": "subsidy_roster",
            "agency": "玉树市财政局",
            "limits": limits or {},
            "retry": {"attempts": 3, "timeout": 10},
            "transport": {
                "kind": "sftp",
                "host": "127.0.0.1",
                "port": agency.port,
                "user": agency.user,
                "host_key": agency.host_key,
                "login": "key",
                "folder": str(agency.folder),
                "settle": 0,
                **transport,
            },
        }
    )


def test_a_file_is_taken_once_and_a_new_one_with_the_next_run(run: Callable[..., Collected], agency: OpenSsh) -> None:
    agency.put("一.xlsx", ROSTER.read_bytes())
    first = run()
    assert (first.files, first.taken, first.error) == (1, 1, None)
    assert first.bytes == ROSTER.stat().st_size
    assert run() == Collected()
    agency.put("一.xlsx", ROSTER.read_bytes(), changed=1_700_000_500.0)  # laid down again: the intake knows the bytes
    assert run().files == 1
    assert run().files == 0


def test_another_host_key_is_refused_before_any_credential_is_sent(
    run: Callable[..., Collected], agency: OpenSsh
) -> None:
    other = paramiko.ECDSAKey.generate()
    with pytest.raises(SourceRefused) as refused:
        run(host_key=f"{other.get_name()} {other.get_base64()}")
    assert refused.value.fault == "HOST_KEY_MISMATCH"
    with pytest.raises(SourceRefused) as refused:
        run(host_key=f"ssh-ed25519 {other.get_base64()}")
    assert refused.value.fault == "HOST_KEY_MISMATCH"


def test_a_key_that_the_server_does_not_know_is_refused(
    run: Callable[..., Collected], intake: Intake, agency: OpenSsh
) -> None:
    other = Path(agency.folder.parent / "other")
    paramiko.ECDSAKey.generate().write_private_key_file(str(other))
    Credentials(intake.database, intake.sealing).set("rosters", other.read_text(), now=NOW)
    with pytest.raises(SourceRefused) as refused:
        run()
    assert refused.value.fault == "CREDENTIAL_REFUSED"


def test_without_a_credential_nothing_is_connected(intake: Intake, agency: OpenSsh) -> None:
    kept = Credentials(intake.database, intake.sealing)
    with pytest.raises(SourceRefused) as refused:
        collect(intake, feed(agency), credentials=kept, people=None, now=NOW, as_of=AS_OF)
    assert refused.value.fault == "CREDENTIAL_MISSING"


def test_files_in_the_making_links_and_tricky_names_stay_where_they_are(
    run: Callable[..., Collected], agency: OpenSsh
) -> None:
    outside = agency.folder.parent / "secret.xlsx"
    outside.write_bytes(ROSTER.read_bytes())
    (agency.folder / "link.xlsx").symlink_to(outside)
    for name in (".hidden.xlsx", "half.xlsx.part", "~$open.xlsx"):
        agency.put(name, b"x")
    agency.put("trick\u202eslx.xlsx", ROSTER.read_bytes())
    done = run(pattern="*")
    assert done.files == 0
    assert done.error in {"NO_PLAIN_FILE", "NAME_REFUSED"}


def test_a_file_waits_for_its_mark(run: Callable[..., Collected], agency: OpenSsh) -> None:
    agency.put("一.xlsx", ROSTER.read_bytes())
    assert run(complete="done").files == 0
    agency.put("一.xlsx.done", b"")
    assert run(complete="done").files == 1


def test_a_file_that_still_grows_waits(run: Callable[..., Collected], agency: OpenSsh, intake: Intake) -> None:
    path = agency.put("一.xlsx", ROSTER.read_bytes()[:1000])
    kept = Credentials(intake.database, intake.sealing)

    def grow(_: float) -> None:
        path.write_bytes(ROSTER.read_bytes())
        os.utime(path, (1_700_000_000.0, 1_700_000_000.0))

    patience = Patience(sleep=grow)
    done = collect(intake, feed(agency), credentials=kept, people=None, now=NOW, as_of=AS_OF, patience=patience)
    assert done.files == 0
    assert run().files == 1


def test_a_file_larger_than_allowed_is_not_taken(run: Callable[..., Collected], agency: OpenSsh) -> None:
    agency.put("一.xlsx", ROSTER.read_bytes())
    with pytest.raises(LimitExceeded) as exceeded:
        run(limits={"bytes": 1000})
    assert exceeded.value.fault == "TOO_MANY_BYTES"


def test_a_line_that_is_cut_goes_on_where_it_was(
    run: Callable[..., Collected], agency: OpenSsh, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = b"".join(b"%d,%d\n" % (number, number) for number in range(60_000))
    agency.put("big.csv", rows)
    written: list[int] = []
    write = Spool.write

    def cut_once(spool: Spool, piece: bytes) -> int:
        if not written:
            agency.cut_lines()
        written.append(len(piece))
        return write(spool, piece)

    monkeypatch.setattr(Spool, "write", cut_once)
    monkeypatch.setattr(sftp, "_PIECE_BYTES", 64 << 10)
    done = run(pattern="*.csv")
    assert done.bytes == len(rows)
    assert sum(written) == len(rows)  # nothing was fetched twice


def test_a_server_that_has_gone_is_unavailable_and_comes_back(run: Callable[..., Collected], agency: OpenSsh) -> None:
    agency.process.terminate()
    agency.process.wait()
    with pytest.raises(SourceUnavailable) as unavailable:
        run()
    assert unavailable.value.fault == "NOT_REACHED"


def test_check_counts_files_and_takes_none(intake: Intake, agency: OpenSsh) -> None:
    kept = Credentials(intake.database, intake.sealing)
    kept.set("rosters", agency.private_key, now=NOW)
    agency.put("一.xlsx", ROSTER.read_bytes())
    sight = collecting.check(intake, feed(agency), credentials=kept, now=NOW)
    assert sight.files == 1
    with intake.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM raw_file").fetchone() == (0,)


def test_two_runs_at_once_are_one(run: Callable[..., Collected], intake: Intake, agency: OpenSsh) -> None:
    agency.put("一.xlsx", ROSTER.read_bytes())
    kept = Credentials(intake.database, intake.sealing)
    others: list[type[Exception]] = []

    def meanwhile(step: collecting.Step) -> None:
        if step is collecting.Step.FETCHED:
            with pytest.raises(IntakeBusy) as busy:
                run()
            others.append(busy.type)

    patience = Patience(sleep=lambda _: None, at_step=meanwhile)
    first = collect(intake, feed(agency), credentials=kept, people=None, now=NOW, as_of=AS_OF, patience=patience)
    assert (first.files, others) == (1, [IntakeBusy])
    assert run().files == 0

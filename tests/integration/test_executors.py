"""Rows weighed and sealed elsewhere are as those done here: in a pool of processes, and in a Dask cluster over TLS."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from datetime import timedelta
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import dask
import pandas as pd
import pytest
from cryptography import x509  # noqa: TID251  # certificates of this test
from cryptography.hazmat.primitives import hashes, serialization  # noqa: TID251  # certificates of this test
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: TID251  # certificates of this test
from cryptography.x509.oid import NameOID  # noqa: TID251  # certificates of this test
from distributed import LocalCluster, Security

from connectors import delimited, normalise, reading
from connectors.errors import ExecutorInsecure
from connectors.executors import Dask, Processes, Workers
from connectors.intake import Intake
from exchange.home import Home
from registry import clock, disclosure, store
from registry.database import Database
from registry.records import RecordRef
from registry.sealing import Ready
from tests.unit.connectors import tables
from tests.unit.connectors.consent_register import AS_OF, SAMPLES, basis_of_register, everybody

ROSTER = SAMPLES / "玉树市2025年草原生态保护补助奖励资金发放花名册.xlsx"
HELD = 70
HEADER = ["身份证号", "姓名", "补贴金额(元)"]
OF_INTAKE = "record, record_chunk, publication, quarantine_row, batch, raw_file"
_DAY = timedelta(days=1)


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(
        exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register(), chunk_records=20
    )


def stored(database: Database) -> set[tuple[object, ...]]:
    """What stands of each record beside what is drawn at random for it."""
    with database.transaction() as tx:
        return set(
            tx.execute(
                "SELECT subject_id, version, kind, identity_mac, payload_mac, sheet, row_no, period, valid_from,"
                " valid_to, basis, quality, remark FROM record"
            ).fetchall()
        )


def forget(database: Database) -> None:
    with database.transaction() as tx:
        tx.execute(f"TRUNCATE {OF_INTAKE} CASCADE")


def proven(home: Home) -> int:
    """Open every record and hold it against its commitment; how many there are."""
    with home.database.transaction() as tx:
        refs = [RecordRef(*row) for row in tx.execute("SELECT subject_id, record_id, version FROM record").fetchall()]
        found = store.versions(tx, refs)
    wanted = [disclosure.Wanted(one, frozenset({"payee_name"}), prove=True) for one in found]
    return len(disclosure.open_records(home.datakeys, wanted))


def test_a_pool_of_processes_stores_what_this_process_stores(intake: Intake, exchange_home: Home) -> None:
    intake.run([ROSTER], as_of=AS_OF)
    here = stored(exchange_home.database)
    forget(exchange_home.database)
    replace(intake, workers=Processes(2, fewest=0)).run([ROSTER], as_of=AS_OF)
    assert len(here) == HELD
    assert stored(exchange_home.database) == here
    assert proven(exchange_home) == HELD


def assert_weighed_as_here(workers: Workers) -> None:
    """The roster, in two ways: laid out whole, and as a long text block by block."""
    raw, long = ROSTER.read_bytes(), tables.csv([HEADER, *([tables.person(n), "某", f"{n}.50"] for n in range(1, 300))])
    for name, one in ((ROSTER.name, raw), (tables.NAME, long)):
        weighed = partial(normalise.evaluate, one, name, as_of=AS_OF, basis_of=everybody, chunk_rows=25)
        (here,), (there,) = weighed(), weighed(workers=workers)
        assert there.bare() == here.bare()
        assert there.quarantined == here.quarantined
        pd.testing.assert_frame_equal(there.frame, here.frame)


def test_a_pool_of_processes_weighs_what_this_process_weighs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_weighed_as_here(Processes(2, fewest=0))
    monkeypatch.setattr(reading, "LONG_BYTES", 0)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 2_000)
    assert_weighed_as_here(Processes(2, fewest=0))


def test_a_table_of_few_records_starts_no_process() -> None:
    with Processes(2).executor(100) as executor:
        assert executor.submit(os.getpid).result() == os.getpid()
    with Processes(1, fewest=0).executor(100) as executor:
        assert executor.submit(os.getpid).result() != os.getpid()


def die(_: Ready) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_leaves_the_batch_absent_and_a_rerun_completes_it(
    intake: Intake, exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled = replace(intake, workers=Processes(1, fewest=0))
    with monkeypatch.context() as patch:
        patch.setattr("connectors.staging.seal_records", die)
        with pytest.raises(BrokenProcessPool):
            pooled.run([ROSTER], as_of=AS_OF)
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM publication WHERE published_at IS NOT NULL").fetchone() == (0,)
    pooled.run([ROSTER], as_of=AS_OF)
    assert len(stored(exchange_home.database)) == proven(exchange_home) == HELD


# ---- Dask -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Gives certificate and key files by name; "ca" signs the others."""
    now, keys = clock.now(), dict[str, tuple[x509.Certificate, ec.EllipticCurvePrivateKey]]()

    def made(name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer, signer = (keys["ca"][0].subject, keys["ca"][1]) if name != "ca" else (subject, key)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .sign(signer, hashes.SHA256())
        )
        keys[name] = certificate, key
        paths = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths

    return made


@pytest.fixture(params=[False])
def cluster(request: pytest.FixtureRequest, certificates: Callable[[str], tuple[Path, Path]]) -> Iterator[Dask]:
    """A scheduler and two workers on loopback, each with a certificate of its own; ends with the test."""
    ca, _ = certificates("ca")
    pairs = {role: tuple(map(str, certificates(role))) for role in ("scheduler", "worker", "cluster", "intake")}
    security = Security(  # type: ignore[no-untyped-call]  # published without types
        require_encryption=True,
        tls_ca_file=str(ca),
        tls_scheduler_cert=pairs["scheduler"][0],
        tls_scheduler_key=pairs["scheduler"][1],
        tls_worker_cert=pairs["worker"][0],
        tls_worker_key=pairs["worker"][1],
        tls_client_cert=pairs["cluster"][0],
        tls_client_key=pairs["cluster"][1],
    )
    memory = {"distributed.worker.memory.spill": request.param, "distributed.worker.memory.target": request.param}
    with (
        dask.config.set(memory),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            dashboard_address=None,
        ) as running,
    ):
        yield Dask(running.scheduler_address, ca, Path(pairs["intake"][0]), Path(pairs["intake"][1]), fewest=0)


@pytest.mark.slow
def test_a_dask_cluster_over_tls_stores_what_this_process_stores(
    intake: Intake, exchange_home: Home, cluster: Dask
) -> None:
    intake.run([ROSTER], as_of=AS_OF)
    here = stored(exchange_home.database)
    forget(exchange_home.database)
    with cluster.executor(HELD) as executor:
        assert os.getpid() not in {executor.submit(os.getpid).result() for _ in range(4)}
    replace(intake, workers=cluster).run([ROSTER], as_of=AS_OF)
    assert stored(exchange_home.database) == here
    assert proven(exchange_home) == HELD


@pytest.mark.slow
def test_a_dask_cluster_over_tls_weighs_what_this_process_weighs(
    cluster: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_weighed_as_here(cluster)
    monkeypatch.setattr(reading, "LONG_BYTES", 0)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 2_000)
    assert_weighed_as_here(cluster)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [0.7], indirect=True)
def test_a_cluster_whose_workers_may_write_plaintext_to_disk_is_refused(cluster: Dask) -> None:
    with pytest.raises(ExecutorInsecure, match=r"distributed\.worker\.memory\.spill"), cluster.executor(HELD):
        pytest.fail("it was let in")


def test_a_cluster_in_clear_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExecutorInsecure):
        Dask("tcp://127.0.0.1:8786", tmp_path, tmp_path, tmp_path)

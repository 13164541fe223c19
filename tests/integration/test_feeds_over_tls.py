"""Encrypted lines to agencies with an authority of their own: only whom it vouches for, by name and today, is asked."""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL, make_url

from connectors import transports
from connectors.errors import SourceRefused
from connectors.transports.line import Sight
from tests.answering import Agency, dialled, page, speaking
from tests.certificates import Authority
from tests.databases import Server
from tests.fetching import line, rows
from tests.subsidies import COLUMNS, row

_SSL_REQUEST = struct.pack("!II", 8, 80_877_103)
SECRET = "s3cret"
BAD: list[tuple[str, tuple[str, ...], timedelta]] = [
    ("expired", ("127.0.0.1",), timedelta(minutes=-5)),
    ("elsewhere", ("sanzi.example.gov.cn",), timedelta(days=1)),
    ("other-machine", ("127.0.0.2",), timedelta(days=1)),
]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def platform() -> Iterator[Callable[..., Agency]]:
    """Opens JSON interfaces, with or without TLS; they close with the test."""
    opened: list[Agency] = []

    def open_one(tls: tuple[Path, Path] | None) -> Agency:
        opened.append(Agency(tls))
        opened[-1].answer = lambda *_: page([row(1)])
        return opened[-1]

    yield open_one
    for one in opened:
        one.stop()


def rest(url: str, ca: Path | None) -> dict[str, Any]:
    auth = {"by": "signed", "scheme": "hmac-sha256", "key_id": "k"}
    said = {"kind": "rest", "url": f"{url}/rows", "rows": "items", "columns": COLUMNS, "auth": auth}
    return said | ({} if ca is None else {"ca": str(ca)})


def refused(one: Any) -> SourceRefused:
    with pytest.raises(SourceRefused) as failed:
        rows(one)
    return failed.value


# ---- REST -----------------------------------------------------------------------------------------------------------


def test_an_interface_under_the_agencys_own_authority_is_read(
    platform: Callable[..., Agency], authority: Authority, tmp_path: Path
) -> None:
    agency = platform(authority.issue("agency"))
    assert len(rows(line(tmp_path, rest(agency.url, authority.path), secret=SECRET))) == 1


def test_another_authority_is_not_believed_and_nothing_is_sent(
    platform: Callable[..., Agency], authority: Authority, tmp_path: Path
) -> None:
    agency = platform(authority.issue("agency"))
    for ca in (Authority(tmp_path, "stranger").path, None):  # None: the system's roots, which do not know it either
        assert refused(line(tmp_path, rest(agency.url, ca), secret=SECRET)).fault == "CERTIFICATE_REFUSED"
    assert agency.asked == []


@pytest.mark.parametrize(("name", "addresses", "ends"), BAD)
def test_a_certificate_that_is_over_or_of_another_name_is_refused_and_nothing_is_sent(
    platform: Callable[..., Agency], authority: Authority, tmp_path: Path, name: str, addresses: Any, ends: timedelta
) -> None:
    agency = platform(authority.issue(name, addresses, ends=ends))
    assert refused(line(tmp_path, rest(agency.url, authority.path), secret=SECRET)).fault == "CERTIFICATE_REFUSED"
    assert agency.asked == []


def test_a_server_that_speaks_no_tls_is_refused_and_nothing_is_sent(
    platform: Callable[..., Agency], authority: Authority, tmp_path: Path
) -> None:
    agency = platform(None)
    url = agency.url.replace("http://", "https://")
    assert refused(line(tmp_path, rest(url, authority.path), secret=SECRET)).fault == "TLS_MISSING"
    assert agency.asked == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_authority_that_cannot_be_read_is_named_as_a_mistake_of_the_feed(
    authority: Authority, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_bytes(content)
    failed = refused(line(tmp_path, rest("https://127.0.0.1:1", path), secret=SECRET))
    assert (failed.fault, failed.place) == ("CERTIFICATE_REFUSED", "transport.ca")


# ---- SQL ------------------------------------------------------------------------------------------------------------


@contextmanager
def encrypted(address: str, tls: tuple[Path, Path] | None) -> Iterator[int]:
    """Put TLS before a PostgreSQL server as the protocol has it (SSLRequest), or refuse it; give the port."""
    with psycopg.connect(address) as connection:
        host, port = connection.info.host, connection.info.port
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if tls is not None:
        context.load_cert_chain(*tls)

    def serve(caller: socket.socket) -> None:
        if caller.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) != _SSL_REQUEST:
            return
        if tls is None:
            caller.sendall(b"N")
            caller.recv(1)
            return
        caller.sendall(b"S")
        with context.wrap_socket(caller, server_side=True) as outer, dialled(host, port) as inner:
            back = Thread(target=carry, args=(inner, outer), daemon=True)
            back.start()
            carry(outer, inner)
            back.join()

    with speaking(serve) as opened:
        yield opened


def carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def view(server: Server) -> Iterator[str]:
    """A database with a view of one row, and an account of the same name that may read it; gives its address."""
    name = f"qq_agency_{uuid4().hex[:12]}"
    quoted = psycopg.sql.Identifier(name)
    role = psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(quoted, psycopg.sql.Literal(SECRET))
    server.run(psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(quoted), role)
    with psycopg.connect(server.address(name), autocommit=True) as connection:
        connection.execute("CREATE VIEW v AS SELECT 1 AS id, 'x' AS zjh")
        connection.execute(psycopg.sql.SQL("GRANT SELECT ON v TO {}").format(quoted))
    yield server.address(name)
    server.run(
        psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted),
        psycopg.sql.SQL("DROP ROLE {}").format(quoted),
    )


def sql(address: str, port: int, **over: Any) -> dict[str, Any]:
    name = make_url(address).database
    url = URL.create("postgresql", name, None, "127.0.0.1", port, name).render_as_string()
    return {"kind": "sql", "url": url, "view": "v", "columns": {"id": None, "zjh": "身份证号"}} | over


def look(tmp_path: Path, transport: dict[str, Any]) -> Sight:
    return transports.look(line(tmp_path, transport, secret=SECRET))


def test_a_database_under_the_agencys_own_authority_is_read(view: str, authority: Authority, tmp_path: Path) -> None:
    with encrypted(view, authority.issue("agency")) as port:
        assert look(tmp_path, sql(view, port, ca=str(authority.path))).rows == 1


def test_a_database_of_another_authority_is_not_believed(view: str, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    with encrypted(view, authority.issue("agency")) as port, pytest.raises(SourceRefused) as failed:
        look(tmp_path, sql(view, port, ca=str(stranger.path)))
    assert failed.value.fault == "CERTIFICATE_REFUSED"


@pytest.mark.parametrize(("name", "addresses", "ends"), BAD)
def test_a_database_whose_certificate_is_over_or_of_another_name_is_refused(
    view: str, authority: Authority, tmp_path: Path, name: str, addresses: Any, ends: timedelta
) -> None:
    tls = authority.issue(name, addresses, ends=ends)
    with encrypted(view, tls) as port, pytest.raises(SourceRefused) as failed:
        look(tmp_path, sql(view, port, ca=str(authority.path)))
    assert failed.value.fault == "CERTIFICATE_REFUSED"


def test_a_database_without_tls_is_refused_before_the_password(view: str, authority: Authority, tmp_path: Path) -> None:
    with encrypted(view, None) as port, pytest.raises(SourceRefused) as failed:
        look(tmp_path, sql(view, port, ca=str(authority.path)))
    assert failed.value.fault == "TLS_MISSING"


def test_an_authority_of_a_database_that_cannot_be_read_is_refused(
    view: str, authority: Authority, tmp_path: Path
) -> None:
    with encrypted(view, authority.issue("agency")) as port, pytest.raises(SourceRefused) as failed:
        look(tmp_path, sql(view, port, ca=str(tmp_path / "missing.pem")))
    assert failed.value.fault == "CERTIFICATE_REFUSED"


def test_what_the_environment_says_of_trust_counts_for_nothing(
    view: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "disable")
    monkeypatch.setenv("PGSSLROOTCERT", str(authority.path))
    stranger = Authority(tmp_path, "stranger")
    with encrypted(view, authority.issue("agency")) as port, pytest.raises(SourceRefused) as failed:
        look(tmp_path, sql(view, port, ca=str(stranger.path)))
    assert failed.value.fault == "CERTIFICATE_REFUSED"

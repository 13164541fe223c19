"""The pure parts of fetching: spool, lines of JSON, retries, names of files, signatures, faults."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors import faults, ndjson
from connectors.credentials import Secret
from connectors.errors import FileUnreadable, SourceRefused, SourceUnavailable
from connectors.feed import Retry
from connectors.spool import Spool
from connectors.transports import files
from connectors.transports.retrying import retry_after, tried
from connectors.transports.signing import signed_headers
from registry.suites import sha256, sm3

NOW = datetime(2026, 6, 15, 2, tzinfo=UTC)


def test_a_spool_gives_back_what_was_written_wherever_it_is_read(tmp_path: Path) -> None:
    content = bytes(range(256)) * 40
    with Spool(tmp_path, chunk_bytes=1000) as spool:
        for at in range(0, len(content), 777):
            spool.write(content[at : at + 777])
        assert (spool.size, spool.sha256, spool.sm3) == (len(content), sha256(content), sm3(content))
        whole = spool.open()
        assert whole.read() == content
        whole.seek(3990)
        assert whole.read(30) == content[3990:4020]
        assert whole.seek(-5, io.SEEK_END) == len(content) - 5
        with pytest.raises(ValueError, match="no more"):
            spool.write(b"x")
        assert list(tmp_path.iterdir()) == []  # the file has no name


def test_nothing_that_a_spool_holds_lies_on_disk_in_the_clear() -> None:
    with Spool(chunk_bytes=16) as spool:
        spool.write(b"63272119850302000X" * 10)
        spool.open()
        spool._file.flush()
        spool._file.seek(0)
        assert b"632721" not in spool._file.read()
        assert "632721" not in repr(spool)


def test_lines_become_columns_under_their_keys() -> None:
    lines = b'{"a": 1, "b": "x"}\n\n{"a": 632721198503020000, "c": true}\n{"a": 1.5, "b": null}\n'
    columns = [column.tolist() for column in ndjson.read(lines).columns]
    assert columns == [
        ["a", "1", "632721198503020000", "1.5"],
        ["b", "x", "", ""],
        ["c", "", "是", ""],
    ]


def test_a_key_that_comes_up_late_was_blank_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "_ROWS_AT_ONCE", 2)
    lines = b'{"a": 1}\n{"a": 2}\n{"a": 3}\n{"b": 4}\n{"a": 5}'
    assert [column.tolist() for column in ndjson.read(lines).columns] == [
        ["a", "1", "2", "3", "", "5"],
        ["b", "", "", "", "4", ""],
    ]


@pytest.mark.parametrize("line", [b"[1]", b"{", b'{"a": [1]}', b'{"a": {}}', b"x", b'{"a": NaN}'])
def test_a_line_that_is_no_row_stops_the_file_without_its_contents(line: bytes) -> None:
    with pytest.raises(FileUnreadable, match="line 2"):
        ndjson.read(b'{"a": 1}\n' + line)


def test_waits_grow_are_drawn_by_chance_and_never_shorter_than_asked_for() -> None:
    waits: list[float] = []
    asked = iter([None, None, 7.0, None])

    def fail() -> None:
        raise SourceUnavailable("NOT_REACHED", next(asked, None))

    with pytest.raises(SourceUnavailable):
        tried(fail, Retry(attempts=5, first=1, most=8), waits.append)
    assert len(waits) == 4
    assert all(0 <= wait <= top for wait, top in zip(waits, (1, 2, 8, 8), strict=True))
    assert waits[2] >= 7


@pytest.mark.parametrize("failure", [SourceUnavailable("NOT_REACHED", 600.0), SourceRefused("NOT_FOUND")])
def test_what_waiting_here_does_not_mend_is_not_tried_again(failure: Exception) -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise failure

    with pytest.raises(type(failure)):
        tried(fail, Retry(attempts=5, first=1, most=60), lambda _: None)
    assert calls == [1]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120.0), ("Mon, 15 Jun 2026 02:00:30 GMT", 30.0), ("Mon, 15 Jun 2020 00:00:00 GMT", 0.0), ("soon", None),
     (None, None), ("-1", None)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "", ".", "..", "a\x00b", "a\nb", "a\u202eb", "c:x", "长" * 100]
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    assert not files.is_safe(name)


def test_names_as_agencies_give_them_are_safe() -> None:
    assert files.is_safe("玉树市2025年草原补奖（第一批）名册.xlsx")
    assert files.is_safe("བོད་ཡིག.csv")


@pytest.mark.parametrize("name", [".x.xlsx", "~$x.xlsx", "x.xlsx.part", "x.TMP", "x.xlsx.done"])
def test_files_in_the_making_are_not_wanted(name: str) -> None:
    assert not files.is_wanted(name, "*")


def test_http_message_signatures_cover_what_the_standard_says() -> None:
    headers = signed_headers(
        "rfc9421", "k", b"secret", method="POST", url="https://A.example:443/rows?x=1", body=b"{}", at=NOW
    )
    assert headers["Content-Digest"] == "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"  # of {}: RFC 9530
    expected = (
        '("@method" "@authority" "@path" "@query" "content-digest");created=1781488800;keyid="k";alg="hmac-sha256"'
    )
    assert headers["Signature-Input"] == f"qq={expected}"
    again: Any = signed_headers(
        "rfc9421", "k", b"secret", method="POST", url="https://a.example/rows?x=1", body=b"{}", at=NOW
    )
    assert again == headers


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("geheim")
    assert "geheim" not in f"{secret!r} {secret} {[secret]}"


def test_every_fault_has_its_words_in_both_languages() -> None:
    names = [fault.name for fault in faults.REGISTER]
    assert len(set(names)) == len(names)
    for fault in faults.REGISTER:
        assert all((fault.cause.zh, fault.cause.en, fault.mend.zh, fault.mend.en))
    said = str(SourceRefused("SCHEMA_CHANGED", "page 2"))
    assert said.startswith("SCHEMA_CHANGED [page 2]: ")

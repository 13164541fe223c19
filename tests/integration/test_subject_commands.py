"""`qingqiao subject` and the printed receipt: by command, as the operator's staff do it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange.cli import build
from exchange.home import Home
from exchange.release import Permitted, release
from tests.people import LI, NOBODY, ZHANG, consented, held, question


@pytest.fixture
def here(exchange_home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    @contextmanager
    def opened() -> Iterator[Home]:
        yield exchange_home

    for module in ("subject", "consents"):
        monkeypatch.setattr(f"exchange.cli.{module}.opened", opened)
    return exchange_home


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(build(), words)
    return result.exit_code, result.output


def test_a_changed_number_and_a_death_by_command(here: Home, tmp_path: Path) -> None:
    proof = tmp_path / "certificate.pdf"
    proof.write_bytes(b"an office says so")
    consented(here)
    held(here)
    words = ("subject", "change-id", "--document", str(proof), "--old", ZHANG.text, "--new", LI.text)
    status, said = run(*words)
    assert status == 0, said
    assert ZHANG.text not in said
    assert LI.text not in said
    (found,) = release(here, [question(LI)])
    assert isinstance(found, Permitted)
    status, said = run("subject", "deceased", "--document", str(proof), "--identifier", LI.text)
    assert (status, "1 consents have ended" in said) == (0, True), said
    (refused,) = release(here, [question(LI)])
    assert not isinstance(refused, Permitted)


def test_what_cannot_be_is_refused_in_a_sentence(here: Home, tmp_path: Path) -> None:
    proof = tmp_path / "certificate.pdf"
    proof.write_bytes(b"an office says so")
    consented(here)
    consented(here, LI)
    taken = ("subject", "change-id", "--document", str(proof), "--old", ZHANG.text, "--new", LI.text)
    unknown = ("subject", "deceased", "--document", str(proof), "--identifier", NOBODY.text)
    for words in (taken, unknown):
        status, said = run(*words)
        assert status == 1
        assert "refused" in said
        assert not any(who.text in said for who in (ZHANG, LI, NOBODY))
    assert run("subject", "deceased", "--document", str(proof), "--identifier", "1")[0] == 2


def test_a_receipt_is_written_once_and_only_for_its_owner(here: Home, tmp_path: Path) -> None:
    consent, out = consented(here), tmp_path / "receipt.html"
    words = ("consent", "receipt", consent.consent_id, "--out", str(out), "--language", "bo", "--masked-name", "张*")
    status, said = run(*words)
    assert status == 0, said
    assert out.stat().st_mode & 0o077 == 0
    assert "张*" in out.read_text("utf-8")
    assert run(*words)[0] == 2
    assert run("consent", "receipt", "no-such", "--out", str(tmp_path / "other.html"))[0] == 2

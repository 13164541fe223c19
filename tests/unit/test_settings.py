"""Settings: read once, refused when wrong, and silent about passwords."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from exchange.settings import Settings

NAMES = ("HOME", "DATABASE_URL", "KEYSTORE_URL", "ISSUER", "POSTGRES")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"QINGQIAO_{name}", raising=False)


def test_without_settings_the_home_is_var_and_the_database_is_our_own() -> None:
    settings = Settings()
    assert (settings.home, settings.database_url, settings.keystore) == (Path.cwd() / "var", None, None)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGQIAO_HOME", "/srv/qingqiao")
    monkeypatch.setenv("QINGQIAO_ISSUER", "https://credit.example.cn/")
    settings = Settings()
    assert (settings.home, settings.issuer) == (Path("/srv/qingqiao"), "https://credit.example.cn")


@pytest.mark.parametrize(
    ("main", "keystore"),
    [
        ("postgresql://u:p%40ss@db:5433/credit", "postgresql://u:p%40ss@db:5433/credit_keys"),
        ("postgresql://u:p@/credit?host=/run/pg", "postgresql://u:p@/credit_keys?host=%2Frun%2Fpg"),
        ("postgresql+psycopg://u@db/credit", "postgresql://u@db/credit_keys"),
    ],
)
def test_the_key_store_lies_beside_the_main_database_unless_it_is_named(main: str, keystore: str) -> None:
    assert Settings(database_url=main).keystore == keystore
    assert Settings(database_url=main, keystore_url="postgresql://elsewhere/k").keystore == "postgresql://elsewhere/k"


def test_a_key_store_without_a_main_database_is_refused() -> None:
    with pytest.raises(ValidationError, match="QINGQIAO_DATABASE_URL"):
        Settings(keystore_url="postgresql://u:secret@db/k")


def test_no_text_of_the_settings_holds_a_password() -> None:
    settings = Settings(database_url="postgresql://u:verysecret@db/x", keystore_url="postgresql://u:verysecret@db/k")
    assert "verysecret" not in repr(settings) + str(settings)
    with pytest.raises(ValidationError) as caught:
        Settings(database_url="postgresql://u:verysecret@db/x", issuer="ftp://u:verysecret@here")
    assert "verysecret" not in str(caught.value)


@pytest.mark.parametrize("issuer", ["", "here", "https://here?x=1", "https://here/#x", "https://a b"])
def test_an_issuer_that_is_no_address_is_refused(issuer: str) -> None:
    with pytest.raises(ValidationError):
        Settings(issuer=issuer)

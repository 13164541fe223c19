"""./dev on machines that lack something: one line says what, and how to get it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("cat", "cksum", "dirname", "rm", "sh")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout with the command, and a PATH with little on it."""
    for name in ("dev", "uv.lock", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def python(machine: Path, *, old: bool, version: str) -> None:
    """A python3 that answers what ./dev asks of it, and has no venv."""
    script = machine / "bin" / "python3"
    script.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"  *'version_info < (3, 11)'*) exit {int(old)} ;;\n"
        "  *ensurepip*) exit 1 ;;\n"
        f"  *) echo {version} ;;\n"
        "esac\n",
        encoding="utf-8",
    )
    script.chmod(0o755)


def dev(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [machine / "dev", *arguments],
        env={"PATH": str(machine / "bin"), "HOME": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def test_no_python_is_said_with_the_command_to_get_it(machine: Path) -> None:
    assert last_line(dev(machine, "test")) == "dev: python3 is missing: apt-get install python3 python3-venv"


def test_a_python_that_is_too_old_is_said(machine: Path) -> None:
    python(machine, old=True, version="3.9.2")
    assert last_line(dev(machine, "check")) == "dev: Python 3.11 or later is needed; python3 here is 3.9.2"


def test_a_missing_venv_is_said_with_the_command_to_get_it(machine: Path) -> None:
    python(machine, old=False, version="3.12")
    assert last_line(dev(machine, "demo")) == "dev: Python's venv is missing: apt-get install python3.12-venv"


def test_every_command_has_a_line_of_help(machine: Path) -> None:
    done = dev(machine)
    assert done.returncode == 0
    for command in ("demo", "test", "check", "bench", "serve", "fix"):
        assert f"./dev {command}" in done.stdout


def test_an_unknown_command_is_refused(machine: Path) -> None:
    assert last_line(dev(machine, "deploy")) == "dev: no command 'deploy'"


def made_environment(machine: Path) -> None:
    """An environment that is as the lock files want it, and does nothing."""
    bin_ = machine / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "python").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    (bin_ / "python").chmod(0o755)
    sums = subprocess.run(
        ["cksum", "uv.lock", "requirements.lock", "pyproject.toml"],  # noqa: S607  # the machine's own
        cwd=machine,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (machine / ".venv" / "made-from").write_text(f"{machine.resolve()}\n{sums}", encoding="utf-8")


def test_no_ssh_server_is_said_with_the_command_to_get_it(machine: Path) -> None:
    made_environment(machine)
    for tool in ("mktemp", "mkdir"):
        (machine / "bin" / tool).symlink_to(str(shutil.which(tool)))
    if Path("/usr/sbin/sshd").exists():  # a machine that has one of its own: nothing is missing
        assert dev(machine, "test").returncode == 0
        return
    said = last_line(dev(machine, "test"))
    assert said == "dev: sshd is missing, which the tests of SFTP need: apt-get install openssh-server"

"""A real OpenSSH server on loopback for one test: its own keys, its own folder, no account but its own.

It is looked for on PATH, in /usr/sbin and in the private place where `./dev test` unpacks it. It never runs as root:
a root that runs the tests starts it as `nobody`.
"""

import io
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

_ROOT = Path(__file__).parents[1]
_PRIVATE = _ROOT / ".venv.tools" / "openssh"
_MISSING = "no OpenSSH server: ./dev test unpacks one, or apt-get install openssh-server"
_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
AllowUsers {user}
PermitTTY no
AllowTcpForwarding no
X11Forwarding no
Subsystem sftp internal-sftp
ForceCommand internal-sftp
LogLevel ERROR
"""


@dataclass
class OpenSsh:
    """A running server. `folder` is what its account sees the files of; `process` may be killed by a test."""

    port: int
    user: str
    host_key: str
    private_key: str
    folder: Path
    process: subprocess.Popen[bytes]

    def put(self, name: str, content: bytes, *, changed: float = 1_700_000_000.0) -> Path:
        """Lay a file down."""
        path = self.folder / name
        path.write_bytes(content)
        os.utime(path, (changed, changed))
        path.chmod(0o644)
        return path

    def cut_lines(self) -> None:
        """Cut every open line, as a firewall would; the server goes on listening."""
        for child in _children(self.process.pid):
            os.kill(child, signal.SIGKILL)


def binary() -> Path:
    """Find the server, or fail with what to do."""
    for found in (shutil.which("sshd"), "/usr/sbin/sshd", _PRIVATE / "usr" / "sbin" / "sshd"):
        if found is not None and Path(found).is_file():
            return Path(found)
    raise AssertionError(_MISSING)


@contextmanager
def openssh(place: Path) -> Iterator[OpenSsh]:
    """Run a server in a directory that every account can reach."""
    host, client = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    root = os.geteuid() == 0
    account = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.geteuid())
    folder = place / "out"
    folder.mkdir(mode=0o755)
    host.write_private_key_file(str(place / "host_key"))
    (place / "authorized_keys").write_text(f"{client.get_name()} {client.get_base64()}\n", encoding="ascii")
    port = _free_port()
    config = place / "sshd_config"
    config.write_text(_CONFIG.format(port=port, folder=place, user=account.pw_name), encoding="utf-8")
    for path in (place / "host_key", place / "authorized_keys"):
        path.chmod(0o600)
    if root:
        for path in (place, folder, place / "host_key", place / "authorized_keys", config):
            os.chown(path, account.pw_uid, account.pw_gid)
    libraries = ":".join(str(_PRIVATE / part / "x86_64-linux-gnu") for part in ("usr/lib", "lib"))
    log = (place / "sshd.log").open("wb")
    process = subprocess.Popen(
        [str(binary()), "-D", "-e", "-f", str(config)],
        env={"LD_LIBRARY_PATH": libraries, "PATH": "/usr/bin:/bin"},
        stderr=log,
        user=account.pw_uid if root else None,
        group=account.pw_gid if root else None,
        extra_groups=[] if root else None,
        start_new_session=True,
    )
    log.close()
    try:
        _wait(port, process, place)
        key = io.StringIO()
        client.write_private_key(key)
        shown = f"{host.get_name()} {host.get_base64()}"
        yield OpenSsh(port, account.pw_name, shown, key.getvalue(), folder, process)
    finally:
        for child in _children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.terminate()
        process.wait(timeout=10)


def _wait(port: int, process: subprocess.Popen[bytes], place: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the OpenSSH server did not start: {(place / 'sshd.log').read_text()}")


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []

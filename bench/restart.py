"""Two web processes are restarted one after another under load: does any query fail.

Both are `qingqiao serve --no-jobs` over one installation, each on a port of its own, as behind a reverse proxy. The
load stands for the proxy, which deals connections out in turn. It tries the other process in one case only: a
connection was refused, so that no byte of the query had been sent. Whatever else goes wrong is a failed query: a
connection that ends without an answer, a status but 200.

  1. `CONNECTIONS` connections ask permitted queries, each with a proof of its own, without pause
  2. one process gets SIGTERM, ends, is started again, and listens: a restart
  3. the load goes on for a moment; then the same with the other process

Aim: no failed query.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from bench.query import fill, people, queries
from bench.rig.load import HOST, told
from bench.rig.measure import percentile, table
from bench.rig.serving import free_port, fresh_home, settings, wait_for
from exchange.client import Lender, new_client
from exchange.home import open_home
from exchange.settings import Settings

CONNECTIONS: Final = 32
QUERIES: Final = 12_000  # signed for one restart: more than are asked until it is over; a proof is good for a minute
MOMENT_SECONDS: Final = 2.0  # of load before and after a restart
_PERMITTED: Final = 200
_COMMAND: Final = "from exchange.cli import main; main()"


class Web:
    """One `qingqiao serve` that can be ended and started again."""

    def __init__(self, chosen: Settings, port: int) -> None:
        self.port = port
        self._told = {
            "PATH": os.defpath,
            "QINGQIAO_HOME": str(chosen.home),
            "QINGQIAO_ISSUER": chosen.issuer,
            "QINGQIAO_LISTEN_PORT": str(port),
            "QINGQIAO_POSTGRES": "wheel",
            "QINGQIAO_LIMITS": str(chosen.limits),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [sys.executable, "-c", _COMMAND, "serve", "--no-jobs"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, env=self._told, stdout=quiet, stderr=quiet)
        wait_for(self.port, self._process)

    def end(self) -> None:
        """Send SIGTERM and wait until it has ended.

        Raises:
            RuntimeError: it did not end in order.
        """
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            if self._process.wait(30) != 0:
                raise RuntimeError(f"the process ended with {self._process.returncode}")


@dataclass
class Seen:
    """What a load saw: latencies in seconds, what failed and how, connections that were refused and made elsewhere."""

    latencies: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0
    opened: int = 0


@dataclass(frozen=True)
class Restart:
    """One restart under load. `gone` and `back`: seconds from SIGTERM to its end, and until it listened again."""

    gone: float
    back: float
    seconds: float
    seen: Seen

    def cells(self, which: int) -> list[str]:
        """The line of the table."""
        latencies = sorted(self.seen.latencies)
        return [
            f"process {which}",
            f"{self.gone:.1f} s, {self.back:.1f} s",
            f"{len(latencies):,} ({len(latencies) / self.seconds:,.0f}/s)",
            f"{self.seen.opened} ({self.seen.elsewhere})",
            " ".join(f"{1000 * percentile(latencies, share):.0f}" for share in (0.5, 0.95, 1)),
            str(sum(self.seen.failed.values())),
        ]


@contextmanager
def both(chosen: Settings, ports: Sequence[int]) -> Iterator[list[Web]]:
    """Run both processes until the block ends."""
    with ExitStack() as stack:
        webs = [Web(chosen, port) for port in ports]
        for web in webs:
            stack.callback(web.end)
            web.start()
        yield webs


async def _connected(turns: Iterator[Sequence[int]], seen: Seen) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to whose turn it is; to the other one if that one refuses."""
    first, other = next(turns)
    try:
        opened = await asyncio.open_connection(HOST, first)
    except ConnectionRefusedError:
        seen.elsewhere += 1
        opened = await asyncio.open_connection(HOST, other)
    seen.opened += 1
    return opened


async def _ask(turns: Iterator[Sequence[int]], todo: Iterator[bytes], over: asyncio.Event, seen: Seen) -> None:
    line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while not over.is_set():
        one = next(todo)
        began = time.perf_counter()
        try:
            line = line or await _connected(turns, seen)
            status, leaving = await told(*line, one)
        except (OSError, EOFError) as error:
            seen.failed[type(error).__name__] += 1
            line = None
            continue
        seen.latencies.append(time.perf_counter() - began)
        if status != _PERMITTED:
            seen.failed[str(status)] += 1
        if leaving:
            line[1].close()
            line = None
    if line is not None:
        line[1].close()


async def restart(web: Web, ports: Sequence[int], asked: Sequence[bytes]) -> Restart:
    """Restart one process under load.

    Raises:
        RuntimeError: all queries were asked before the restart was over.
    """
    seen, over, todo, turns = Seen(), asyncio.Event(), iter(asked), cycle([ports, ports[::-1]])
    began = time.perf_counter()
    load = asyncio.gather(*(_ask(turns, todo, over, seen) for _ in range(CONNECTIONS)))
    await asyncio.sleep(MOMENT_SECONDS)
    ended = time.perf_counter()
    await asyncio.to_thread(web.end)
    gone = time.perf_counter() - ended
    await asyncio.to_thread(web.start)
    back = time.perf_counter() - ended
    await asyncio.sleep(MOMENT_SECONDS)
    over.set()
    try:
        await load
    except RuntimeError as error:  # a coroutine's StopIteration
        raise RuntimeError("more queries were asked than had been signed; raise QUERIES") from error
    return Restart(gone, back, time.perf_counter() - began, seen)


def main() -> None:
    """Measure and print.

    Raises:
        SystemExit: a query failed.
    """
    who, client, ports = people(), new_client("bench"), (free_port(), free_port())
    with fresh_home() as folder:
        chosen = settings(folder, ports[0])
        with open_home(chosen) as opened, both(chosen, ports) as webs:
            fill(opened, who, client)
            with Lender(chosen.issuer, client) as lender:
                credentials = lender.credentials()
            done = []
            for web in webs:
                asked = queries(who, chosen.issuer, *credentials, QUERIES)
                done.append(asyncio.run(restart(web, ports, asked)))
    failed = sum((one.seen.failed for one in done), Counter[str]())
    table(
        f"restart: two web processes, one after another, under queries over {CONNECTIONS} connections",
        ["restarted", "gone, back", "answered", "connections (refused)", "p50 p95 most, ms", "failed"],
        [one.cells(number) for number, one in enumerate(done, start=1)],
        ["aim: no failed query", *([f"failed: {dict(failed)}"] if failed else [])],
    )
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

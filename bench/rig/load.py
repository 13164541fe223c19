"""A load generator that costs little: requests written beforehand, plain HTTP/1.1 over kept connections, loopback only.

Each connection sends its next request as soon as the last is answered. Requests are bytes, so that what they cost to
make and sign is not counted. Bounded in count by the requests given, and in time by `SECONDS_AT_MOST`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.rig.measure import percentile

HOST: Final = "127.0.0.1"
SECONDS_AT_MOST: Final = 120.0


@dataclass(frozen=True)
class Load:
    """What came of it: rate a second, latencies in seconds (sorted), and answers by status."""

    seconds: float
    latencies: Sequence[float]
    statuses: Mapping[int, int]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency that this share of the answers did not exceed, in milliseconds."""
        return 1000 * percentile(self.latencies, share)


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Write one request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def drive(port: int, requests: Sequence[bytes], *, connections: int, other: int | None = None) -> Load:
    """Send every request once over that many connections, every other one to the `other` port; wait for all answers."""
    return asyncio.run(asyncio.wait_for(_drive([port, other or port], requests, connections), SECONDS_AT_MOST))


async def _drive(ports: Sequence[int], requests: Sequence[bytes], connections: int) -> Load:
    todo = iter(requests)
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    streams = [await asyncio.open_connection(HOST, ports[number % 2]) for number in range(connections)]
    began = time.perf_counter()
    await asyncio.gather(*(_connection(reader, writer, todo, latencies, statuses) for reader, writer in streams))
    seconds = time.perf_counter() - began
    for _, writer in streams:
        writer.close()
    return Load(seconds, sorted(latencies), statuses)


async def _connection(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    todo: Iterator[bytes],
    latencies: list[float],
    statuses: Counter[int],
) -> None:
    for one in todo:
        began = time.perf_counter()
        status = await answered(reader, writer, one)
        latencies.append(time.perf_counter() - began)
        statuses[status] += 1


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one: bytes) -> int:
    """Send one request, wait until its answer is there whole, and give the status."""
    return (await told(reader, writer, one))[0]


async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one: bytes) -> tuple[int, bool]:
    """Do as `answered`; say also whether the server takes leave with it (`Connection: close`)."""
    writer.write(one)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(_length(head))
    return int(head[9:12]), b"\r\nconnection: close" in head.lower()


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0

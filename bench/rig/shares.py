"""What a permitted query costs a web process, by part: CPU, each thread by its own clock. For signing and logging.

Timing costs a few microseconds a query itself; so it is a process of its own that is watched, in no measured round.
Whatever is not named is "the rest": the server's protocol code, routes, threads, the driver.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from unittest import mock

import orjson

from bench.rig.cost import Parts
from exchange import answer, journal, lender_api
from exchange.envelope import Envelope
from exchange.oauth.guard import Guard
from registry import jws, log, suites

SIGNED: Final = "answer signed (one Ed25519)"
PROVEN: Final = "proof's signature verified (one ES256)"
LOGGED: Final = "log entry committed to and appended"
JOURNAL: Final = "the process's own journal"
_CREDENTIALS: Final = "token and proof read"
_READ: Final = "body read"
_ADMITTED: Final = "admitted, subject found"
_LIMITED: Final = "limits counted"
_DECIDED: Final = "consents locked, decided"
_RECORDED: Final = "records read, query and use written"
_OPENED: Final = "records opened"
_BUILT: Final = "answer built"
_METRICS: Final = "metrics, headers"
_ALL: Final = (  # in the order of a query; those inside another one are taken from it
    _CREDENTIALS, PROVEN, _READ, _ADMITTED, _LIMITED, _DECIDED, _RECORDED, LOGGED, _OPENED, _BUILT, SIGNED, JOURNAL,
    _METRICS,
)  # fmt: skip
_WITHIN: Final = {_CREDENTIALS: PROVEN, _RECORDED: LOGGED, _METRICS: JOURNAL}


class Shares:
    """Adds up what parts take, from the `warm_up`th answer on."""

    def __init__(self, warm_up: int) -> None:
        self._parts, self._warm_up, self._answers, self._began = Parts(), warm_up, 0, 0.0

    @contextmanager
    def watching(self, told: Path) -> Iterator[None]:
        """Watch while the block runs, then write what was seen."""
        release: Any = import_module("exchange.release")
        watched: list[tuple[str, Any, str]] = [
            (_CREDENTIALS, Guard, "verify_presented"),
            (PROVEN, suites, "verify_es256"),
            (_READ, lender_api, "read_query"),
            (_ADMITTED, release, "admit_all"),
            (_ADMITTED, release, "find"),
            (_LIMITED, release, "limit_all"),
            (_DECIDED, release, "decide_all"),
            (_RECORDED, release, "record"),
            (LOGGED, log, "append"),
            (_OPENED, release, "open_all"),
            (_BUILT, answer, "build"),
            (JOURNAL, journal, "write"),
            (_METRICS, Envelope, "_account"),
        ]
        with ExitStack() as stack:
            for name, owner, attribute in watched:
                timed = self._parts.timed(name, getattr(owner, attribute))
                stack.enter_context(mock.patch.object(owner, attribute, timed))
            stack.enter_context(mock.patch.object(jws, "sign_detached", self._signing(jws.sign_detached)))
            yield
        seconds = dict(self._parts.seconds) | {"": time.process_time() - self._began}
        told.write_bytes(orjson.dumps({"answers": self._answers - self._warm_up, "seconds": seconds}))

    def _signing(self, sign: Any) -> Any:  # noqa: ANN401  # a function like the one it is given
        timed = self._parts.timed(SIGNED, sign)

        def signing(*args: object) -> object:
            self._answers += 1
            if self._answers == self._warm_up:
                self._parts.seconds.clear()
                self._began = time.process_time()
            return timed(*args)

        return signing


def lines(told: Path) -> list[str]:
    """Say what each part took, in microseconds of CPU a query, and its share of the whole process's."""
    seen = orjson.loads(told.read_bytes())
    took = {name: 1e6 * spent / seen["answers"] for name, spent in seen["seconds"].items()}
    whole = took.pop("")
    for name, inner in _WITHIN.items():
        took[name] = took.get(name, 0.0) - took.get(inner, 0.0)
    took["the rest"] = whole - sum(took.values())
    said = [(name, took.get(name, 0.0)) for name in (*_ALL, "the rest")]
    signatures, kept = took[SIGNED] + took[PROVEN], took[LOGGED] + took[JOURNAL]
    return [
        f"CPU of the web process, {seen['answers']:,} queries: {whole:.0f} µs each",
        *(f"    {name:42} {micros:6.1f} µs {micros / whole:6.1%}" for name, micros in said),
        f"    signatures {signatures / whole:.1%}, log and journal {kept / whole:.1%}",
    ]

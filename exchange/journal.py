"""The process's own log: structured lines of JSON that cannot carry personal data.

Not the transparency log (`registry.log`), which is evidence. This one is for whoever runs the machines.

A line is built from an allow-list: fields not listed below are dropped, whatever code wrote them. Texts
are checked besides: one that holds fifteen digits in a row, an `@`, or a character outside ASCII is withheld, since
no line of ours needs one and an ID number, an address or a name would have one. Exceptions are told by
class and place, never by message: a driver's message quotes the row it choked on.

Lines of libraries (uvicorn, SQLAlchemy, Authlib, …) come through as their logger's name and level; only the
server's own start and stop messages keep their text.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from pathlib import PurePath
from types import TracebackType
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import WrappedLogger

from registry.clock import now, rfc3339

FIELDS: Final = frozenset({
    "at", "level", "event",
    "request_id", "method", "route", "status", "ms", "client_id", "error", "where",
    "query_id", "batch_id", "job", "count", "size", "seconds", "logger", "version",
})  # fmt: skip
_WITHHELD: Final = "[withheld]"
_SUSPECT: Final = re.compile(r"[0-9]{15}|@|[^\x20-\x7e]")
_LONGEST: Final = 200
_TEXT_KEPT: Final = frozenset({"uvicorn.error"})
_FRAMES: Final = 3
_NUMBERS: Final = (bool, int, float)  # a union takes three times as long to ask

Line = MutableMapping[str, Any]
_here: Final[list[TextIO]] = []


def keep_only_what_is_listed(_: WrappedLogger, __: str, line: Line) -> Line:
    """Drop fields that are not listed, withhold texts that look like data. A structlog processor."""
    return {name: _plain(value) for name, value in line.items() if name in FIELDS}


def tell_exceptions_without_message(_: WrappedLogger, __: str, line: Line) -> Line:
    """Turn `exc_info` into the error's class and the last places it passed. A structlog processor."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        line.update(told(error))
    return line


def told(error: BaseException | None) -> dict[str, str]:
    """Give what may be logged of an error, as fields of a line: its class and the last places it passed.

    Code of the product logs an error by this and never by `exc_info`: in a process that has set up no log, a renderer
    of tracebacks would print the local variables, which may be a person's data.
    """
    return {} if error is None else {"error": type(error).__name__, "where": where(error.__traceback__)}


def where(trace: TracebackType | None) -> str:
    """Return the last frames of a traceback as `file:line`, innermost last; no source text, no values."""
    places = []
    while trace is not None:
        places.append(f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(places[-_FRAMES:])


def set_up(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Send this process's log, libraries' too, to a stream (standard error by default), one JSON object a line."""
    out = stream or sys.stderr
    structlog.configure(
        processors=[_stamp, tell_exceptions_without_message, keep_only_what_is_listed, _render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),  # a line and its end in one, for `write` shares the stream
        cache_logger_on_first_use=False,
    )
    _here[:] = [out] if level <= logging.INFO else []  # a command shows its own output alone
    root = logging.getLogger()
    root.handlers = [_FromLibraries(out)]
    root.setLevel(max(level, logging.WARNING))  # libraries speak when something is wrong
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], name != "uvicorn.access"  # its lines carry whole addresses
        logger.setLevel(level)


def write(event: str, **fields: object) -> None:
    """Write one line where `set_up` said, if it asked for level info, as a logger would, in half of its time."""
    line = keep_only_what_is_listed(None, "info", _stamp(None, "info", {"event": event, **fields}))
    for out in _here:
        out.write(_render(None, "info", line) + "\n")
        out.flush()


class _FromLibraries(logging.Handler):
    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        line: Line = {"level": record.levelname.lower(), "logger": record.name, "event": "library"}
        if record.name in _TEXT_KEPT and isinstance(record.msg, str):
            line["event"] = record.msg  # the template, without its arguments
        if record.exc_info:
            line["exc_info"] = record.exc_info[1]
        for process in (_stamp, tell_exceptions_without_message, keep_only_what_is_listed):
            line = process(None, "", line)
        self._out.write(_render(None, "", line) + "\n")
        self._out.flush()


def _stamp(_: WrappedLogger, method: str, line: Line) -> Line:
    line.setdefault("level", method)
    line["at"] = rfc3339(now())
    return line


def _render(_: WrappedLogger, __: str, line: Line) -> str:
    return orjson.dumps(line, option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: object) -> object:
    if value is None or isinstance(value, _NUMBERS):
        return value
    text = str(value)
    return _WITHHELD if len(text) > _LONGEST else _unsuspected(text)


@lru_cache(maxsize=1024)  # routes, methods and clients come again with every line
def _unsuspected(text: str) -> str:
    return _WITHHELD if _SUSPECT.search(text) else text

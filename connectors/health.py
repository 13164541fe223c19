"""How a source fares, and the published words for why it does not. Pure.

`paused` is said before what went wrong, and what went wrong before lateness: the first is somebody's decision, the
second tells what to do. Texts of drivers and of the source's own answers are never published: they may name its
servers. Published are the words here, those of `faults` for a source that was asked, and those of `codes` for a batch
that was blocked.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from connectors import codes, faults
from connectors.codes import Words


class Health(StrEnum):
    """How a source fares. The values are published; never reuse one."""

    WAITING = "waiting"  # nothing came yet, and nothing is overdue
    HEALTHY = "healthy"
    LATE = "late"
    FAILING = "failing"  # the last run failed; it is tried again
    BLOCKED = "blocked"  # the last run failed, and trying again does not help until somebody acts
    PAUSED = "paused"
    RETIRED = "retired"  # it is no feed any more


class RunState(StrEnum):
    """What became of a run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"  # the process that ran it died


class RunError(StrEnum):
    """Why a run did not succeed, beside what `faults` and `codes` name. Published; never reuse one."""

    FILE_BUSY = "FILE_BUSY"
    NO_SPACE = "NO_SPACE"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    RUN_LOST = "RUN_LOST"
    INTERNAL = "INTERNAL"


_WORDS: Final[dict[str, Words]] = {
    RunError.FILE_BUSY: Words("同一文件正在处理，稍后自动重试", "The same file is being taken in; it is tried again"),
    RunError.NO_SPACE: Words(
        "平台存储空间不足，本次未保留任何内容；请运维人员清理空间，稍后自动重试",
        "No space is left here and nothing was kept; the operator must free some; tried again by itself",
    ),
    RunError.OUT_OF_SERVICE: Words(
        "平台的数据库一时无法访问，稍后自动重试", "The platform's database was out of reach; tried again by itself"
    ),
    RunError.RUN_LOST: Words("运行被中断，将自动补跑一次", "The run was cut off; it is caught up by itself"),
    RunError.INTERNAL: Words("平台内部错误，已记录，请联系平台", "A mistake of the platform's; report it"),
}


def words(error: str) -> Words:
    """Return the published words for an error of a run, of a source, or the code that a batch was blocked with."""
    if error in _WORDS:
        return _WORDS[error]
    if error in faults.BY_NAME:
        fault = faults.BY_NAME[error]
        return Words(f"{fault.cause.zh}；{fault.mend.zh}", f"{fault.cause.en}; {fault.mend.en}")
    if error in codes.BY_NAME:
        code = codes.BY_NAME[error]
        return Words(f"{code.cause.zh}；{code.mend.zh}", f"{code.cause.en}; {code.mend.en}")
    return _WORDS[RunError.INTERNAL]


def standing(*, retired: bool, paused: bool, error: str | None, needs_somebody: bool, good: bool) -> Health:
    """Say how a source fares, lateness left aside: that comes by itself, with time (`at_moment`)."""
    if retired:
        return Health.RETIRED
    if paused:
        return Health.PAUSED
    if error is not None:
        return Health.BLOCKED if needs_somebody else Health.FAILING
    return Health.HEALTHY if good else Health.WAITING


def at_moment(state: Health, late_from: datetime | None, *, at: datetime) -> Health:
    """Say how it fares at a moment: what waits or is healthy is late from `late_from` on."""
    late = late_from is not None and late_from <= at
    return Health.LATE if late and state in {Health.WAITING, Health.HEALTHY} else state

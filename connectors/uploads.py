"""Uploads: what is known of files on their way in, and the durable queue of those that have arrived whole.

States: open (bytes are awaited) → waiting (all are durable) → working (intake has it) → done or refused. An open upload
that its sender gives up, or that expires, has ended. Only `open` takes bytes; every step is conditional on the one
before it, so that two processes cannot both take it.

Of the sender's words the file name is kept, cleaned, as a label: never a path, never in the log. Not here: the bytes
(`uploadfiles`), intake (`uploading`), who may send (the doors).
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from connectors import labels
from connectors.codes import Words
from connectors.delivery import Progress
from connectors.errors import UploadLimit
from connectors.events import Event
from registry import log
from registry.canonical import JSON
from registry.database import Transaction

OPEN_FOR: Final = timedelta(days=7)
KEPT_FOR: Final = timedelta(days=90)  # the row of an upload that is over; its batches stay
MOST_OPEN: Final = 20  # of one agency at a time: open, waiting and in work
MOST_OPEN_BYTES: Final = 4 << 30
LABEL_CHARACTERS: Final = 200
_PAGE: Final = 50


class State(StrEnum):
    """Where an upload stands. The values stand in tables and answers; never reuse one."""

    OPEN = "open"
    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    REFUSED = "refused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an upload ended without being taken in, and what its sender can do."""

    cause: Words
    mend: Words


FAULTS: Final[Mapping[str, Fault]] = {
    "GIVEN_UP": Fault(
        Words("已由发送方取消", "The sender gave it up"), Words("需要时重新上传", "Upload again if wanted")
    ),
    "EXPIRED": Fault(
        Words("上传未在期限内完成，已清除", "It was not completed in time and has been removed"),
        Words("重新上传", "Upload the file again"),
    ),
    "NOT_A_TABLE": Fault(
        Words("文件不是表格，或不含本平台登记的表", "The file holds no table that is registered here"),
        Words("请上传 .xlsx、.xls 或 .csv 数据表", "Upload a data table as .xlsx, .xls or .csv"),
    ),
    "CHECKSUM_MISMATCH": Fault(
        Words("文件内容与创建上传时声明的 SHA-256 不符", "The bytes do not have the SHA-256 stated at creation"),
        Words("核对文件后重新上传", "Check the file and upload it again"),
    ),
    "MANIFEST_MISMATCH": Fault(
        Words(
            "签名清单不涵盖此文件：哈希或大小不符，或所用密钥在文件到达前已吊销",
            "The signed manifest does not cover these bytes: hash or size differ, or its key was revoked before",
        ),
        Words(
            "为实际发送的文件重新制作清单，用有效的密钥签名",
            "Make a manifest of the file that is sent, and sign it with a key that counts",
        ),
    ),
    "BYTES_LOST": Fault(
        Words("已收到的内容在平台侧丢失或损坏", "The bytes that had arrived were lost or damaged on our side"),
        Words("重新上传", "Upload the file again"),
    ),
    "FAILED": Fault(
        Words("平台多次处理失败，未入库任何内容", "It failed several times on our side; nothing of it was taken in"),
        Words("请联系平台运维，并提供上传编号", "Tell the operator the upload's id"),
    ),
}


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as its row says."""

    upload_id: UUID
    agency: str
    client_id: str
    label: str
    source: str
    metadata_text: str
    manifest: str
    sha256: bytes | None
    size_bytes: int
    received_bytes: int
    state: str
    fault: str
    created_at: datetime
    expires_at: datetime
    completed_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 0
    stage: str = ""
    rows_read: int = 0
    rows_checked: int = 0
    rows_accepted: int = 0
    raw_id: UUID | None = None


_NAMES: Final = tuple(one.name for one in fields(Upload))
_COLUMNS: Final = ", ".join(_NAMES)
_BEGIN: Final = (
    "UPDATE upload SET state = 'working', attempts = attempts + 1 WHERE upload_id = %s"  # noqa: S608  # a constant
    f" AND state IN ('waiting', 'working') AND not_before <= %s RETURNING {_COLUMNS}"
)
_SELECT: Final = f"SELECT {_COLUMNS} FROM upload "  # noqa: S608  # a constant


def label_of(name: str) -> str:
    """Clean a file name that a sender gave, "" for none: no folders, no control or direction marks, not too long.

    Identifiers in it are made unreadable (`labels`).

    Raises:
        ValueError: it is a path, or no name at all is left of it.
    """
    text = unicodedata.normalize("NFC", name)
    if any(mark in text for mark in ("/", "\\", "\x00")) or text.strip() in {".", ".."}:
        raise ValueError("a file name is no path")
    kept = "".join(one for one in text if unicodedata.category(one)[0] != "C").strip()
    if text and not kept:
        raise ValueError("a file name of visible characters is needed")
    if len(kept) > LABEL_CHARACTERS:
        raise ValueError(f"a file name has at most {LABEL_CHARACTERS} characters")
    return labels.nameless(kept)


def create(tx: Transaction, upload: Upload) -> None:
    """Record a new upload, and log it.

    Raises:
        UploadLimit: the agency has too many uploads, or too many bytes, under way.
    """
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7118520))", (upload.agency,))
    row = tx.execute(
        "SELECT count(*), coalesce(sum(size_bytes), 0) FROM upload"
        " WHERE agency = %s AND state IN ('open', 'waiting', 'working')",
        (upload.agency,),
    ).fetchone()
    count, size = row or (0, 0)
    if count >= MOST_OPEN or size + upload.size_bytes > MOST_OPEN_BYTES:
        raise UploadLimit(f"an agency has at most {MOST_OPEN} uploads of {MOST_OPEN_BYTES >> 30} GiB in all under way")
    places = ", ".join(["%s"] * len(_NAMES))
    tx.execute(
        f"INSERT INTO upload ({_COLUMNS}) VALUES ({places})",  # noqa: S608  # constants
        [getattr(upload, name) for name in _NAMES],
    )
    _log(tx, Event.UPLOAD_OPENED, upload, upload.created_at, {"size_bytes": upload.size_bytes})


def get(tx: Transaction, upload_id: UUID, *, agency: str) -> Upload | None:
    """Find an upload of an agency; another's is None, as an unknown one is."""
    row = tx.execute(_SELECT + "WHERE upload_id = %s AND agency = %s", (upload_id, agency)).fetchone()
    return None if row is None else Upload(*row)


def of_agency(tx: Transaction, agency: str) -> list[Upload]:
    """Give an agency's latest uploads, newest first."""
    rows = tx.execute(_SELECT + "WHERE agency = %s ORDER BY created_at DESC, upload_id LIMIT %s", (agency, _PAGE))
    return [Upload(*row) for row in rows.fetchall()]


def advance(tx: Transaction, upload: Upload, *, was: int, to: int, now: datetime) -> bool:
    """Say that bytes up to `to` are durable; with the last of them the upload waits for intake.

    False if the upload was no longer open at `was`: nothing is changed then.
    """
    whole = to == upload.size_bytes
    moved = tx.execute(
        "UPDATE upload SET received_bytes = %s, state = %s, completed_at = %s, not_before = %s"
        " WHERE upload_id = %s AND state = 'open' AND received_bytes = %s",
        (
            to,
            State.WAITING if whole else State.OPEN,
            now if whole else None,
            now if whole else None,
            upload.upload_id,
            was,
        ),
    ).rowcount
    if moved and whole:
        _log(tx, Event.UPLOAD_COMPLETED, upload, now, {"size_bytes": to})
    return bool(moved)


def give_up(tx: Transaction, upload: Upload, *, now: datetime) -> bool:
    """End an open upload on its sender's word; False if it is not open."""
    return _end(tx, upload, State.OPEN, State.ENDED, "GIVEN_UP", now)


def expire_due(tx: Transaction, *, now: datetime) -> list[UUID]:
    """End open uploads whose time is over; give their ids."""
    rows = tx.execute(_SELECT + "WHERE state = 'open' AND expires_at <= %s FOR UPDATE SKIP LOCKED", (now,)).fetchall()
    due = [Upload(*row) for row in rows]
    return [one.upload_id for one in due if _end(tx, one, State.OPEN, State.ENDED, "EXPIRED", now)]


def forget_old(tx: Transaction, *, now: datetime) -> int:
    """Delete the rows of uploads that were over long ago; say how many."""
    return tx.execute("DELETE FROM upload WHERE ended_at <= %s", (now - KEPT_FOR,)).rowcount


def alive(tx: Transaction) -> frozenset[UUID]:
    """Give the uploads whose bytes are still needed."""
    rows = tx.execute("SELECT upload_id FROM upload WHERE state IN ('open', 'waiting', 'working')").fetchall()
    return frozenset(upload_id for (upload_id,) in rows)


# ---- the queue of those that have arrived ---------------------------------------------------------------------------


def due(tx: Transaction, *, now: datetime, limit: int = 20) -> list[UUID]:
    """Give uploads that wait for intake, or that a process died over, the longest waiting first."""
    rows = tx.execute(
        "SELECT upload_id FROM upload WHERE state IN ('waiting', 'working') AND not_before <= %s"
        " ORDER BY not_before, upload_id LIMIT %s",
        (now, limit),
    )
    return [upload_id for (upload_id,) in rows.fetchall()]


def begin_work(tx: Transaction, upload_id: UUID, *, now: datetime) -> Upload | None:
    """Take an upload into work, counting the attempt; None if it is over. The caller holds its advisory lock."""
    row = tx.execute(
        _BEGIN,
        (upload_id, now),
    ).fetchone()
    return None if row is None else Upload(*row)


def put_back(tx: Transaction, upload: Upload, *, after: datetime) -> None:
    """Let an upload wait until another attempt."""
    tx.execute("UPDATE upload SET state = 'waiting', not_before = %s WHERE upload_id = %s", (after, upload.upload_id))


def note_progress(tx: Transaction, upload: Upload, progress: Progress) -> None:
    """Say how far intake has come with it."""
    tx.execute(
        "UPDATE upload SET stage = %s, rows_read = %s, rows_checked = %s, rows_accepted = %s WHERE upload_id = %s",
        (progress.stage.value, progress.read, progress.checked, progress.accepted, upload.upload_id),
    )


def finish(tx: Transaction, upload: Upload, *, raw_id: UUID, progress: Progress, now: datetime) -> None:
    """Say that an upload was taken in, as which raw file."""
    note_progress(tx, upload, progress)
    tx.execute(
        "UPDATE upload SET state = 'done', raw_id = %s, ended_at = %s WHERE upload_id = %s",
        (raw_id, now, upload.upload_id),
    )


def refuse(tx: Transaction, upload: Upload, fault: str, *, now: datetime) -> None:
    """Say that an upload was not taken in, and why (a name of `FAULTS`)."""
    _end(tx, upload, State.WORKING, State.REFUSED, fault, now)


def _end(tx: Transaction, upload: Upload, was: State, state: State, fault: str, now: datetime) -> bool:
    ended = tx.execute(
        "UPDATE upload SET state = %s, fault = %s, ended_at = %s WHERE upload_id = %s AND state = %s",
        (state, fault, now, upload.upload_id, was),
    ).rowcount
    if ended:
        _log(tx, Event.UPLOAD_ENDED, upload, now, {"fault": fault})
    return bool(ended)


def _log(tx: Transaction, event: Event, upload: Upload, now: datetime, more: Mapping[str, JSON]) -> None:
    facts: dict[str, Any] = {"upload_id": str(upload.upload_id), "agency": upload.agency, **more}
    log.append(tx, [log.Entry(event=event.value, at=now, actor=upload.client_id, fields=facts)])

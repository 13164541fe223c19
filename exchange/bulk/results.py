"""Parts of a batch's result, opened anew through the gate each time one is fetched, and the manifest of them.

Steps for one part (the numbers are used in the code and the tests):
  1. the caller, who may have waited, is still admitted; the batch is the caller's, its time is not over, no line of the
     part waits, a key to seal to is registered
  2. ask the gate for each permitted line again, a few at a time (`AskAgain`): whose consent has ended since, or whose
     record was recalled, is not handed out; each is logged; nothing is counted twice
  3. write the lines as NDJSON, and seal them to the system's public key (HPKE); what was written is let go
  4. note the digest of the sealed part, then hand it out

The info of HPKE is the part's header, so that a part opens only as what it is. Nothing of an answer is kept: the digest
is one of sealed bytes.

The manifest lists every part with the digests under which it was handed out, signed with the key of answers.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from starlette.concurrency import run_in_threadpool

from exchange.bulk import keeping, keys
from exchange.bulk.keeping import Batch, State
from exchange.errors import OutOfService, RequestRefused, TokenRefused
from exchange.gate import Gate
from exchange.home import Home
from exchange.oauth.guard import Caller, still_admitted
from exchange.oauth.scopes import Scope
from exchange.release import AskAgain, Line, Outcome, Permitted, Refused
from registry import clock, jws
from registry.canonical import JSON, b64url, canonical
from registry.clock import rfc3339
from registry.database import Transaction
from registry.encryption import SUITES, EncryptionKey
from registry.errors import DatabaseUnavailable
from registry.keyring import Purpose
from registry.suites import sha256
from registry.suites.hpke import hpke_seal
from registry.verify_batch import FORMAT, MANIFEST_TYPE, PART_FORMAT

PART_LINES: Final = 200
HANDED_MOST: Final = 8  # digests of one part that are remembered, the latest
RETRY_SECONDS: Final = 5
_TOGETHER: Final = 16  # lines that stand before the gate at once: others' questions come in between


@dataclass(frozen=True, slots=True)
class Noted:
    """What became of a line."""

    line: int
    query_id: UUID | None
    code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    batch: Batch
    part: int
    key: EncryptionKey
    lines: Sequence[Noted]


def parts_of(batch: Batch) -> int:
    """Say how many parts a batch has."""
    return -(-batch.lines // PART_LINES)


def bounds(batch: Batch, part: int) -> tuple[int, int]:
    """Give the first and the last line of a part."""
    return (part - 1) * PART_LINES + 1, min(part * PART_LINES, batch.lines)


def ready(tx: Transaction, batch: Batch) -> int:
    """Say how many parts, from the first on, can be fetched: those before the first line that waits."""
    if batch.state in {State.RECEIVING, State.RECEIVED}:
        return 0
    row = tx.execute("SELECT min(first_line) FROM bulk_block WHERE batch_id = %s", (batch.batch_id,)).fetchone()
    waits = row[0] if row is not None else None
    return parts_of(batch) if waits is None else (waits - 1) // PART_LINES


async def part(home: Home, gate: Gate, caller: Caller, batch_id: UUID, number: int) -> bytes:
    """Hand out one part: JSON with its header and the sealed lines.

    Raises:
        TokenRefused: the caller is no longer admitted.
        RequestRefused: `bulk-unknown`, `bulk-over`, `bulk-pending`, `bulk-key-missing`.
        OutOfService, DatabaseUnavailable: nothing was handed out.
    """
    wanted = await run_in_threadpool(_wanted, home, caller, batch_id, number)  # 1
    written, permitted = await _opened(gate, caller, wanted)  # 2
    return await run_in_threadpool(_sealed, home, wanted, written, permitted)  # 3, 4


def _wanted(home: Home, caller: Caller, batch_id: UUID, number: int) -> _Wanted:
    with home.database.transaction() as tx:
        if not still_admitted(tx, caller, scope=Scope.QUERIES, now=clock.now()):
            raise TokenRefused("access token: taken back or over, or its client is not active")
        batch = keeping.get(tx, batch_id, caller)
        key = keys.of_client(tx, caller.client_id)
        if batch.cleared_at is not None or batch.until <= clock.now():
            raise RequestRefused("bulk-over")
        if not 1 <= number <= max(parts_of(batch), 1):
            raise RequestRefused("bulk-unknown")
        if number > ready(tx, batch):
            raise RequestRefused("bulk-pending", retry_after_seconds=RETRY_SECONDS)
        rows = tx.execute(
            "SELECT line, query_id, code, detail FROM bulk_line WHERE batch_id = %s AND line BETWEEN %s AND %s"
            " ORDER BY line",
            (batch_id, *bounds(batch, number)),
        ).fetchall()
    return _Wanted(batch, number, key, [Noted(*row) for row in rows])


async def _opened(gate: Gate, caller: Caller, wanted: _Wanted) -> tuple[bytes, int]:
    """Step 2, and the lines of 3; say how many carry an answer."""
    lines: list[bytes] = []
    permitted = 0
    for start in range(0, len(wanted.lines), _TOGETHER):
        some = wanted.lines[start : start + _TOGETHER]
        asked = [one for one in some if one.code is None and one.query_id is not None]
        outcomes = await asyncio.gather(
            *(
                gate.ask(AskAgain(caller, one.query_id, "batch", line=Line(wanted.batch.batch_id, one.line)))
                for one in asked
                if one.query_id is not None
            )
        )
        by_line = {one.line: outcome for one, outcome in zip(asked, outcomes, strict=True)}
        lines += [_written(one, by_line.get(one.line)) for one in some]
        permitted += sum(isinstance(outcome, Permitted) for outcome in outcomes)
    return b"".join(lines), permitted


def _written(one: Noted, outcome: Outcome | None) -> bytes:
    """Write one line of the result.

    Raises:
        OutOfService, DatabaseUnavailable: the gate could not say; the whole part is asked for again.
    """
    if isinstance(outcome, Permitted):
        head = orjson.dumps({"line": one.line, "query_id": str(outcome.query_id)})[:-1]
        return head + b',"answer":' + outcome.body + b',"signature":"' + outcome.signature.encode() + b'"}\n'
    if isinstance(outcome, (OutOfService, DatabaseUnavailable)):
        raise outcome
    said: dict[str, JSON] = {"line": one.line}
    if one.query_id is not None:
        said["query_id"] = str(one.query_id)
    if isinstance(outcome, Refused):
        said["refusal"] = outcome.reason.value
    elif outcome is not None:
        said["refusal"] = outcome.code if isinstance(outcome, RequestRefused) else "internal"
    else:
        said["refusal"] = one.code
        if one.detail is not None:
            said["detail"] = one.detail
    return orjson.dumps(said) + b"\n"


def _sealed(home: Home, wanted: _Wanted, written: bytes, permitted: int) -> bytes:
    batch, key = wanted.batch, wanted.key
    first, last = bounds(batch, wanted.part)
    header: dict[str, JSON] = {
        "format": PART_FORMAT,
        "batch_id": str(batch.batch_id),
        "part": wanted.part,
        "first_line": first,
        "last_line": last,
        "lines": len(wanted.lines),
        "key": key.thumbprint,
        "suite": SUITES[key.curve],
    }
    sealed = hpke_seal(key.public, written, info=canonical(header), aad=b"")
    body = canonical({**header, "sealed": b64url(sealed)})
    now = clock.now()
    with home.database.transaction() as tx:  # 4
        standing = tx.execute(
            "SELECT FROM bulk_batch WHERE batch_id = %s AND cleared_at IS NULL FOR SHARE", (batch.batch_id,)
        ).fetchone()
        if standing is None:
            raise RequestRefused("bulk-over")
        tx.execute(
            "INSERT INTO bulk_part (batch_id, part, sha256, lines, permitted, handed_at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (batch.batch_id, wanted.part, sha256(body), len(wanted.lines), permitted, now),
        )
        tx.execute(
            "DELETE FROM bulk_part p WHERE batch_id = %s AND part = %s AND sha256 NOT IN (SELECT sha256 FROM bulk_part"
            " WHERE batch_id = p.batch_id AND part = p.part ORDER BY handed_at DESC, sha256 LIMIT %s)",
            (batch.batch_id, wanted.part, HANDED_MOST),
        )
    return body


def manifest(home: Home, caller: Caller, batch_id: UUID) -> bytes:
    """Write the manifest as it stands now, and its signature.

    Raises:
        RequestRefused: `bulk-unknown`, `bulk-over`.
    """
    now = clock.now()
    with home.database.transaction() as tx:
        batch = keeping.get(tx, batch_id, caller)
        if batch.cleared_at is not None or batch.until <= now:
            raise RequestRefused("bulk-over")
        counts = keeping.counted(tx, batch)
        handed = tx.execute(
            "SELECT part, sha256, lines, permitted, handed_at FROM bulk_part WHERE batch_id = %s"
            " ORDER BY part, handed_at, sha256",
            (batch_id,),
        ).fetchall()
    body = canonical(_said(home, batch, counts, handed, now))
    key = home.keyring.signing(Purpose.ANSWER)
    signature = jws.sign_detached(key, key.key_id, body, MANIFEST_TYPE)
    return b'{"manifest":' + body + b',"signature":"' + signature.encode() + b'"}'


def _said(
    home: Home, batch: Batch, counts: dict[str, int], handed: Sequence[Sequence[Any]], now: datetime
) -> dict[str, JSON]:
    digests: dict[int, list[JSON]] = {}
    for number, digest, lines, permitted, at in handed:
        one: JSON = {"sha256": digest.hex(), "lines": lines, "permitted": permitted, "at": rfc3339(at)}
        digests.setdefault(number, []).append(one)
    listed: list[JSON] = []
    for number in range(1, parts_of(batch) + 1):
        first, last = bounds(batch, number)
        handed_out = digests.get(number, [])
        listed.append({"part": number, "first_line": first, "last_line": last, "handed_out": handed_out})
    return {
        "format": FORMAT,
        "installation": dict(home.installation_label),
        "batch_id": str(batch.batch_id),
        "client_id": batch.client_id,
        "lender": batch.organisation,
        "state": batch.state.value,
        "questions": {
            "salt": b64url(keeping.file_salt(home, batch.batch_id)),
            "sha256": batch.file_salted.hex(),
            "size_bytes": batch.size_bytes,
        },
        "lines": batch.lines,
        "permitted": counts.get(keeping.PERMITTED, 0),
        "refused": {code: number for code, number in counts.items() if code != keeping.PERMITTED},
        "created_at": rfc3339(batch.created_at),
        "ended_at": None if batch.ended_at is None else rfc3339(batch.ended_at),
        "made_at": rfc3339(now),
        "parts": listed,
    }

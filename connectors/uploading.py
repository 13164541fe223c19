"""Completed uploads go through intake, each exactly once; manifests that came later are applied.

Steps of `take_next` (one upload):
  1. take an upload that waits, or that a process died over, under an advisory lock that dies with its holder
  2. open its sealed chunks, hash them; hold them to the SHA-256 and the manifest that their sender stated. A long
     upload goes into a spool, so that it never stands in memory whole
  3. intake, as of today, under the agency's name; how far it is goes into the upload's row as it goes
  4. say what became of it; then destroy the upload's own copy of the bytes

A kill before 4 leaves the upload to be worked on again: intake of the same bytes decides the same and writes nothing.
A kill after it leaves bytes that `clean` sweeps. An upload that fails `MOST_ATTEMPTS` times is refused, so that a file
that kills its process does so a bounded number of times.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from connectors import manifests, rawfiles, uploadfiles, uploads
from connectors.delivery import Channel, Delivery, Progress, Stage
from connectors.errors import BytesDestroyed, IntakeBusy
from connectors.intake import Intake, Taken
from connectors.rawfiles import Hashes
from connectors.reading import LONG_BYTES, Source
from connectors.spool import Spool
from connectors.uploads import Upload
from registry import clock
from registry.database import Transaction
from registry.errors import SealBroken

MOST_ATTEMPTS: Final = 5
AGAIN_AFTER: Final = timedelta(seconds=2)
PROGRESS_EVERY: Final = timedelta(milliseconds=500)
_LOCK_SPACE: Final = 7_118_521  # of pg_try_advisory_xact_lock(space, upload)
_UNNAMED: Final = "upload"


def take_all(intake: Intake, folder: Path) -> int:
    """Take in uploads until none is due, then apply manifests; say how many uploads were worked on.

    Raises:
        Exception: what intake raised of one upload, once it has been put back to wait.
    """
    worked = 0
    while take_next(intake, folder):
        worked += 1
    apply_manifests(intake)
    return worked


def take_next(intake: Intake, folder: Path) -> bool:
    """Work on one upload that is due; False if none is, or others have all of them under their hands."""
    with intake.database.transaction() as tx:
        due = uploads.due(tx, now=intake.now())
    for upload_id in due:
        with intake.database.transaction() as guard:
            if not _locked(guard, upload_id):  # 1
                continue
            with intake.database.transaction() as tx:
                upload = uploads.begin_work(tx, upload_id, now=intake.now())
            if upload is not None:
                _work(intake, folder, upload)
                return True
    return False


def apply_manifests(intake: Intake) -> int:
    """Weigh files again that a manifest received after them speaks of; say how many."""
    with intake.database.transaction() as tx:
        due = manifests.to_apply(tx)
    for raw_id, manifest_id in due:
        with intake.database.transaction() as tx:
            manifests.apply(tx, raw_id, manifest_id, now=intake.now())
            file = rawfiles.by_id(tx, raw_id)
        if file is not None:
            try:
                raw = rawfiles.opened(intake.folder, intake.sealing, file)
                intake.take(raw, file.label, as_of=clock.beijing_day(intake.now()), delivery=file.delivery)
            except BytesDestroyed:
                pass  # in the meantime: what was published stays as it was weighed
            except IntakeBusy:
                continue
            with intake.database.transaction() as tx:
                manifests.applied(tx, manifest_id, file.sha256, now=intake.now())
    return len(due)


def clean(intake: Intake, folder: Path) -> None:
    """End uploads whose time is over, and destroy bytes that no upload needs."""
    now = intake.now()
    with intake.database.transaction() as tx:
        gone = uploads.expire_due(tx, now=now)
        uploads.forget_old(tx, now=now)
    for upload_id in gone:
        uploadfiles.destroy(folder, intake.sealing, upload_id, now=now)
    with intake.database.transaction() as tx:
        alive = uploads.alive(tx)
    uploadfiles.sweep(folder, alive, now=now)


def _work(intake: Intake, folder: Path, upload: Upload) -> None:
    now = intake.now()
    if upload.attempts > MOST_ATTEMPTS:
        _refuse(intake, folder, upload, "FAILED")
        return
    try:
        fault = _take(intake, folder, upload)
    except (BytesDestroyed, SealBroken):
        fault = "BYTES_LOST"
    except Exception:
        with intake.database.transaction() as tx:
            uploads.put_back(tx, upload, after=now + AGAIN_AFTER * 2**upload.attempts)
        raise
    if fault:
        _refuse(intake, folder, upload, fault)
    else:
        uploadfiles.destroy(folder, intake.sealing, upload.upload_id, now=intake.now())


def _refuse(intake: Intake, folder: Path, upload: Upload, fault: str) -> None:
    with intake.database.transaction() as tx:
        uploads.refuse(tx, upload, fault, now=intake.now())
    uploadfiles.destroy(folder, intake.sealing, upload.upload_id, now=intake.now())


def _take(intake: Intake, folder: Path, upload: Upload) -> str:
    """Steps 2 to 4; return the fault that refuses the upload, "" for none."""
    with _opened(folder, intake, upload) as raw:  # 2
        return _take_bytes(intake, upload, raw)


@contextmanager
def _opened(folder: Path, intake: Intake, upload: Upload) -> Iterator[Source]:
    """Give an upload's bytes, a long one's in a spool."""
    pieces = uploadfiles.find(folder, intake.sealing, upload.upload_id).read(upload.size_bytes)
    if upload.size_bytes <= LONG_BYTES:
        yield b"".join(pieces)
        return
    with Spool() as spool:
        for piece in pieces:
            spool.write(piece)
        yield spool


def _take_bytes(intake: Intake, upload: Upload, raw: Source) -> str:
    found = rawfiles.hashes(raw)
    if upload.sha256 not in {None, found.sha256}:
        return "CHECKSUM_MISMATCH"
    manifest = _manifest(intake, upload, found)
    if upload.manifest and not manifest:
        return "MANIFEST_MISMATCH"
    taken = _run(intake, upload, raw, found, manifest)  # 3
    if not taken:
        return "NOT_A_TABLE"
    with intake.database.transaction() as tx:  # 4
        raw_id = rawfiles.id_of(tx, intake.sealing, upload.agency, found)
        uploads.finish(tx, upload, raw_id=raw_id, progress=_in_the_end(taken), now=intake.now())
        if manifest:
            manifests.applied(tx, manifest, found.sha256, now=intake.now())
    return ""


def _manifest(intake: Intake, upload: Upload, found: Hashes) -> str:
    with intake.database.transaction() as tx:
        return manifests.covering(
            tx,
            agency=upload.agency,
            sha256=found.sha256,
            sm3=found.sm3,
            size=upload.size_bytes,
            arrived=upload.completed_at or intake.now(),
            only=upload.manifest,
        )


def _run(intake: Intake, upload: Upload, raw: Source, found: Hashes, manifest: str) -> list[Taken]:
    if manifest:  # a file that came unsigned before is weighed under the signature from now on
        with intake.database.transaction() as tx:
            raw_id = rawfiles.id_of(tx, intake.sealing, upload.agency, found)
            manifests.apply(tx, raw_id, manifest, now=intake.now())
    delivery = Delivery(Channel.UPLOAD, upload.agency, upload.source, manifest)
    told = replace(intake, progress=_told(intake, upload))
    return told.take(raw, upload.label or _UNNAMED, as_of=clock.beijing_day(intake.now()), delivery=delivery)


def _told(intake: Intake, upload: Upload) -> Callable[[Progress], None]:
    """Write progress into the upload's row, not oftener than twice a second."""
    last: list[datetime] = []
    good = [0]

    def told(progress: Progress) -> None:
        if progress.stage is Stage.STORING:  # how many are really stored would tell who has consented
            progress = replace(progress, accepted=good[0])
        good[0] = progress.accepted
        now = intake.now()
        if last and now - last[0] < PROGRESS_EVERY:
            return
        last[:] = [now]
        with intake.database.transaction() as tx:
            uploads.note_progress(tx, upload, progress)

    return told


def _in_the_end(taken: list[Taken]) -> Progress:
    outcomes = [one.outcome for one in taken]
    rows = sum(one.rows for one in outcomes)
    ends = ("accepted", "warned")
    accepted = sum(sum(one.apparent.get(end, {}).values()) for one in outcomes for end in ends)
    return Progress(Stage.DONE, rows, rows, accepted)


def _locked(guard: Transaction, upload_id: UUID) -> bool:
    number = int.from_bytes(upload_id.bytes[:4], signed=True)
    row = guard.execute("SELECT pg_try_advisory_xact_lock(%s::int, %s::int)", (_LOCK_SPACE, number)).fetchone()
    return row == (True,)

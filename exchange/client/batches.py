"""Batches of questions: handed in by tus 1.0.0, followed, fetched sealed, checked, opened. Flows, but for the checks.

    batch = lender.hand_in([question(Subject.person(number), purpose="POST_LOAN"), …])
    fetched = lender.fetch_batch(batch.batch_id)
    verdict, lines = check_batch(fetched, read_encryption_key(path), policy)   # key: `exchange.client.sealing`

A line that was cut costs nothing: what has arrived is asked for and sent on from there. What is fetched is sealed to
the lender's own key; nothing of it is opened before all of it was checked.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote
from uuid import uuid4

import orjson

from exchange.client.errors import ComeLater, NotGenuine, NotReached, NotReady, RequestWrong, retry_after
from exchange.client.flow import Flow, Wait
from exchange.client.keys import Json
from exchange.client.session import Ask, Session
from registry import verify_batch
from registry.canonical import canonical
from registry.suites import sha256
from registry.trust import TrustPolicy
from registry.verify_batch import BatchRefused, Opens, Verdict

BATCHES_PATH: Final = "/v1/batches"
PIECE_BYTES: Final = 4 * 1024 * 1024
BATCH_PATIENCE_SECONDS: Final = 3600.0
_TUS: Final = {"Tus-Resumable": "1.0.0"}
_CUTS_MOST: Final = 8  # in a row, without a byte having arrived
_LOOK_SECONDS: Final = 5.0
_WRONG_PLACE: Final = frozenset({"upload-offset", "upload-busy"})


@dataclass(frozen=True, slots=True)
class Batch:
    """How far a batch has come. `document` is all that the exchange says of it."""

    batch_id: str
    state: str
    document: Json = field(repr=False)

    @classmethod
    def read(cls, document: Json) -> Self:
        """Read what the batches' door answered.

        Raises:
            NotGenuine: it is no batch.
        """
        try:
            return cls(str(document["batch_id"]), str(document["state"]), document)
        except KeyError:
            raise NotGenuine("not a batch") from None

    @property
    def over(self) -> bool:
        """Whether nothing more is answered."""
        return self.document.get("ended_at") is not None

    @property
    def fault(self) -> str | None:
        """Why a file was refused."""
        said = self.document.get("fault")
        return None if said is None else str(said)

    @property
    def parts_ready(self) -> int:
        """Parts 1 to this one can be fetched."""
        return int(self.document["parts_ready"])

    @property
    def permitted(self) -> int:
        """How many lines were permitted."""
        return int(self.document["permitted"])

    @property
    def refused(self) -> Mapping[str, int]:
        """How many lines were refused, by code."""
        return dict(self.document["refused"])


@dataclass(frozen=True, slots=True)
class Batches:
    """A page of batches, the newest first; `next` is the cursor of the following one, None at the end."""

    batches: tuple[Batch, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A batch's result as it came: sealed parts by number, and the signed manifest of them."""

    batch: Batch
    parts: Mapping[int, bytes] = field(repr=False)
    manifest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one line: an answer with its signature, or the code of a refusal, and what it says beside."""

    line: int
    query_id: str | None
    refusal: str | None
    detail: str | None
    answer: Json | None = field(repr=False)
    signature: str | None = field(repr=False)

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Read a line of a part that was checked."""
        said: Json = orjson.loads(text)
        refused = (said.get("refusal"), said.get("detail"))
        return cls(int(said["line"]), said.get("query_id"), *refused, said.get("answer"), said.get("signature"))


def hand_in(session: Session, questions: bytes | Iterable[Json], *, idempotency_key: str | None = None) -> Flow[Batch]:
    """Hand in a file of questions: lines of NDJSON, or what `question` wrote.

    The same key with the same file again is the same batch: begun once, it is sent on from where it stopped.

    Raises:
        RequestWrong: `problem.code` says what the file or the announcement lacks; `bulk-key-missing`: register a key.
        NotReached: the line broke too often; hand in again under the same key.
        Refused: as every call.
    """
    content = questions if isinstance(questions, bytes) else b"".join(canonical(dict(one)) + b"\n" for one in questions)
    headers = {
        **_TUS,
        "Idempotency-Key": idempotency_key or str(uuid4()),
        "Upload-Length": str(len(content)),
        "Upload-Metadata": f"sha256 {b64encode(sha256(content).hex().encode()).decode()}",
    }
    announced = yield from session.call(Ask("POST", BATCHES_PATH, headers=headers, safe=True))
    batch = Batch.read(announced.json())
    if batch.state != "receiving":
        return batch
    yield from _send(session, f"{_at(batch.batch_id)}/questions", content, int(batch.document["received_bytes"]))
    return (yield from see_batch(session, batch.batch_id))


def see_batch(session: Session, batch_id: str) -> Flow[Batch]:
    """See how far a batch has come.

    Raises:
        RequestWrong: none of this system's has the id.
    """
    return Batch.read((yield from session.call(Ask("GET", _at(batch_id), safe=True))).json())


def list_batches(session: Session, cursor: str | None = None, *, most: int = 20) -> Flow[Batches]:
    """List this system's batches, the newest first: a page of them, behind `cursor`."""
    params = {"limit": str(most)} | ({} if cursor is None else {"cursor": cursor})
    said = (yield from session.call(Ask("GET", BATCHES_PATH, params=params, safe=True))).json()
    return Batches(tuple(Batch.read(one) for one in said["batches"]), said["next"])


def cancel_batch(session: Session, batch_id: str) -> Flow[Batch]:
    """End a batch: nothing more is answered; what was answered can still be fetched."""
    return Batch.read((yield from session.call(Ask("DELETE", _at(batch_id), safe=True))).json())


def fetch_part(session: Session, batch_id: str, part: int) -> Flow[bytes]:
    """Fetch one part of the result, sealed.

    Raises:
        RequestWrong: its lines are not all answered, or its time is over.
    """
    ask = Ask("GET", f"{_at(batch_id)}/results/{part}", safe=True)
    return (yield from session.call(ask)).content


def fetch_manifest(session: Session, batch_id: str) -> Flow[bytes]:
    """Fetch the signed list of what was handed out; after the parts."""
    return (yield from session.call(Ask("GET", f"{_at(batch_id)}/manifest", safe=True))).content


def fetch_batch(session: Session, batch_id: str, *, patience_seconds: float = BATCH_PATIENCE_SECONDS) -> Flow[Fetched]:
    """Wait until a batch is over, fetch all of its parts, then the manifest. Very large ones: `fetch_part` one by one.

    Raises:
        NotReady: not over when patience ran out.
        RequestWrong: no batch of this system's, or its time is over.
    """
    waited = 0.0
    while True:
        response = yield from session.call(Ask("GET", _at(batch_id), safe=True))
        batch = Batch.read(response.json())
        if batch.over:
            break
        if waited >= patience_seconds:
            raise NotReady(f"batch {batch_id} is not over after {waited:.0f} s")
        delay = min(float(retry_after(response) or _LOOK_SECONDS), max(patience_seconds - waited, 1.0))
        yield Wait(delay)
        waited += delay
    parts = {}
    for number in range(1, batch.parts_ready + 1):
        parts[number] = yield from fetch_part(session, batch_id, number)
    return Fetched(batch, parts, (yield from fetch_manifest(session, batch_id)))


def check_batch(
    fetched: Fetched, key: Opens, policy: TrustPolicy, *, questions: bytes | None = None
) -> tuple[Verdict, list[Line]]:
    """Check a result by the steps of docs/lenders.md, offline, and open it; with the file of questions, against it too.

    Raises:
        NotGenuine: it does not hold; the message names the step that broke. Nothing is given.
    """
    texts: list[bytes] = []
    try:
        verdict = verify_batch.verify(
            fetched.manifest, fetched.parts, policy, key, questions=questions, give=texts.append
        )
    except BatchRefused as error:
        raise NotGenuine(f"batch: {error}") from None
    return verdict, [Line.read(text) for text in texts]


def _send(session: Session, path: str, content: bytes, offset: int) -> Flow[None]:
    cuts = 0
    while offset < len(content):
        piece = content[offset : offset + PIECE_BYTES]
        headers = {**_TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        try:
            yield from session.call(Ask("PATCH", path, content=piece, headers=headers))
        except (NotReached, ComeLater, RequestWrong) as error:
            if isinstance(error, RequestWrong) and error.code not in _WRONG_PLACE:
                raise
            reached = yield from _arrived(session, path)
            cuts = 0 if reached > offset else cuts + 1
            if cuts >= _CUTS_MOST:
                raise
            yield Wait(float(cuts))
            offset = reached
        else:
            offset, cuts = offset + len(piece), 0


def _arrived(session: Session, path: str) -> Flow[int]:
    response = yield from session.call(Ask("HEAD", path, headers=_TUS, safe=True))
    try:
        return int(response.headers["Upload-Offset"])
    except (KeyError, ValueError):
        raise NotGenuine("the exchange does not say how much has arrived") from None


def _at(batch_id: str) -> str:
    return f"{BATCHES_PATH}/{quote(batch_id, safe='')}"

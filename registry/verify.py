"""Check a file of evidence with no database and no network.

Steps (the numbers are used in the code, the tests and docs/trust.md):
  1. the file is evidence in the form it claims, in canonical bytes: nothing missing, nothing beside
  2. the checkpoint is signed by the log that the trust policy names
  3. the entries (access, consent, record chunks) are in the tree of that checkpoint
  4. what is opened of the entries matches the salted commitments in them
  5. the access entry is a permit, and the consent entry is a consent that came before it
  6. each record lies in its chunk, and the access entry names exactly these records
  7. the consent receipt is signed, is the one that both entries name, and covers this lender, purpose, items and day
  8. the answer is signed, is the one that was permitted, and each value in it opens the record's commitment

Steps 7 and 8 need the full form; the redacted form carries no receipt and no answer.

Keys come from the trust policy, which the checker obtained elsewhere; a key inside the evidence would prove
nothing. Not shown by any evidence: see `NOT_SHOWN`. Carries away: this module and what it imports need neither a
database nor the web (import contract `verifier-carries-away`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import orjson

from registry import commitments, jws, merkle, note
from registry.canonical import b64, canonical
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.errors import ProofFailed, RegistryError
from registry.suites import sha256
from registry.tiles import TlogProof
from registry.trust import TrustPolicy

Result = TypeVar("Result")

FORMAT = "qingqiao-evidence/v1"
PERMITTED = "release:query:permitted"
GIVEN = frozenset({"consent:grant:recorded", "consent:grant:paused"})  # recorded as given, at once or while paused
GIVEN_STATES = frozenset({"consent given", "consent given, paused"})
RECEIPT_TYPE = "consent-receipt+jwt"
ANSWER_TYPE = "qq-answer+jws"
RECORDS_EVENT = "registry:records:published"

NOT_SHOWN = (
    "that what the agency wrote is true: only that this is what its file said",
    (
        "that the consent still stood at the moment of the answer: only that it had been given; a withdrawal is an"
        " entry of its own, which the log's owner or the subject can point to"
    ),
    (
        "who the person is: the evidence names a random id; the lender knows whom it asked about and can check the"
        " salted digest of its own request"
    ),
    "that everybody sees the same log: the policy names no witnesses",
)

_FULL = {"access", "answer", "checkpoint", "chunks", "consent", "form", "format", "receipt", "records", "signature"}
_REDACTED = _FULL - {"answer", "receipt", "signature"}
_ENTRY = {"leaf", "opened", "proof"}
_PLACE = {"chunk", "path", "position", "size"}
_RECORD = {"full": _PLACE | {"digests", "header", "opened"}, "redacted": _PLACE | {"commitment"}}


class EvidenceRefused(ProofFailed):
    """Evidence that does not hold. `step` is the number of the step that broke."""

    def __init__(self, step: int, what: str) -> None:
        """Name the step and what was expected of it."""
        super().__init__(f"step {step}: {what}")
        self.step = step


@dataclass(slots=True)
class Verdict:
    """What was shown, step by step, and what no evidence of this form shows."""

    form: str
    shown: list[tuple[int, str]] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=lambda: list(NOT_SHOWN))


@dataclass(frozen=True, slots=True)
class _Entry:
    leaf: bytes
    event: str
    at: str
    opened: Mapping[str, Any]
    index: int


def verify(raw: bytes, policy: TrustPolicy) -> Verdict:
    """Check evidence and say what it shows.

    Raises:
        EvidenceRefused: it does not hold; the message names the step that broke.
    """
    evidence = _step(1, _form, raw)
    verdict = Verdict(evidence["form"])
    say = verdict.shown.append
    say((1, f"a {verdict.form} evidence file, complete and in canonical bytes"))

    point, whole = _step(2, _checkpoint, evidence["checkpoint"], policy)
    if not whole:
        verdict.not_shown.append("the checkpoint's SM2 signature: this machine has no libcrypto 3 to check it with")
    say((2, f"the log {point.origin} signed a tree of {point.size} entries, root {point.root.hex()[:16]}…"))

    sources = [evidence["access"], evidence["consent"], *evidence["chunks"]]
    indexes = [_step(3, _included, source, evidence["checkpoint"], point) for source in sources]
    say((3, f"{len(sources)} entries are in that tree: access at {indexes[0]}, consent at {indexes[1]}"))

    entries = [_step(4, _opened, source, index) for source, index in zip(sources, indexes, strict=True)]
    access, consent, chunks = entries[0], entries[1], entries[2:]
    say((4, "what is opened of these entries is what the log committed to"))

    _step(5, _order, access, consent)
    say((5, f"the access was permitted at {access.at}, after the consent was recorded at {consent.at}"))

    _step(6, _records, evidence["records"], chunks, access)
    say((6, f"{len(evidence['records'])} source records, exactly those that the access entry names, are in the log"))

    if verdict.form == "redacted":
        verdict.not_shown.insert(
            0, "to whom, on which consent and what was answered: the redacted form carries neither"
        )
        return verdict
    scope = _step(7, _receipt, evidence["receipt"], policy, access, consent)
    say((7, f"the subject's consent for {scope.recipient} and {scope.purpose} covers these items on that day"))
    count = _step(8, _answer, evidence, policy, access)
    say((8, f"the answer is signed, and each of its {count} values opens a source record's commitment"))
    return verdict


def _step(number: int, act: Callable[..., Result], *given: object) -> Result:
    try:
        return act(*given)
    except EvidenceRefused:
        raise
    except RegistryError as error:
        raise EvidenceRefused(number, str(error)) from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceRefused(number, "a part is missing or has another shape") from error


def _need(step: int, holds: bool, what: str) -> None:  # noqa: FBT001  # reads as a sentence: need(step, that, else)
    if not holds:
        raise EvidenceRefused(step, what)


def _bytes(text: str) -> bytes:
    """Read lower-case hexadecimal, in the only way it can be written."""
    raw = bytes.fromhex(text)
    if raw.hex() != text:
        raise ProofFailed("hexadecimal that is not in lower case")
    return raw


def _form(raw: bytes) -> dict[str, Any]:
    try:
        evidence = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise EvidenceRefused(1, "the file is not JSON") from error
    _need(1, isinstance(evidence, dict) and evidence.get("format") == FORMAT, f"the file is not {FORMAT}")
    _need(1, canonical(evidence) == raw.rstrip(b"\n") and raw.count(b"\n") <= 1, "the bytes are not canonical")
    wanted = {"full": _FULL, "redacted": _REDACTED}.get(evidence.get("form", ""))
    _need(1, wanted is not None and set(evidence) == wanted, "a part is missing, or stands beside the known ones")
    for entry in [evidence["access"], evidence["consent"], *evidence["chunks"]]:
        _need(1, set(entry) == _ENTRY, "an entry has other parts than leaf, opened, proof")
    for record in evidence["records"]:
        _need(1, set(record) == _RECORD[evidence["form"]], "a record has other parts than those of the form")
    return dict(evidence)


def _checkpoint(signed: str, policy: TrustPolicy) -> tuple[Checkpoint, bool]:
    """Open the checkpoint; every line under it must be by a key of the policy. Say too whether all could be checked."""
    point = open_checkpoint(signed, policy.log_keys, policy.origin, every_line=True)
    text, lines = note.split(signed)
    written = "".join(f"— {name} {b64(key_id + signature)}\n" for name, key_id, signature in lines)
    _need(2, f"{text}\n{written}" == signed, "the checkpoint is not written in its one form")
    return point, all(key.checkable for key in policy.log_keys)


def _included(source: Mapping[str, Any], signed: str, point: Checkpoint) -> int:
    proof = TlogProof.parse(source["proof"])
    _need(3, proof.text == source["proof"] and proof.extra is None, "a proof is not written in its one form")
    _need(3, proof.checkpoint == signed, "an entry's proof rests on another checkpoint")
    leaf = merkle.leaf_hash(source["leaf"].encode())
    merkle.verify_inclusion(leaf, proof.index, point.size, proof.path, point.root)
    return proof.index


def _opened(source: Mapping[str, Any], index: int) -> _Entry:
    leaf = orjson.loads(source["leaf"])
    values = {}
    for name, opening in source["opened"].items():
        _need(4, set(opening) == {"salt", "value"}, "an opening has other parts than salt and value")
        digest = commitments.commit(_bytes(opening["salt"]), name, opening["value"])
        _need(4, digest.hex() == leaf["fields"].get(name), "an opened field is not what the log committed to")
        values[name] = opening["value"]
    return _Entry(source["leaf"].encode(), leaf["event"], leaf["at"], values, index)


def _order(access: _Entry, consent: _Entry) -> None:
    _need(5, access.event == PERMITTED, "the access entry is not a permit")
    _need(5, consent.event in GIVEN, "the consent entry is not a consent that was given")
    _need(5, consent.index < access.index, "the consent was recorded after the access")


def _records(records: list[Mapping[str, Any]], chunks: list[_Entry], access: _Entry) -> None:
    _need(6, all(chunk.event == RECORDS_EVENT for chunk in chunks), "a chunk's entry is of another kind")
    found, used = [], set()
    for record in records:
        commitment = _bytes(record["commitment"]) if "commitment" in record else _recomputed(record)
        chunk = chunks[record["chunk"]]
        used.add(record["chunk"])
        root = merkle.root_from_path(
            merkle.leaf_hash(commitment), record["position"], record["size"], [_bytes(node) for node in record["path"]]
        )
        _need(6, root.hex() == chunk.opened["records_root"], "a record is not in its chunk")
        _need(6, record["size"] == chunk.opened["records"], "a chunk has another size than its entry says")
        named = record.get("header", chunk.opened)["raw_sha256"]
        _need(6, named == chunk.opened["raw_sha256"], "a record names another raw file than its chunk")
        found.append(commitment.hex())
    _need(6, used == set(range(len(chunks))), "a chunk stands there that no record needs")
    _need(6, found == access.opened["records"], "the records are not those that the access entry names")


def _recomputed(record: Mapping[str, Any]) -> bytes:
    for name, opening in record["opened"].items():
        _need(6, set(opening) == {"salt", "value"}, "an opening has other parts than salt and value")
        digest = commitments.commit(_bytes(opening["salt"]), name, opening["value"])
        _need(6, digest.hex() == record["digests"].get(name), "an opened field is not what the record committed to")
    return commitments.record_commitment(record["header"], record["digests"])


@dataclass(frozen=True, slots=True)
class _Scope:
    recipient: str
    purpose: str


def _receipt(text: str, policy: TrustPolicy, access: _Entry, consent: _Entry) -> _Scope:
    """Check the receipt (ISO/IEC TS 27560 record, by section) against both entries."""
    _, payload = jws.verify(text, policy.receipt_keys, typ=RECEIPT_TYPE)
    digest = sha256(text.encode()).hex()
    asked = access.opened["access"]
    _need(7, digest == consent.opened["receipt_sha256"], "the receipt is not the one that the consent entry names")
    _need(7, digest == asked["receipt_sha256"], "the receipt is not the one that the access entry names")
    document = orjson.loads(payload)
    _need(7, document["header"]["record_id"] == asked["consent_id"], "the receipt is for another consent")
    purpose = document["processing"]["purposes"][0]
    _need(7, purpose["recipient_third_parties"] == [asked["lender"]], "the consent is for another lender")
    _need(7, purpose["purpose"] == asked["purpose"], "the consent is for another purpose")
    items = {
        f"{group['pii_type']}.{name}" for group in document["pii_information"] for name in group["pii_attribute_id"]
    }
    _need(7, set(asked["items"]) <= items, "the access went beyond the items of the consent")
    _need(7, document["events"][0]["event_state"] in GIVEN_STATES, "the receipt is not for a consent that was given")
    since, until = document["events"][0]["validity_duration"].split("/")
    at = datetime.fromisoformat(access.at)
    _need(7, datetime.fromisoformat(since) <= at < datetime.fromisoformat(until), "the consent was not valid then")
    return _Scope(asked["lender"], asked["purpose"])


def _answer(evidence: Mapping[str, Any], policy: TrustPolicy, access: _Entry) -> int:
    answer, asked = evidence["answer"], access.opened["access"]
    jws.verify(evidence["signature"], policy.answer_keys, canonical(answer), typ=ANSWER_TYPE)
    for name in ("query_id", "lender", "purpose", "mode"):
        _need(8, answer[name] == asked[name], f"the answer has another {name} than the access entry")
    _need(8, answer["decided_at"] == access.at, "the answer was decided at another moment than the access entry says")
    _need(8, answer["request"]["sha256"] == asked["request_sha256"], "the answer is to another request")
    permitted, count = set(asked["items"]), 0
    shown = {record["commitment"]: record for record in answer["records"]}
    _need(8, len(shown) == len(answer["records"]) == len(evidence["records"]), "the answer has other records")
    for record, name in zip(evidence["records"], access.opened["records"], strict=True):
        held = shown[name]
        kind = record["header"]["kind"]
        opened = {key: opening["value"] for key, opening in record["opened"].items()}
        _need(8, opened == held["fields"], "a value in the answer does not open its record's commitment")
        _need(8, {f"{kind}.{key}" for key in opened} <= permitted, "the answer shows an item beyond those permitted")
        said = {key: held[key] for key in record["header"] if key in held}
        _need(8, said == {key: record["header"][key] for key in said}, "a label in the answer is not the record's")
        count += len(opened)
    return count

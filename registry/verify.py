"""Check a file of evidence with no database and no network.

Steps (the numbers are used in the code, the tests and docs/trust.md):
  1. the file is evidence in the form it claims, in canonical bytes: nothing missing, nothing beside
  2. the checkpoint is signed by the log that the trust policy names
  3. the entries (access, consent, record chunks) are in the tree of that checkpoint
  4. what is opened of the entries matches the salted commitments in them
  5. the access entry is a permit, and the consent entry is the one that it names: a consent that came before it
  6. each record lies in its chunk, and the access entry names exactly these records; they are of its subject
  7. the consent receipt is signed, is the one that both entries name, is of the subject of both, and covers this
     lender, purpose, items, mode, history and day
  8. the answer is signed, is the one that was permitted, and each value in it opens the record's commitment

Steps 7 and 8 need the full form, and so does what is said of the subject in step 6: the redacted form carries no
receipt and no answer, and opens no subject.

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
from registry.canonical import b64, canonical, unb64url
from registry.checkpoint import Checkpoint, open_checkpoint
from registry.commitments import SALT_BYTES, SUBJECT
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
MODES = ("verify", "tags", "score", "summary", "report", "monitor")  # least data first, as `consent.scope.Mode`
NO_VALUES = frozenset({"verify", "tags"})  # modes whose answers name records and tell no field of them

NOT_SHOWN = (
    "that what the agency wrote is true: only that this is what its file said",
    (
        "that the answer's figures, tags, marks, warnings, labels, remarks and yes or no follow from the records, and"
        " that the claims were so stated: the exchange signs them, and nothing else binds them to the records"
    ),
    (
        "of a report, that it lists every earlier query of this lender, and that its masked name and its days of intake"
        " are right: these too only the exchange signs"
    ),
    (
        "that these are all the records there were, and that none reaches further back than was permitted: the exchange"
        " chose them"
    ),
    "how often the consent had been used before",
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
ACCESS_OPENED = {"full": ("access", "consent_entry", "records", "subject_id"), "redacted": ("consent_entry", "records")}
CONSENT_OPENED = {"full": ("entry_id", "receipt_sha256", "subject_id"), "redacted": ("entry_id",)}
CHUNK_OPENED = ("raw_sha256", "records", "records_root")
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

    point, unchecked = _step(2, _checkpoint, evidence["checkpoint"], policy)
    verdict.not_shown.extend(unchecked)
    say((2, f"the log {point.origin} signed a tree of {point.size} entries, root {point.root.hex()[:16]}…"))

    sources = [evidence["access"], evidence["consent"], *evidence["chunks"]]
    indexes = [_step(3, _included, source, evidence["checkpoint"], point) for source in sources]
    say((3, f"{len(sources)} entries are in that tree: access at {indexes[0]}, consent at {indexes[1]}"))

    entries = [_step(4, _opened, source, index) for source, index in zip(sources, indexes, strict=True)]
    access, consent, chunks = entries[0], entries[1], entries[2:]
    say((4, "what is opened of these entries is what the log committed to"))

    _step(5, _order, access, consent)
    say((5, f"the access was permitted at {access.at}, on the consent that was recorded at {consent.at}"))

    _step(6, _records, evidence["records"], chunks, access)
    say((6, f"{len(evidence['records'])} source records, exactly those that the access entry names, are in the log"))

    if verdict.form == "redacted":
        verdict.not_shown.insert(
            0, "to whom, about whom, for what and what was answered: the redacted form opens none of it"
        )
        verdict.not_shown.insert(1, "that consent, access and records are of one person: only the full form opens that")
        return verdict
    scope = _step(7, _receipt, evidence["receipt"], policy, access, consent)
    say((7, f"the subject's own consent for {scope.recipient} and {scope.purpose} covers what was permitted that day"))
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
    _need(1, canonical(evidence) + b"\n" == raw, "the bytes are not canonical, with one newline at their end")
    wanted = {"full": _FULL, "redacted": _REDACTED}.get(evidence.get("form", ""))
    _need(1, wanted is not None and set(evidence) == wanted, "a part is missing, or stands beside the known ones")
    form = evidence["form"]
    expected = [ACCESS_OPENED[form], CONSENT_OPENED[form], *[CHUNK_OPENED] * len(evidence["chunks"])]
    for entry, names in zip([evidence["access"], evidence["consent"], *evidence["chunks"]], expected, strict=True):
        _need(1, set(entry) == _ENTRY, "an entry has other parts than leaf, opened, proof")
        _need(1, set(entry["opened"]) == set(names), "an entry opens other fields than those of the form")
    for record in evidence["records"]:
        _need(1, set(record) == _RECORD[form], "a record has other parts than those of the form")
        whole = all(type(record[name]) is int for name in ("chunk", "position", "size"))
        _need(1, whole, "a record's place is not in whole numbers")  # JSON's true is no 1
    return dict(evidence)


def _checkpoint(signed: str, policy: TrustPolicy) -> tuple[Checkpoint, list[str]]:
    """Open the checkpoint; every line under it must be by a key of the policy. Say too what could not be checked.

    The log signs with one key of each kind, Ed25519 first. Which keys of the policy are retired it does not say, so
    that a missing SM2 line can be told, and not refused: it may be older than the log's SM2 key.
    """
    point = open_checkpoint(signed, policy.log_keys, policy.origin, every_line=True)
    text, lines = note.split(signed)
    written = "".join(f"— {name} {b64(key_id + signature)}\n" for name, key_id, signature in lines)
    _need(2, f"{text}\n{written}" == signed, "the checkpoint is not written in its one form")
    keys = {key.key_id: key for key in policy.log_keys}
    signers = [keys[key_id].algorithm for _, key_id, _ in lines]
    named = sorted({key.algorithm for key in policy.log_keys})
    _need(2, signers == sorted(set(signers)), "a kind of key signed the checkpoint twice, or the lines change places")
    _need(2, signers[0] == named[0], f"the log's {named[0]} key did not sign the checkpoint")
    unchecked = []
    if signers != named:
        unchecked.append("an SM2 signature of the checkpoint: it has none, although the log has an SM2 key")
    elif not all(keys[key_id].checkable for _, key_id, _ in lines):
        unchecked.append("the checkpoint's SM2 signature: this machine has no libcrypto 3 to check it with")
    return point, unchecked


def _included(source: Mapping[str, Any], signed: str, point: Checkpoint) -> int:
    proof = TlogProof.parse(source["proof"])
    _need(3, proof.text == source["proof"] and proof.extra is None, "a proof is not written in its one form")
    _need(3, proof.checkpoint == signed, "an entry's proof rests on another checkpoint")
    leaf = merkle.leaf_hash(source["leaf"].encode())
    merkle.verify_inclusion(leaf, proof.index, point.size, proof.path, point.root)
    return proof.index


def _opened(source: Mapping[str, Any], index: int) -> _Entry:
    leaf = orjson.loads(source["leaf"])
    values = _values(4, source["opened"], leaf["fields"])
    return _Entry(source["leaf"].encode(), leaf["event"], leaf["at"], values, index)


def _values(step: int, openings: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, Any]:
    """Give what is opened by name; each opening must lead to the digest of its name."""
    values = {}
    for name, opening in openings.items():
        _need(step, set(opening) == {"salt", "value"}, "an opening has other parts than salt and value")
        salt = _bytes(opening["salt"])
        _need(step, len(salt) == SALT_BYTES, f"a salt is not {SALT_BYTES} bytes long")
        digest = commitments.commit(salt, name, opening["value"])
        _need(step, digest.hex() == digests.get(name), "an opened field is not what was committed to")
        values[name] = opening["value"]
    return values


def _order(access: _Entry, consent: _Entry) -> None:
    _need(5, access.event == PERMITTED, "the access entry is not a permit")
    _need(5, consent.event in GIVEN, "the consent entry is not a consent that was given")
    _need(5, consent.index < access.index, "the consent was recorded after the access")
    _need(5, consent.opened["entry_id"] == access.opened["consent_entry"], "the access names another consent entry")


def _records(records: list[Mapping[str, Any]], chunks: list[_Entry], access: _Entry) -> None:
    _need(6, all(chunk.event == RECORDS_EVENT for chunk in chunks), "a chunk's entry is of another kind")
    _need(6, len({chunk.index for chunk in chunks}) == len(chunks), "a chunk stands there twice")
    used = list(dict.fromkeys(record["chunk"] for record in records))
    _need(6, used == list(range(len(chunks))), "chunks that no record needs, or not in the order of the records")
    found = []
    for record in records:
        commitment = _bytes(record["commitment"]) if "commitment" in record else _recomputed(record, access)
        chunk = chunks[record["chunk"]]
        root = merkle.root_from_path(
            merkle.leaf_hash(commitment), record["position"], record["size"], [_bytes(node) for node in record["path"]]
        )
        _need(6, root.hex() == chunk.opened["records_root"], "a record is not in its chunk")
        _need(6, record["size"] == chunk.opened["records"], "a chunk has another size than its entry says")
        named = record.get("header", chunk.opened)["raw_sha256"]
        _need(6, named == chunk.opened["raw_sha256"], "a record names another raw file than its chunk")
        found.append(commitment.hex())
    _need(6, found == access.opened["records"], "the records are not those that the access entry names")


def _recomputed(record: Mapping[str, Any], access: _Entry) -> bytes:
    values = _values(6, record["opened"], record["digests"])
    _need(6, values.get(SUBJECT) == access.opened["subject_id"], "a record is of another subject than the access")
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
    person = document["header"]["pii_principal_id"]
    _need(7, person == consent.opened["subject_id"], "the receipt is of another subject than the consent entry")
    _need(7, person == access.opened["subject_id"], "the receipt is of another subject than the access")
    (purpose,) = document["processing"]["purposes"]
    _need(7, purpose["recipient_third_parties"] == [asked["lender"]], "the consent is for another lender")
    _need(7, purpose["purpose"] == asked["purpose"], "the consent is for another purpose")
    _within(purpose["limits"], asked)
    items = {
        f"{group['pii_type']}.{name}" for group in document["pii_information"] for name in group["pii_attribute_id"]
    }
    _need(7, set(asked["items"]) <= items, "the access went beyond the items of the consent")
    _need(7, document["events"][0]["event_state"] in GIVEN_STATES, "the receipt is not for a consent that was given")
    since, until = document["events"][0]["validity_duration"].split("/")
    at = datetime.fromisoformat(access.at)
    _need(7, datetime.fromisoformat(since) <= at < datetime.fromisoformat(until), "the consent was not valid then")
    return _Scope(asked["lender"], asked["purpose"])


def _within(limits: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Step 7: what was permitted lies within what the subject limited the consent to."""
    _need(
        7,
        MODES.index(asked["mode"]) <= MODES.index(limits["highest_mode"]),
        "the consent is for a lower mode of answer",
    )
    _need(7, asked["history_months"] <= limits["history_months"], "the access reached further back than the consent")
    acknowledged = limits["adverse_consequences_acknowledged"] is True or asked["w_acknowledged"] is False
    _need(7, acknowledged, "the subject acknowledged no adverse consequences, but the access says so")


def _answer(evidence: Mapping[str, Any], policy: TrustPolicy, access: _Entry) -> int:
    answer, asked = evidence["answer"], access.opened["access"]
    jws.verify(evidence["signature"], policy.answer_keys, canonical(answer), typ=ANSWER_TYPE)
    for name in ("query_id", "lender", "purpose", "mode", "business_no", "consent_id"):
        _need(8, answer[name] == asked[name], f"the answer has another {name} than the access entry")
    _need(8, answer["decided_at"] == access.at, "the answer was decided at another moment than the access entry says")
    _need(8, answer["request"]["sha256"] == asked["request_sha256"], "the answer is to another request")
    permitted, count = set(asked["items"]), 0
    _need(8, set(answer["items"]) == permitted, "the answer speaks of other items than those permitted")
    _claims(answer, asked)
    _derived(answer, asked, evidence["records"], access.opened["records"])
    shown = {record["commitment"]: record for record in answer["records"]}
    _need(8, len(shown) == len(answer["records"]) == len(evidence["records"]), "the answer has other records")
    for record, name in zip(evidence["records"], access.opened["records"], strict=True):
        held = shown[name]
        if asked["mode"] in NO_VALUES:
            told = held.keys() == {"commitment"} and record["opened"].keys() <= {SUBJECT}
            _need(8, told, f"an answer in mode {asked['mode']} tells something of a record")
            continue
        kind = record["header"]["kind"]
        opened = {key: opening["value"] for key, opening in record["opened"].items() if key != SUBJECT}
        same = canonical(opened) == canonical(held["fields"])  # of one type too: JSON's true is no 1
        _need(8, same, "a value in the answer does not open its record's commitment")
        _need(8, {f"{kind}.{key}" for key in opened} <= permitted, "the answer shows an item beyond those permitted")
        said = {key: held.get(key) for key in record["header"]}
        _need(8, canonical(said) == canonical(record["header"]), "a label in the answer is not the record's")
        count += len(opened)
    return count


def _claims(answer: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Step 8: the claims are those that were permitted; their digest is salted as the request's is."""
    stated = answer.get("claims", [])
    _need(8, (asked["mode"] == MODES[0]) is ("claims" in answer), "claims are answered in mode verify, and only there")
    _need(
        8, {claim["item"] for claim in stated} <= set(asked["items"]), "a claim is about an item beyond those permitted"
    )
    salt = unb64url(answer["request"]["salt"])
    _need(8, len(salt) == SALT_BYTES, f"the request's salt is not {SALT_BYTES} bytes long")
    written = canonical([[claim["item"], claim["relation"], claim["value"]] for claim in stated])
    digest = sha256(b"qq-claims\x00" + salt + written).hex() if stated else None
    _need(8, digest == asked["claims_sha256"], "the answer is to other claims than the access entry says")


def _derived(
    answer: Mapping[str, Any], asked: Mapping[str, Any], records: list[Mapping[str, Any]], names: list[str]
) -> None:
    """Step 8: tags and the lines of a report rest on records and items that were permitted, and on no others."""
    mode, permitted = asked["mode"], set(asked["items"])
    headers = {name: record["header"] for name, record in zip(names, records, strict=True)}
    _need(8, ("tags" in answer) is (mode == "tags"), "tags stand in an answer of another mode, or are missing")
    in_report = ("report" in answer) is ("sections" in answer) is (mode == "report")
    _need(8, in_report, "a report stands in an answer of another mode, or is missing")
    tags = [*answer.get("tags", [])]
    if mode == "report":
        staff = answer["report"]["staff"]
        said = None if staff is None else [staff["user_id"], staff["department"]]
        _need(8, said == asked["staff"], "the report names other staff than the access entry")
        _need(8, answer["report"]["number"] == asked["query_id"], "the report has another number than its query")
        reach = answer["report"]["history_months"] == asked["history_months"]
        _need(8, reach, "the report says that it reaches back otherwise than the access entry")
        for section in answer["sections"]:
            tags += section.get("tags", [])
            _section(section, answer, headers)
    for tag in tags:
        kinds = {item.partition(".")[0] for item in tag["items"]}
        _need(8, set(tag["items"]) <= permitted, "a tag rests on an item beyond those permitted")
        rests = all(headers[name]["kind"] in kinds for name in tag["rests_on"] if name in headers)
        _need(8, rests and set(tag["rests_on"]) <= headers.keys(), "a tag rests on a record that was not permitted")


def _section(section: Mapping[str, Any], answer: Mapping[str, Any], headers: Mapping[str, Mapping[str, Any]]) -> None:
    """Step 8: a section names records of the answer, fields that it gives, and where they come from."""
    fields = {record["commitment"]: record["fields"] for record in answer["records"]}
    for entry in section.get("entries", []):
        held = fields.get(entry["record"], {})
        given = {f"{entry['kind']}.{name}" for name, value in held.items() if value is not None}
        _need(8, set(entry["items"]) <= given, "a section shows what the answer's records do not give")
        _need(8, headers[entry["record"]]["kind"] == entry["kind"], "a section names a record by another kind")
    for one in section.get("provenance", []):
        header = headers[one["record"]]
        same = {
            "kind": header["kind"],
            "provider": header["publisher"],
            "source": header["source"],
            "business_date": header["as_of"],
            "quality": header["quality"],
            "catalogue": header["catalogue"],
        }
        told = {name: one[name] for name in same}
        _need(8, told == same, "a record has another provenance than its own")

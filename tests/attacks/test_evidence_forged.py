"""Evidence that a dishonest operator, or a lender with a text editor, would like to pass off; and tables changed.

An operator has the database, the keys and this program. What is forged here is therefore signed and logged as usual:
the lie lies in what the rows said, and only what the subject's receipt and the log's commitments bind can show it.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest

from consent.scope import Mode
from exchange import audit, evidence
from exchange.home import Home
from exchange.jobs import sequence_log
from exchange.release import AskAgain, Permitted, recording, release
from registry import jws, log, store
from registry.canonical import canonical
from registry.errors import KeyMissing, ProofFailed, SealBroken
from registry.keyring import Purpose
from registry.profile import Claim
from registry.tiles import TlogProof
from registry.trust import TrustPolicy
from registry.verify import ANSWER_TYPE, MODES, NOT_SHOWN, EvidenceRefused, Verdict, verify
from tests.people import LI, ZHANG, caller, consented, held, question, sequenced

CLAIMS = (Claim("RATING.score", "at_least", 80),)


def change(home: Home, statement: str, *values: object) -> None:
    """Reach into the main database."""
    with home.database.transaction() as tx:
        tx.execute(statement, values)


def proof_of(home: Home, **asked: object) -> tuple[bytes, bytes]:
    """Full and redacted evidence of an answer, asked for, signed and logged in the ordinary way."""
    (first,) = release(home, [question(ZHANG, **asked)])
    assert isinstance(first, Permitted), first
    (again,) = release(home, [AskAgain(caller(), first.query_id)])
    assert isinstance(again, Permitted), again
    sequenced(home)
    full, redacted = evidence.full(home, again), evidence.redacted(home, again.query_id, "bank")
    assert full is not None
    assert redacted is not None
    return full, redacted


def refused(raw: bytes, policy: TrustPolicy) -> str:
    """Why evidence is refused; the step and the reason."""
    with pytest.raises(EvidenceRefused) as error:
        verify(raw, policy)
    return str(error.value)


def bent(raw: bytes, act: Callable[[dict[str, Any]], object]) -> bytes:
    """The same evidence with something done to it, in canonical bytes again."""
    parts = orjson.loads(raw)
    act(parts)
    return canonical(parts) + b"\n"


def resigned(home: Home, raw: bytes, act: Callable[[dict[str, Any]], object]) -> bytes:
    """The same evidence with another answer, which the exchange signs."""
    key = home.keyring.signing(Purpose.ANSWER)

    def again(parts: dict[str, Any]) -> None:
        act(parts["answer"])
        parts["signature"] = jws.sign_detached(key, key.key_id, canonical(parts["answer"]), ANSWER_TYPE)

    return bent(raw, again)


# ---- consent and records are the subject's ---------------------------------------------------------------------------


def test_another_persons_consent_does_not_cover_an_answer(exchange_home: Home) -> None:
    given = consented(exchange_home, LI)
    subject_id = held(exchange_home)
    change(exchange_home, "UPDATE consent SET subject_id = %s WHERE consent_id = %s", subject_id, given.consent_id)
    full, _ = proof_of(exchange_home)
    assert refused(full, exchange_home.keyring.policy()).startswith("step 7: the receipt is of another subject")


def test_another_persons_records_are_not_the_subjects(exchange_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    consented(exchange_home)
    held(exchange_home)
    other = held(exchange_home, LI)
    visible, find = store.visible, recording._find_records  # the operator's own program

    def strangers(tx: Any, wanted: Any) -> Any:
        return visible(tx, {(other, kind) for _, kind in wanted})

    def swapped(tx: Any, cases: Any, now: Any) -> None:
        own = {id(case): case.subject_id for case in cases}
        for case in cases:
            case.subject_id = other if case.versions is None else case.subject_id
        find(tx, cases, now)
        for case in cases:
            case.subject_id = own[id(case)]

    monkeypatch.setattr(store, "visible", strangers)
    monkeypatch.setattr(recording, "_find_records", swapped)
    (first,) = release(exchange_home, [question()])
    assert isinstance(first, Permitted)
    assert first.opened
    monkeypatch.undo()
    change(exchange_home, "UPDATE query SET subject_id = %s", other)  # so that the versions are found again
    change(exchange_home, "UPDATE consent SET subject_id = %s", other)
    (again,) = release(exchange_home, [AskAgain(caller(), first.query_id)])
    assert isinstance(again, Permitted)
    sequenced(exchange_home)
    full = evidence.full(exchange_home, again)
    assert full is not None
    assert refused(full, exchange_home.keyring.policy()) == ("step 6: a record is of another subject than the access")


@pytest.mark.parametrize("part", ["access", "consent"])
def test_the_subject_cannot_be_left_closed(exchange_home: Home, part: str) -> None:
    consented(exchange_home)
    held(exchange_home)
    full, _ = proof_of(exchange_home)
    closed = bent(full, lambda parts: parts[part]["opened"].pop("subject_id"))
    assert refused(closed, exchange_home.keyring.policy()).startswith("step 1:")


@pytest.mark.parametrize(
    ("opened", "step"),
    [
        (lambda parts: parts["access"]["opened"]["subject_id"], 4),
        (lambda parts: parts["consent"]["opened"]["subject_id"], 4),
        (lambda parts: parts["access"]["opened"]["consent_entry"], 4),
        (lambda parts: parts["consent"]["opened"]["entry_id"], 4),
        (lambda parts: parts["records"][0]["opened"]["subject"], 6),
    ],
)
def test_no_other_id_can_be_stated(
    exchange_home: Home, opened: Callable[[dict[str, Any]], dict[str, str]], step: int
) -> None:
    consented(exchange_home)
    held(exchange_home)
    full, _ = proof_of(exchange_home)
    forged = bent(full, lambda parts: opened(parts).update(value=str(UUID(int=1))))
    assert refused(forged, exchange_home.keyring.policy()).startswith(f"step {step}:")


def test_a_records_subject_cannot_be_left_closed(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    full, _ = proof_of(exchange_home)
    closed = bent(full, lambda parts: parts["records"][0]["opened"].pop("subject"))
    assert refused(closed, exchange_home.keyring.policy()).startswith("step 6:")


# ---- the receipt's limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE consent SET mode = 'summary'", "lower mode"),
        ("UPDATE consent SET history_months = history_months + 1", "further back"),
        ("UPDATE consent SET w_acknowledged = true", "adverse consequences"),
    ],
)
def test_what_the_subject_limited_cannot_be_widened_in_the_database(
    exchange_home: Home, statement: str, why: str
) -> None:
    consented(exchange_home, items=("RATING.grade",), mode=Mode.VERIFY, history_months=6, w_acknowledged=False)
    held(exchange_home)
    asked: dict[str, object] = {"items": frozenset({"RATING.grade"})}
    if "mode" not in statement:
        asked |= {"mode": Mode.VERIFY, "claims": (Claim("RATING.grade", "equals", "AA"),)}
    change(exchange_home, statement)
    full, _ = proof_of(exchange_home, **asked)
    reason = refused(full, exchange_home.keyring.policy())
    assert reason.startswith("step 7:")
    assert why in reason


def test_the_modes_are_those_of_consents_in_their_order() -> None:
    assert list(MODES) == [mode.value for mode in Mode]


# ---- which consent, in both forms -----------------------------------------------------------------------------------


def test_another_consents_entry_does_not_stand_in_even_redacted(exchange_home: Home) -> None:
    first, second = consented(exchange_home), consented(exchange_home, LI)
    held(exchange_home)
    _, redacted = proof_of(exchange_home)
    verify(redacted, exchange_home.keyring.policy())
    with exchange_home.database.transaction() as tx:
        proof = log.proofs(tx, [second.receipt_entry])[second.receipt_entry]
        opening = log.openings(tx, [second.receipt_entry])[second.receipt_entry]
    stand_in = {
        "leaf": proof.leaf.decode(),
        "opened": {"entry_id": opening.of("entry_id")},
        "proof": proof.tlog_proof,
    }
    forged = bent(redacted, lambda parts: parts.update(consent=stand_in))
    assert refused(forged, exchange_home.keyring.policy()) == "step 5: the access names another consent entry"
    for told in (first.consent_id, str(first.terms.subject_id), first.terms.scope.recipient):
        assert told.encode() not in redacted


# ---- what the seal binds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "column",
    ["remark = '已核实'", "valid_from = valid_from + 1", "valid_to = '2030-01-01'", "basis = 'statute:none'"],
)
def test_what_is_said_beside_a_record_cannot_be_changed(exchange_home: Home, column: str) -> None:
    consented(exchange_home)
    held(exchange_home)
    change(exchange_home, f"UPDATE record SET {column}")  # of this file
    (outcome,) = release(exchange_home, [question()])
    assert isinstance(outcome, SealBroken)


# ---- the answer is the one that was permitted -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda answer: answer.update(business_no="LA-2"), "business_no"),
        (lambda answer: answer.update(consent_id="another"), "consent_id"),
        (lambda answer: answer["items"].pop(next(iter(answer["items"]))), "other items"),
        (lambda answer: answer["items"].update({"SUBSIDY.more": {}}), "other items"),
        (lambda answer: answer["records"][0].update(publisher="某局"), "tells something of a record"),
        (lambda answer: answer["claims"][0].update(value=60), "other claims"),
        (lambda answer: answer["claims"].pop(), "other claims"),
        (lambda answer: answer.pop("claims"), "claims are answered in mode verify"),
    ],
)
def test_another_answer_is_refused_though_the_exchange_signs_it(
    exchange_home: Home, act: Callable[[dict[str, Any]], object], why: str
) -> None:
    consented(exchange_home)
    held(exchange_home)
    asked = {"mode": Mode.VERIFY, "items": frozenset({"RATING.score", "RATING.grade"}), "claims": CLAIMS}
    full, _ = proof_of(exchange_home, **asked)
    assert len(verify(full, exchange_home.keyring.policy()).shown) == 8
    reason = refused(resigned(exchange_home, full, act), exchange_home.keyring.policy())
    assert reason.startswith("step 8:")
    assert why in reason


@pytest.mark.parametrize("act", [lambda record: record.pop("publisher"), lambda record: record.update(quality="A")])
def test_a_label_that_is_not_the_records_is_refused(
    exchange_home: Home, act: Callable[[dict[str, Any]], object]
) -> None:
    consented(exchange_home)
    held(exchange_home)
    full, _ = proof_of(exchange_home)
    forged = resigned(exchange_home, full, lambda answer: act(answer["records"][0]))
    assert refused(forged, exchange_home.keyring.policy()).startswith("step 8: a label in the answer")


def test_what_is_only_signed_is_said_to_be_only_signed() -> None:
    assert any("figures, tags, marks, warnings, labels, remarks and yes or no" in said for said in NOT_SHOWN)


# ---- one file, one form ----------------------------------------------------------------------------------------------


def _swap_lines(parts: dict[str, Any]) -> None:
    head, first, second, _ = parts["checkpoint"].rsplit("\n", 3)
    _put(parts, f"{head}\n{second}\n{first}\n")


def _double_line(parts: dict[str, Any]) -> None:
    _put(parts, parts["checkpoint"] + parts["checkpoint"].rsplit("\n", 2)[1] + "\n")


def _only_the_second_line(parts: dict[str, Any]) -> None:
    head, _, second, _ = parts["checkpoint"].rsplit("\n", 3)
    _put(parts, f"{head}\n{second}\n")


def _drop_second_line(parts: dict[str, Any]) -> None:
    _put(parts, parts["checkpoint"].rsplit("\n", 2)[0] + "\n")


def _put(parts: dict[str, Any], checkpoint: str) -> None:
    parts["checkpoint"] = checkpoint
    for entry in (parts["access"], parts["consent"], *parts["chunks"]):
        proof = TlogProof.parse(entry["proof"])
        entry["proof"] = TlogProof(proof.index, proof.path, checkpoint).text


def _true_for_one(parts: dict[str, Any]) -> None:
    record = next(record for record in parts["records"] if record["position"] in (0, 1))
    record["position"] = bool(record["position"])


def _long_salt(parts: dict[str, Any]) -> None:
    parts["consent"]["opened"]["entry_id"]["salt"] += "00"


def _chunk_twice(parts: dict[str, Any]) -> None:
    parts["chunks"].append(parts["chunks"][0])
    parts["records"][1]["chunk"] = 1


@pytest.mark.parametrize(
    ("act", "step"),
    [
        (_swap_lines, 2),
        (_double_line, 2),
        (_only_the_second_line, 2),
        (_true_for_one, 1),
        (_long_salt, 4),
        (_chunk_twice, 6),
    ],
)
def test_evidence_cannot_be_written_in_another_way(
    exchange_home: Home, act: Callable[[dict[str, Any]], object], step: int
) -> None:
    consented(exchange_home)
    held(exchange_home)
    for raw in proof_of(exchange_home):
        assert refused(bent(raw, act), exchange_home.keyring.policy()).startswith(f"step {step}:")
        assert refused(raw.rstrip(b"\n"), exchange_home.keyring.policy()).startswith("step 1:")


def test_a_missing_sm2_line_is_told(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    full, _ = proof_of(exchange_home)

    def said(verdict: Verdict) -> bool:
        return any("it has none" in each for each in verdict.not_shown)

    policy = exchange_home.keyring.policy()
    assert not said(verify(full, policy))
    assert said(verify(bent(full, _drop_second_line), policy))


# ---- the trail ------------------------------------------------------------------------------------------------------


def trail(home: Home) -> dict[str, bool | None]:
    """By event: whether the trail says that what it shows is what the log signed."""
    with home.database.transaction() as tx:
        page = audit.read(tx, audit.Filters(), limit=100, policy=home.keyring.policy())
    return {event["event"]: event["proven"] for event in page.events}


def test_an_altered_entry_is_shown_as_altered(exchange_home: Home) -> None:
    consented(exchange_home)
    held(exchange_home)
    release(exchange_home, [question()])
    assert set(trail(exchange_home).values()) == {None}
    sequenced(exchange_home)
    assert set(trail(exchange_home).values()) == {True}
    altered = """UPDATE log_entry SET fields = jsonb_set(fields, '{access,lender}', '"别的银行"') WHERE event = %s"""
    change(exchange_home, altered, "release:query:permitted")
    found = trail(exchange_home)
    assert found.pop("release:query:permitted") is False
    assert set(found.values()) == {True}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_entry SET subject_id = gen_random_uuid()",
        "UPDATE log_entry SET at = at + interval '1 microsecond'",
        "UPDATE log_entry SET actor = 'somebody'",
        "UPDATE log_entry SET fields = fields || '{\"rate\": 0.5}'",
        "UPDATE log_position SET leaf_index = leaf_index + 1000",
        "DELETE FROM log_position",
        "UPDATE log_tile SET data = decode(repeat('ab', length(data)), 'hex') WHERE level = 0",
        "DELETE FROM log_tile WHERE level = 0",
        "UPDATE log_checkpoint SET note = replace(note, '\n3\n', '\n4\n')",
    ],
)
def test_whatever_is_changed_behind_the_trail_shows(exchange_home: Home, statement: str) -> None:
    consented(exchange_home)
    held(exchange_home)
    release(exchange_home, [question()])
    sequenced(exchange_home)
    change(exchange_home, statement)
    assert set(trail(exchange_home).values()) == {False}


def test_a_row_that_was_slipped_into_the_trail_shows(exchange_home: Home) -> None:
    consented(exchange_home)
    sequenced(exchange_home)
    copied = (
        "INSERT INTO log_entry (entry_id, event, at, actor, fields, seed)"
        " SELECT gen_random_uuid(), 'audit:trail:read', at, actor, fields, seed FROM log_entry"
    )
    change(exchange_home, copied)
    assert trail(exchange_home)["audit:trail:read"] is False


# ---- the sequencer ---------------------------------------------------------------------------------------------------


def test_an_emptied_log_is_never_signed_anew(exchange_home: Home) -> None:
    consented(exchange_home)
    sequence_log(exchange_home)
    change(exchange_home, "TRUNCATE log_tile, log_position, log_checkpoint")
    consented(exchange_home, LI)
    consented(exchange_home, LI)
    with pytest.raises(ProofFailed, match="were signed"):
        sequence_log(exchange_home)
    with exchange_home.database.transaction() as tx:
        assert log.latest_checkpoint(tx) is None
        assert tx.execute("SELECT count(*) FROM log_queue").fetchone() == (2,)


def test_another_log_of_the_same_length_is_never_signed(exchange_home: Home) -> None:
    consented(exchange_home)
    sequence_log(exchange_home)
    change(exchange_home, "TRUNCATE log_tile, log_position, log_checkpoint")
    consented(exchange_home, LI)
    sequenced(exchange_home)  # somebody who has the keys and does not ask the file
    consented(exchange_home, LI)
    with pytest.raises(ProofFailed, match="does not begin"):
        sequence_log(exchange_home)


def test_a_restored_older_copy_of_the_log_is_never_signed(exchange_home: Home) -> None:
    consented(exchange_home)
    sequence_log(exchange_home)
    for table in ("log_tile", "log_position", "log_checkpoint"):
        change(exchange_home, f"CREATE TABLE kept_{table} AS TABLE {table}")
    consented(exchange_home, LI)
    sequence_log(exchange_home)
    for table in ("log_tile", "log_position", "log_checkpoint"):
        change(exchange_home, f"TRUNCATE {table}")
        change(exchange_home, f"INSERT INTO {table} SELECT * FROM kept_{table}")  # of this file
    consented(exchange_home)
    with pytest.raises(ProofFailed, match="were signed"):
        sequence_log(exchange_home)


def test_the_memory_of_what_was_signed_is_private_and_must_be_readable(exchange_home: Home) -> None:
    consented(exchange_home)
    sequence_log(exchange_home)
    path = exchange_home.settings.home / "keys" / log.SIGNED_FILE
    with exchange_home.database.transaction() as tx:
        signed = log.latest_checkpoint(tx)
    assert signed is not None
    assert orjson.loads(path.read_bytes()) == {"root": signed.root.hex(), "size": signed.size}
    path.write_bytes(b"{}")
    with pytest.raises(ProofFailed, match="cannot be read"):
        sequence_log(exchange_home)
    path.chmod(0o644)
    with pytest.raises(KeyMissing):
        sequence_log(exchange_home)


def test_a_memory_that_is_ahead_of_the_last_checkpoint_lets_the_same_tree_be_signed(exchange_home: Home) -> None:
    consented(exchange_home)
    sequence_log(exchange_home)
    change(exchange_home, "DELETE FROM log_checkpoint")  # as if killed between the file and the commit
    sequence_log(exchange_home)
    with exchange_home.database.transaction() as tx:
        assert log.latest_checkpoint(tx) is not None

"""Any changed byte of evidence is caught, and the step that broke is named."""

import random
from collections.abc import Sequence

import orjson
import pytest

from exchange import evidence
from exchange.home import Home
from exchange.release import AskAgain, Permitted, release
from registry import clock, merkle
from registry.canonical import canonical
from registry.errors import RegistryError
from registry.keyring import Keyring
from registry.verify import EvidenceRefused, verify
from tests.people import caller, consented, held, question, sequenced

SAMPLED = 500  # positions out of some thousands, each with two flips


def built(home: Home) -> tuple[bytes, bytes]:
    """Full and redacted evidence of one answer."""
    consented(home)
    held(home)
    (first,) = release(home, [question()])
    assert isinstance(first, Permitted)
    sequenced(home)
    (outcome,) = release(home, [AskAgain(caller(), first.query_id)])
    assert isinstance(outcome, Permitted)
    full, redacted = evidence.full(home, outcome), evidence.redacted(home, outcome.query_id, "bank")
    assert full is not None
    assert redacted is not None
    return full, redacted


def test_no_byte_can_be_changed(exchange_home: Home) -> None:
    policy = exchange_home.keyring.policy()
    for raw in built(exchange_home):
        verify(raw, policy)
        chosen = random.Random(7)  # which bytes to try, nothing secret
        for position in sorted(chosen.sample(range(len(raw)), min(SAMPLED, len(raw)))):
            for flip in (0x01, 0x20):
                changed = raw[:position] + bytes([raw[position] ^ flip]) + raw[position + 1 :]
                with pytest.raises(EvidenceRefused, match=r"step [1-8]:"):
                    verify(changed, policy)


def test_a_chunk_is_hashed_once_however_many_of_its_records_are_shown(
    exchange_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = list[int]()
    over = merkle.Levels.over

    def counted(hashes: Sequence[bytes]) -> merkle.Levels:
        hashed.append(len(hashes))
        return over(hashes)

    monkeypatch.setattr(merkle.Levels, "over", counted)
    full, redacted = built(exchange_home)
    assert hashed == [2, 2]  # once for each file
    for raw in (full, redacted):
        assert [record["chunk"] for record in orjson.loads(raw)["records"]] == [0, 0]


def rewritten(raw: bytes, change: str) -> bytes:
    """The same evidence with one part exchanged, in canonical bytes again."""
    parts = orjson.loads(raw)
    match change:
        case "value":
            record = next(r for r in parts["records"] if "amount_due" in r["opened"])
            record["opened"]["amount_due"]["value"] += 1
        case "answer value":
            shown = next(r for r in parts["answer"]["records"] if "amount_due" in r["fields"])
            shown["fields"]["amount_due"] += 1
        case "answer lender":
            parts["answer"]["lender"] = "别的银行"
        case "record left out":
            parts["records"].pop()
        case "receipt":
            head, _, signature = parts["receipt"].split(".")
            parts["receipt"] = f"{head}.{head}.{signature}"
        case "event":
            parts["access"]["leaf"] = parts["access"]["leaf"].replace("permitted", "refused")
        case "checkpoint":
            parts["checkpoint"] = parts["checkpoint"].replace("\n3\n", "\n4\n").replace("\n4\n", "\n5\n", 1)
        case "opening":
            parts["access"]["opened"]["access"]["value"]["purpose"] = "POST_LOAN"
        case "beside":
            parts["beside"] = 1
    return canonical(parts) + b"\n"


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ("beside", 1),
        ("checkpoint", 2),
        ("event", 3),
        ("opening", 4),
        ("value", 6),
        ("record left out", 6),
        ("receipt", 7),
        ("answer lender", 8),
        ("answer value", 8),
    ],
)
def test_the_step_that_broke_is_named(exchange_home: Home, change: str, step: int) -> None:
    full, _ = built(exchange_home)
    with pytest.raises(EvidenceRefused) as refused:
        verify(rewritten(full, change), exchange_home.keyring.policy())
    assert refused.value.step == step


def test_keys_of_another_exchange_prove_nothing(exchange_home: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    full, _ = built(exchange_home)
    other = Keyring.create(tmp_path_factory.mktemp("other"), origin=exchange_home.keyring.origin, now=clock.now())
    with pytest.raises(EvidenceRefused, match="step 2"):
        verify(full, other.policy())


def test_what_is_no_evidence_is_refused_at_step_one(exchange_home: Home) -> None:
    for raw in (b"", b"{}", b"[]", b"null", b'{"format":"qingqiao-evidence/v1"}', b"\xff"):
        with pytest.raises(RegistryError, match="step 1"):
            verify(raw, exchange_home.keyring.policy())

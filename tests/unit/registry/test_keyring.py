"""The key ring and the custody of its master key."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import pytest

from registry import custody, keyfiles, keyring
from registry.canonical import b64url
from registry.errors import KeyMissing
from registry.keyring import AnyKey, Keyring, Purpose
from registry.suites import gm, random_bytes, verify_ed25519, verify_es256
from registry.trust import TrustPolicy

NOON = datetime(2026, 6, 15, 4, tzinfo=UTC)
ORIGIN = "log.example/qinghai"
SYMMETRIC = (Purpose.LOOKUP, Purpose.MAC, Purpose.DATA)
SIGNING = (Purpose.LOG, Purpose.RECEIPT, Purpose.ANSWER, Purpose.TOKEN)


@pytest.fixture
def ring(home: Path) -> Keyring:
    return Keyring.create(home, origin=ORIGIN, now=NOON)


def current(ring: Keyring) -> list[AnyKey]:
    return [*map(ring.symmetric, SYMMETRIC), *map(ring.signing, SIGNING)]


def test_what_was_made_is_opened_again(ring: Keyring, home: Path) -> None:
    opened = Keyring.open(home)
    assert opened.origin == ORIGIN
    for purpose in SYMMETRIC:
        assert opened.symmetric(purpose).secret == ring.symmetric(purpose).secret
    for purpose in SIGNING:
        assert opened.signing(purpose).public == ring.signing(purpose).public
    assert opened.trust_policy() == ring.trust_policy()


def test_no_key_serves_two_purposes(ring: Keyring) -> None:
    secrets = [ring.symmetric(purpose).secret for purpose in SYMMETRIC]
    publics = [ring.signing(purpose).public for purpose in SIGNING]
    assert len(set(secrets)) == len(SYMMETRIC)
    assert len(set(publics)) == len(SIGNING)
    with pytest.raises(KeyMissing):
        ring.signing(Purpose.LOOKUP)
    with pytest.raises(KeyMissing):
        ring.symmetric(Purpose.LOG)
    with pytest.raises(KeyMissing):
        ring.symmetric(Purpose.MASTER)


def test_keys_are_found_by_an_id_that_names_purpose_and_day(ring: Keyring) -> None:
    for key in current(ring):
        assert key.key_id.startswith(f"{key.purpose.value}-2026-06-15-")
        assert ring.by_id(key.key_id) is key
    with pytest.raises(KeyMissing):
        ring.by_id("no-such-key")


def test_only_the_owner_can_read_the_keys(ring: Keyring, home: Path) -> None:
    assert ring.origin
    assert (home / "keys").stat().st_mode & 0o777 == 0o700
    for file in (home / "keys").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["master.key", "ring.json"])
def test_keys_that_others_may_have_read_are_refused(ring: Keyring, home: Path, name: str) -> None:
    assert ring.origin
    (home / "keys" / name).chmod(0o640)
    with pytest.raises(KeyMissing, match="read by others"):
        Keyring.open(home)


def test_keys_are_never_overwritten(ring: Keyring, home: Path) -> None:
    with pytest.raises(FileExistsError):
        Keyring.create(home, origin=ORIGIN, now=NOON)
    assert Keyring.open(home).trust_policy() == ring.trust_policy()


def test_no_secret_lies_in_the_ring_in_clear_or_in_a_repr(ring: Keyring, home: Path) -> None:
    file = (home / "keys" / "ring.json").read_text()
    for key in current(ring):
        secret = key.private_bytes()
        for form in (secret.hex(), b64url(secret), repr(secret)):
            assert form not in file
            assert form not in repr(key)
            assert form not in repr(ring)


def test_a_rotated_key_signs_no_more_and_is_still_known(ring: Keyring, home: Path) -> None:
    old = ring.signing(Purpose.ANSWER)
    made = ring.rotate(Purpose.ANSWER, NOON + timedelta(days=90))
    assert ring.signing(Purpose.ANSWER) is made[0]
    assert made[0].key_id.startswith("answer-2026-09-13-")
    opened = Keyring.open(home)
    assert opened.by_id(old.key_id).retired_at == NOON + timedelta(days=90)
    assert set(opened.trust_policy()["answer"]) == {old.key_id, made[0].key_id}


def test_a_rotated_secret_is_still_tried_after_the_new_one(ring: Keyring) -> None:
    old = ring.symmetric(Purpose.LOOKUP)
    new = ring.rotate(Purpose.LOOKUP, NOON + timedelta(days=1))[0]
    assert [key.key_id for key in ring.symmetric_all(Purpose.LOOKUP)] == [new.key_id, old.key_id]


def test_a_key_that_another_process_made_is_found(ring: Keyring, home: Path) -> None:
    other = Keyring.open(home)
    made = other.rotate(Purpose.DATA, NOON)[0]
    assert ring.by_id(made.key_id).key_id == made.key_id


def test_checkpoints_are_signed_with_both_suites_and_receipts_with_one(ring: Keyring) -> None:
    assert [signer.key.algorithm for signer in ring.log_signers()] == ["Ed25519", "SM2"]
    assert len(ring.trust_policy()["log"]["vkeys"]) == 2
    receipt, token = ring.signing(Purpose.RECEIPT), ring.signing(Purpose.TOKEN)
    assert verify_ed25519(receipt.public, receipt.sign(b"x"), b"x")
    assert verify_es256(token.public, token.sign(b"x"), b"x")


def test_a_machine_without_sm2_signs_with_ed25519_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "sm2_available", lambda: False)
    ring = Keyring.create(home, origin=ORIGIN, now=NOON)
    assert [signer.key.algorithm for signer in ring.log_signers()] == ["Ed25519"]


def test_token_keys_are_no_part_of_what_outsiders_must_trust(ring: Keyring) -> None:
    assert set(ring.trust_policy()) == {"v", "log", "receipt", "answer", "receipt_sm2"}
    assert ring.signing(Purpose.TOKEN).key_id not in json.dumps(ring.trust_policy())


def test_the_ring_can_be_sealed_by_the_chinese_suite(home: Path) -> None:
    ring = Keyring.create(home, origin=ORIGIN, now=NOON, suite=gm)
    assert Keyring.open(home).symmetric(Purpose.MAC).secret == ring.symmetric(Purpose.MAC).secret


def edit(home: Path, change: dict[str, str], place: int = 0) -> None:
    file = home / "keys" / "ring.json"
    values = json.loads(file.read_text())
    values["keys"][place] |= change
    file.write_text(json.dumps(values))


@pytest.mark.parametrize(
    "change",
    [
        {"key_id": "log-2026-06-15-00000000"},
        {"purpose": "answer"},
        {"created_at": "2020-01-01T00:00:00.000000Z"},
        {"retired_at": "2020-01-01T00:00:00.000000Z"},
        {"public": "AAAA"},
        {"sealed": "AQAA"},
    ],
)
def test_a_ring_that_was_edited_does_not_open(ring: Keyring, home: Path, change: dict[str, str]) -> None:
    assert ring.origin
    edit(home, change)
    with pytest.raises(KeyMissing):
        Keyring.open(home)


def test_another_master_key_does_not_open_the_ring(ring: Keyring, home: Path) -> None:
    assert ring.origin
    keyfiles.write_master(home, random_bytes(32))
    with pytest.raises(KeyMissing, match="does not open"):
        Keyring.open(home)


@pytest.mark.parametrize("content", ["", "short", "!" * 43])
def test_a_master_file_without_a_key_is_refused(ring: Keyring, home: Path, content: str) -> None:
    assert ring.origin
    (home / "keys" / "master.key").write_text(content)
    with pytest.raises(KeyMissing, match="no key"):
        Keyring.open(home)


def test_a_home_without_keys_says_so(home: Path) -> None:
    with pytest.raises(KeyMissing, match="not in this home"):
        Keyring.open(home)


def test_the_master_key_is_not_rotated_like_the_others(ring: Keyring) -> None:
    with pytest.raises(ValueError, match="not replaced in place"):
        ring.rotate(Purpose.MASTER, NOON)


def test_officers_can_take_the_master_key_away_and_bring_it_back(ring: Keyring, home: Path) -> None:
    shares = custody.split(keyfiles.read_master(home))
    keyfiles.remove_master(home)
    assert not keyfiles.has_master(home)
    with pytest.raises(KeyMissing):
        Keyring.open(home)
    keyfiles.write_master(home, custody.join(shares[:3]))
    assert Keyring.open(home).trust_policy() == ring.trust_policy()
    shutil.rmtree(home)


MASTER = bytes(range(32))


def test_any_three_of_five_shares_restore_the_key() -> None:
    shares = custody.split(MASTER)
    assert len(shares) == 5
    for chosen in combinations(shares, 3):
        assert custody.join([f"  {share}\n" for share in reversed(chosen)]) == MASTER
    assert custody.join(shares) == MASTER


def test_two_shares_of_three_needed_restore_nothing() -> None:
    with pytest.raises(KeyMissing, match="3 needed"):
        custody.join(custody.split(MASTER)[:2])
    with pytest.raises(KeyMissing):
        custody.join([])


def test_a_misread_share_is_named_by_its_place_and_not_repeated() -> None:
    shares = custody.split(MASTER)
    for position in range(len(shares[1])):
        wrong = shares[1][:position] + ("1" if shares[1][position] != "1" else "2") + shares[1][position + 1 :]
        with pytest.raises(KeyMissing, match="share 2 is misread") as refused:
            custody.join([shares[0], wrong, shares[2]])
        assert shares[1][40:60] not in str(refused.value)


def test_shares_of_two_keys_or_one_share_twice_are_refused() -> None:
    one, other = custody.split(MASTER), custody.split(bytes(32))
    with pytest.raises(KeyMissing, match="not all of one key"):
        custody.join([one[0], one[1], other[2]])
    with pytest.raises(KeyMissing, match="given twice"):
        custody.join([one[0], one[0], one[1]])


def test_a_forged_share_that_reads_well_restores_nothing() -> None:
    shares = custody.split(MASTER)
    line = shares[2].rpartition(":")[0]
    head, body = line.rpartition(":")[::2]
    forged = f"{head}:{'A' * len(body)}"
    with pytest.raises(KeyMissing, match="do not restore"):
        custody.join([shares[0], shares[1], f"{forged}:{custody._check(forged)}"])


@pytest.mark.parametrize(("needed", "of"), [(1, 5), (6, 5), (3, 21)])
def test_a_split_that_protects_nothing_is_refused(needed: int, of: int) -> None:
    with pytest.raises(ValueError, match="shares are"):
        custody.split(MASTER, needed=needed, of=of)
    with pytest.raises(ValueError, match="32 bytes"):
        custody.split(MASTER[:16])


def test_a_receipt_is_signed_in_both_suites_and_the_policy_tells_them_apart(ring: Keyring) -> None:
    one, other = ring.signing(Purpose.RECEIPT), ring.sm2(Purpose.RECEIPT)
    assert one.algorithm == "Ed25519"
    assert other is not None
    policy = TrustPolicy.parse(ring.trust_policy())
    assert (policy.receipt_keys, policy.receipt_sm2_keys) == (
        {one.key_id: one.public},
        {other.key_id: other.public},
    )
    assert ring.sm2(Purpose.ANSWER) is None


def test_a_policy_of_before_knows_no_second_signature(ring: Keyring) -> None:
    of_before = {name: value for name, value in ring.trust_policy().items() if name != "receipt_sm2"}
    policy = TrustPolicy.parse(of_before)
    assert policy.receipt_sm2_keys == {}
    assert policy.as_json() == of_before

"""Salted commitments: what they bind and what they hide."""

import hashlib  # noqa: TID251  # the independent side of the comparison

import pytest

from registry.canonical import JSON
from registry.commitments import commit, commit_fields, new_seed, record_commitment, salt
from registry.errors import CanonicalError

SEED = bytes(range(16))
VALUES: dict[str, JSON] = {
    "amount_paid": 52_662,
    "project": "草原生态保护补助奖励",
    "paid": True,
    "note": None,
    "list": [1, "a"],
}


def test_a_commitment_is_what_its_text_says() -> None:
    field_salt = hashlib.sha256(b"qq-salt\x00" + SEED + b"amount_paid").digest()[:16]
    expected = hashlib.sha256(b"qq-field\x00" + field_salt + b"amount_paid\x0052662").digest()
    assert salt(SEED, "amount_paid") == field_salt
    assert commit(field_salt, "amount_paid", 52_662) == expected
    assert commit_fields(SEED, VALUES)["amount_paid"] == expected.hex()


def test_every_field_can_be_opened_alone() -> None:
    digests = commit_fields(SEED, VALUES)
    assert digests == {name: commit(salt(SEED, name), name, value).hex() for name, value in VALUES.items()}


def test_name_value_and_seed_are_all_bound() -> None:
    one = commit_fields(SEED, {"a": "b"})["a"]
    assert one != commit_fields(SEED, {"a": "c"})["a"]
    assert one != commit_fields(SEED, {"b": "b"})["b"]
    assert one != commit_fields(new_seed(), {"a": "b"})["a"]
    assert commit(SEED, "a", "1") != commit(SEED, "a", 1)


def test_a_record_binds_its_header_and_every_field() -> None:
    digests = commit_fields(SEED, VALUES)
    whole = record_commitment({"kind": "SUBSIDY"}, digests)
    assert len(whole) == 32
    assert whole != record_commitment({"kind": "RATING"}, digests)
    assert whole != record_commitment({"kind": "SUBSIDY"}, digests | {"paid": "0" * 64})
    assert whole != record_commitment({"kind": "SUBSIDY"}, {name: digests[name] for name in list(digests)[1:]})
    assert whole == record_commitment({"kind": "SUBSIDY"}, dict(reversed(digests.items())))


def test_a_value_that_two_programs_could_write_differently_is_refused() -> None:
    with pytest.raises(CanonicalError):
        commit_fields(SEED, {"rate": 0.5})  # type: ignore[dict-item]  # the mistake under test
    with pytest.raises(UnicodeEncodeError):
        commit_fields(SEED, {"金额": 1})

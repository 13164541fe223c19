"""Ids and hashes by the thousand: as the server reads arrays, and cut from what it sends."""

from uuid import UUID

import pytest

from registry.arrays import Hashes, Ids, base64_of, cut, hexadecimal, hyphenated, laid_out, new_ids, table
from registry.canonical import b64url


def test_an_array_is_written_as_the_server_reads_it() -> None:
    one, other = bytes(16), bytes(range(16))
    length = (16).to_bytes(4)
    head = b"".join(number.to_bytes(4) for number in (1, 0, 2950, 2, 1))
    assert Ids([one, other]).written() == head + length + one + length + other
    assert Ids([]).written() == b"".join(number.to_bytes(4) for number in (0, 0, 2950))
    assert Hashes([bytes(32)]).written()[8:12] == (17).to_bytes(4)


@pytest.mark.parametrize("values", [[b"short"], [bytes(15), bytes(17)]])
def test_an_element_of_another_length_is_refused(values: list[bytes]) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Ids(values)


def test_a_run_is_cut_into_rows() -> None:
    assert list(cut(b"aabccdeef", 2, 1)) == [(b"aa", b"b"), (b"cc", b"d"), (b"ee", b"f")]
    assert list(cut(None, 2, 1)) == []
    with pytest.raises(ValueError, match="zip"):
        list(cut(b"aabcc", 2, 1, 1))


def test_new_ids_are_random_uuids_of_version_4() -> None:
    made = new_ids(1000)
    assert len(set(made)) == 1000
    read = [UUID(bytes=one) for one in made]
    assert {(one.version, one.variant) for one in read} == {(4, "specified in RFC 4122")}


@pytest.mark.parametrize("width", [1, 2, 3, 16, 32])
def test_rows_are_written_as_each_alone(width: int) -> None:
    values = [bytes(range(start, start + width)) for start in (0, 100, 223)]
    assert [row.tobytes().decode() for row in hexadecimal(table(values))] == [one.hex() for one in values]
    assert [row.tobytes().decode() for row in base64_of(table(values))] == [b64url(one) for one in values]


def test_ids_are_written_as_uuids_are() -> None:
    ids = new_ids(50)
    assert hyphenated(ids, b"<", b">") == [f"<{UUID(bytes=one)}>".encode() for one in ids]


def test_rows_are_laid_out_between_texts() -> None:
    columns = [table([b"aa", b"bb"]), table([b"1", b"2"])]
    assert laid_out([b"[", b"-", b"]"], columns) == [b"[aa-1]", b"[bb-2]"]
    with pytest.raises(ValueError, match="zip"):
        laid_out([b"[", b"]"], columns)


def test_of_nothing_nothing_is_written() -> None:
    assert hyphenated([]) == []
    assert laid_out([b"a", b"b"], [hexadecimal(table([]))]) == []
    assert laid_out([b"a", b"b"], [base64_of(table([]))]) == []


def test_values_of_several_widths_are_no_table() -> None:
    with pytest.raises(ValueError, match="more than one width"):
        table([b"a", b"bb"])

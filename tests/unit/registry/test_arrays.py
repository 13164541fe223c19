"""Ids and hashes by the thousand: as the server reads arrays, and cut from what it sends."""

from uuid import UUID

import pytest

from registry.arrays import Hashes, Ids, cut, new_ids


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

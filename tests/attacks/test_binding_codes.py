"""Binding codes: whoever guesses learns nothing, binds nothing, and spends nothing of somebody at a counter."""

import statistics
import time
from typing import Any

import pytest
from joserfc.jwk import ECKey

from exchange import binding_codes
from exchange.binding_codes import Seen
from exchange.errors import RequestRefused
from exchange.home import Home
from registry import clock
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.attacks.test_subject_door import told, without_id
from tests.people import LI, NOBODY, ZHANG, held
from tests.phones import BINDINGS, UNKNOWN, code_for, shown, try_binding, wrong


def test_a_stranger_cannot_tell_an_unknown_person_from_a_wrong_code(exchange_home: Home, door: Door) -> None:
    """Unknown, known without a code, wrong code, spent code, code that is over: one answer, byte for byte."""
    held(exchange_home, LI)
    spent, key = code_for(exchange_home), ECKey.generate_key("P-256")
    assert try_binding(door, shown(spent, key), key).status_code == 201
    other = ECKey.generate_key("P-256")
    tries = [shown(UNKNOWN, other, NOBODY), shown(UNKNOWN, other, LI), shown(spent, other)]
    open_ = code_for(exchange_home)
    tries += [shown(UNKNOWN, other), shown(wrong(open_), other), shown(open_, other, LI), shown(open_, other, NOBODY)]
    assert len({str(without_id(try_binding(door, body, other))) for body in tries}) == 1
    assert told(try_binding(door, tries[0], other)) == (403, "binding-refused")


def test_after_five_wrong_tries_the_right_code_is_worth_nothing(exchange_home: Home, door: Door) -> None:
    code, key = code_for(exchange_home), ECKey.generate_key("P-256")
    for _ in range(5):
        assert told(try_binding(door, shown(wrong(code), key), key)) == (403, "binding-refused")
    assert told(try_binding(door, shown(code, key), key)) == (403, "binding-refused")


def test_nobody_without_the_handle_spends_a_try_of_somebody_who_stands_at_the_counter(
    exchange_home: Home, door: Door
) -> None:
    """Knowing the number is not enough: a hundred wrong codes later the person's own binds."""
    code, key = code_for(exchange_home), ECKey.generate_key("P-256")
    answers = [told(try_binding(door, shown(f"{guess:016d}", key), key)) for guess in range(100)]
    assert set(answers) == {(403, "binding-refused"), (429, "too-often")}
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT tries FROM binding_code").fetchone() == (0,)
    assert try_binding(door, shown(code, key), key).status_code == 201


def test_beyond_the_pace_a_handle_that_exists_answers_as_one_that_does_not(exchange_home: Home, door: Door) -> None:
    code, key = code_for(exchange_home), ECKey.generate_key("P-256")
    for guess in range(binding_codes.MISSES_MOST + 1):
        try_binding(door, shown(f"{guess:016d}", key), key)
    unknown, known = (without_id(try_binding(door, shown(sent, key), key)) for sent in (UNKNOWN, wrong(code)))
    assert (unknown[0], unknown) == (429, known)
    with exchange_home.database.transaction() as tx:
        sources = tx.execute("SELECT m::text FROM binding_miss m").fetchall()
        assert len(sources) == 1
        assert "testclient" not in sources[0][0]
        tx.execute("UPDATE binding_miss SET since = since - interval '15 minutes'")
    assert told(try_binding(door, shown(UNKNOWN, key), key)) == (403, "binding-refused")


def test_one_counter_neither_ends_nor_uses_up_the_codes_of_another(exchange_home: Home, door: Door) -> None:
    code, key = code_for(exchange_home), ECKey.generate_key("P-256")
    elsewhere = Seen("bank-b", "湟源县另一家银行", "resident_card_seen", "u-2")
    with exchange_home.database.transaction() as tx:
        for _ in range(binding_codes.A_DAY):
            binding_codes.offer(tx, exchange_home, ZHANG, elsewhere, now=clock.now())
        with pytest.raises(RequestRefused, match="five codes"):
            binding_codes.offer(tx, exchange_home, ZHANG, elsewhere, now=clock.now())
    code_for(exchange_home, LI)
    assert try_binding(door, shown(code, key), key).status_code == 201


def test_tries_made_at_the_same_time_are_counted_each(exchange_home: Home, door: Door) -> None:
    code = code_for(exchange_home)
    calls = []
    for guess in range(20):
        key = ECKey.generate_key("P-256")
        body = shown(f"{code[:8]}{guess:08d}", key)
        proof = Caller("none", proof_key=key).proof("POST", BINDINGS)
        calls.append(("POST", BINDINGS, {"json": body, "headers": {"DPoP": proof}}))
    assert {answer.status_code for answer in door.together(*calls)} == {403}
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT tries FROM binding_code").fetchone() == (5,)
    key = ECKey.generate_key("P-256")
    assert try_binding(door, shown(code, key), key).status_code == 403


def test_of_two_phones_that_show_the_right_code_at_once_one_is_bound(exchange_home: Home, door: Door) -> None:
    code, calls = code_for(exchange_home), []
    for _ in range(4):
        key = ECKey.generate_key("P-256")
        proof = Caller("none", proof_key=key).proof("POST", BINDINGS)
        calls.append(("POST", BINDINGS, {"json": shown(code, key), "headers": {"DPoP": proof}}))
    assert sorted(answer.status_code for answer in door.together(*calls)) == [201, 403, 403, 403]
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM subject_phone").fetchone() == (1,)


def test_an_unknown_person_or_handle_takes_as_long_as_a_wrong_code(exchange_home: Home, door: Door) -> None:
    key, spans = ECKey.generate_key("P-256"), {ZHANG: [0.0], NOBODY: [0.0]}
    for _ in range(4):
        sent = {ZHANG: wrong(code_for(exchange_home)), NOBODY: UNKNOWN}
        for who in (ZHANG, NOBODY, ZHANG, NOBODY):
            begun = time.perf_counter()
            assert try_binding(door, shown(sent[who], key, who), key).status_code == 403
            spans[who].append(time.perf_counter() - begun)
    known, unknown = (statistics.median(spans[who][1:]) for who in (ZHANG, NOBODY))
    assert unknown < 3 * known
    assert known < 3 * unknown


@pytest.mark.parametrize(
    "bent",
    [
        {"signed_by": "another"},
        {"htu": f"{ISSUER}/subject/v1/phones"},
        {"htm": "GET"},
        {"iat": 1_700_000_000},
    ],
)
def test_a_code_without_proof_of_the_key_is_not_even_tried(
    exchange_home: Home, door: Door, bent: dict[str, Any]
) -> None:
    code, key = code_for(exchange_home), ECKey.generate_key("P-256")
    claims = dict(bent)
    signer = ECKey.generate_key("P-256") if claims.pop("signed_by", None) else key
    assert told(try_binding(door, shown(code, key), signer, **claims)) == (401, "proof-invalid")
    assert try_binding(door, shown(code, key), key).status_code == 201


def test_a_binding_that_was_overheard_cannot_be_said_again(exchange_home: Home, door: Door) -> None:
    code, key = code_for(exchange_home), ECKey.generate_key("P-256")
    headers = {"DPoP": Caller("none", proof_key=key).proof("POST", BINDINGS)}
    assert door.call("POST", BINDINGS, json=shown(code, key), headers=headers).status_code == 201
    assert told(door.call("POST", BINDINGS, json=shown(code, key), headers=headers)) == (403, "binding-refused")
    fresh = shown(code_for(exchange_home), key)
    assert told(door.call("POST", BINDINGS, json=fresh, headers=headers)) == (403, "binding-refused")


def test_a_private_key_that_is_shown_is_refused_and_not_repeated(exchange_home: Home, door: Door) -> None:
    code, key = code_for(exchange_home), ECKey.generate_key("P-256")
    answer = try_binding(door, shown(code, key, jwk=key.as_dict(private=True)), key)
    assert told(answer) == (401, "proof-invalid")
    assert str(key.as_dict(private=True)["d"]) not in answer.text

"""A row is corrected and corrected back: the latest decision stands, and what a later file says does not go away."""

from uuid import UUID

from connectors.mending import What
from exchange import mending
from exchange.home import Home
from exchange.oauth.scopes import Role
from registry import disclosure, store
from registry.identifiers import CreditCode, Identifier
from tests.agencies import AGENCY, delivered, line, roster, staff, wanted
from tests.attacks.bent_client import ISSUER, Door, registered
from tests.attacks.bent_client import Caller as System
from tests.people import ZHANG, consented

AMOUNT = "补贴金额(元)"
A, B, C = "242.59", "300.00", "17.00"
LATER = "民和县_粮食直补发放明细_2026_六月.csv"
COLLECTIVE = CreditCode.parse("93632801000000051T")
ACCOUNTS = "平安区_集体资金账户_2026.csv"


def standing(
    home: Home, who: Identifier = ZHANG, kind: str = "SUBSIDY", name: str = "amount_due"
) -> list[tuple[int, int]]:
    """What stands of somebody, as the gate would find it: each record's version and amount in fen."""
    with home.database.transaction() as tx:
        (subject,) = store.lookup(tx, home.keyring, [who]).values()
        sealed = store.visible(tx, {(subject, kind)})
    opened = disclosure.open_records(home.datakeys, [disclosure.Wanted(one, frozenset({name})) for one in sealed])
    return sorted((one.ref.version, int(str(fields.fields[name]))) for one, fields in zip(sealed, opened, strict=True))


def correct(home: Home, batch_id: UUID, amount: str, heading: str = AMOUNT) -> None:
    mending.decide(home, staff(), batch_id, wanted(What.CORRECT, ("", 2), **{heading: amount}))


def test_a_row_corrected_back_over_the_door_is_a_new_version_and_stays_so(exchange_home: Home) -> None:
    consented(exchange_home)
    at = f"{ISSUER}/agency/v1/batches/{delivered(exchange_home, roster(line(ZHANG, A)))}/rows/0/2/decision"
    system = registered(exchange_home, System("agency-wang"), Role.AGENCY, AGENCY)
    with Door(exchange_home) as door:
        token = system.token(door)
        for amount in (B, A):
            given = {"act": "correct", "reason": "核对凭证", "cells": {AMOUNT: amount}}
            answer = door.call("POST", at, headers=system.headers("POST", at, token), json=given)
            assert answer.json()["state"] == "decided", answer.text
    assert standing(exchange_home) == [(3, 24_259)]
    mending.intake_of(exchange_home).reevaluate()
    assert standing(exchange_home) == [(3, 24_259)]


def test_what_a_later_file_says_stays_until_somebody_decides_of_the_row_again(exchange_home: Home) -> None:
    consented(exchange_home)
    first = delivered(exchange_home, roster(line(ZHANG, A)))
    correct(exchange_home, first, B)
    delivered(exchange_home, roster(line(ZHANG, C)), LATER)
    mending.intake_of(exchange_home).reevaluate()
    assert standing(exchange_home) == [(3, 1_700)]
    correct(exchange_home, first, A)
    assert standing(exchange_home) == [(4, 24_259)]
    mending.intake_of(exchange_home).reevaluate()
    assert standing(exchange_home) == [(4, 24_259)]


def test_a_row_that_was_corrected_to_what_a_later_file_says_can_be_corrected_back(exchange_home: Home) -> None:
    consented(exchange_home)
    first = delivered(exchange_home, roster(line(ZHANG, A)))
    delivered(exchange_home, roster(line(ZHANG, B)), LATER)
    correct(exchange_home, first, B)
    assert [amount for _, amount in standing(exchange_home)] == [30_000]
    correct(exchange_home, first, A)
    assert [amount for _, amount in standing(exchange_home)] == [24_259]


def test_a_set_of_which_one_row_is_corrected_back_stands_whole(exchange_home: Home) -> None:
    header = ("统一社会信用代码", "村集体经济组织名称", "开户银行", "账号", "银行余额（元）", "截止日期")
    rows = [
        (COLLECTIVE.text, "示例合作社", "示例银行", f"8201000000000000{n}", amount, "2026-03-31")
        for n, amount in ((1, A), (2, C))
    ]
    batch_id = delivered(exchange_home, roster(*rows, header=header), ACCOUNTS)
    for amount, fen in ((B, 30_000), (A, 24_259)):
        correct(exchange_home, batch_id, amount, "银行余额（元）")
        found = standing(exchange_home, COLLECTIVE, "SANZI_FUND", "bank_balance")
        assert sorted(amount for _, amount in found) == [1_700, fen]

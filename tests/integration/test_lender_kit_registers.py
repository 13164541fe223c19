"""The kit from a lender's first day: asks to be registered, changes its own keys, keeps its list of staff."""

import asyncio
from uuid import UUID

import httpx
import pytest

from exchange.client import AsyncLender, Client, Lender, QueryRefused, RequestWrong, Subject, new_client
from exchange.client import registration_request as signed
from registry import clock
from registry.clock import beijing_day
from tests.attacks.bent_client import ISSUER, Door
from tests.people import ZHANG, consented, held, sequenced
from tests.registering import ORGANISATION, REGISTRATIONS, Applicant, appointed, let_in
from tests.standing import Standing
from tests.through import through, through_async

PERSON = Subject.person(ZHANG.text)


@pytest.fixture
def door(standing: Standing) -> Door:
    standing.emptied()
    return standing.door()


@pytest.fixture
def keys() -> list[Client]:
    return [new_client("any"), new_client("any")]


@pytest.fixture
def client_id(standing: Standing, door: Door, keys: list[Client]) -> str:
    """Registered as the kit asks for it."""
    stated = {name: value for name, value in Applicant().members().items() if name != "jwks"}
    answer = door.call("POST", REGISTRATIONS, json=signed(ISSUER, [one.key for one in keys], stated))
    assert answer.status_code == 201, answer.text
    return let_in(standing.home, UUID(answer.json()["registration_id"]), appointed(standing.home))


def lender(client_id: str, key: Client, http: httpx.Client) -> Lender:
    return Lender(ISSUER, Client(client_id, key.key), http=http)


def test_a_system_that_the_kit_registered_changes_its_keys_by_the_kit(
    door: Door, keys: list[Client], client_id: str
) -> None:
    first, second, third = *keys, new_client("any")
    with through(door) as http:
        own = lender(client_id, first, http)
        assert own.own_registration()["organisation"] == ORGANISATION
        changed = own.change_keys([second.key, third.key])
        assert {one["kid"] for one in changed["keys"]} == {second.key.thumbprint(), third.key.thumbprint()}
        renewed = lender(client_id, third, http)
        assert [one["code"] for one in renewed.own_registration()["notes"]] == ["keys-changed", "registered"]
        with pytest.raises(RequestWrong, match="key-anothers"):
            renewed.change_keys([first.key, third.key])


def test_a_list_of_staff_is_kept_by_the_kit_and_counts_at_once(
    standing: Standing, door: Door, keys: list[Client], client_id: str
) -> None:
    held(standing.home)
    consented(standing.home, recipient=ORGANISATION)
    last = beijing_day(clock.now()).isoformat()
    with through(door) as http:
        own = lender(client_id, keys[0], http)
        assert own.put_staff("u-1", "credit", last=last)["last"] == last
        own.put_staff("u/2", "risk", first=last, last=last)
        first = own.staff(most=1)
        assert [one["user_id"] for one in (*first.staff, *own.staff(first.next).staff)] == ["u-1", "u/2"]
        with pytest.raises(QueryRefused, match="staff-not-listed"):
            own.summary(PERSON, purpose="LOAN_APPROVAL", business_no="LA-1")
        answer = own.summary(PERSON, purpose="LOAN_APPROVAL", business_no="LA-1", staff=("u-1", "credit"))
        sequenced(standing.home)
        assert own.evidence(answer.query_id, staff=("u-1", "credit"))
        own.end_staff("u-1")
        with pytest.raises(QueryRefused, match="staff-not-listed"):
            own.summary(PERSON, purpose="LOAN_APPROVAL", business_no="LA-1", staff=("u-1", "credit"))
        assert [one["ended_at"] is None for one in own.staff(history=True).staff] == [False, True]
        with pytest.raises(RequestWrong, match="staff-unknown"):
            own.end_staff("u-1")


def test_awaited_it_does_the_same(door: Door, keys: list[Client], client_id: str) -> None:
    async def run() -> None:
        async with through_async(door) as http:
            own = AsyncLender(ISSUER, Client(client_id, keys[0].key), http=http)
            assert (await own.own_registration())["client_id"] == client_id
            assert len((await own.change_keys([keys[0].key, keys[1].key], overlap_days=3))["keys"]) == len(keys)
            await own.put_staff("u-1", "credit", last=beijing_day(clock.now()).isoformat())
            assert len((await own.staff()).staff) == 1

    asyncio.run(run())

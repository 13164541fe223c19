"""Keys are rotated while two processes serve: neither is restarted, and no token is refused for it."""

from dataclasses import replace

from exchange.home import Home
from registry import clock
from registry.keyring import Keyring, Purpose
from tests.attacks.bent_client import ISSUER, Caller, Door, registered

JWKS_URL = f"{ISSUER}/oauth/jwks"


def kids(door: Door) -> list[str]:
    return [key["kid"] for key in door.call("GET", JWKS_URL).json()["keys"]]


def test_tokens_of_before_and_after_a_rotation_open_every_process(exchange_home: Home) -> None:
    lender = registered(exchange_home, Caller("lender-one"))
    beside = replace(exchange_home, keyring=Keyring.open(exchange_home.settings.home))
    with Door(exchange_home) as first, Door(beside) as second:
        before = [lender.token(first), lender.token(second)]
        old = kids(first)
        (made,) = Keyring.open(exchange_home.settings.home).rotate(Purpose.TOKEN, clock.now())  # as the command does
        after = [lender.token(first), lender.token(second)]
        assert kids(first) == kids(second) == [made.key_id, *old]
        for door in (first, second):
            assert [lender.get(door, token).status_code for token in before + after] == [200] * 4


def test_what_two_processes_rotate_is_kept_of_both(exchange_home: Home) -> None:
    one, other = (Keyring.open(exchange_home.settings.home) for _ in range(2))
    (answer,) = one.rotate(Purpose.ANSWER, clock.now())
    (token,) = other.rotate(Purpose.TOKEN, clock.now())
    for ring in (one, other, exchange_home.keyring):
        assert ring.signing(Purpose.ANSWER).key_id == answer.key_id
        assert ring.signing(Purpose.TOKEN).key_id == token.key_id

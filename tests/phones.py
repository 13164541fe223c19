"""People with phones: bound in person, calling the persons' door like any client of OAuth."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from joserfc.jwk import ECKey

from exchange import binding_codes
from exchange.binding_codes import Seen
from exchange.home import Home
from registry import clock
from registry.identifiers import ResidentId
from tests.attacks.bent_client import ISSUER, Caller, Door
from tests.people import ZHANG

BINDINGS = f"{ISSUER}/subject/v1/bindings"
SEEN = Seen("bank", "沙箱农商银行", "resident_card_seen", "u-1027", "630222")

UNKNOWN = "0" * 16  # a code that nobody was handed


def wrong(code: str) -> str:
    """A code with the handle of another, and not its secret."""
    return f"{code[:8]}{(int(code[8:]) + 1) % 10**8:08d}"


def code_for(home: Home, who: ResidentId = ZHANG, *, now: datetime | None = None) -> str:
    """Hand out a code, as a counter does."""
    with home.database.transaction() as tx:
        return binding_codes.offer(tx, home, who, SEEN, now=now or clock.now())[0]


def shown(code: str, key: ECKey, who: ResidentId = ZHANG, **changes: Any) -> dict[str, Any]:
    """What a phone sends to be bound."""
    subject = {"type": "resident_id", "identifier": who.text}
    return {"subject": subject, "code": code, "jwk": key.as_dict(private=False)} | changes


def try_binding(door: Door, body: dict[str, Any], key: ECKey, **bent: Any) -> httpx.Response:
    proof = Caller("none", proof_key=key).proof("POST", BINDINGS, **bent)
    return door.call("POST", BINDINGS, json=body, headers={"DPoP": proof})


@dataclass
class Phone:
    """A bound phone and its token."""

    door: Door
    client: Caller
    secret: str
    answer: dict[str, Any]
    token: str = ""

    def signed_in(self) -> "Phone":
        self.token = self.client.token(self.door)
        return self

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        address = ISSUER + path
        headers = self.client.headers(method, address.partition("?")[0], self.token)
        return self.door.call(method, address, headers=headers, **more)

    def get(self, path: str) -> dict[str, Any]:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def bound(home: Home, door: Door, who: ResidentId = ZHANG, *, on_trial: bool = False) -> Phone:
    """Bind a phone in person; signed in where it is active at once, and not on trial unless that is wanted."""
    key = ECKey.generate_key("P-256")
    answer = try_binding(door, shown(code_for(home, who), key, who), key)
    assert answer.status_code == 201, answer.text
    said = answer.json()
    phone = Phone(door, Caller(said["client_id"], key=key, proof_key=key), said["page_codes"]["secret"], said)
    if not on_trial:
        trial_over(home, phone)
    return phone.signed_in() if said["state"] == "active" else phone


def trial_over(home: Home, phone: Phone) -> None:
    """Let 72 hours pass for a first phone."""
    with home.database.transaction() as tx:
        tx.execute(
            "UPDATE subject_phone SET trial_until = trial_until - interval '72 hours' WHERE client_id = %s",
            (phone.client.client_id,),
        )

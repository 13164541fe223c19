"""A bank that asks people for consent, and people who answer on the page: as a browser and a system would."""

import base64
import re
import struct
import time
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import orjson
from joserfc.jwk import ECKey

from exchange.home import Home
from exchange.oauth import clients
from registry.canonical import b64url
from registry.identifiers import ResidentId
from registry.suites import hmac_sha256, sha256
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.people import BANK, ZHANG

PAR_URL = f"{ISSUER}/oauth/par"
PAGE_URL = f"{ISSUER}/oauth/authorize"
TOKEN_URL = f"{ISSUER}/oauth/token"
REDIRECT = "https://bank.example/back?branch=7"
VERIFIER = "v" * 43
CHALLENGE = b64url(sha256(VERIFIER.encode()))
WANTED: dict[str, Any] = {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["SUBSIDY.project", "RATING"]}
W_WANTED: dict[str, Any] = WANTED | {"items": ["SUBSIDY", "RATING"]}


@dataclass
class Bank:
    """A lender's system with a registered redirect URI."""

    door: Door
    caller: Caller
    redirect: str = REDIRECT

    def form(self, wanted: Any = None, **fields: str | None) -> dict[str, str]:
        stated: dict[str, str | None] = {
            "client_id": self.caller.client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.caller.assertion() if "client_assertion" not in fields else None,
            "response_type": "code",
            "redirect_uri": self.redirect,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "authorization_details": orjson.dumps([WANTED if wanted is None else wanted]).decode(),
            "state": "st-4711",
            "dpop_jkt": self.caller.proof_key.thumbprint(),
        }
        return {name: value for name, value in (stated | fields).items() if value is not None}

    def push(self, wanted: Any = None, *, proof: str | None = None, **fields: str | None) -> httpx.Response:
        headers = {} if proof is None else {"DPoP": proof}
        return self.door.call("POST", PAR_URL, data=self.form(wanted, **fields), headers=headers)

    def pushed(self, wanted: Any = None, **fields: str | None) -> str:
        """Push a request, or fail the test; give its request_uri."""
        answer = self.push(wanted, **fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["request_uri"])

    def redeem(self, code: str, **fields: str | None) -> httpx.Response:
        stated: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": VERIFIER,
        }
        return self.caller.ask(self.door, **(stated | fields))

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Call an interface with a token of its own."""
        token = self.caller.token(self.door)
        url = ISSUER + path
        headers = self.caller.headers(method, url, token) | more.pop("headers", {})
        return self.door.call(method, url, headers=headers, **more)


def bank(
    home: Home, door: Door, client_id: str = "bank-system", organisation: str = BANK, redirect: str = REDIRECT
) -> Bank:
    """Register a bank's system."""
    caller = registered(
        home, Caller(client_id, key=ECKey.generate_key("P-256", {"kid": "k1"})), organisation=organisation
    )
    with home.database.transaction() as tx:
        assert clients.set_redirects(tx, client_id, [redirect])
    return Bank(door, caller, redirect)


@dataclass
class Browser:
    """A person's browser on the page: it keeps its cookie, and sends what stands in the form."""

    door: Door
    client_id: str
    request_uri: str
    lang: str | None = None
    page: httpx.Response | None = None
    hidden: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)

    def open(self, **parameters: str) -> httpx.Response:
        asked = {"client_id": self.client_id, "request_uri": self.request_uri} | parameters
        if self.lang:
            asked["lang"] = self.lang
        self.page = self.door.call("GET", PAGE_URL, params=asked)
        found = {
            unescape(name): unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', self.page.text)
        }
        self.numbers |= re.findall(r'<b id="(number[a-z-]*)">([0-9]{8})</b>', self.page.text)
        self.hidden = found or self.hidden  # a page that is gone has no form; the one before is still at hand
        return self.page

    def send(self, answer: str, **fields: str | None) -> httpx.Response:
        stated = {**self.hidden, "answer": answer, **fields}
        sent = {name: value for name, value in stated.items() if value is not None}
        return self.door.call("POST", PAGE_URL, data=sent, headers={"Sec-Fetch-Site": "same-origin"})

    def code(self, secret: str, *, later: int = 0, to_refuse: bool = False) -> str:
        """Give what a phone makes of the number on the page, now or so many steps later."""
        return code_over(self.numbers["number-to-refuse" if to_refuse else "number"], secret, later=later)

    def agree(self, secret: str, who: ResidentId = ZHANG, **fields: str | None) -> httpx.Response:
        """Agree with number and code."""
        return self.send("agree", **({"identifier": who.text, "code": self.code(secret)} | fields))


def code_over(number: str, secret: str, *, later: int = 0) -> str:
    """Compute a code as RFC 6287 has it (OCRA-1:HOTP-SHA256-8:QN08-T30S), by code that is not the product's."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    question = bytes.fromhex(format(int(number), "x").ljust(256, "0"))
    moment = struct.pack(">Q", int(time.time()) // 30 + later)
    made = hmac_sha256(key, b"OCRA-1:HOTP-SHA256-8:QN08-T30S\0" + question + moment)
    (number_,) = struct.unpack_from(">I", made, made[-1] % 16)
    return str(number_ % 2**31 % 10**8).zfill(8)


def back(answer: httpx.Response) -> dict[str, str]:
    """Read what a person is sent back with, or fail the test."""
    assert answer.status_code == 303, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

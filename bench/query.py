"""A permitted query with everything on, beside a handler that does nothing, on the same server.

  limit  a FastAPI handler that reads the body and returns its length: one uvicorn process
  ours   POST /v1/queries over HTTP to one uvicorn process: DPoP proof, token, replay record, consent read under lock,
         use counted, sealed records opened, durable log entry, answer signed; one query a subject, and its own proof each

Requests are signed beforehand and sent by `rig.load` in this process; server, database and load share the machine.
Aims (architecture.md, section 7): 0.25 of the limit's requests a second, then 0.40; p95 at most 100 ms at 32 connections.
"""

import time
from datetime import date, timedelta
from typing import Final
from uuid import UUID, uuid4

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey

from bench.rig.load import Load, drive, request
from bench.rig.measure import Figure, show
from bench.rig.serving import free_port, fresh_home, serving, settings
from consent import ledger
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.record import NewConsent, SubjectType
from consent.scope import Mode
from exchange.home import Home, open_home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import clock, store
from registry.basis import Basis, BasisKind
from registry.canonical import b64url
from registry.catalogue import current
from registry.identifiers import ResidentId
from registry.records import NewRecord, Payload, Provenance
from registry.suites import sha256
from sandbox.lender import Client, Lender, new_client
from sandbox.numbers import resident_id

SUBJECTS: Final = 500
QUERIES: Final = 6_000
WARM_UP: Final = 600
CONNECTIONS: Final = (32, 256)
PAYMENTS: Final = 4  # records of a subject, beside one rating
AIM: Final = 0.25
LENDER: Final = "Bench"
PURPOSE: Final = "POST_LOAN"  # its consents allow many uses


def people() -> list[ResidentId]:
    """Make distinct synthetic people, sequence 000."""
    first = date(1950, 1, 1)
    return [
        ResidentId.parse(resident_id("630222", first + timedelta(days=17 * number))) for number in range(SUBJECTS)
    ]


def fill(home: Home, who: list[ResidentId], client: Client) -> None:
    """Put in a lender, a consent for each person, and their records."""
    now = clock.now()
    said = Provenance(uuid4(), "bench", "某局", "SUBSIDY", current().version, b"\x01" * 32, clock.beijing_day(now))
    with home.database.transaction() as tx:
        clients.register(tx, client.client_id, role=Role.LENDER, organisation=LENDER, jwks=client.jwks, now=now)
        subjects = store.ensure_subjects(tx, home.keyring, who, now=now)
        ledger.create_many(tx, [consent(subjects[one.text]) for one in who], home.keyring, now)
        store.open_publication(tx, uuid4(), said, raw_sm3=b"\x02" * 32, now=now)
        store.stage(tx, home.sealing, said, [r for one in who for r in records(subjects[one.text])], now=now)
        store.publish(tx, said, now=now)


def consent(subject_id: UUID) -> NewConsent:
    """Make a consent over subsidies and ratings with as many uses as its purpose allows."""
    capture = Capture(
        Channel.VILLAGE, "2026-01", Language.CHINESE, Evidence(EvidenceKind.PAPER_SCAN, b"\x07" * 32)
    )
    return NewConsent(
        subject_id=subject_id,
        subject_type=SubjectType.PERSON,
        recipient=LENDER,
        purpose=PURPOSE,
        items=("SUBSIDY", "RATING"),
        valid_from=clock.now() - timedelta(days=1),
        capture=capture,
        w_acknowledged=True,
        max_uses=240,
        mode=Mode.SUMMARY,
    )


def records(subject_id: UUID) -> list[NewRecord]:
    """Make a subject's records."""
    basis = Basis(BasisKind.CONSENT, "bench")
    payloads: list[tuple[str, Payload]] = [
        (
            "SUBSIDY",
            {
                "project": "草原生态保护补助奖励", "grant_year": 2026, "period": str(n), "payee_name": "尼玛才让",
                "region_code": "632701001201", "area": 1_203_000, "rate": "7.5", "amount_due": 902_250,
                "amount_paid": 902_250, "paid_on": "2026-05-08", "pay_status": "paid",
            },
        )
        for n in range(PAYMENTS)
    ]  # fmt: skip
    payloads.append(("RATING", {"grade": "AA", "score": "86.5", "eval_date": "2026-03-01", "valid_to": "2027-02-28"}))
    return [
        NewRecord(subject_id, kind, payload, 5 + n, basis, "B", "2026", valid_from=date(2026, 3, 1))
        for n, (kind, payload) in enumerate(payloads)
    ]


def queries(who: list[ResidentId], issuer: str, token: str, proof_key: ECKey, count: int) -> list[bytes]:
    """Sign that many queries, subject after subject."""
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": proof_key.as_dict(private=False)}
    ath, made = b64url(sha256(token.encode())), []
    for number in range(count):
        claims = {"htm": "POST", "htu": f"{issuer}/v1/queries", "iat": int(time.time()), "jti": uuid4().hex, "ath": ath}
        body = {
            "subject": {"type": "resident_id", "identifier": who[number % len(who)].text},
            "purpose": PURPOSE,
            "business_no": f"LA-{number}",
        }
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"DPoP {token}",
            "DPoP": jwt.encode(header, claims, proof_key),
        }
        made.append(request("POST", "/v1/queries", headers, orjson.dumps(body)))
    return made


def noop(connections: int) -> Load:
    """Measure the limit."""
    port = free_port()
    sent = request("POST", "/noop", {"Content-Type": "application/json"}, b'{"subject":{"type":"resident_id"}}' * 4)
    with fresh_home() as home, serving("noop", home, port):
        drive(port, [sent] * WARM_UP, connections=connections)
        return max((drive(port, [sent] * QUERIES, connections=connections) for _ in range(3)), key=lambda load: load.rate)


def main() -> None:
    """Measure and print."""
    who, client, port = people(), new_client("bench"), free_port()
    loads: dict[int, Load] = {}
    limits = {connections: noop(connections) for connections in CONNECTIONS}
    with fresh_home() as folder:
        chosen = settings(folder, port)
        with open_home(chosen) as opened:
            fill(opened, who, client)
        with open_home(chosen), serving("app", folder, port):
            for connections in CONNECTIONS:
                with Lender(chosen.issuer, client) as lender:
                    token, proof_key = lender.credentials()
                    runs = [queries(who, chosen.issuer, token, proof_key, n) for n in (WARM_UP, QUERIES)]
                    drive(port, runs[0], connections=connections)
                    loads[connections] = drive(port, runs[1], connections=connections)
                if loads[connections].statuses != {200: QUERIES}:
                    raise RuntimeError(f"not every query was permitted: {dict(loads[connections].statuses)}")
    show(
        "query: permitted, signed and logged, against a handler that does nothing",
        [
            Figure(f"POST /v1/queries, {n} connections", limits[n].rate, loads[n].rate, "requests", AIM)
            for n in CONNECTIONS
        ],
        [
            f"{QUERIES:,} queries over {SUBJECTS} subjects of {PAYMENTS + 1} records, one server process",
            *(
                f"{n} connections: p50 {loads[n].percentile(0.5):.0f} ms, p95 {loads[n].percentile(0.95):.0f} ms"
                for n in CONNECTIONS
            ),
        ],
    )


if __name__ == "__main__":
    main()

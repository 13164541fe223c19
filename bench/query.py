"""A permitted query with everything on, beside a handler that does nothing, on the same server.

  limit  a FastAPI handler that reads the body and returns its length: one uvicorn process
  ours   POST /v1/queries over HTTP to one uvicorn process: DPoP proof, token, replay record, consent read under lock,
         use counted, sealed records opened, durable log entry, answer signed; each query with a proof of its own

A lender names what it needs: `TYPICAL` is what the aims are held against. For the eye also: a question without items,
which is answered with all that the consent covers, more connections, and two processes of each kind.

Requests are signed beforehand and sent by `rig.load` in this process; server, database and load share the machine.
Limit and ours are measured in turn, in `ROUNDS` short rounds; the round with the median ratio stands for all, so that
neither side profits from a quiet moment of the machine. Afterwards one more process is watched from within: what the
parts of a query cost it, and which share signatures and log have (`rig.shares`).
Aims (architecture.md, section 7): 0.25 of the limit's requests a second, then 0.40; p95 at most 100 ms over 32
connections.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import orjson
from joserfc import jwt
from joserfc.jwk import ECKey

from bench.rig.load import Load, drive, request
from bench.rig.measure import Figure, show
from bench.rig.serving import free_port, fresh_home, serving, settings
from bench.rig.shares import lines
from consent import ledger
from consent.evidence import Capture, Channel, Evidence, EvidenceKind, Language
from consent.record import NewConsent, SubjectType
from consent.scope import Mode
from exchange.client import Client, Lender, new_client
from exchange.home import SANDBOX, Home, open_home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import clock, store
from registry.basis import Basis, BasisKind
from registry.canonical import b64url
from registry.catalogue import current
from registry.identifiers import ResidentId
from registry.records import NewRecord, Payload, Provenance
from registry.suites import sha256
from sandbox.numbers import resident_id

SUBJECTS: Final = 1_000  # who are asked about in turn, 27 times each: a consent has 31 uses a month
QUERIES: Final = 1_000  # in a round, for limit and ours each
WARM_UP: Final = 200
ROUNDS: Final = 5
PAYMENTS: Final = 4  # records of a subject, beside one rating
AIM: Final = 0.25
LENDER: Final = "Bench"
TOGETHER: Final = 1_000  # people who are put in at once
PURPOSE: Final = "POST_LOAN"  # its consents allow many uses
TYPICAL: Final = (
    "SUBSIDY.project", "SUBSIDY.grant_year", "SUBSIDY.amount_due", "SUBSIDY.amount_paid", "SUBSIDY.paid_on",
    "SUBSIDY.pay_status", "RATING.score", "RATING.grade", "RATING.eval_date", "RATING.valid_to",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One line of the table. `items` None: all that the consent covers."""

    what: str
    items: tuple[str, ...] | None
    connections: int
    aim: float | None = None
    processes: int = 1


CASES: Final = (
    Case(f"{len(TYPICAL)} items, 32 connections", TYPICAL, 32, AIM),
    Case("all items, 32 connections", None, 32),
    Case(f"{len(TYPICAL)} items, 256 connections", TYPICAL, 256),
    Case(f"{len(TYPICAL)} items, 32 connections, two processes", TYPICAL, 32, processes=2),
)


def people() -> list[ResidentId]:
    """Make distinct synthetic people, sequence 000."""
    first = date(1950, 1, 1)
    return [ResidentId.parse(resident_id("630222", first + timedelta(days=17 * number))) for number in range(SUBJECTS)]


def fill(home: Home, who: list[ResidentId], client: Client) -> None:
    """Put in a lender, a consent for each person, and their records."""
    now = clock.now()
    with home.database.transaction() as tx:
        clients.register(
            tx,
            client.client_id,
            role=Role.LENDER,
            organisation=LENDER,
            jwks=client.jwks,
            now=now,
            contact=SANDBOX.contact,
        )
    for first in range(0, len(who), TOGETHER):
        _fill(home, who[first : first + TOGETHER], now)


def _fill(home: Home, who: list[ResidentId], now: datetime) -> None:
    """Put in some people, their consents, and their records in a publication of its own."""
    said = Provenance(uuid4(), "bench", "某局", "SUBSIDY", current().version, b"\x01" * 32, clock.beijing_day(now))
    with home.database.transaction() as tx:
        subjects = store.ensure_subjects(tx, home.keyring, who, now=now)
        ledger.create_many(tx, [consent(subjects[one.text]) for one in who], home.keyring, now)
        store.open_publication(tx, uuid4(), said, raw_sm3=b"\x02" * 32, now=now)
        store.stage(tx, home.sealing, said, [r for one in who for r in records(subjects[one.text])], now=now)
        store.publish(tx, said, now=now)


def consent(subject_id: UUID) -> NewConsent:
    """Make a consent over subsidies and ratings with as many uses as its purpose allows."""
    capture = Capture(
        Channel.VILLAGE, "2026-03", Language.CHINESE, Evidence(EvidenceKind.PAPER_SCAN, b"\x07" * 32, redacted=True)
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
        uses_per_month=31,
        mode=Mode.SUMMARY,
    )


def records(subject_id: UUID) -> list[NewRecord]:
    """Make a subject's records."""
    basis = Basis(BasisKind.CONSENT, "bench")
    payloads: list[tuple[str, Payload]] = [
        (
            "SUBSIDY",
            {
                "project": "草原生态保护补助奖励", "grant_year": 2026, "instalment": str(n + 1),
                "payee_name": "尼玛才让", "region_code": "632701001201", "area": 1_203_000, "rate": "7.5",
                "amount_due": 902_250,
                "amount_paid": 902_250, "paid_on": "2026-05-08", "pay_status": "paid",
            },
        )
        for n in range(PAYMENTS)
    ]  # fmt: skip
    rating: Payload = {"grade": "AA", "score": "86.5", "eval_date": "2026-03-01", "valid_to": "2027-02-28"}
    payloads.append(("RATING", rating))
    return [
        NewRecord(subject_id, kind, payload, 5 + n, basis, "B", "2026", valid_from=date(2026, 3, 1))
        for n, (kind, payload) in enumerate(payloads)
    ]


def queries(
    who: list[ResidentId],
    issuer: str,
    token: str,
    proof_key: ECKey,
    count: int,
    *,
    items: tuple[str, ...] | None = TYPICAL,
) -> list[bytes]:
    """Sign that many queries, subject after subject."""
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": proof_key.as_dict(private=False)}
    ath, made = b64url(sha256(token.encode())), []
    for number in range(count):
        claims = {"htm": "POST", "htu": f"{issuer}/v1/queries", "iat": int(time.time()), "jti": uuid4().hex}
        claims["ath"] = ath
        body = {
            "subject": {"type": "resident_id", "identifier": who[number % len(who)].text},
            "purpose": PURPOSE,
            "business_no": f"LA-{number}",
            **({"items": items} if items else {}),
        }
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"DPoP {token}",
            "DPoP": jwt.encode(header, claims, proof_key),
        }
        made.append(request("POST", "/v1/queries", headers, orjson.dumps(body)))
    return made


def limit(ports: Sequence[int], case: Case) -> Load:
    """Measure the handler that does nothing."""
    sent = request("POST", "/noop", {"Content-Type": "application/json"}, b'{"subject":{"type":"resident_id"}}' * 4)
    _drive(ports, [sent] * WARM_UP, case)
    return _drive(ports, [sent] * QUERIES, case)


def ours(issuer: str, ports: Sequence[int], turn: Iterator[ResidentId], client: Client, case: Case) -> Load:
    """Measure permitted queries.

    Raises:
        RuntimeError: not every one was permitted.
    """
    with Lender(issuer, client) as lender:
        token, proof_key = lender.credentials()
    warm, asked = (
        queries(list(islice(turn, n)), issuer, token, proof_key, n, items=case.items) for n in (WARM_UP, QUERIES)
    )
    _drive(ports, warm, case)
    load = _drive(ports, asked, case)
    if load.statuses != {200: QUERIES}:
        raise RuntimeError(f"not every query was permitted: {dict(load.statuses)}")
    return load


def _drive(ports: Sequence[int], requests: Sequence[bytes], case: Case) -> Load:
    return drive(ports[0], requests, connections=case.connections, other=ports[case.processes - 1])


def _watched(folder: Path, issuer: str, port: int, turn: Iterator[ResidentId], client: Client) -> list[str]:
    """Say what the parts of a query take, of a process that is watched."""
    told = folder / "shares.json"
    with serving("app", folder, port, shares=told):
        for _ in range(2):
            ours(issuer, [port], turn, client, CASES[0])
    return lines(told)


def _ratio(pair: tuple[Load, Load]) -> float:
    return pair[1].rate / pair[0].rate


def main() -> None:
    """Measure and print."""
    who, client, ports, idle = people(), new_client("bench"), (free_port(), free_port()), (free_port(), free_port())
    turn = cycle(who)
    rounds: dict[Case, list[tuple[Load, Load]]] = {case: [] for case in CASES}
    with fresh_home() as folder, fresh_home() as nothing:
        chosen = settings(folder, ports[0])
        with open_home(chosen) as opened:
            fill(opened, who, client)
            with ExitStack() as stack:
                for port, other in zip(ports, idle, strict=True):
                    stack.enter_context(serving("app", folder, port, ports[0]))
                    stack.enter_context(serving("noop", nothing, other))
                for _ in range(ROUNDS):
                    for case in CASES:
                        least = limit(idle, case)
                        rounds[case].append((least, ours(chosen.issuer, ports, turn, client, case)))
            shares = _watched(folder, chosen.issuer, ports[0], turn, client)
    median = {case: sorted(rounds[case], key=_ratio)[ROUNDS // 2] for case in CASES}
    show(
        "query: permitted, signed and logged, against a handler that does nothing",
        [Figure(case.what, median[case][0].rate, median[case][1].rate, "requests", case.aim) for case in CASES],
        [
            f"{ROUNDS} rounds of {QUERIES:,} queries over {SUBJECTS} subjects of {PAYMENTS + 1} records, one server",
            *(
                f"{case.what}: ratios {_ratio(min(rounds[case], key=_ratio)):.2f} to"
                f" {_ratio(max(rounds[case], key=_ratio)):.2f}, p50 {median[case][1].percentile(0.5):.0f} ms,"
                f" p95 {median[case][1].percentile(0.95):.0f} ms"
                for case in CASES
            ),
            *shares,
        ],
    )


if __name__ == "__main__":
    main()

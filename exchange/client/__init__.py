"""The lender's kit: a typed client of an exchange, sync and async, that needs nothing of the server.

    from exchange.client import Lender, Subject

    with Lender.of_file("https://exchange.example", Path("bank.key.json")) as lender:
        answer = lender.summary(Subject.person(number), purpose="LOAN_APPROVAL", business_no="LA-2026-000123")

It does OAuth as FAPI 2.0 wants it (private_key_jwt, DPoP, PAR, PKCE), keeps tokens, makes up for a clock that is off,
repeats what may be repeated, and sorts what goes wrong by who must act (`errors`). Answers, receipts, events and
evidence are checked against the trust policy. It decides nothing, stores nothing, and logs nothing.

It is importable with httpx, joserfc, cryptography and orjson alone: import contract `kit-carries-away`.
"""

from exchange.client.answers import Answer, Claim, Consent, Event, Page, Subject, check_evidence
from exchange.client.asking import Asked, Granted
from exchange.client.batches import Batch, Batches, Fetched, Line, check_batch
from exchange.client.consents import CreditData, Evidence, Narrower, Taken
from exchange.client.errors import (
    AccessRefused,
    ComeLater,
    ExchangeFailed,
    KitError,
    NotAgreed,
    NotGenuine,
    NotReached,
    NotReady,
    Place,
    Problem,
    QueryRefused,
    Refused,
    RequestWrong,
)
from exchange.client.following import Polled
from exchange.client.keys import Client, client_of, new_client, read_client
from exchange.client.lender import AsyncConnection, AsyncLender, Connection, Lender
from exchange.client.queries import question
from exchange.client.registering import Staff, registration_request
from exchange.client.reporting import Outcomes
from exchange.client.retrying import ONCE, Retrying
from exchange.client.subscribing import Happenings
from exchange.client.webhooks import answer_challenge, verify_webhook
from registry.trust import TrustPolicy

__all__ = [
    "ONCE",
    "AccessRefused",
    "Answer",
    "Asked",
    "AsyncConnection",
    "AsyncLender",
    "Batch",
    "Batches",
    "Claim",
    "Client",
    "ComeLater",
    "Connection",
    "Consent",
    "CreditData",
    "Event",
    "Evidence",
    "ExchangeFailed",
    "Fetched",
    "Granted",
    "Happenings",
    "KitError",
    "Lender",
    "Line",
    "Narrower",
    "NotAgreed",
    "NotGenuine",
    "NotReached",
    "NotReady",
    "Outcomes",
    "Page",
    "Place",
    "Polled",
    "Problem",
    "QueryRefused",
    "Refused",
    "RequestWrong",
    "Retrying",
    "Staff",
    "Subject",
    "Taken",
    "TrustPolicy",
    "answer_challenge",
    "check_batch",
    "check_evidence",
    "client_of",
    "new_client",
    "question",
    "read_client",
    "registration_request",
    "verify_webhook",
]

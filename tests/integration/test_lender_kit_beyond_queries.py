"""The kit against the real doors, beyond single questions: batches, outcomes, reports on paper, grants."""

from collections.abc import Iterator

import httpx
import orjson
import pytest

from consent.scope import Mode
from exchange.bulk import keys
from exchange.client import (
    Lender,
    NotGenuine,
    QueryRefused,
    RequestWrong,
    Subject,
    TrustPolicy,
    check_batch,
    new_client,
    question,
)
from exchange.client.sealing import HpkeKey, jwk_of, new_encryption_key, private_jwk, read_encryption_key
from exchange.home import Home
from exchange.oauth import clients
from exchange.oauth.scopes import Role
from registry import clock, encryption
from registry.canonical import canonical
from tests.attacks.bent_client import ISSUER, Door
from tests.bulking import worked
from tests.people import BANK, NOBODY, ZHANG, consented, held
from tests.reachable import CONTACT
from tests.through import through

PERSON = Subject.person(ZHANG.text)
PURPOSE = "LOAN_APPROVAL"
STAFF = ("u-1", "credit")


@pytest.fixture
def http(exchange_home: Home) -> Iterator[httpx.Client]:
    with Door(exchange_home) as door, through(door) as client:
        yield client


@pytest.fixture
def lender(exchange_home: Home, http: httpx.Client) -> Lender:
    client = new_client("bank-a")
    with exchange_home.database.transaction() as tx:
        now = clock.now()
        clients.register(tx, "bank-a", role=Role.LENDER, organisation=BANK, jwks=client.jwks, now=now, contact=CONTACT)
    return Lender(ISSUER, client, http=http, trust=policy_of(exchange_home))


def policy_of(home: Home) -> TrustPolicy:
    return TrustPolicy.parse(home.keyring.trust_policy())


def sealed_to(home: Home) -> HpkeKey:
    key = new_encryption_key()
    with home.database.transaction() as tx:
        keys.register(tx, "bank-a", encryption.read(jwk_of(key)), now=clock.now())
    return key


def test_a_batch_goes_the_whole_way_and_its_result_is_checked_before_it_is_read(
    exchange_home: Home, lender: Lender, tmp_path_factory: pytest.TempPathFactory
) -> None:
    held(exchange_home)
    consented(exchange_home)
    path = tmp_path_factory.mktemp("key") / "bank.enc.json"
    path.write_bytes(orjson.dumps(private_jwk(sealed_to(exchange_home))))
    asked = [
        question(PERSON, purpose=PURPOSE, business_no="LA-1"),
        question(Subject.person(NOBODY.text), purpose=PURPOSE, business_no="LA-2"),
    ]
    batch = lender.hand_in(asked, idempotency_key="batch-key-1")
    assert lender.hand_in(asked, idempotency_key="batch-key-1").batch_id == batch.batch_id
    worked(exchange_home)
    fetched = lender.fetch_batch(batch.batch_id)
    content = b"".join(canonical(one) + b"\n" for one in asked)
    verdict, lines = check_batch(fetched, read_encryption_key(path), policy_of(exchange_home), questions=content)
    assert (verdict.lines, verdict.answers, dict(verdict.refusals)) == (2, 1, {"no-consent": 1})
    assert [(one.line, one.refusal) for one in lines] == [(1, None), (2, "no-consent")]
    assert (fetched.batch.permitted, fetched.batch.refused) == (1, {"no-consent": 1})
    with pytest.raises(NotGenuine, match="step 4"):
        check_batch(fetched, new_encryption_key(), policy_of(exchange_home))
    with pytest.raises(NotGenuine, match="step 2"):
        check_batch(fetched, read_encryption_key(path), policy_of(exchange_home), questions=content + b"\n")


def test_batches_are_listed_page_by_page_and_cancelled(exchange_home: Home, lender: Lender) -> None:
    sealed_to(exchange_home)
    handed = [lender.hand_in([question(PERSON, purpose=PURPOSE, business_no=f"LA-{n}")]).batch_id for n in range(3)]
    first = lender.list_batches(most=2)
    assert first.next is not None
    second = lender.list_batches(first.next, most=2)
    assert [one.batch_id for one in (*first.batches, *second.batches)] == handed[::-1]
    assert second.next is None
    assert lender.cancel_batch(handed[0]).state == "cancelled"


def test_without_a_key_to_seal_to_no_file_is_taken(lender: Lender) -> None:
    with pytest.raises(RequestWrong, match="bulk-key-missing"):
        lender.hand_in([question(PERSON, purpose=PURPOSE)])


def test_what_became_of_a_query_is_reported_once(exchange_home: Home, lender: Lender) -> None:
    held(exchange_home)
    consented(exchange_home)
    answer = lender.summary(PERSON, purpose=PURPOSE, business_no="LA-1")
    day = clock.beijing_day(clock.now()).isoformat()
    said = {"reference": "R-1", "kind": "decision", "happened_on": day}
    kept = lender.report_outcome(answer.query_id, **said, decision="approved", amount_fen=500_000)  # type: ignore[arg-type]
    again = lender.report_outcome(answer.query_id, **said, decision="approved", amount_fen=500_000)  # type: ignore[arg-type]
    assert (kept["outcome_id"], kept["details_kept"]) == (again["outcome_id"], True)
    page = lender.outcomes()
    assert [(one["reference"], one["details"]["amount_fen"]) for one in page.outcomes] == [("R-1", 500_000)]
    assert page.next is None
    lender.report_outcome(answer.query_id, **said | {"reference": "R-2"}, decision="approved")  # type: ignore[arg-type]
    first = lender.outcomes(most=1)
    rest = lender.outcomes(first.next, most=1)
    assert [one["reference"] for one in (*first.outcomes, *rest.outcomes)] == ["R-1", "R-2"]
    assert rest.next is None


def test_notices_are_followed_page_by_page_to_their_end(exchange_home: Home, lender: Lender) -> None:
    with exchange_home.database.transaction() as tx:
        tx.execute(
            "INSERT INTO lender_notice (notice_id, organisation, commitment, event, queries, recalled_at)"
            " SELECT gen_random_uuid(), %s, int4send(n), 'recalled', '{}', now() FROM generate_series(1, 201) n",
            (BANK,),
        )
    first = lender.notices()
    rest = lender.notices(first.next)
    assert (len(first), len(rest), rest.next) == (200, 1, None)
    assert len({one["notice_id"] for one in (*first, *rest)}) == 201
    (last,) = rest
    lender.acknowledge_notice(last["notice_id"])
    whole = lender.notices(open_only=True)
    assert (len(whole), whole.next) == (200, None)
    assert (len(lender.deletions()), lender.deletions().next) == (0, None)


def test_a_report_is_had_on_paper_as_long_as_its_consent_stands(exchange_home: Home, lender: Lender) -> None:
    held(exchange_home)
    consent = consented(exchange_home, mode=Mode.REPORT)
    answer = lender.report(PERSON, purpose=PURPOSE, business_no="LA-1", staff=STAFF)
    assert lender.report_pdf(answer.query_id).startswith(b"%PDF-")
    assert lender.see_grant(consent.consent_id)["authorization_details"][0]["purpose"] == PURPOSE
    lender.give_up_grant(consent.consent_id)
    with pytest.raises(QueryRefused, match="withdrawn"):
        lender.report_pdf(answer.query_id)
    with pytest.raises(RequestWrong, match="consent-unknown"):
        lender.see_grant(consent.consent_id)

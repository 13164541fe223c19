"""On the confirmation page: requests, codes and forms that come a second time or from elsewhere."""

from typing import Any

from consent.evidence import Channel
from exchange import consents
from registry.identifiers import ResidentId
from tests.asking import CHALLENGE, PAGE_URL, W_WANTED, WANTED, Browser, back
from tests.people import BANK, ZHANG
from tests.phones import Phone, bound
from tests.scenarios.stage import Lender, Scene, refuses


def somebody(scene: Scene, age: int = 40) -> tuple[ResidentId, Phone]:
    """A person with a phone."""
    who = scene.person(age)
    return who, bound(scene.home, scene.door, who)


def opened(scene: Scene, wanted: Any = None, lender: Lender | None = None) -> Browser:
    """A request of a lender's, open in a browser."""
    asks = lender or scene.bank
    page = Browser(scene.door, asks.caller.client_id, asks.pages.pushed(wanted))
    assert page.open().status_code == 200
    return page


def agreed(scene: Scene, who: ResidentId, phone: Phone) -> str:
    """Agree on the page; give the code that the lender gets."""
    return back(opened(scene).agree(phone.secret, who))["code"]


# ---- requests -------------------------------------------------------------------------------------------------------


@refuses("page-400")
def test_a_request_that_was_answered_is_not_answered_again(scene: Scene) -> None:
    who, phone = somebody(scene)
    page = opened(scene)
    scene.permitted(page.agree(phone.secret, who))
    scene.refused(page.open())
    scene.refused(page.send("agree", identifier=who.text, code=page.code(phone.secret, later=1)))
    assert len(scene.consents(who)) == 1


@refuses("page-400")
def test_another_systems_request_opens_no_page(scene: Scene) -> None:
    request_uri = scene.bank.pages.pushed()
    scene.refused(Browser(scene.door, scene.other.caller.client_id, request_uri).open())
    scene.permitted(Browser(scene.door, scene.bank.caller.client_id, request_uri).open())


@refuses("page-400")
def test_a_request_that_waited_ten_minutes_is_over(scene: Scene) -> None:
    who, phone = somebody(scene)
    page = opened(scene)
    with scene.home.database.transaction() as tx:
        tx.execute("UPDATE authorization_request SET expires_at = now() - interval '1 second' WHERE expires_at > now()")
    scene.refused(page.agree(phone.secret, who))
    scene.permitted(opened(scene).agree(phone.secret, who))


@refuses("page-400")
def test_nobody_is_asked_by_an_address_that_was_not_pushed(scene: Scene) -> None:
    asked = {
        "client_id": scene.bank.caller.client_id,
        "response_type": "code",
        "redirect_uri": scene.bank.pages.redirect,
        "code_challenge": CHALLENGE,
    }
    scene.refused(scene.door.call("GET", PAGE_URL, params=asked))
    scene.permitted(Browser(scene.door, asked["client_id"], scene.bank.pages.pushed()).open())


@refuses("invalid_request")
def test_a_person_is_sent_back_to_no_address_that_is_not_registered(scene: Scene) -> None:
    scene.refused(scene.bank.pages.push(redirect_uri="https://bank.example.evil.example/back?branch=7"))
    scene.permitted(scene.bank.pages.push())


@refuses("invalid_request")
def test_a_request_without_a_challenge_for_its_code_is_not_kept(scene: Scene) -> None:
    scene.refused(scene.bank.pages.push(code_challenge_method="plain"))
    scene.permitted(scene.bank.pages.push(code_challenge_method="S256"))


# ---- forms ----------------------------------------------------------------------------------------------------------


@refuses("page-403")
def test_a_form_without_the_pages_own_mark_is_not_taken(scene: Scene) -> None:
    who, phone = somebody(scene)
    page = opened(scene)
    scene.refused(page.send("agree", identifier=who.text, code=page.code(phone.secret), csrf=None))
    scene.permitted(page.agree(phone.secret, who))


@refuses("page-403")
def test_the_mark_of_one_request_does_not_serve_another(scene: Scene) -> None:
    who, phone = somebody(scene)
    page, other = opened(scene), scene.bank.pages.pushed(W_WANTED)
    scene.refused(page.send("agree", request_uri=other, identifier=who.text, code=page.code(phone.secret)))
    scene.permitted(page.agree(phone.secret, who))


@refuses("page-403")
def test_a_form_that_another_site_sends_is_not_taken(scene: Scene) -> None:
    who, phone = somebody(scene)
    page = opened(scene)
    sent = {**page.hidden, "answer": "agree", "identifier": who.text, "code": page.code(phone.secret)}
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    scene.refused(scene.door.call("POST", PAGE_URL, data=sent, headers=elsewhere))
    scene.permitted(page.agree(phone.secret, who))


@refuses("page-422")
def test_nobody_agrees_to_a_text_that_was_not_on_the_page(scene: Scene) -> None:
    who, phone = somebody(scene)
    page = opened(scene)
    scene.refused(page.agree(phone.secret, who, text_version="2026-01"))
    scene.permitted(page.agree(phone.secret, who))


@refuses("page-422")
def test_what_wants_a_signature_cannot_be_agreed_to_with_a_code(scene: Scene) -> None:
    who, phone = somebody(scene)
    page, other = opened(scene, WANTED | {"items": ["SUBSIDY.amount_paid"]}), opened(scene)
    for ticks in ({}, {"w": "yes"}, {"w": "yes", "s": "yes"}):
        scene.refused(page.send("agree", identifier=who.text, code=other.code(phone.secret), **ticks))
    assert scene.consents(who) == []
    scene.permitted(other.agree(phone.secret, who))


@refuses("items-not-covered")
def test_what_wants_a_signature_is_not_in_a_consent_from_the_page_whatever_the_form_says(scene: Scene) -> None:
    who, phone = somebody(scene)
    scene.permitted(opened(scene, W_WANTED).agree(phone.secret, who, w="yes", s="yes"))
    scene.refused(scene.asks(who, items=["SUBSIDY.amount_paid"]))
    scene.permitted(scene.asks(who, items=["SUBSIDY.project"]))


# ---- who is there ---------------------------------------------------------------------------------------------------


@refuses("page-422")
def test_a_code_counts_once_and_for_the_request_it_was_made_over(scene: Scene) -> None:
    who, phone = somebody(scene)
    page, other = opened(scene), opened(scene, W_WANTED)
    overheard = page.code(phone.secret)
    scene.refused(other.send("agree", identifier=who.text, code=overheard))
    scene.permitted(page.send("agree", identifier=who.text, code=overheard))
    scene.refused(other.send("agree", identifier=who.text, code=overheard))
    scene.permitted(other.send("agree", identifier=who.text, code=other.code(phone.secret, later=1)))


@refuses("page-422")
def test_a_code_for_no_is_none_for_yes(scene: Scene) -> None:
    who, phone = somebody(scene)
    page = opened(scene)
    scene.refused(page.send("agree", identifier=who.text, code=page.code(phone.secret, to_refuse=True)))
    scene.permitted(page.agree(phone.secret, who))


@refuses("page-422")
def test_a_code_for_one_lenders_page_confirms_nothing_for_another(scene: Scene) -> None:
    who, phone = somebody(scene)
    shown, behind = opened(scene), opened(scene, lender=scene.other)
    scene.refused(behind.send("agree", identifier=who.text, code=shown.code(phone.secret)))
    scene.permitted(shown.agree(phone.secret, who))


@refuses("access_denied", "page-422")
def test_guessing_passwords_ends_the_request(scene: Scene) -> None:
    who, phone = somebody(scene)
    page = opened(scene)
    real = {page.code(phone.secret, later=step) for step in (-2, -1, 0, 1, 2)}
    wrong = [guess for guess in (f"{number:08d}" for number in range(20)) if guess not in real][:5]
    ends = [page.send("agree", identifier=who.text, code=guess) for guess in wrong]
    for answer in ends:
        scene.refused(answer)
    assert back(ends[-1])["error"] == "access_denied"
    assert page.agree(phone.secret, who).status_code == 400
    other, another = somebody(scene)
    scene.permitted(opened(scene).agree(another.secret, other))


@refuses("page-422")
def test_guessing_over_several_requests_locks_the_person_and_not_the_request(scene: Scene) -> None:
    who, phone = somebody(scene)
    for guess in range(5):
        page = opened(scene)
        wrong = int(page.code(phone.secret)) + 50_000_000 + guess  # a neighbour's code once in ten million times
        scene.refused(page.send("agree", identifier=who.text, code=f"{wrong % 10**8:08d}"))
    scene.refused(opened(scene).agree(phone.secret, who))
    other, another = somebody(scene)
    scene.permitted(opened(scene).agree(another.secret, other))


@refuses("page-422")
def test_a_stranger_who_knows_a_number_locks_nobody_out_of_another_lenders_page(scene: Scene) -> None:
    who, phone = somebody(scene)
    for _ in range(20):
        opened(scene, lender=scene.other).send("refuse", identifier=who.text, code="00000000")
    scene.refused(opened(scene, lender=scene.other).agree(phone.secret, who))
    scene.permitted(opened(scene).agree(phone.secret, who))
    scene.permitted(phone.call("GET", "/subject/v1/consents"))


@refuses("page-422")
def test_one_persons_password_does_not_agree_for_another(scene: Scene) -> None:
    (who, phone), (other, _) = somebody(scene), somebody(scene)
    scene.refused(opened(scene).agree(phone.secret, other))
    scene.permitted(opened(scene).agree(phone.secret, who))


@refuses("page-422")
def test_a_person_without_a_phone_agrees_to_nothing_on_the_page(scene: Scene) -> None:
    who, phone = somebody(scene)
    scene.refused(opened(scene).agree(phone.secret, ZHANG))
    scene.permitted(opened(scene).agree(phone.secret, who))


@refuses("page-422")
def test_at_sixteen_nobody_agrees_alone_on_the_page(scene: Scene) -> None:
    ward, phone = somebody(scene, age=16)
    grown, other = somebody(scene, age=18)
    answer = opened(scene).agree(phone.secret, ward)
    scene.refused(answer)
    assert scene.consents(ward) == []
    scene.permitted(opened(scene).agree(other.secret, grown))


@refuses("page-422")
def test_whoever_said_no_lately_is_not_talked_into_it_on_the_page(scene: Scene) -> None:
    (who, phone), (other, another) = somebody(scene), somebody(scene)
    consents.refuse(scene.home, who, BANK, "LOAN_APPROVAL", channel=Channel.COUNTER, actor="test")
    scene.refused(opened(scene).agree(phone.secret, who))
    assert scene.consents(who) == []
    scene.permitted(opened(scene).agree(another.secret, other))


@refuses("access_denied")
def test_a_no_is_a_no_without_any_password(scene: Scene) -> None:
    who, phone = somebody(scene)
    scene.refused(opened(scene).send("refuse"))
    scene.permitted(opened(scene).agree(phone.secret, who))


# ---- codes ----------------------------------------------------------------------------------------------------------


@refuses("invalid_grant", "token-invalid")
def test_a_code_counts_once_and_its_second_use_takes_the_token_back(scene: Scene) -> None:
    got = agreed(scene, *somebody(scene))
    first = scene.bank.pages.redeem(got)
    scene.permitted(first)
    scene.refused(scene.bank.pages.redeem(got))
    scene.refused(scene.bank.caller.get(scene.door, first.json()["access_token"]))


@refuses("invalid_grant")
def test_a_code_that_is_older_than_a_minute_is_over(scene: Scene) -> None:
    for late, expected in (("61 seconds", scene.refused), ("0 seconds", scene.permitted)):
        got = agreed(scene, *somebody(scene))
        with scene.home.database.transaction() as tx:
            tx.execute("UPDATE authorization_request SET code_until = code_until - %s::interval", (late,))
        expected(scene.bank.pages.redeem(got))


@refuses("invalid_grant", "invalid_request")
def test_a_code_without_the_secret_behind_its_challenge_gives_no_token(scene: Scene) -> None:
    who, phone = somebody(scene)
    got = agreed(scene, who, phone)
    scene.refused(scene.bank.pages.redeem(got, code_verifier="w" * 43))
    scene.permitted(scene.bank.pages.redeem(got))


@refuses("invalid_grant")
def test_a_code_of_one_lender_gives_no_token_to_another(scene: Scene) -> None:
    got = agreed(scene, *somebody(scene))
    stolen = scene.other.pages.redeem(got, redirect_uri=scene.bank.pages.redirect)
    scene.refused(stolen)
    scene.permitted(scene.bank.pages.redeem(got))


@refuses("invalid_grant")
def test_a_code_gives_no_token_to_another_key(scene: Scene) -> None:
    got = agreed(scene, *somebody(scene))
    right = scene.bank.caller.proof_key
    scene.bank.caller.proof_key = scene.other.caller.proof_key
    stolen = scene.bank.pages.redeem(got)
    scene.bank.caller.proof_key = right
    scene.refused(stolen)
    scene.permitted(scene.bank.pages.redeem(got))


@refuses("items-not-covered", "mode-too-high")
def test_a_token_from_the_page_opens_no_more_than_the_person_agreed_to(scene: Scene) -> None:
    who, phone = somebody(scene)
    token = scene.bank.pages.redeem(agreed(scene, who, phone)).json()["access_token"]
    with_token = Lender(scene.bank.pages, token)
    scene.refused(scene.asks(who, with_token, items=["SUBSIDY.area"]))
    scene.permitted(scene.asks(who, with_token, items=["SUBSIDY.project"]))

"""Attacks on pushed requests, the confirmation page and its codes: each must end without a consent or a token."""

import threading
from typing import Any

import orjson
import pytest

from exchange.home import Home
from exchange.oauth import clients, codes
from exchange.oauth.scopes import Role
from registry.identifiers import ResidentId
from tests.asking import (
    CHALLENGE,
    PAGE_URL,
    PAR_URL,
    REDIRECT,
    VERIFIER,
    W_WANTED,
    WANTED,
    Bank,
    Browser,
    back,
    bank,
)
from tests.attacks.bent_client import ISSUER, TOKEN_URL, Caller, Door, registered
from tests.attacks.fapi_modules import oidf
from tests.people import LI, ZHANG, held
from tests.phones import Phone, bound

STANDING = True


@pytest.fixture
def phone(exchange_home: Home, door: Door) -> Phone:
    return bound(exchange_home, door)


@pytest.fixture
def lender_one(exchange_home: Home, door: Door) -> Bank:
    return bank(exchange_home, door)


def opened(door: Door, lender: Bank, wanted: Any = None) -> Browser:
    page = Browser(door, lender.caller.client_id, lender.pushed(wanted))
    assert page.open().status_code == 200
    return page


def no_consent(home: Home) -> bool:
    with home.database.transaction() as tx:
        return tx.execute("SELECT count(*) FROM consent").fetchone() == (0,)


def test_two_requests_of_one_number_cannot_be_searched_for(
    door: Door, exchange_home: Home, lender_one: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "MOST_AT_ONCE", 3)
    colleague = bank(exchange_home, door, "bank-colleague")  # another system of the same organisation
    for _ in range(3):
        assert opened(door, lender_one).send("refuse").status_code == 303  # answered at once, and counted on
    for pushing in (lender_one, colleague):
        answer = pushing.push()
        assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
        assert 0 < int(answer.headers["retry-after"]) <= 590
        assert answer.headers["ratelimit"].startswith('"tokens";r=')
    other = bank(exchange_home, door, "bank-other", organisation="别的银行")
    last = other.push()
    assert (last.status_code, last.headers["ratelimit"].partition(";")[0]) == (201, '"tokens"')
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE authorization_request SET expires_at = now() WHERE recipient <> '别的银行'")
    assert lender_one.push().status_code == 201


def test_nobody_pushes_more_by_pushing_at_once(door: Door, lender_one: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "MOST_AT_ONCE", 2)
    requests = [("POST", PAR_URL, {"data": lender_one.form()}) for _ in range(6)]
    statuses = sorted(answer.status_code for answer in door.together(*requests))
    assert statuses == [201, 201, 429, 429, 429, 429]


# ---- pushing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bent",
    [
        pytest.param({"code_challenge": None}, marks=oidf("fapi2-security-profile-final-par-ensure-pkce-required")),
        pytest.param(
            {"code_challenge_method": None}, marks=oidf("fapi2-security-profile-final-par-plain-pkce-rejected")
        ),
        pytest.param(
            {"code_challenge_method": "plain"}, marks=oidf("fapi2-security-profile-final-par-plain-pkce-rejected")
        ),
        pytest.param({"code_challenge": "short"}, marks=oidf("fapi2-security-profile-final-par-ensure-pkce-required")),
        {"code_challenge": CHALLENGE + "="},
        pytest.param(
            {"response_type": "token"}, marks=oidf("fapi2-security-profile-final-ensure-response-type-token-fails")
        ),
        pytest.param(
            {"response_type": "code id_token"},
            marks=oidf("fapi2-security-profile-final-ensure-response-type-code-idtoken-fails"),
        ),
        {"response_type": None},
        {"response_mode": "fragment"},
        {"dpop_jkt": None},
        {"dpop_jkt": "x"},
        {"client_id": None},
        {"client_id": "other"},
        pytest.param(
            {"redirect_uri": None},
            marks=oidf("fapi2-security-profile-final-ensure-redirect-uri-in-authorization-request"),
        ),
        pytest.param(
            {"redirect_uri": "https://bank.example/back"},
            marks=oidf(
                "fapi2-security-profile-final-ensure-registered-redirect-uri",
                "fapi2-security-profile-final-plain-fapi-tolerate-unregistered-redirect-uri",
            ),
        ),
        pytest.param(
            {"redirect_uri": REDIRECT + "&x=1"},
            marks=oidf("fapi2-security-profile-final-ensure-registered-redirect-uri"),
        ),
        pytest.param(
            {"redirect_uri": "https://bank.example/BACK?branch=7"},
            marks=oidf("fapi2-security-profile-final-ensure-registered-redirect-uri"),
        ),
        pytest.param(
            {"redirect_uri": "https://bank.example.evil.example/back?branch=7"},
            marks=oidf("fapi2-security-profile-final-ensure-registered-redirect-uri"),
        ),
        {"redirect_uri": "https://evil.example/"},
        pytest.param(
            {"request": "eyJhbGciOiJub25lIn0.e30."},
            marks=oidf("fapi2-security-profile-final-par-authorization-request-containing-request_uri"),
        ),
        pytest.param(
            {"request_uri": "urn:ietf:params:oauth:request_uri:x"},
            marks=oidf("fapi2-security-profile-final-par-authorization-request-containing-request_uri-form-param"),
        ),
        {"scope": "audit:read"},
        {"resource": "https://elsewhere.example"},
        {"state": "x" * 513},
        {"state": "a\nb"},
        {"nonce": "é"},
        {"client_secret": "s"},
        {"client_assertion": None},
        {"client_assertion_type": "other"},
        {"authorization_details": None},
        {"authorization_details": "[]"},
        {"authorization_details": "{}"},
        {"authorization_details": orjson.dumps([WANTED, WANTED]).decode()},
        {"authorization_details": "[" * 5000},
    ],
)
def test_a_bent_request_is_not_kept(lender_one: Bank, exchange_home: Home, bent: dict[str, str | None]) -> None:
    answer = lender_one.push(**bent)
    assert answer.status_code in {400, 401}, answer.text
    assert "error" in answer.json()
    assert answer.headers["cache-control"] == "no-store"
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM authorization_request").fetchone() == (0,)


@oidf("fapi2-security-profile-final-ensure-invalid-client-assertions-fail")
def test_an_assertion_that_was_used_pushes_nothing_more(lender_one: Bank) -> None:
    assertion = lender_one.caller.assertion()
    assert lender_one.push(client_assertion=assertion).status_code == 201
    again = lender_one.push(client_assertion=assertion)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


@oidf("fapi2-security-profile-final-ensure-mismatched-dpop-jkt-fails")
def test_a_proof_beside_a_thumbprint_is_of_the_same_key(lender_one: Bank) -> None:
    proof = lender_one.caller.proof("POST", PAR_URL)
    assert lender_one.push(proof=proof).status_code == 201
    stranger = Caller("x")
    other = lender_one.push(proof=stranger.proof("POST", PAR_URL))
    assert (other.status_code, other.json()["error"]) == (400, "invalid_request")
    elsewhere = lender_one.push(proof=lender_one.caller.proof("POST", TOKEN_URL))
    assert elsewhere.json()["error"] == "invalid_dpop_proof"


def test_a_parameter_twice_or_in_the_address_is_refused(door: Door, lender_one: Bank) -> None:
    form = lender_one.form()
    doubled = [*form.items(), ("redirect_uri", "https://evil.example/")]
    text = "&".join(f"{name}={value}" for name, value in doubled)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert door.call("POST", PAR_URL, content=text.encode(), headers=headers).status_code == 400
    assert door.call("POST", f"{PAR_URL}?redirect_uri=x", data=form).status_code == 400


@pytest.mark.parametrize("role", [Role.REGULATOR, Role.AGENCY])
def test_only_a_lender_asks_persons(door: Door, exchange_home: Home, role: Role) -> None:
    caller = registered(exchange_home, Caller("other-role"), role, organisation="别的单位")
    answer = Bank(door, caller).push()
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


def test_a_phone_cannot_push_or_redeem(door: Door, phone: Phone) -> None:
    impostor = Bank(door, phone.client)
    assert impostor.push().json()["error"] == "unauthorized_client"
    assert impostor.redeem("x").json()["error"] == "unauthorized_client"


def test_a_suspended_lender_s_page_is_gone(door: Door, exchange_home: Home, phone: Phone, lender_one: Bank) -> None:
    page = opened(door, lender_one)
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, lender_one.caller.client_id, clients.SUSPENDED)
    assert page.open().status_code == 400
    assert page.agree(phone.secret).status_code == 400
    assert no_consent(exchange_home)


def test_a_redirect_uri_that_was_taken_back_leads_nowhere(door: Door, exchange_home: Home, lender_one: Bank) -> None:
    page = opened(door, lender_one)
    with exchange_home.database.transaction() as tx:
        assert clients.set_redirects(tx, lender_one.caller.client_id, [])
    answer = page.send("refuse")
    assert answer.status_code == 400
    assert "location" not in answer.headers


# ---- the page -------------------------------------------------------------------------------------------------------


@oidf("fapi2-security-profile-final-par-attempt-to-use-request_uri-for-different-client")
def test_another_client_s_request_uri_opens_nothing(door: Door, exchange_home: Home, lender_one: Bank) -> None:
    other = bank(exchange_home, door, "bank-two", "别的银行", "https://two.example/")
    page = Browser(door, other.caller.client_id, lender_one.pushed())
    answer = page.open()
    assert answer.status_code == 400
    assert "location" not in answer.headers


@oidf("fapi2-security-profile-final-par-attempt-reuse-request_uri")
@pytest.mark.parametrize("answer", ["agree", "refuse"])
def test_a_request_is_answered_once(
    door: Door, exchange_home: Home, phone: Phone, lender_one: Bank, answer: str
) -> None:
    page = opened(door, lender_one)
    assert page.send(answer, identifier=ZHANG.text, code=page.code(phone.secret)).status_code == 303
    assert page.open().status_code == 400
    again = page.send("agree", identifier=ZHANG.text, code=page.code(phone.secret, later=1))
    assert again.status_code == 400
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM consent").fetchone() == ((1,) if answer == "agree" else (0,))


@oidf("fapi2-security-profile-final-par-ensure-reused-request-uri-prior-to-auth-completion-succeeds")
def test_opening_a_page_twice_is_harmless(door: Door, phone: Phone, lender_one: Bank) -> None:
    """A chat program that looks at links, and a reload over a bad line, spoil nothing."""
    page = opened(door, lender_one)
    with_own_cookie = Browser(door, page.client_id, page.request_uri)
    with_own_cookie.open()
    assert "code" in back(with_own_cookie.agree(phone.secret))


@oidf("fapi2-security-profile-final-ensure-unsigned-authorization-request-without-using-par-fails")
@pytest.mark.parametrize(
    "address",
    [
        "",
        "?client_id=bank-system",
        "?client_id=bank-system&request_uri=https://evil.example/request.jwt",
        "?client_id=bank-system&request_uri=urn:ietf:params:oauth:request_uri:guess",
        "?client_id=bank-system&response_type=code&redirect_uri=https://evil.example/",
        "?client_id=a&client_id=b",
        "?" + "x" * 3000,
        "?client_id=%00&request_uri=%ff",
    ],
)
def test_an_address_that_is_not_whole_leads_nowhere(door: Door, lender_one: Bank, address: str) -> None:
    answer = door.call("GET", PAGE_URL + address)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "evil" not in answer.text


def test_the_person_is_sent_back_with_303_and_to_the_registered_address_only(
    door: Door, phone: Phone, lender_one: Bank
) -> None:
    page = opened(door, lender_one)
    answer = page.send(
        "agree", identifier=ZHANG.text, code=page.code(phone.secret), redirect_uri="https://evil.example/"
    )
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(REDIRECT + "&code=")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


def test_no_frame_no_store_no_script_no_referrer(door: Door, lender_one: Bank) -> None:
    shown = opened(door, lender_one).page
    assert shown is not None
    policies = shown.headers.get_list("content-security-policy")
    assert len(policies) == 1
    assert "frame-ancestors 'none'" in policies[0]
    assert "script-src" not in policies[0]
    assert "default-src 'none'" in policies[0]
    assert shown.headers["x-frame-options"] == "DENY"
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["referrer-policy"] == "no-referrer"
    cookie = shown.headers["set-cookie"]
    for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/oauth/authorize"):
        assert word in cookie
    assert len(shown.content) < 40_000


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"csrf": None}, {}),
        ({"csrf": "x" * 43}, {}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
        ({}, {"Cookie": "qq-page="}),
        ({}, {"Cookie": "qq-page=" + "A" * 43}),
        ({"answer": "both"}, {}),
        ({"answer": None}, {}),
    ],
)
def test_a_form_that_another_page_sends_is_not_taken(
    door: Door, exchange_home: Home, phone: Phone, lender_one: Bank, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    page = opened(door, lender_one)
    sent = {**page.hidden, "answer": "agree", "identifier": ZHANG.text, "code": page.code(phone.secret), **fields}
    stated = {name: value for name, value in sent.items() if value is not None}
    answer = door.call("POST", PAGE_URL, data=stated, headers=headers)
    assert answer.status_code == 403
    assert no_consent(exchange_home)


def test_a_token_of_one_request_does_not_serve_another(
    door: Door, exchange_home: Home, phone: Phone, lender_one: Bank
) -> None:
    page, other = opened(door, lender_one), Browser(door, lender_one.caller.client_id, lender_one.pushed(W_WANTED))
    answer = page.send("agree", request_uri=other.request_uri, identifier=ZHANG.text, code=page.code(phone.secret))
    assert answer.status_code == 403
    assert no_consent(exchange_home)


def test_a_lender_s_name_is_text_and_never_markup(door: Door, exchange_home: Home) -> None:
    evil = bank(exchange_home, door, "evil", "<script>alert(1)<img src=x onerror=alert(1)>\"'", "https://evil.example/")
    text = Browser(door, "evil", evil.pushed()).open().text
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "<img" not in text


@pytest.mark.parametrize("name", ["client_id", "request_uri", "lang", "identifier", "code", "text_version"])
def test_what_a_form_says_never_becomes_markup(door: Door, lender_one: Bank, name: str) -> None:
    page = opened(door, lender_one)
    answer = page.send("agree", **{"identifier": ZHANG.text, "code": "000000", name: '"><script>alert(1)</script>'})
    assert "<script" not in answer.text
    assert ZHANG.text not in answer.text


# ---- presence -------------------------------------------------------------------------------------------------------


def test_nobody_is_told_apart_by_the_page(door: Door, exchange_home: Home, phone: Phone, lender_one: Bank) -> None:
    held(exchange_home, LI)  # known, without a phone
    unknown = ResidentId.parse("630203197606150003")
    texts = set()
    given = ((ZHANG.text, "00000000"), (LI.text, "12345678"), (unknown.text, "12345678"), ("12345", "1"), ("", ""))
    for who, code in given:
        page = opened(door, lender_one)
        answer = page.send("agree", identifier=who, code=code)
        assert answer.status_code == 422
        shown = answer.text.replace(page.request_uri, "").replace(page.hidden["csrf"], "")
        for number in page.numbers.values():
            shown = shown.replace(number, "")
        texts.add(shown.replace(page.request_uri.replace(":", "%3A"), ""))
    assert len(texts) == 1


def test_guessing_ends_the_request(door: Door, exchange_home: Home, phone: Phone, lender_one: Bank) -> None:
    page = opened(door, lender_one)
    statuses = [page.send("agree", identifier=ZHANG.text, code=f"{n:06d}").status_code for n in range(4)]
    assert statuses == [422] * 4
    ended = back(page.send("agree", identifier=ZHANG.text, code="999999"))
    assert ended["error"] == "access_denied"
    assert page.agree(phone.secret).status_code == 400
    assert no_consent(exchange_home)


def test_guessing_locks_the_person_over_several_requests(
    door: Door, exchange_home: Home, phone: Phone, lender_one: Bank
) -> None:
    for number in range(6):
        opened(door, lender_one).send("agree", identifier=ZHANG.text, code=f"{number:06d}")
    assert opened(door, lender_one).agree(phone.secret).status_code == 422
    assert no_consent(exchange_home)


def test_a_one_time_code_counts_once(door: Door, exchange_home: Home, phone: Phone, lender_one: Bank) -> None:
    """Neither the code that was overheard, nor another of the same half minute."""
    page, other = opened(door, lender_one), opened(door, lender_one, W_WANTED)
    code = page.code(phone.secret)
    assert page.send("agree", identifier=ZHANG.text, code=code).status_code == 303
    for sent in (code, other.code(phone.secret)):
        assert other.send("agree", identifier=ZHANG.text, code=sent).status_code == 422
    with exchange_home.database.transaction() as tx:
        assert tx.execute("SELECT count(*) FROM consent").fetchone() == (1,)


# ---- codes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def code(door: Door, phone: Phone, lender_one: Bank) -> str:
    return back(opened(door, lender_one).agree(phone.secret))["code"]


@pytest.mark.parametrize(
    "bent",
    [
        pytest.param(
            {"code_verifier": None}, marks=oidf("fapi2-security-profile-final-ensure-pkce-code-verifier-required")
        ),
        pytest.param(
            {"code_verifier": VERIFIER[:-1] + "w"},
            marks=oidf("fapi2-security-profile-final-incorrect-pkce-code-verifier-rejected"),
        ),
        pytest.param(
            {"code_verifier": CHALLENGE},
            marks=oidf("fapi2-security-profile-final-incorrect-pkce-code-verifier-rejected"),
        ),
        pytest.param(
            {"code_verifier": "short"}, marks=oidf("fapi2-security-profile-final-incorrect-pkce-code-verifier-rejected")
        ),
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "https://bank.example/back"},
        {"code": "guess"},
        {"code": None},
        {"resource": "https://elsewhere.example"},
    ],
)
def test_a_code_with_something_wrong_beside_it_gives_no_token(
    lender_one: Bank, code: str, bent: dict[str, str | None]
) -> None:
    stated: dict[str, str | None] = {"redirect_uri": REDIRECT, "code_verifier": VERIFIER, "code": code}
    answer = lender_one.caller.ask(lender_one.door, grant_type="authorization_code", **(stated | bent))
    assert answer.status_code == 400, answer.text
    assert "access_token" not in answer.text


@oidf(
    "fapi2-security-profile-final-ensure-authorization-code-is-bound-to-client",
    "fapi2-security-profile-final-ensure-token-endpoint-fails-with-mismatched-dpop-jkt",
)
def test_a_stolen_code_is_of_no_use_to_another_client_or_key(
    door: Door, exchange_home: Home, lender_one: Bank, code: str
) -> None:
    other = bank(exchange_home, door, "bank-two", "别的银行", REDIRECT)
    assert other.redeem(code).json()["error"] == "invalid_grant"
    right = lender_one.caller.proof_key
    lender_one.caller.proof_key = Caller("x").proof_key
    assert lender_one.redeem(code).json()["error"] == "invalid_grant"
    lender_one.caller.proof_key = right
    assert lender_one.redeem(code).status_code == 200


@oidf("fapi2-security-profile-final-attempt-reuse-authorization-code-after-one-second")
def test_a_code_gives_one_token_and_a_second_use_takes_it_back(
    door: Door, exchange_home: Home, lender_one: Bank, code: str
) -> None:
    token = lender_one.redeem(code).json()["access_token"]
    assert lender_one.caller.get(door, token).status_code == 200
    again = lender_one.redeem(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert lender_one.caller.get(door, token).status_code == 401


@oidf("fapi2-security-profile-final-attempt-reuse-authorization-code-after-one-second")
def test_of_many_that_redeem_one_code_in_two_processes_one_gets_a_token(
    second: Door, lender_one: Bank, code: str
) -> None:
    statuses: list[int] = []
    banks = [lender_one, Bank(second, lender_one.caller)]
    threads = [threading.Thread(target=lambda one=one: statuses.append(one.redeem(code).status_code)) for one in banks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 400]


@oidf("fapi2-security-profile-final-attempt-reuse-authorization-code-after-one-second")
def test_of_many_at_once_one_gets_a_token(door: Door, lender_one: Bank, code: str) -> None:
    caller = lender_one.caller
    requests = [
        (
            "POST",
            TOKEN_URL,
            {
                "data": caller.form(
                    grant_type="authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=VERIFIER
                ),
                "headers": {"DPoP": caller.proof("POST", TOKEN_URL)},
            },
        )
        for _ in range(8)
    ]
    statuses = sorted(answer.status_code for answer in door.together(*requests))
    assert statuses == [200] + [400] * 7


def test_answers_name_who_made_them_so_that_two_servers_cannot_be_mixed_up(
    door: Door, phone: Phone, lender_one: Bank
) -> None:
    for answer in ("refuse", "agree"):
        page = opened(door, lender_one)
        sent = back(page.send(answer, identifier=ZHANG.text, code=page.code(phone.secret)))
        assert sent["iss"] == ISSUER
        if answer == "refuse":
            break


def test_a_code_is_no_way_in_with_the_systems_own_grant(lender_one: Bank, code: str) -> None:
    answer = lender_one.caller.ask(lender_one.door, code=code, code_verifier=VERIFIER)
    assert answer.status_code == 400

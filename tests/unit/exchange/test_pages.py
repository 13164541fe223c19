"""The confirmation page: small, without scripts, and nothing that is put into it becomes markup."""

import re
from importlib import resources

import pytest
import yaml

from exchange import pages
from exchange.errors import RequestRefused
from exchange.oauth import pkce, redirects
from exchange.pages import prose
from exchange.pages.prose import Block, Span


def test_every_word_stands_in_every_language() -> None:
    said = yaml.safe_load((resources.files("exchange.pages") / "words.yml").read_text("utf-8"))
    assert all(set(one) == set(pages.LANGUAGES) and all(map(str.strip, one.values())) for one in said.values())


def test_marks_become_blocks_and_nothing_else() -> None:
    assert prose.blocks("# A **b**\n\nc\nd\n- e\n- **f** g\n\n<!-- h --><b>i</b>") == [
        Block("heading", (Span("A "), Span("b", bold=True))),
        Block("paragraph", (Span("c\nd"),)),
        Block("list", entries=((Span("e"),), (Span("f", bold=True), Span(" g")))),
        Block("paragraph", (Span("<b>i</b>"),)),
    ]


def test_what_is_put_into_a_page_is_escaped() -> None:
    text = pages.page("message.html", "zh", base="", title="<script>alert(1)</script>", text="\"'><img src=x>").decode()
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


def test_a_page_loads_nothing_but_our_stylesheet() -> None:
    text = pages.page("message.html", "en", base="/x", title="t", text="t").decode()
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["/x" + pages.style_path()]
    assert "style=" not in text
    assert len(pages.style()) < 4096


def test_headers_keep_a_page_from_being_framed_stored_and_traced() -> None:
    headers = pages.headers("https://bank.example")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' https://bank.example;" in policy
    assert "unsafe" not in policy
    assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "uri",
    [
        "http://bank.example/back",
        "//bank.example/back",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://",
        "https://bank.example@evil.example/",
        "https://bank.example/#fragment",
        "https://bank.example/*",
        "https://bank.example\\@evil.example/",
        "https://bank.example/\r\nX: 1",
        "https://bank.example;evil.example/",
        "https://bank.example:99999999/",
        "https://银行.example/",
        "https://bank.example/" + "x" * 300,
    ],
)
def test_a_redirect_uri_that_leads_elsewhere_is_not_registered(uri: str) -> None:
    with pytest.raises(RequestRefused):
        redirects.check(uri)


@pytest.mark.parametrize("uri", ["https://bank.example/back?x=1", "http://127.0.0.1:8080/cb", "http://localhost/cb"])
def test_a_redirect_uri_of_a_bank_or_of_a_test_is_registered(uri: str) -> None:
    assert redirects.check(uri) == uri


def test_an_answer_is_added_to_the_query_that_a_redirect_uri_has() -> None:
    assert redirects.answered("https://b.example/x?y=1", {"code": "a b", "state": None}) == (
        "https://b.example/x?y=1&code=a+b"
    )
    assert redirects.answered("https://b.example/x", {"error": "access_denied"}) == (
        "https://b.example/x?error=access_denied"
    )


def test_pkce_is_the_example_of_rfc_7636() -> None:
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert pkce.answers("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", challenge)
    assert not pkce.answers("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl", challenge)
    assert not pkce.answers(challenge[:42], challenge)
    assert not pkce.answers(challenge, challenge)


def test_the_enter_key_neither_agrees_nor_refuses_and_both_answers_weigh_the_same() -> None:
    text = (resources.files("exchange.pages") / "consent.html").read_text("utf-8")
    buttons = re.findall(r"<button[^>]*>", text)
    assert buttons == [
        "<button disabled hidden>",
        '<button name="answer" value="refuse">',
        '<button name="answer" value="agree">',
    ]

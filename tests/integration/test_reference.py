"""The reference at /docs: every interface in both languages, from what the exchange says of itself."""

import re

import pytest

from exchange import problems, reference
from tests.attacks.bent_client import ISSUER, Door

STANDING = True
DOCS = f"{ISSUER}/docs"


def routes(door: Door) -> set[str]:
    described = door.call("GET", f"{ISSUER}/openapi.json").json()
    return {f"{method.upper()} {path}" for path, ways in described["paths"].items() for method in ways}


def test_every_interface_has_a_name_in_chinese_and_no_name_is_left_over(door: Door) -> None:
    assert set(reference.chinese()) == routes(door)


def test_every_interface_stands_on_some_audiences_page_with_its_name(door: Door) -> None:
    for language in ("zh", "en"):
        shown: set[str] = set()
        for audience in reference.AUDIENCES:
            answer = door.call("GET", DOCS, params={"audience": audience, "lang": language})
            assert answer.status_code == 200
            shown |= set(re.findall(r"<h2><code>([A-Z]+ [^<]+)</code></h2>\n<p><b>[^<]+</b>", answer.text))
        assert shown == routes(door)


def test_every_problem_stands_on_the_page_and_every_problem_that_is_named_there(door: Door) -> None:
    text = door.call("GET", DOCS).text
    assert set(re.findall(r'<tr id="problem-([a-z-]+)">', text)) == set(problems.CATALOGUE)
    assert set(re.findall(r'href="#problem-([a-z-]+)"', text)) <= set(problems.CATALOGUE)


def test_members_of_a_body_are_written_out_with_what_is_checked(door: Door) -> None:
    text = door.call("GET", DOCS, params={"lang": "en"}).text
    section = text.partition('<section id="post-v1-outcomes">')[2].partition("</section>")[0]
    assert re.search(r"<code>happened_on</code> <b[^>]*>\*</b></td><td>string date</td>", section)
    assert re.search(r"<code>amount_fen</code></td><td>integer \| null</td><td[^>]*>in fen", section)
    assert "minimum 0, maximum 10000000000000" in section


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing(door: Door) -> None:
    answer = door.call("GET", DOCS)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "<script" not in answer.text
    assert re.findall(r'(?:src|href)="((?:https?:)?//[^"]*)"', answer.text) == []


@pytest.mark.parametrize("asked", [{"audience": "everybody"}, {"lang": "de"}])
def test_an_audience_or_language_that_there_is_not_is_said_so(door: Door, asked: dict[str, str]) -> None:
    answer = door.call("GET", DOCS, params=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")

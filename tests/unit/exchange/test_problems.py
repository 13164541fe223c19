"""The problem catalogue: complete, stable in form, and silent about people."""

import ast
import re
from pathlib import Path

import orjson
import pytest

from consent.decision import Reason
from exchange import errors, problems
from exchange.cli.problems import written
from exchange.errors import ExchangeError, RequestRefused, ScopeMissing

EXCHANGE = Path(problems.__file__).parent
REASONS = {reason.value for reason in Reason}


def test_every_reason_of_the_decision_has_its_problem_and_no_more() -> None:
    assert problems.CATALOGUE.keys() >= REASONS
    assert {problem.code for problem in problems._REFUSALS} <= REASONS


def test_every_code_that_the_doors_raise_is_in_the_catalogue() -> None:
    raised = {
        call.args[0].value
        for path in EXCHANGE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "RequestRefused"
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert raised <= set(problems.CATALOGUE)
    assert "request-malformed" in raised


@pytest.mark.parametrize("code", sorted(problems.CATALOGUE))
def test_every_problem_says_in_two_languages_what_happened_and_how_to_mend_it(code: str) -> None:
    told = problems.tell("https://exchange.example", code)
    body = orjson.loads(told.body)
    assert body["type"] == f"https://exchange.example/problems/{code}"
    assert body["status"] == told.status == problems.CATALOGUE[code].status
    assert body["title_zh"] != body["title"]
    assert not body["title_zh"].isascii()
    assert problems.CATALOGUE[code].mend
    assert told.headers["Content-Type"] == "application/problem+json"
    assert ("WWW-Authenticate" in told.headers) == (
        code in {"credentials-missing", "token-invalid", "proof-invalid", "scope-missing"}
    )


def test_every_problem_has_its_cause_and_mend_in_chinese_and_no_other_has() -> None:
    assert problems.chinese().keys() == problems.CATALOGUE.keys()
    for code, both in problems.chinese().items():
        assert all(re.search(r"[\u4e00-\u9fff]", text) for text in both), code


def test_every_problem_is_one_that_some_door_answers_with() -> None:
    named = {
        node.value
        for path in EXCHANGE.rglob("*.py")
        if not path.name.endswith("problems.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    by_error = {code for _, code in problems._CODES_OF_ERRORS}
    assert problems.CATALOGUE.keys() - REASONS - by_error <= named


def test_the_page_of_problems_is_what_the_command_writes() -> None:
    page = EXCHANGE.parent / "docs" / "problems.md"
    command = "qingqiao problems --out docs/problems.md"
    assert page.read_text(encoding="utf-8") == written(problems.CATALOGUE.values()), command


def test_a_problem_names_the_request_it_answers_where_there_is_one() -> None:
    assert "request_id" not in orjson.loads(problems.tell("", "not-found").body)
    token = problems.REQUEST_ID.set("abc")
    assert orjson.loads(problems.tell("", "not-found").body)["request_id"] == "abc"
    problems.REQUEST_ID.reset(token)


def test_every_error_of_the_doors_becomes_a_problem_of_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ExchangeError)]
    behind = {ExchangeError, errors.CredentialsRefused, errors.AssertionRefused, errors.RulesRefused}  # at no door
    for kind in kinds:
        error = kind("not-found") if kind is not ScopeMissing else ScopeMissing("queries")
        code = orjson.loads(problems.told_of("", error).body)["code"]
        assert (code == "internal") == (kind in behind)


def test_a_refusal_carries_the_query_and_nothing_else_of_it() -> None:
    answer = problems.refusal(Reason.NO_CONSENT, "b7d2")
    assert set(orjson.loads(bytes(answer.body))) == {
        "type",
        "title",
        "title_zh",
        "status",
        "code",
        "detail",
        "query_id",
    }


def test_an_unknown_code_is_a_mistake_in_the_program() -> None:
    with pytest.raises(KeyError):
        problems.told_of("", RequestRefused("no-such-code"))


def test_openapi_shows_each_problem_of_a_status() -> None:
    said = problems.responses(403)[403]["content"]["application/problem+json"]
    assert REASONS & set(said["examples"]) >= {"no-consent", "withdrawn"}

"""A bank's system compares what came back before it sends a code anywhere."""

from typing import Any

import pytest

from sandbox.asking import Asked, Asker
from sandbox.caller import Refused, new_client

ISSUER = "https://exchange.example"
ASKED = Asked(f"{ISSUER}/oauth/authorize?x", "urn:x", "https://bank.example/back", "st-1", "v" * 64)


class Nobody:
    """An exchange that must not be reached."""

    def get(self, *_: Any, **__: Any) -> Any:
        pytest.fail("something was sent")

    post = request = get


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"code": "c", "state": "st-1"}, "answer-of-another-request-or-server"),
        ({"code": "c", "state": "st-1", "iss": "https://other.example"}, "answer-of-another-request-or-server"),
        ({"code": "c", "state": "st-2", "iss": ISSUER}, "answer-of-another-request-or-server"),
        ({"code": "c", "iss": ISSUER}, "answer-of-another-request-or-server"),
        ({"error": "access_denied", "state": "st-1", "iss": ISSUER}, "access_denied"),
    ],
)
def test_an_answer_that_is_none_of_ours_sends_no_code_anywhere(answer: dict[str, str], code: str) -> None:
    asker = Asker(ISSUER, new_client("bank"), http=Nobody())  # type: ignore[arg-type]
    with pytest.raises(Refused) as refused:
        asker.redeem(ASKED, answer)
    assert refused.value.code == code


def test_what_must_be_remembered_of_a_request_shows_no_secret() -> None:
    assert "v" * 64 not in repr(ASKED)

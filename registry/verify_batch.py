"""A batch's manifest and the parts that a lender has, checked and opened with no database and no network.

Steps (the numbers are used in the code, the tests and docs/lenders.md):
  1. the manifest has its form, and is signed with a key of answers of the trust policy
  2. its parts cover the lines from the first to the last, each once; with the file of questions at hand: it is the file
     that the manifest speaks of
  3. every part at hand is, byte for byte, one that was handed out; none is missing, unless parts of it are enough
  4. it opens under the lender's key, as the part that its header says
  5. its lines are those that the manifest counts for it, in their order, each with an answer or a refusal
  6. every answer is signed with a key of answers, is for the manifest's lender, and is the query that its line names;
     with the file of questions at hand: it answers the question of that line

The trust policy must have been obtained by another way than the batch (docs/trust.md). What is opened is given to
whoever asks for it, line by line; nothing is written here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from registry import jws
from registry.canonical import canonical, unb64url
from registry.errors import RegistryError
from registry.suites import sha256
from registry.trust import TrustPolicy
from registry.verify import ANSWER_TYPE

PART_FORMAT: Final = "qingqiao-batch-part/v1"
FORMAT: Final = "qingqiao-batch/v1"
MANIFEST_TYPE: Final = "qq-batch+jws"
_HEADER: Final = frozenset({"format", "batch_id", "part", "first_line", "last_line", "lines", "key", "suite"})
_WHOLE: Final = frozenset({"working", "finished"})  # a batch that was cancelled ends in the middle of a part
_OF_THE_FILE: Final = b"qq-bulk\x00"  # as `keeping.salted` and `answer.request_digest` have it
_OF_A_QUESTION: Final = b"qq-request\x00"


class Opens(Protocol):
    """A private key that opens what was sealed to it, as `registry.suites.hpke.HpkeKey` does."""

    def open(self, sealed: bytes, *, info: bytes, aad: bytes) -> bytes:
        """Open sealed bytes, or raise `SealBroken`."""
        ...


class BatchRefused(Exception):  # a statement, as the other errors are
    """What was checked does not hold; `step` is the number of the step that found out."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"step {step}: {what}")
        self.step = step


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: counts over the parts at hand."""

    batch_id: str
    lender: str
    state: str
    parts: int
    lines: int
    answers: int
    refusals: Mapping[str, int]


def verify(  # what is held against each other
    document: bytes,
    parts: Mapping[int, bytes],
    policy: TrustPolicy,
    key: Opens,
    *,
    questions: bytes | None = None,
    partial: bool = False,
    give: Callable[[bytes], object] = lambda _: None,
) -> Verdict:
    """Check a manifest and parts; hand each line of the result to `give` once its part has been checked whole.

    Args:
        document: the manifest with its signature, as it came.
        parts: number → part, as it came.
        policy: whose signatures count.
        key: the lender's private key.
        questions: the file that was handed in, to check answers against.
        partial: whether some of the parts are enough.
        give: takes a line of the result, as bytes of JSON with a newline.

    Raises:
        BatchRefused: something does not hold.
    """
    said = _step(1, _manifest, document, policy)
    asked = _step(2, _lines, said, questions)
    _need(3, partial or set(parts) == {one["part"] for one in said["parts"]}, "a part is missing, or one is too many")
    lines = answers = 0
    refusals: dict[str, int] = {}
    for one in said["parts"]:
        if one["part"] not in parts:
            continue
        header, sealed, handed = _step(3, _handed_out, one, parts[one["part"]], said)
        opened = _step(4, key.open, sealed, info=canonical(header), aad=b"")
        read = _step(5, _read, opened, header, handed)
        whole = len(read) == one["last_line"] - one["first_line"] + 1
        _need(5, whole or said["state"] not in _WHOLE, "lines are missing from a part")
        for _, line in read:
            if "answer" in line:
                _step(6, _answer, line, said, policy, asked)
                answers += 1
            else:
                refusals[line["refusal"]] = refusals.get(line["refusal"], 0) + 1
            lines += 1
        for text, _ in read:
            give(text)
    return Verdict(said["batch_id"], said["lender"], said["state"], len(parts), lines, answers, refusals)


def _step(number: int, act: Callable[..., Any], *given: object, **named: object) -> Any:  # noqa: ANN401  # of JSON
    try:
        return act(*given, **named)
    except BatchRefused:
        raise
    except RegistryError as error:
        raise BatchRefused(number, str(error)) from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise BatchRefused(number, "a part is missing or has another shape") from error


def _need(step: int, holds: bool, what: str) -> None:  # noqa: FBT001  # reads as a sentence: need(step, that, else)
    if not holds:
        raise BatchRefused(step, what)


def _manifest(document: bytes, policy: TrustPolicy) -> dict[str, Any]:
    whole = orjson.loads(document)
    said: dict[str, Any] = whole["manifest"]
    _need(1, set(whole) == {"manifest", "signature"} and said["format"] == FORMAT, f"the file is not {FORMAT}")
    jws.verify(whole["signature"], policy.answer_keys, canonical(said), typ=MANIFEST_TYPE)
    return said


def _lines(said: Mapping[str, Any], questions: bytes | None) -> list[bytes] | None:
    expected = 1
    for number, one in enumerate(said["parts"], 1):
        _need(2, one["part"] == number and one["first_line"] == expected, "the parts leave lines out, or overlap")
        expected = one["last_line"] + 1
    _need(2, expected == said["lines"] + 1, "the parts do not end where the batch does")
    if questions is None:
        return None
    digest = sha256(_OF_THE_FILE + unb64url(said["questions"]["salt"]) + sha256(questions))
    _need(2, digest.hex() == said["questions"]["sha256"], "the manifest is for another file of questions")
    return questions.split(b"\n")


def _handed_out(
    listed: Mapping[str, Any], body: bytes, said: Mapping[str, Any]
) -> tuple[dict[str, Any], bytes, Mapping[str, Any]]:
    digest = sha256(body).hex()
    handed = next((one for one in listed["handed_out"] if one["sha256"] == digest), None)
    if handed is None:
        raise BatchRefused(3, "a part is not one that the manifest says was handed out; fetch part and manifest again")
    whole = orjson.loads(body)
    header = {name: value for name, value in whole.items() if name != "sealed"}
    _need(3, set(header) == _HEADER and header["format"] == PART_FORMAT, f"a part is not {PART_FORMAT}")
    _need(3, header["batch_id"] == said["batch_id"], "a part is of another batch")
    same = all(header[name] == listed[name] for name in ("part", "first_line", "last_line"))
    _need(3, same, "a part stands for another")
    return header, unb64url(whole["sealed"]), handed


def _read(opened: bytes, header: Mapping[str, Any], handed: Mapping[str, Any]) -> list[tuple[bytes, dict[str, Any]]]:
    read = [(text, orjson.loads(text)) for text in opened.splitlines(keepends=True)]
    _need(5, len(read) == header["lines"] == handed["lines"], "a part has more or fewer lines than it says")
    numbers = [line["line"] for _, line in read]
    within = not numbers or header["first_line"] <= numbers[0] <= numbers[-1] <= header["last_line"]
    _need(5, within and numbers == sorted(set(numbers)), "lines of a part are not its own, or not in their order")
    _need(5, all(("answer" in line) != ("refusal" in line) for _, line in read), "a line is neither answer nor refusal")
    answers = sum("answer" in line for _, line in read)
    _need(5, answers == handed["permitted"], "a part has more or fewer answers than it says")
    return read


def _answer(line: Mapping[str, Any], said: Mapping[str, Any], policy: TrustPolicy, asked: list[bytes] | None) -> None:
    answer = line["answer"]
    jws.verify(line["signature"], policy.answer_keys, canonical(answer), typ=ANSWER_TYPE)
    _need(6, answer["query_id"] == line["query_id"], "an answer is another query's than its line says")
    _need(6, answer["lender"] == said["lender"], "an answer is for another lender")
    if asked is not None:
        body = canonical(orjson.loads(asked[line["line"] - 1]))
        digest = sha256(_OF_A_QUESTION + unb64url(answer["request"]["salt"]) + body)
        _need(6, digest.hex() == answer["request"]["sha256"], "an answer is to another question than that of its line")

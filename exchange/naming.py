"""How a door is told whom a request is about, and the codes of a caller's own that go on in clear. Pure.

`refuse_personal` keeps identifiers out of those codes: they stand in the log. Errors are fixed sentences and repeat
nothing of what was sent.
"""

import re
from typing import Annotated, Final, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from exchange.errors import RequestRefused
from registry.divisions import PROVINCES
from registry.errors import MalformedIdentifier
from registry.identifiers import (
    OLD_RESIDENT_LENGTH,
    CreditCode,
    Identifier,
    ResidentId,
    SubjectKind,
    normalise,
    parse_identifier,
)

CODE: Final = r"^[A-Za-z][A-Za-z0-9_]*$"
REFERENCE: Final = r"^[A-Za-z0-9._:/-]{1,64}$"  # a code of the lender's own: it goes to the log in clear
PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
_APART: Final = re.compile(r"[^0-9A-Z]")
_LIKE_IDENTIFIER: Final = re.compile(r"(?=([0-9]{17}[0-9X]|[0-9A-Z]{2}[0-9]{6}[0-9A-Z]{10}))")
_LIKE_OLD_FORM: Final = re.compile(r"(?<![0-9])[0-9]{15}(?![0-9])")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")  # RFC 9562

Printable = Annotated[str, Field(pattern=PRINTABLE)]
Code = Annotated[str, Field(pattern=REFERENCE, max_length=64)]
StaffCode = Annotated[str | None, Query(pattern=REFERENCE, max_length=64)]
ItemCode = Annotated[str, Field(pattern=PRINTABLE, max_length=80)]


class SubjectModel(BaseModel):
    """Whom it is about. `identifier`: 18 characters, resident id (公民身份号码) or credit code (统一社会信用代码)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    type: Literal["resident_id", "uscc"]
    identifier: Printable = Field(min_length=8, max_length=40)


def refuse_personal(*codes: str | None) -> None:
    """Refuse an identifier in what goes to the log in clear: these are for the lender's own codes.

    Looked for as it would be read: without the marks that may stand between its characters. A canonical UUID is random,
    and passes: one in 500 would look like an identifier otherwise. The old form of a resident id has no check character
    and is looked for as a number by itself, of a province that there is: within longer numbers, one place in thirty
    would look like one.

    Raises:
        RequestRefused: a resident id, its old form of 15 digits, or a credit code stands in one of them.
    """
    for code in codes:
        if code is not None and len(code) >= OLD_RESIDENT_LENGTH and not _UUID.fullmatch(code) and _is_personal(code):
            raise RequestRefused("request-malformed", "a field for codes holds an identifier")


def _is_personal(code: str) -> bool:
    joined = _APART.sub("", normalise(code))
    if any(_is_one(kind, found[1]) for found in _LIKE_IDENTIFIER.finditer(joined) for kind in SubjectKind):
        return True
    old = (found[0] for text in (code, joined) for found in _LIKE_OLD_FORM.finditer(text))
    return any(digits[:2] in PROVINCES and _is_one(SubjectKind.PERSON, digits) for digits in old)


def _is_one(kind: SubjectKind, text: str) -> bool:
    try:
        parse_identifier(kind, text)
    except MalformedIdentifier:
        return False
    return True


def named_staff(user_id: str | None, department: str | None) -> tuple[str, str] | None:
    """Read who at a lender opens something, as its address says; None: nobody is named.

    Raises:
        RequestRefused: one without the other, or an identifier in one of them.
    """
    refuse_personal(user_id, department)
    if (user_id is None) != (department is None):
        raise RequestRefused("request-malformed", "user_id and department go together")
    return None if user_id is None or department is None else (user_id, department)


def identifier_of(subject: SubjectModel) -> Identifier:
    """Read the identifier of a request's subject.

    Raises:
        RequestRefused: its length, characters or check do not fit.
    """
    try:
        parse = ResidentId.parse if subject.type == "resident_id" else CreditCode.parse
        return parse(subject.identifier)
    except MalformedIdentifier as error:
        raise RequestRefused("identifier-malformed") from error

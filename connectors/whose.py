"""Whom a row is about: the subject of each row of a chunk, person or organisation, and who else is named in it. Pure.

Only a valid credit code proves an organisation. Whoever has proven neither is held for a person without a number: then
nothing of the row is kept, for it might be a person's.
"""

from datetime import date
from typing import Final

import numpy as np
import pandas as pd

from connectors import cleaning
from connectors.chunk import Chunk
from connectors.verdict import Mask
from registry import identifier_columns as identifiers
from registry.errors import MalformedIdentifier
from registry.identifiers import ResidentId

_CREDIT_LENGTH: Final = 18
_CODE_ONLY: Final = "(?:N[0-9A-Z]|Y[0-9A-Z]|9[1-3])[0-9A-Z]{16}"  # no region has these numbers
_CODE_OR_RESIDENT: Final = "(?:1[1239]|[34][0-9]|5[12349])[0-9A-Z]{16}|(?:N[0-9A-Z]|9[1-3])[0-9A-Z]+"
_ORGANISATION_WORDS: Final = (
    "公司|合作社|合作联社|经济组织|委员会|村委会|中心|企业|集团|农场|牧场|银行|学校|政府|厂$|店$|站$"
)


def subject(chunk: Chunk, as_of: date) -> None:
    """Say of each row whom it is about."""
    table = chunk.table
    kind = table.columns[table.subject].type
    chunk.subject = chunk.texts(table.subject)
    chunk.person = np.full(len(chunk), kind == "resident_id")
    if kind == "division":
        chunk.else_kind = "region"
    if table.party:
        _party(chunk, as_of)
    elif kind == "party_id":
        _either(chunk, as_of)


def several_ids(text: str, as_of: date) -> tuple[str, ...]:
    """Give the resident IDs in a cell that has several and nothing else; none otherwise."""
    pieces = [piece for piece in cleaning.SEVERAL.split(text.replace("\n", ";")) if piece.strip()]
    if len(pieces) < 2:  # noqa: PLR2004  # one is not several
        return ()
    try:
        return tuple(ResidentId.parse(piece, on=as_of).text for piece in pieces)
    except MalformedIdentifier:
        return ()


def _several(chunk: Chunk, text: "pd.Series[str]", asked: Mask, as_of: date) -> Mask:
    """Find cells with several IDs in the rows asked about: keep them with the chunk, give which rows have them."""
    for row in map(int, np.flatnonzero(asked)):
        found = several_ids(str(text.iloc[row]), as_of)
        if found:
            chunk.several[row] = found
    several = np.zeros(len(chunk), dtype=bool)
    several[list(chunk.several)] = True
    return several


def _party(chunk: Chunk, as_of: date) -> None:
    """Tell a contract's lessee: a person is the subject; for an organisation the collective is.

    Only a valid credit code proves an organisation; a name like 某某公司 does not. Whoever has proven neither is held
    for a person without a number: the row is rejected and nothing of it is kept, for it might be a person's contract
    that nobody agreed to. An organisation's row without its code waits for the sender to write it.
    """
    name = chunk.table.party
    text, lessee = chunk.texts(name), chunk.texts("lessee_name")
    unreadable = chunk.broken.get(name, np.zeros(len(chunk), dtype=bool))
    unproven = chunk.broken.get("lessee_code", np.zeros(len(chunk), dtype=bool))
    judged = identifiers.resident_ids(text, on=as_of)
    codes = identifiers.credit_codes(text)
    stated = (chunk.texts("lessee_code") != "").to_numpy(dtype=bool)
    blank = cleaning.missing(text)
    person = judged.valid & ~unreadable
    organisation = ~person & ~unreadable & (codes.valid | (blank & stated))
    left = ~person & ~organisation & ~unreadable
    several = _several(chunk, text, left & ~blank, as_of)
    left &= ~several
    chunk.mark("CELL_ERROR", unreadable | (unproven & ~person & ~organisation), name)
    like_code = left & _like_credit_codes(text, lessee, blank)
    chunk.mark("USCC_CHECK_FAILED", like_code, name)
    verdict = np.where(blank, identifiers.Verdict.MISSING, judged.verdict)
    failed = verdict == identifiers.Verdict.CHECK_FAILED
    chunk.mark("ID_CHECK_FAILED", left & ~like_code & failed, name)
    chunk.mark("ID_MALFORMED", left & ~like_code & ~failed, name)
    chunk.mark("ID_15_CONVERTED", person & (judged.verdict == identifiers.Verdict.CONVERTED), name)
    chunk.mark("ID_REGION_UNKNOWN", person & identifiers.region_unknown(judged), name)
    chunk.mark("MULTIPLE_PERSONS", several | (person & cleaning.several(lessee)), name)
    chunk.person = ~organisation
    chunk.text["lessee_uscc"] = codes.text.fillna("").where(organisation & codes.valid, chunk.texts("lessee_code"))
    chunk.text["lessor_uscc"] = chunk.texts(chunk.table.subject)
    subject = judged.text.fillna("").where(person, chunk.texts(chunk.table.subject).where(organisation, ""))
    chunk.subject = first_of(chunk, subject)


def _either(chunk: Chunk, as_of: date) -> None:
    """Tell rows about persons from rows about organisations, where one column has the numbers of both.

    As with lessees, only a valid credit code proves an organisation; whoever has proven neither is held for a person.
    """
    name = chunk.table.subject
    text, called = chunk.texts(name), _called(chunk)
    unreadable = chunk.broken.get(name, np.zeros(len(chunk), dtype=bool))
    judged = identifiers.resident_ids(text, on=as_of)
    codes = identifiers.credit_codes(text)
    blank = cleaning.missing(text)
    person = judged.valid & ~unreadable
    organisation = ~person & ~unreadable & codes.valid
    left = ~person & ~organisation & ~unreadable
    several = _several(chunk, text, left & ~blank, as_of)
    left &= ~several
    like_code = left & _like_credit_codes(text, called, blank)
    failed = ~blank & (judged.verdict == identifiers.Verdict.CHECK_FAILED)
    chunk.mark("USCC_CHECK_FAILED", like_code, name)
    chunk.mark("ID_CHECK_FAILED", left & ~like_code & failed, name)
    chunk.mark("ID_MALFORMED", left & ~like_code & ~failed, name)
    chunk.mark("ID_15_CONVERTED", person & (judged.verdict == identifiers.Verdict.CONVERTED), name)
    chunk.mark("ID_REGION_UNKNOWN", person & identifiers.region_unknown(judged), name)
    chunk.mark("MULTIPLE_PERSONS", several | (person & cleaning.several(called)), name)
    chunk.person = ~organisation
    subject = judged.text.fillna("").where(person, codes.text.fillna("").where(organisation, ""))
    chunk.subject = first_of(chunk, subject)


def _called(chunk: Chunk) -> "pd.Series[str]":
    """Give the names of those whom rows are about: the first column of names that the table declares."""
    return chunk.texts(next((name for name, column in chunk.table.columns.items() if column.type == "name"), ""))


def _like_credit_codes(text: "pd.Series[str]", called: "pd.Series[str]", blank: Mask) -> Mask:
    """Say which cells would be credit codes, if they were right: by their first two characters, or by the name.

    Some beginnings are regions of resident IDs as well (11 北京, 51 四川): there the name decides. So it does where
    the cell is blank.
    """
    squeezed = cleaning.each(text, cleaning.squeezed)
    organised = called.str.contains(_ORGANISATION_WORDS).to_numpy(dtype=bool)
    lettered = cleaning.matches(squeezed, "(?:[0-9A-Z]{0,16}[A-WYZ][0-9A-Z]*|[0-9A-Z]*X[0-9A-Z]+)")
    lettered &= (squeezed.str.len() == _CREDIT_LENGTH).to_numpy(dtype=bool)
    named = lettered | blank | cleaning.matches(squeezed, _CODE_OR_RESIDENT)
    return cleaning.matches(squeezed, _CODE_ONLY) | (organised & named)


def first_of(chunk: Chunk, column: "pd.Series[str]") -> "pd.Series[str]":
    """Put the first of several people where a row names more than one."""
    if not chunk.several:
        return column
    texts = column.to_numpy(dtype=object).copy()
    for row, found in chunk.several.items():
        texts[row] = found[0]
    return pd.Series(texts, dtype="str")

"""Consent registers (授权台账): read from a file, and taken in by portions, each in a transaction of its own.

  1. read every row, or refuse it; nothing is recorded of a table that is no register
  2. find out who is known, without making anybody known, so that all rows of a person are in one portion
  3. portion by portion: make the people known, hold them, all in one statement, before anything of theirs is locked,
     and let `consent.importing` judge and write; freeze what no consent covers any more

Whoever withdraws beside an import waits for one portion at most, well under a second, and never the other way round:
both hold the person first. A portion that loses against another transaction is done again. An import that breaks off
has taken in whole portions: the same register again passes them over and goes on.

What a row becomes is said in `consent.importing`; who may consent otherwise, in `exchange.consents`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

from connectors import reading
from consent import importing, register
from consent.errors import RegisterUnreadable
from consent.importing import ImportReport
from consent.refusals import No
from consent.register import Line
from exchange import consents
from exchange.home import Home
from exchange.oauth import clients
from registry import clock, identifying, store, subjects
from registry.database import Transaction
from registry.identifiers import Identifier

ROWS_AT_ONCE: Final = 40  # of a register, in one transaction; all rows of a person are in one, however many
_PEOPLE_AT_ONCE: Final = 20_000  # looked up in one statement
_HEADER_WITHIN_ROWS: Final = 10
_REGISTER_MARKS: Final = {"授权编号", "身份证号", "被授权机构"}


def import_register(home: Home, rows: Sequence[Mapping[str, str]], *, actor: str = "system") -> ImportReport:
    """Record a consent register (授权台账), row by row; the same register again changes nothing.

    Raises:
        RegisterUnreadable: a column is missing. Nothing is recorded.
        DatabaseUnavailable, psycopg.Error: it broke off; the portions before stand, the same register again goes on.
    """
    lines, refused = register.read(rows)  # 1
    outcomes, changed = list(refused), set[UUID]()
    for portion in _portions(home, lines):  # 2
        report = consents.undisturbed(home, lambda tx, portion=portion: _take(tx, home, portion, actor=actor))  # type: ignore[misc]  # 3
        outcomes += report.rows
        changed |= report.subjects
    return ImportReport(tuple(sorted(outcomes, key=lambda row: row.row_no)), frozenset(changed))


def _portions(home: Home, lines: Sequence[Line]) -> list[list[Line]]:
    """Cut a register into portions, so that no person's rows are in two: under whichever number the person is known."""
    known: dict[str, UUID] = {}
    for first in range(0, len(lines), _PEOPLE_AT_ONCE):
        page = [line.identifier for line in lines[first : first + _PEOPLE_AT_ONCE]]
        with home.database.transaction() as tx:
            known |= store.lookup(tx, home.keyring, page)
    people: dict[UUID | str, list[Line]] = {}
    for line in lines:
        people.setdefault(known.get(line.identifier.text, line.identifier.text), []).append(line)
    portions: list[list[Line]] = [[]]
    for rows in people.values():
        if portions[-1] and len(portions[-1]) + len(rows) > ROWS_AT_ONCE:
            portions.append([])
        portions[-1] += rows
    return [sorted(portion, key=lambda line: line.row_no) for portion in portions]


def _take(tx: Transaction, home: Home, lines: Sequence[Line], *, actor: str) -> ImportReport:
    now = clock.now()
    people: dict[UUID, Identifier] = {}

    def known(identifiers: Sequence[Identifier]) -> Mapping[str, UUID]:
        found = store.ensure_subjects(tx, home.keyring, identifiers, now=now)
        people.update((found[identifier.text], identifier) for identifier in identifiers)
        return found

    def told(noes: Collection[No]) -> Collection[No]:
        return consents.known_to_lenders(tx, noes)

    report = importing.import_lines(
        tx,
        lines,
        keyring=home.keyring,
        subjects=known,
        hold=lambda ids: store.hold_subjects(tx, ids),
        now=now,
        actor=actor,
        registered=clients.organisations(tx),
        operator=home.installation.party,
        unavailable=lambda ids: subjects.deceased(tx, ids),
        born=lambda ids: identifying.births(tx, home.sealing, ids),
        known=told,
    )
    consents.freeze_bare(tx, report.subjects, now=now)
    agreed = {subject_id: people[subject_id] for subject_id in report.subjects}
    identifying.remember(tx, home.sealing, agreed, now=now)
    return report


def read_register(raw: bytes) -> list[dict[str, str]]:
    """Read a consent register (授权台账), workbook or text, into rows by column name.

    Raises:
        FileUnreadable: no table can be read from the bytes.
        RegisterUnreadable: no sheet has the register's header within its first rows.
    """
    for grid in reading.read(raw):
        for index in range(min(grid.height, _HEADER_WITHIN_ROWS)):
            header = ["".join(cell.split()) for cell in grid.row(index)]
            if set(header) >= _REGISTER_MARKS:
                columns = [column.iloc[index + 1 :].astype(str).str.strip() for column in grid.columns]
                rows = [dict(zip(header, cells, strict=False)) for cells in zip(*columns, strict=True)]
                return [row for row in rows if any(row.values())]
    raise RegisterUnreadable("no sheet has the header of a consent register (授权台账)")

"""Where the header is, what each column is, and what it is counted in.

A header is found by its meaning: the first row (or two or three rows, for headings in levels) whose headings satisfy
the signature of a declaration. Units come from the heading, else from the fill-unit row above, else from the
declaration; a unit that none of them gives stays unknown and blocks the table (UNIT_UNKNOWN). A header without one of
a declaration's mandatory columns is not that declaration's. Where two columns could be one, the more telling heading
is (`补贴面积` before `确权面积`), and a rate belongs to the quantity that it is per. Nothing is guessed.

Not here: reading bytes (reading), which rows are data (rows), what cells mean (cleaning).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final

from connectors.grids import Grid
from connectors.headings import UNITS, heading, stated_units
from connectors.source import Column, Declarations, Elsewhere, Source, Table

_HEADER_WITHIN_ROWS: Final = 60
_HEADER_LEVELS: Final = 3
_LONGEST_HEADING: Final = 40
NOTHING_MAPPED: Final[Mapping[str, str]] = {}
_MAPPED_RANK: Final = 10_000  # behind every heading that a declaration knows
_SUMS: Final = frozenset({"合计", "小计", "总计", "共计"})
_RANGE_LIKE: Final = r"\d.*(?:至|到|~|～|—|–|－).*\d|\d{4}.+\d{4}"
_PER_WORDS: Final = {"亩": "亩", "头": "头", "只": "只", "台": "台", "人": "人", "户": "户"}
_GRANTED: Final = ("补", "享受", "发放", "奖")


# ---- the header -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """A column of the grid that the declaration knows: which one it is, and what its cells are counted in.

    `factor` turns a cell into fen (money), 1/10000 亩 (area), 元 per 亩 or piece (rate: a factor on the figure);
    None where a unit is needed and nobody gave one.
    """

    name: str
    index: int
    column: Column
    heading: str
    unit: str
    factor: Fraction | None


@dataclass(frozen=True, slots=True)
class Layout:
    """What a sheet is: its declaration, where its header stands, and which column is which."""

    source: Source
    table: Table
    first_header_row: int
    last_header_row: int
    uses: dict[str, Use]
    preamble: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def unit_unknown(self) -> tuple[str, ...]:
        """The columns that need a unit and have none."""
        return tuple(use.name for use in self.uses.values() if use.factor is None)

    @property
    def side_by_side(self) -> bool:
        """Whether the heading of the subject stands twice: two tables beside each other, one of which nobody reads."""
        subject = self.uses.get(self.table.subject)
        return subject is not None and subject.heading[:_LONGEST_HEADING] in self.unread


def elsewhere(grid: Grid, declarations: Declarations) -> Elsewhere | None:
    """Recognise a table that is no agency data, by its headings in the first rows."""
    seen = {heading(cell).core for index in range(min(grid.height, 3)) for cell in grid.row(index)}
    return next((known for known in declarations.elsewhere if set(known.headings) <= seen), None)


def find(
    grid: Grid, declarations: Declarations, file_name: str, mapping: Mapping[str, str] = NOTHING_MAPPED
) -> Layout | None:
    """Find the header and the declaration that knows it; None when no declaration does (HEADER_UNKNOWN).

    `mapping` is what the sender has said of its own headings (`Delivery.mapping`): by heading without spaces, or by
    `KIND:heading` for tables of one kind. It fills columns that no heading is recognised as, and displaces none.
    """
    rows = [spread(grid, index) for index in range(min(grid.height, _HEADER_WITHIN_ROWS))]
    best: tuple[tuple[int, int, int], Layout] | None = None
    satisfied_at = len(rows)
    for first in range(len(rows)):
        if first >= satisfied_at + _HEADER_LEVELS:
            break
        if sum(1 for cell in rows[first] if cell) < 2:  # noqa: PLR2004  # one cell is a title
            continue
        for depth in range(1, min(_HEADER_LEVELS, len(rows) - first) + 1):
            for source, table, found, unread in _candidates(declarations, _paths(rows[first : first + depth]), mapping):
                hint = int(any(word in file_name or word in grid.sheet for word in source.files))
                rank = (len(found), hint, -depth)
                satisfied_at = min(satisfied_at, first)
                if best is None or rank > best[0]:
                    best = (rank, _layout(grid, source, table, (first, first + depth - 1), found, unread))
    return best[1] if best else None


_Found = dict[str, tuple[int, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Near:
    """The table that a sheet would be if it had the columns `missing`: what a sender is told of an unknown header.

    `row` is the header's, from 0; `found` are columns that were recognised, `unread` headings that were not, by index.
    """

    source: Source
    table: Table
    row: int
    found: tuple[str, ...]
    missing: tuple[str, ...]
    unread: Mapping[int, str]


_FEWEST_NEAR: Final = 3  # headings in common; fewer are chance


def nearest(grid: Grid, declarations: Declarations, file_name: str) -> Near | None:
    """Find the declared table that a sheet without a known header is most like; None when it is like none."""
    best: tuple[tuple[int, int, int], Near] | None = None
    for row in range(min(grid.height, _HEADER_WITHIN_ROWS)):
        paths = _paths([spread(grid, row)])
        if sum(map(bool, paths)) < _FEWEST_NEAR:
            continue
        for source in declarations.sources:
            for table in source.tables:
                found, _ = _match(source, table, paths, NOTHING_MAPPED)
                needed = [name for name, one in table.columns.items() if one.mandatory]
                needed += [group[0] for group in table.require if not any(name in found for name in group)]
                missing = tuple(dict.fromkeys(name for name in needed if not _given(table, name, found)))
                known = {at for at, _ in found.values()}
                unread = {at: "/".join(path) for at, path in enumerate(paths) if path and at not in known}
                hint = int(any(word in file_name or word in grid.sheet for word in source.files))
                rank = (len(found) - len(missing), hint, -row)
                if len(found) >= _FEWEST_NEAR and (best is None or rank > best[0]):
                    best = (rank, Near(source, table, row, tuple(found), missing, unread))
    return best[1] if best else None


def _candidates(
    declarations: Declarations, paths: Sequence[Sequence[str]], mapping: Mapping[str, str]
) -> Iterator[tuple[Source, Table, _Found, list[str]]]:
    """Give every declared table whose signature and mandatory columns these headings have."""
    for source in declarations.sources:
        for table in source.tables:
            found, unread = _match(source, table, paths, mapping)
            signed = all(any(name in found for name in group) for group in table.require)
            if signed and all(_given(table, name, found) for name, one in table.columns.items() if one.mandatory):
                yield source, table, found, unread


def _given(table: Table, name: str, found: _Found) -> bool:
    """Say whether a column stands in the sheet, or follows from others that do."""
    return name in found or table.instead.get(name) in found or _parts_present(table, name, found)


def spread(grid: Grid, index: int) -> list[str]:
    """Give one row with cells merged sideways or downwards repeated in each of their places."""
    cells = grid.row(index)
    for top, left, bottom, right in grid.merged:
        spans = (right > left or bottom > top) and bottom - top < _HEADER_LEVELS and left < len(cells)
        if spans and top <= index <= bottom:
            text = str(grid.columns[left].iloc[top]).strip()
            for at in range(left, min(right + 1, len(cells))):
                cells[at] = text
    return cells


def _paths(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """For each column its headings from the top level down; a blank group heading continues to its right."""
    levels = [list(row) for row in rows]
    for level, below in pairwise(levels):
        for at in range(1, len(level)):
            if not level[at] and below[at]:
                level[at] = level[at - 1] if below[at - 1] else ""
    return [list(dict.fromkeys(cell for cell in column if cell)) for column in zip(*levels, strict=True)]


def _match(
    source: Source, table: Table, paths: Sequence[Sequence[str]], mapping: Mapping[str, str]
) -> tuple[_Found, list[str]]:
    """Give each column the name that its headings say, those with the most telling heading first."""
    options = {
        at: _names(source, table, tuple(path)) + _mapped(table, path, mapping) for at, path in enumerate(paths) if path
    }
    found: _Found = {}
    unread: list[int] = []
    for at in sorted(options, key=lambda one: (options[one][0][1] if options[one] else 0, one)):
        name = next((name for name, _ in options[at] if name not in found), None)
        if name is None:
            unread.append(at)
        else:
            found[name] = (at, paths[at])
    in_order = dict(sorted(found.items(), key=lambda item: item[1][0]))
    return in_order, ["/".join(paths[at])[:_LONGEST_HEADING] for at in sorted(unread)]


def _mapped(table: Table, path: Sequence[str], mapping: Mapping[str, str]) -> "_Names":
    """Give the column that the sender has said a heading is, after all that headings themselves say."""
    if not mapping:
        return ()
    key = squeezed_heading(path)
    name = mapping.get(f"{table.kind}:{key}", mapping.get(key, ""))
    return ((name, _MAPPED_RANK),) if name in table.columns else ()


def squeezed_heading(path: Sequence[str]) -> str:
    """Write a heading, its levels from the top down, as mappings name it: without spaces."""
    return "".join("/".join(path).split())


_Names = tuple[tuple[str, int], ...]
_known_names: dict[tuple[str, str, tuple[str, ...]], tuple[Table, _Names]] = {}


def _names(source: Source, table: Table, path: tuple[str, ...]) -> _Names:
    """Columns that a path of headings can be, the best first; each with how telling its heading is (0 is most)."""
    if any(len(part) > _LONGEST_HEADING for part in path) or all(part[:1].isdigit() for part in path):
        return ()
    key = (source.source, table.kind, path)
    known = _known_names.get(key)
    if known is None or known[0] is not table:
        if len(_known_names) > 50_000:  # noqa: PLR2004  # a bound on memory, not a rule
            _known_names.clear()
        cores = [heading(part).core for part in path]
        names: dict[str, int] = {}
        for name, rank in [*_compounds(table, cores), *_plain(table, cores)]:
            if _measures(table.columns[name], _own_unit(path)):
                names.setdefault(name, rank)
        known = _known_names[key] = (table, tuple(names.items()))
    return known[1]


def _own_unit(path: Sequence[str]) -> str:
    return next((heading(part).unit for part in reversed(path) if heading(part).unit), "")


def _measures(column: Column, unit: str) -> bool:
    """Say whether a column can be counted in a unit: 合计(亩) is no amount, 补贴(元) no area."""
    dimension = UNITS.get(unit.partition("/")[0], ("", 0))[0]
    return not (column.type in {"money", "area"} and dimension in {"money", "area"} and dimension != column.type)


def _compounds(table: Table, cores: Sequence[str]) -> list[tuple[str, int]]:
    pairs = [(a, b) for a in cores for b in cores if a != b]
    return [
        (name, 0)
        for name, column in table.columns.items()
        if column.compound
        and any(re.fullmatch(column.compound.group, a) and re.fullmatch(column.compound.part, b) for a, b in pairs)
    ]


def _plain(table: Table, cores: Sequence[str]) -> list[tuple[str, int]]:
    own = cores[-1].lower()
    if own in table.columns:  # an interface names columns as we do
        return [(own, 0)]
    texts = ["".join(cores), "".join(reversed(cores))]
    if cores[-1] not in _SUMS:  # 合计 under 补贴标准 says nothing without it
        texts.append(cores[-1])
    return [
        (name, rank)
        for text in dict.fromkeys(texts)
        for name, column in table.columns.items()
        for rank, pattern in enumerate(column.matches)
        if re.fullmatch(pattern, text)
    ]


def _layout(
    grid: Grid,
    source: Source,
    table: Table,
    header: tuple[int, int],
    found: _Found,
    unread: Sequence[str],
) -> Layout:
    for name, (index, _) in list(found.items()):
        alone = table.columns[name].alone
        if alone and alone not in found and not _holds_ranges(grid, index, header[1] + 1):
            found[alone] = found.pop(name)
    for name, other in table.instead.items():
        if name not in found and other in found and not _parts_present(table, name, found):
            found[name] = found[other]
    preamble = tuple(cell for index in range(header[0]) for cell in dict.fromkeys(grid.row(index)) if cell)
    stated = stated_units(preamble)
    uses: dict[str, Use] = {}
    for name, (index, path) in found.items():
        column = table.columns[name]
        unit = _unit(column, _own_unit(path), stated)
        uses[name] = Use(name, index, column, "/".join(path), unit, _factor(column, unit))
    fitting = _fitting(table, uses)
    return Layout(source, fitting, *header, _with_rates(fitting, uses), preamble, tuple(unread))


def _holds_ranges(grid: Grid, index: int, first: int) -> bool:
    cells = grid.columns[index].iloc[first:]
    return bool(cells.str.contains(_RANGE_LIKE).any())


def _fitting(table: Table, uses: Mapping[str, Use]) -> Table:
    """Leave out products of a rate with a quantity that it is not per: 元/头 is not multiplied by 亩."""
    products = [c for c in table.checks if c.rule == "product" and {c.quantity, c.rate} <= uses.keys()]
    wrong = [
        product
        for product in products
        if not _is_per(
            uses[product.rate], uses[product.quantity], [uses[p.quantity] for p in products if p.rate == product.rate]
        )
    ]
    kept = [check for check in table.checks if check not in wrong]
    return table.model_copy(update={"checks": kept}) if wrong else table


def _is_per(rate: Use, quantity: Use, rivals: Sequence[Use]) -> bool:
    """Say whether a rate is per this quantity; where its unit is silent, the area granted goes before heads."""
    per = re.split(r"[·.*]", rate.unit.partition("/")[2])[0] or next(
        (unit for word, unit in _PER_WORDS.items() if word in rate.heading), ""
    )
    area = quantity.column.type == "area"
    if not per:
        granted = any(one.column.type == "area" and any(w in one.heading for w in _GRANTED) for one in rivals)
        return len(rivals) == 1 or area == granted
    if UNITS.get(per, ("", 0))[0] == "area":
        return area
    return not area and (not quantity.unit or quantity.unit == per)


def _parts_present(table: Table, whole: str, found: _Found) -> bool:
    return any(
        check.rule == "sum" and check.whole == whole and set(check.parts) <= set(found) for check in table.checks
    )


def _unit(column: Column, own: str, stated: Sequence[str]) -> str:
    if column.type not in {"money", "area", "rate"}:
        return own
    if own:
        return own
    if column.type == "rate":
        rates = [unit for unit in stated if "/" in unit]
        return rates[0] if len(rates) == 1 else ""
    fitting = [unit for unit in stated if UNITS.get(unit, ("", 0))[0] == column.type]
    return fitting[0] if len(fitting) == 1 else column.unit


def _factor(column: Column, unit: str) -> Fraction | None:
    """Turn a unit into the column's factor; columns that need none have 1."""
    if column.type in {"money", "area"}:
        top, _, bottom = unit.partition("/")
        known = UNITS.get(top)
        per_unit = "/" in column.unit  # a price is declared as 元/单位: per whatever its heading says
        fits = known is not None and known[0] == column.type and (not bottom or bottom == "年" or per_unit)
        return known[1] if known is not None and fits else None
    return Fraction(1)


def _with_rates(table: Table, uses: dict[str, Use]) -> dict[str, Use]:
    """Give each rate its factor to 元 per 亩 (or per piece): from its own unit, else from amount and quantity."""
    done = dict(uses)
    for check in table.checks:
        if check.rule != "product" or check.rate not in uses or check.quantity not in uses:
            continue
        rate, quantity, amount = uses[check.rate], uses[check.quantity], uses.get(check.amount)
        top, _, bottom = rate.unit.partition("/")
        money = UNITS[top][1] if UNITS.get(top, ("", 0))[0] == "money" else amount.factor if amount else None
        per = re.split(r"[·.*]", bottom)[0]
        per_area = UNITS[per][1] if UNITS.get(per, ("", 0))[0] == "area" else quantity.factor
        area = per_area if per_area is not None and quantity.column.type == "area" else Fraction(10_000)
        factor = None if money is None else money / 100 / (area / 10_000)
        done[check.rate] = Use(rate.name, rate.index, rate.column, rate.heading, rate.unit, factor or Fraction(1))
    return done

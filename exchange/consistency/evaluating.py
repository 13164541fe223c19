"""Which records the rules find fault with. Pure: what is known goes in, rule ids and record references come out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from exchange.consistency.declared import Rule
from exchange.consistency.operators import KOrMoreDistinct
from exchange.consistency.rows import Known, Row, folded
from exchange.consistency.selecting import Counterpart, Selection
from registry.records import RecordRef


@dataclass(frozen=True, slots=True)
class Flag:
    """A rule finds fault with a record. No value of it."""

    rule: str
    ref: RecordRef


@dataclass(frozen=True, slots=True)
class Shared:
    """A value that a rule compares between subjects stands in a record. The value leaves no room but the gate's."""

    rule: str
    value: str
    ref: RecordRef


def flags(rules: Sequence[Rule], subjects: Mapping[UUID, Known], organisations: Mapping[str, Known]) -> list[Flag]:
    """Apply rules to all that is known of each subject by itself, and of the organisations that its records name.

    Args:
        rules: which rules.
        subjects: what is known of each subject, by kind.
        organisations: what is known of organisations, by credit code as `folded` writes it.
    """
    found = []
    for known in subjects.values():

        def related(row: Row, other: Counterpart, known: Known = known) -> Sequence[Row]:
            held = known
            if other.organisation is not None:
                held = organisations.get(folded(row.fields.get(other.organisation)), {})
            return other.of(row, held.get(other.kind, ()))

        for rule in rules:
            if rule.records is not None and rule.check is not None:
                own = rule.records.taken(known.get(rule.records.kind, ()))
                found += [Flag(rule.id, row.ref) for row in rule.check.at_fault(own, related)]
    return list(dict.fromkeys(found))


def shared(
    rules: Sequence[tuple[Rule, Selection, KOrMoreDistinct]], subjects: Mapping[UUID, Known]
) -> Iterator[Shared]:
    """Give the values that rules compare between subjects."""
    for rule, on, check in rules:
        for known in subjects.values():
            for row in on.taken(known.get(on.kind, ())):
                value = check.value(row)
                if value:
                    yield Shared(rule.id, value, row.ref)


def organisations_named(rules: Sequence[Rule], subjects: Mapping[UUID, Known]) -> set[str]:
    """Give the credit codes, as they stand in records, that rules follow to what is known of those organisations."""
    followed = {
        (rule.records.kind, one.organisation)
        for rule in rules
        if rule.records is not None and rule.check is not None
        for one in rule.check.counterparts
        if one.organisation is not None
    }
    return {
        str(code)
        for known in subjects.values()
        for kind, name in followed
        for row in known.get(kind, ())
        if (code := row.fields.get(name))
    }

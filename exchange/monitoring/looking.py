"""What must be known of records to say what happened to them: read, and opened where it must be compared.

Opened is, through the gate (`release.watching.compare`), what the subscription's lender may see, now and before, and of
a rating the one before; nothing else, and only of records that are new or changed. Out of here come names of what
happened, and the kind of record.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from exchange.consistency import declared as rules
from exchange.home import Home
from exchange.monitoring import deciding, declared
from exchange.monitoring.deciding import Change, Said
from exchange.monitoring.gathering import Happened
from exchange.release import watching
from exchange.release.watching import Stands
from registry import catalogue, store
from registry.database import Transaction
from registry.records import RecordRef, Value, VisibleRecord

Opened = Mapping[tuple[UUID, RecordRef], Mapping[str, Value]]


class Matter:
    """What must be known of records to say what happened to them; read and opened for a whole page together."""

    def __init__(
        self,
        home: Home,
        tx: Transaction,
        found: Sequence[Happened],
        standing: Mapping[UUID, Stands],
        now: datetime,
    ) -> None:
        self._standing, self._now = standing, now
        concerned = [
            (one, stands)
            for one in found
            if one.record is not None and one.subscription_id is not None
            if (stands := standing.get(one.subscription_id)) is not None
        ]
        refs = {one.record for one, _ in concerned if one.record is not None}
        self._versions = {record.ref: record for record in store.versions(tx, refs)} if refs else {}
        pairs = {(ref.subject_id, self._versions[ref].kind) for ref in refs}
        pairs |= {
            (one.record.subject_id, kind)
            for one, _ in concerned
            if one.rule is not None and one.record is not None and one.rule in rules.current()
            for kind in rules.current()[one.rule].compares
        }
        self._visible = store.visible(tx, pairs) if pairs else []
        self._stands_now = {record.ref for record in self._visible}
        self._former = _former(tx, [ref for ref in refs if ref.version > 1])
        wanted = list(self._to_open(concerned))
        self._opened: Opened = watching.compare(home, wanted)
        self.opened = len(self._opened)

    def said(self, one: Happened) -> list[Said]:
        """Say what something that happened is called; nothing if it is not within the consent, or no news."""
        if one.what == "consent":
            return deciding.of_consent(one.state.value) if one.state is not None else []
        stands = self._standing.get(one.subscription_id) if one.subscription_id is not None else None
        record = self._versions.get(one.record) if one.record is not None else None
        if stands is None or record is None or not watching.within(stands, record, now=self._now):
            return []
        if one.what == "found":
            return self._finding(one, stands, record)
        if one.what == "published":
            return self._published(stands, record)
        return [] if record.frozen else _of_mark(one, stands, record)

    def _published(self, stands: Stands, record: VisibleRecord) -> list[Said]:
        if record.ref not in self._stands_now:
            return []
        items, said = stands.permit.items, declared.current()
        class_code = _class_of(record)
        if not deciding.needs_opening(record.kind, record.ref.version):
            return deciding.of_record(Change(record.kind, class_code, {}), items, said)
        now = self._fields(stands, record)
        if now is None:
            return []
        former, other = self._former.get(record.ref), self._earlier(record)
        before = None if former is None else self._fields(stands, former)
        beside = None if other is None else self._fields(stands, other)
        return deciding.of_record(Change(record.kind, class_code, now, before, beside), items, said)

    def _finding(self, one: Happened, stands: Stands, record: VisibleRecord) -> list[Said]:
        """Say a finding only where the lender would be told it in an answer (`consistency.declared.told_with`)."""
        beyond = frozenset(
            other.kind
            for other in self._visible
            if other.ref.subject_id == record.ref.subject_id and not watching.reaches(stands, other, now=self._now)
        )
        if one.rule is None or record.ref not in self._stands_now:
            return []
        if one.rule not in rules.told_with(stands.permit.items, beyond):
            return []
        return deciding.of_finding(one.rule, record.kind, _class_of(record), declared.current())

    def _fields(self, stands: Stands, record: VisibleRecord) -> Mapping[str, Any] | None:
        return self._opened.get((stands.watch.subscription_id, record.ref))

    def _earlier(self, record: VisibleRecord) -> VisibleRecord | None:
        """Give the rating that stood before a new one, if the new one was the latest when it came."""
        came = record.provenance.published_at
        if record.kind != deciding.RATING_KIND or record.valid_from is None or came is None:
            return None
        others = [
            one
            for one in self._visible
            if one.kind == record.kind and one.ref.subject_id == record.ref.subject_id and one.ref != record.ref
            if one.provenance.published_at is not None and one.provenance.published_at <= came
        ]
        if any(one.valid_from is None or one.valid_from >= record.valid_from for one in others):
            return None
        return max(others, key=lambda one: (one.valid_from, one.ref.record_id.int), default=None)

    def _to_open(self, concerned: Collection[tuple[Happened, Stands]]) -> Iterator[tuple[Stands, VisibleRecord]]:
        for one, stands in concerned:
            record = self._versions.get(one.record) if one.record is not None else None
            if one.what != "published" or record is None or record.ref not in self._stands_now:
                continue
            if not deciding.needs_opening(record.kind, record.ref.version):
                continue
            if not watching.within(stands, record, now=self._now):
                continue
            for found in (record, self._former.get(record.ref), self._earlier(record)):
                if found is not None and watching.reaches(stands, found, now=self._now):
                    yield stands, found


def _class_of(record: VisibleRecord) -> str:
    return catalogue.current().kinds[record.kind].class_code


def _of_mark(one: Happened, stands: Stands, record: VisibleRecord) -> list[Said]:
    """Say that a record was taken back, or that one of its items is disputed, or no longer."""
    class_code = _class_of(record)
    if one.what == "recalled":
        return deciding.of_recall(record.kind, class_code)
    if one.item not in stands.permit.items:
        return []
    return deciding.of_dispute(record.kind, class_code, filed=one.what == "disputed", marked=one.marked)


def _former(tx: Transaction, refs: Sequence[RecordRef]) -> dict[RecordRef, VisibleRecord]:
    """Give the published version before each of these, if it was neither recalled nor frozen."""
    if not refs:
        return {}
    rows = tx.execute(
        "SELECT n.s, n.i, n.v, (SELECT max(r.version) FROM record r JOIN publication p USING (publication_id)"
        " WHERE r.subject_id = n.s AND r.record_id = n.i AND r.version < n.v AND p.published_at IS NOT NULL"
        " AND r.recalled_at IS NULL) FROM unnest(%s::uuid[], %s::uuid[], %s::int[]) AS n(s, i, v)",
        ([ref.subject_id for ref in refs], [ref.record_id for ref in refs], [ref.version for ref in refs]),
    ).fetchall()
    before = {RecordRef(*row[:3]): RecordRef(row[0], row[1], row[3]) for row in rows if row[3] is not None}
    found = {record.ref: record for record in store.versions(tx, set(before.values()))} if before else {}
    return {ref: found[one] for ref, one in before.items() if one in found and not found[one].frozen}

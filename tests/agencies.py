"""An agency that delivers rosters, and its staff, for tests of mending."""

import csv
import io
from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from connectors import permits
from connectors.delivery import Channel, Delivery
from connectors.mending import Place, State, Verb, What
from connectors.source import current
from consent.scope import recipient_name
from exchange import mending
from exchange.home import Home
from exchange.mending import Wanted
from exchange.oauth.guard import Caller
from registry import clock, store
from registry.identifiers import ResidentId, resident_check

AGENCY = "民和县农业农村局"
OTHER_AGENCY = "乐都区农业农村局"
HEADER = ("身份证号", "户主", "补贴金额(元)", "发放日期")
NAME = "民和县_粮食直补发放明细_2026.csv"


def staff(client_id: str = "wang", organisation: str = AGENCY) -> Caller:
    """One person of an agency, admitted."""
    scopes = frozenset({"agency:read", "agency:decide"})
    return Caller(client_id, organisation, "agency", scopes, "jti", b"", clock.now(), clock.now() + timedelta(hours=1))


def people(count: int) -> list[ResidentId]:
    """People who do not exist."""
    bodies = (f"630222{1960 + number}0101000" for number in range(count))
    return [ResidentId.parse(body + resident_check(body)) for body in bodies]


def roster(*rows: Sequence[str], header: Sequence[str] = HEADER) -> bytes:
    """Write a roster as delimited text."""
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue().encode()


def line(who: ResidentId, amount: str = "242.59", day: str = "2026-05-08") -> tuple[str, ...]:
    return (who.text, "示例", amount, day)


def permitted(home: Home, agency: str = AGENCY, sources: Collection[str] | None = None) -> None:
    """Let an agency deliver sources: all that are declared, unless some are named."""
    known = [one.source for one in current().sources] if sources is None else sources
    with home.database.transaction() as tx:
        permits.permit(tx, recipient_name(agency), known, now=clock.now())


def delivered(home: Home, raw: bytes, name: str = NAME, agency: str = AGENCY) -> UUID:
    """Deliver a file of one table as an agency; give its batch."""
    permitted(home, agency)
    delivery = Delivery(Channel.UPLOAD, agency)
    taken = mending.intake_of(home).take(raw, name, as_of=clock.beijing_day(clock.now()), delivery=delivery)
    assert len(taken) == 1
    with home.database.transaction() as tx:
        row = tx.execute(
            "SELECT batch_id FROM batch JOIN raw_file USING (raw_id) WHERE batch.label = %s AND agency = %s"
            " ORDER BY received_at DESC LIMIT 1",
            (taken[0].outcome.label, agency),
        ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def recalled(home: Home, batch_id: UUID, agency: str = AGENCY) -> None:
    """Recall a whole batch, as two persons of an agency."""
    proposed = mending.recall(home, staff("wang", agency), batch_id, "误报")
    assert mending.settle(home, staff("li", agency), proposed.mending_id, Verb.APPROVE).state is State.DECIDED


def wanted(what: What, *places: Place, **cells: str) -> Wanted:
    return Wanted(what, places, "经办人核对", cells)


def shown(home: Home, who: ResidentId) -> list[tuple[str, int]]:
    """What stands of a person: sheet and row of each visible record, as the gate would find them."""
    with home.database.transaction() as tx:
        found = store.lookup(tx, home.keyring, [who])
        records = store.visible(tx, {(subject, "SUBSIDY") for subject in found.values()})
    return [(one.sheet, one.row_no) for one in records]


def events(home: Home) -> list[str]:
    """The names of all entries, in their order: what the public log shows."""
    with home.database.transaction() as tx:
        return [row[0] for row in tx.execute("SELECT event FROM log_entry ORDER BY at, event").fetchall()]

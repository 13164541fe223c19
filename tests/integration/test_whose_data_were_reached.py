"""After a breach: whose data an organisation reached, and since when, is one query of the trail away (R-22)."""

from datetime import timedelta

from exchange.audit import Filters, read
from exchange.home import Home
from exchange.release import Permitted, release
from registry import clock, store
from registry.database import Transaction
from tests.people import BANK, LI, ZHANG, caller, consented, held, question

OTHER = "别的银行"


def reached(tx: Transaction, filters: Filters) -> set[str]:
    return {one["subject_id"] for one in read(tx, filters, limit=100).events}


def test_whose_data_an_organisation_reached_is_told_by_organisation_client_and_time(exchange_home: Home) -> None:
    before = clock.now()
    for who, lender in ((ZHANG, BANK), (LI, BANK), (LI, OTHER)):
        held(exchange_home, who)
        consented(exchange_home, who, recipient=lender)
        asked = question(who, presented=caller(lender, f"system-of-{lender}"))
        (outcome,) = release(exchange_home, [asked])
        assert isinstance(outcome, Permitted)
    event = "release:query:permitted"
    with exchange_home.database.transaction() as tx:
        ids = store.lookup(tx, exchange_home.keyring, [ZHANG, LI])
        zhang, li = str(ids[ZHANG.text]), str(ids[LI.text])
        assert reached(tx, Filters(event=event, lender=BANK)) == {zhang, li}
        assert reached(tx, Filters(event=event, lender=OTHER)) == {li}
        assert reached(tx, Filters(event=event, actor=f"system-of-{OTHER}")) == {li}
        day = Filters(event=event, lender=BANK, since=before, until=before + timedelta(days=1))
        assert reached(tx, day) == {zhang, li}
        assert reached(tx, Filters(event=event, lender=BANK, until=before)) == set()

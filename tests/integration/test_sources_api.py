"""What `GET /v1/sources` says, to whom, and what it never says."""

from datetime import datetime, timedelta

import orjson
import pytest

from connectors import runs
from connectors.runs import Ended
from connectors.schedule import Due, Occasion
from exchange import feeds, sources
from exchange.feeds import FeedFiles
from exchange.home import Home
from exchange.oauth.scopes import Role
from registry import clock
from tests.agencies import delivered, line, roster
from tests.attacks.bent_client import ISSUER, Caller, Door, registered
from tests.feeding import NIGHTLY, write_feed
from tests.people import ZHANG

STANDING = True
URL = f"{ISSUER}/v1/sources"
NAME = "yushu_rating"
HIDDEN = "sftp.rating.example"


@pytest.fixture
def lender(exchange_home: Home) -> Caller:
    return registered(exchange_home, Caller("lender-one"))


@pytest.fixture
def files(exchange_home: Home) -> FeedFiles:
    folder = exchange_home.settings.home
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEFzZGZhc2RmYXNkZmFzZGZhc2RmYXNkZmFzZGZhc2Rm"
    transport = {"kind": "sftp", "host": HIDDEN, "user": "rating-user", "host_key": key}
    write_feed(folder, NAME, schedule=NIGHTLY | {"quiet": []}, transport=transport)
    found = FeedFiles(folder / feeds.FOLDER)
    found.read()
    assert found.refused == {}
    return found


def declare(home: Home, files: FeedFiles, at: datetime) -> None:
    with home.database.transaction() as tx:
        files.declare(tx, now=at)


def ran(home: Home, files: FeedFiles, ended: Ended, at: datetime) -> None:
    with home.database.transaction() as tx:
        run = runs.begin(tx, NAME, Due(at, Occasion.SCHEDULED), now=at)
        assert run is not None
        assert runs.finish(tx, run, ended, files.timetable(NAME), now=at)


def feed_of(body: bytes) -> dict[str, object]:
    (found,) = [one for one in orjson.loads(body)["sources"] if one["feed"] == NAME]
    return dict(found)


def test_lenders_and_regulators_see_every_feed_and_every_declared_source(
    exchange_home: Home, door: Door, lender: Caller, files: FeedFiles
) -> None:
    now = clock.now()
    declare(exchange_home, files, now - timedelta(hours=1))
    ran(exchange_home, files, Ended(rows=1), now - timedelta(minutes=30))
    regulator = registered(exchange_home, Caller("regulator-one"), Role.REGULATOR)
    for caller in (lender, regulator):
        answer = caller.get(door, caller.token(door), URL)
        assert answer.status_code == 200, answer.text
        said = {one["source"] for one in answer.json()["sources"] if one["feed"] is None}
        assert said >= {"subsidy_roster", "rating_results", "sanzi_ledger"}
        found = feed_of(answer.content)
        assert found["state"] == "healthy"
        assert found["class"] == "RATING"
        assert found["agency"] == "玉树市信用联社"
        assert 1790 < int(str(found["lag_seconds"])) < 1860
        assert found["error"] is None
        assert "Retry-After" not in answer.headers


def test_a_failure_is_told_by_its_published_words_and_with_the_time_of_the_next_try(
    exchange_home: Home, door: Door, lender: Caller, files: FeedFiles
) -> None:
    now = clock.now()
    declare(exchange_home, files, now - timedelta(hours=1))
    ran(exchange_home, files, Ended("NOT_REACHED"), now)
    answer = lender.get(door, lender.token(door), URL)
    found = feed_of(answer.content)
    assert (found["state"], found["error"]) == ("failing", "NOT_REACHED")
    assert "连接不上数据源" in str(found["error_zh"])
    assert "cannot be reached" in str(found["error_en"])
    assert 240 <= int(answer.headers["Retry-After"]) <= 300
    assert 240 <= int(str(found["retry_after"])) <= 300


def test_no_address_no_user_and_no_key_of_an_agency_is_told(
    exchange_home: Home, door: Door, lender: Caller, files: FeedFiles
) -> None:
    declare(exchange_home, files, clock.now())
    text = lender.get(door, lender.token(door), URL).text
    assert NAME in text
    assert not [hidden for hidden in (HIDDEN, "rating-user", "AAAAC3", "ssh-ed25519") if hidden in text]


def test_the_same_state_is_not_sent_twice_and_a_new_one_is(
    exchange_home: Home, door: Door, lender: Caller, files: FeedFiles
) -> None:
    now = clock.now()
    declare(exchange_home, files, now - timedelta(hours=1))
    token = lender.token(door)
    first = lender.get(door, token, URL)
    known = {"If-None-Match": first.headers["ETag"]}
    again = door.call("GET", URL, headers=lender.headers("GET", URL, token) | known)
    assert (again.status_code, again.content) == (304, b"")
    ran(exchange_home, files, Ended("CUT_OFF"), now)
    assert door.call("GET", URL, headers=lender.headers("GET", URL, token) | known).status_code == 200


def test_an_agency_sees_its_own_feeds_and_no_other_agencys(exchange_home: Home, door: Door, files: FeedFiles) -> None:
    declare(exchange_home, files, clock.now())
    own = registered(exchange_home, Caller("agency-one"), Role.AGENCY, "玉树市信用联社")
    other = registered(exchange_home, Caller("agency-two"), Role.AGENCY, "民和县农业农村局")
    for caller, feeds_seen in ((own, {NAME}), (other, set[str]())):
        answer = caller.get(door, caller.token(door), URL)
        assert answer.status_code == 200, answer.text
        assert {one["feed"] for one in answer.json()["sources"]} - {None} == feeds_seen


def test_strangers_see_nothing(door: Door) -> None:
    assert door.call("GET", URL).status_code == 401


def test_a_source_delivered_by_hand_is_late_when_its_newest_batch_is_older_than_its_freshness(
    exchange_home: Home,
) -> None:
    now = clock.now()
    with exchange_home.database.transaction() as tx:
        before = {one.source: one.state.value for one in sources.states(tx, at=now)}
        tx.execute(
            "INSERT INTO raw_file (raw_id, sha256, sm3, label, size_bytes, received_at, open_until, channel, agency,"
            " source, manifest, mapping)"
            " VALUES (gen_random_uuid(), '', '', 'x', 0, %s, %s, 'command', '', '', '', '{}')",
            (now, now),
        )
        tx.execute(
            "INSERT INTO batch (batch_id, raw_id, label, source, state, as_of, rows, accepted, warned, quarantined,"
            " rejected, codes, totals, evaluations, evaluated_at, published_at) SELECT gen_random_uuid(), raw_id, 'x',"
            " 'rating_results', 'published', %s, 0, 0, 0, 0, 0, '{}', '{}', 1, %s, %s FROM raw_file",
            (now.date(), now, now),
        )
        after = {one.source: one for one in sources.states(tx, at=now + timedelta(hours=1))}
        late = {one.source: one.state.value for one in sources.states(tx, at=now + timedelta(days=4000))}
    assert before["rating_results"] == "waiting"
    assert (after["rating_results"].state.value, after["rating_results"].lag_seconds) == ("healthy", 3600)
    assert late["rating_results"] == "late"


def test_what_an_agency_uploads_and_gets_back_blocked_says_nothing_of_a_source(exchange_home: Home) -> None:
    def state_of(channel: str) -> tuple[str, str | None]:
        with exchange_home.database.transaction() as tx:
            tx.execute("UPDATE raw_file SET channel = %s", (channel,))
            (found,) = [one for one in sources.states(tx, at=clock.now()) if (one.source, one.feed) == (source, None)]
        return found.state.value, found.error

    delivered(exchange_home, roster(line(ZHANG)))
    with exchange_home.database.transaction() as tx:
        tx.execute("UPDATE batch SET state = 'blocked', blocked_code = 'TOTAL_MISMATCH'")
        row = tx.execute("SELECT source FROM batch").fetchone()
    assert row is not None
    source = row[0]
    assert state_of("upload") == ("healthy", None)
    assert state_of("rest") == ("blocked", "TOTAL_MISMATCH")

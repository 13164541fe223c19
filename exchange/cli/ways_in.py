"""The demo's steps about how data come in: over agencies' own systems, and by hand over a line that breaks."""

import time
from collections.abc import Callable
from pathlib import Path
from socket import create_connection
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from connectors.feed import feeds
from exchange.cli.lender import register
from exchange.cli.sandbox import agencies, connect
from exchange.cli.story import Story, hold
from exchange.client import NotReached, new_client
from exchange.home import Home
from exchange.jobs import collect_feed, intake_of
from exchange.oauth.scopes import Role
from registry import clock
from sandbox.agencies.faults import Fault, Faults
from sandbox.agencies.line import line
from sandbox.agencies.running import Running
from sandbox.agency import Agency, Json
from sandbox.people import settle
from sandbox.rating import rating
from sandbox.workbooks import AgencyFile

_OFFICE: Final = "平安区信用联社（沙箱）"
_CLERK_ID: Final = "office-demo"
_SEED: Final = 7
_HEADERS_BYTES: Final = 2_500  # of a request with token and proof
_GRADES: Final = ((90, "AAA"), (80, "AA"), (70, "A"), (60, "B"), (0, "不予评定"))  # the example scheme's cut-offs
_FAULTS: Final = {
    "sandbox_funds": ("sanzi", "REST", Fault.RESET),
    "sandbox_subsidy": ("subsidy", "SQL", Fault.UNAVAILABLE),
    "sandbox_rating": ("rating", "SFTP", Fault.RESET),
}


def tell(home: Home, story: Story, folder: Path, households: int) -> None:
    """Tell both steps."""
    asked = story.step("Agencies' systems over REST, SQL and SFTP (接口对接), a fault on each line")
    with asked as said, agencies(folder / "systems", households=households) as (running, _):
        _collect(home, running, folder, said)
    with story.step("A clerk's upload is cut, goes on, and is mended (断点续传、改错)") as said:
        _hand_over(home, households, said)


def _collect(home: Home, running: Running, folder: Path, said: Callable[..., None]) -> None:
    connect(home, running, folder / "feeds")
    known = feeds(folder / "feeds")
    intake, today = intake_of(home), clock.beijing_day(clock.now())
    for code, (agency, protocol, fault) in _FAULTS.items():
        running.agencies[agency].faults.on(fault, times=1)
        done = collect_feed(home, known[code], clock.now())
        survived = running.agencies[agency].faults.is_on(fault) is None
        found: Any = intake.report(as_of=today)["files"]
        names = list(running.rating.expected) if code == "sandbox_rating" else [code]
        same = all(found.get(name if name in found else f"{name}.ndjson") == running.expected[name] for name in names)
        said(
            f"{protocol}: {done.rows} rows, as planted; {fault.value} on the line survived",
            **{code: {"rows": done.rows, "fault": fault.value, "survived": survived, "as_planted": same}},
        )
        hold(survived, f"{code}: the fault did not strike")
        hold(same, f"{code}: rows are not accounted for as planted")


def _hand_over(home: Home, households: int, said: Callable[..., None]) -> None:
    province = settle(seed=_SEED, households=households, as_of=clock.beijing_day(clock.now()))
    file = rating(province.tenants, as_of=province.as_of, seed=_SEED)
    client, faults = new_client(_CLERK_ID), Faults([Fault.RESET])
    register(home, _CLERK_ID, _OFFICE, Role.AGENCY, client.jwks, sources=["rating_results"])
    there = urlsplit(home.settings.issuer)
    once = httpx.Limits(max_keepalive_connections=0)
    with (
        line(lambda: create_connection((str(there.hostname), there.port or 80)), faults) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, limits=once) as http,
    ):
        clerk = Agency(home.settings.issuer, client, http=http)
        standing = _upload(clerk, faults, file, said)
        _mend(clerk, str(standing["batches"][0]), file, said)


def _upload(clerk: Agency, faults: Faults, file: AgencyFile, said: Callable[..., None]) -> Json:
    content = file.content()
    upload = clerk.create(file.name, len(content))
    faults.on(Fault.RESET, times=1, amount=_HEADERS_BYTES + len(content) // 2)
    try:
        clerk.send(upload, 0, content, checksum=False)
        hold(False, "the line was not cut")  # reads as a sentence
    except NotReached:
        pass
    deadline = time.monotonic() + 10
    while not (arrived := clerk.offset(upload)) and time.monotonic() < deadline:
        time.sleep(0.1)
    hold(0 < arrived < len(content), "nothing arrived before the cut")
    clerk.resume(upload, content)
    standing = clerk.wait(upload)
    hold(standing["state"] == "done", f"the upload is {standing['state']}")
    said(f"cut at byte {arrived} of {len(content)}; resumed there; {standing['rows_read']} rows read", arrived=arrived)
    return standing


def _mend(clerk: Agency, batch: str, file: AgencyFile, said: Callable[..., None]) -> None:
    expected, found = file.expected[file.name], clerk.batch(batch)
    ends = [found[end] for end in ("accepted", "warned", "quarantined", "rejected")]
    hold(
        found["rows"] == expected["rows"] == sum(ends) and found["quarantined"] >= expected["quarantined"],
        "the workbook's rows are not accounted for as planted",  # told are those of everybody, whoever has consented
    )
    rows = clerk.quarantine(batch, mask=False)
    row = next(one for one in rows if one["code"] == "GRADE_SCORE_MISMATCH")
    score = float(row["cells"]["评分"])
    right = next(grade for floor, grade in _GRADES if score >= floor)
    clerk.correct(batch, row["sheet"], row["row"], {"信用等级": right}, "录入错误，已核对评议表")
    left = clerk.quarantine(batch)
    hold(len(left) == len(rows) - 1, "the mended row is still in quarantine")
    said(
        f"{expected['rows']} rows as planted; row {row['row']} ({row['code']}) corrected: {len(left)} of {len(rows)}"
        " rows are left to decide",
        quarantined=len(rows),
        left=len(left),
    )

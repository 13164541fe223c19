"""`qingqiao demo`: the whole way once, told as a story; exit 0 only if every step held.

  1  a fresh installation: database, keys, schema
  2  agencies' files of a small made-up province
  3  intake before anybody consented: organisations' rows are held, of people nothing but the count
  4  the consent register arrives; rows of people who agreed are taken in, and every row is accounted for as planted
  5  agencies' systems are asked over REST, SQL and SFTP, each with a fault that is survived
  6  a clerk hands over a workbook; the line is cut, the upload goes on from there, a row is mended
  7  a lender asks about somebody who agreed: permitted, signed
  8  the same lender asks about somebody who did not: refused, and the answer does not tell an unknown person apart
  9  evidence: fetched, checked offline
  10 a flipped byte in it is caught
  11 the person withdraws: the same question, and the same question again by its key, are refused at once
  12 the regulator reads all of it in the trail

It speaks to the exchange over HTTP and OAuth as outsiders do. What it finds is written to `<home>/demo/report.json`.
"""

import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import orjson
import typer
import uvicorn
from sqlalchemy import create_engine

from consent.evidence import Channel
from consent.parties import Contact
from exchange import consent_registers, consents
from exchange.cli import ways_in
from exchange.cli.context import console, settings
from exchange.cli.lender import register, save_key
from exchange.cli.running import server
from exchange.cli.story import StepFailed, Story, hold
from exchange.client import Answer, Lender, NotGenuine, Refused, Subject, new_client
from exchange.home import Home, open_home
from exchange.jobs import Jobs, intake_of, table
from exchange.oauth.scopes import Role
from exchange.settings import Settings
from registry import clock
from registry.database import address
from registry.trust import TrustPolicy
from registry.verify import EvidenceRefused, verify
from sandbox import province
from sandbox.regulator import Regulator

_LENDER_ID, _REGULATOR_ID = "bank-demo", "regulator-demo"
_BANK_CONTACT = Contact(
    office="客户服务部（沙箱）",
    phone="0971-0000001",  # no subscriber's number begins with 0
    address="青海省海东市示例街1号",
    email="service@bank.example",
    url="https://bank.example/privacy",
)
_NOBODY = "630222199901010001"  # a valid number that is nobody's: sequence 000 (docs/requirements.md, identifiers)
_BUSINESS_NO = "LA-2026-000001"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop after the story instead of serving on.")] = False,
    households: Annotated[int, typer.Option(min=60, max=5000, help="How many households the province has.")] = 300,
) -> None:
    """Go the whole way once: agencies' files, consents, a lender's answer, its proof, a withdrawal, the audit."""
    folder = settings().home / "demo"
    story = Story()
    held = False
    try:
        with (
            _databases(settings()) as databases,
            _installation(_fresh(settings(), folder, databases), story) as (home, web),
        ):
            _tell(home, story, folder, households)
            held = all(step["held"] for step in story.steps)
            _write(story, folder, held=held)
            if not once:
                console.print(f"serving on at {home.settings.issuer}; Ctrl-C ends it")
                web.join()
    except StepFailed as error:
        console.print(f"[red]✗ {error}[/red]")
    finally:
        _write(story, folder, held=held)
    seconds = time.perf_counter() - story.began
    if not held:
        console.print(f"[red]the story did not hold[/red]; see {folder / 'report.json'}")
        raise typer.Exit(1)
    console.print(f"[green]every step held[/green] in {seconds:.1f} s; {folder / 'report.json'}")


@contextmanager
def _databases(given: Settings) -> Iterator[dict[str, str]]:
    """Give the demo databases of its own on a server that was named, and take them away; none with the embedded one."""
    if given.database_url is None:
        yield {}
        return
    main = address(given.database_url)
    names = [f"{main.database}_demo_{uuid4().hex[:8]}{suffix}" for suffix in ("", "_keys")]
    urls = [main.set(drivername="postgresql", database=name).render_as_string(hide_password=False) for name in names]
    admin = create_engine(address(given.database_url), isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            for name in names:
                connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        yield {"database_url": urls[0], "keystore_url": urls[1]}
    finally:
        with admin.connect() as connection:
            for name in names:
                connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.dispose()


def _fresh(given: Settings, folder: Path, databases: dict[str, str]) -> Settings:
    """Choose a home of the demo's own, emptied, and a port that is free."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in ("home", "agencies"):
        shutil.rmtree(folder / old, ignore_errors=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    changes = {"home": folder / "home", "listen_port": port, "issuer": f"http://127.0.0.1:{port}"}
    return given.model_copy(update=changes | databases)


@contextmanager
def _installation(chosen: Settings, story: Story) -> Iterator[tuple[Home, threading.Thread]]:
    with story.step("A fresh installation (全新环境): database, keys, schema") as tell:
        opening = open_home(chosen)
        home = opening.__enter__()
        tell(f"log {home.keyring.origin}, {home.installation.mode.value}")
    # the story weighs rows again itself, when its consents arrive
    jobs = Jobs(home, [job for job in table() if job.name != "intake:reevaluate"])
    web = server(home)
    thread = threading.Thread(target=web.run, name="web", daemon=True)
    try:
        jobs.start()
        thread.start()
        _wait_for(web)
        yield home, thread
    finally:
        web.should_exit = True
        thread.join()
        jobs.stop()
        opening.__exit__(None, None, None)


def _wait_for(web: uvicorn.Server) -> None:
    deadline = time.monotonic() + 30
    while not web.started:
        if time.monotonic() > deadline:
            raise StepFailed("the web server did not start within 30 s")
        time.sleep(0.02)


def _tell(home: Home, story: Story, folder: Path, households: int) -> None:
    today = clock.beijing_day(clock.now())
    with story.step("Agencies' files (部门报送文件), made up on real division codes") as tell:
        planted = province.write(folder / "agencies", as_of=today, households=households)
        tell(f"{len(planted.files)} files in {planted.folder}", files=len(planted.files))
    taken = _intake(home, story, planted, today)
    ways_in.tell(home, story, folder, households)
    lender, regulator = _clients(home, folder, planted)
    with lender, regulator:
        _lend(home, story, folder, planted, lender)
        _audit(story, regulator)
    if not taken:
        raise StepFailed("rows are not accounted for as planted")


def _intake(home: Home, story: Story, planted: province.Planted, today: date) -> bool:
    intake = intake_of(home)
    with story.step("Intake before any consent (授权之前接收)") as tell:
        intake.run(planted.files, as_of=today)
        counts = _counts(intake.report(as_of=today))
        tell(
            f"{counts['rows']} rows: {counts['accepted'] + counts['warned']} of organisations held,"
            f" {counts['NO_CONSENT']} of people not: nothing of them is kept but the count",
            **counts,
        )
        hold(counts["NO_CONSENT"] > 0, "people's rows were held without consent")
    with story.step("The consent register arrives (授权台账); people's rows are weighed again") as tell:
        rows = consent_registers.read_register(planted.consents_file.read_bytes())
        imported = consent_registers.import_register(home, rows, actor="demo")
        intake.reevaluate()
        report = intake.report(as_of=today)
        counts = _counts(report)
        same = report["files"] == planted.expected["files"]
        tell(
            f"{len(imported.rows)} consents; {counts['accepted']} rows accepted, {counts['warned']} warned,"
            f" {counts['quarantined']} quarantined, {counts['rejected']} rejected, {counts['blocked']} files blocked",
            consents=len(imported.rows),
            **counts,
        )
        tell("every row is accounted for as it was planted" if same else "[red]not as planted[/red]", as_planted=same)
        hold(same, "rows are not accounted for as planted")
    return same


def _counts(report: dict[str, Any]) -> dict[str, int]:
    tables = list(report["files"].values())
    counts = {
        name: sum(table.get(name) or 0 for table in tables)
        for name in ("rows", "accepted", "warned", "quarantined", "rejected")
    }
    counts["NO_CONSENT"] = sum(table.get("rejected_codes", {}).get("NO_CONSENT", 0) for table in tables)
    counts["blocked"] = sum("blocked" in table for table in tables)
    return counts


def _clients(home: Home, folder: Path, planted: province.Planted) -> tuple[Lender, Regulator]:
    bank, office = new_client(_LENDER_ID), new_client(_REGULATOR_ID)
    register(home, _LENDER_ID, planted.lenders[0], Role.LENDER, bank.jwks, contact=_BANK_CONTACT)
    register(home, _REGULATOR_ID, "省级监管部门（沙箱）", Role.REGULATOR, office.jwks)
    save_key(folder / f"{_LENDER_ID}.key.json", bank)
    save_key(folder / f"{_REGULATOR_ID}.key.json", office)
    issuer = home.settings.issuer
    return Lender(issuer, bank), Regulator(issuer, office)


def _lend(home: Home, story: Story, folder: Path, planted: province.Planted, lender: Lender) -> None:
    person = planted.agreed[0]
    with story.step("A lender asks about somebody who agreed (有授权查询)") as tell:
        answer = _ask(lender, person)
        policy = TrustPolicy.parse(home.keyring.trust_policy())
        labels = answer.items
        whole = sum(label["completeness"] == "COMPLETE" for label in labels.values())
        tell(
            f"permitted: {len(answer.records)} records, {len(labels)} items ({whole} complete), signed",
            query_id=answer.query_id,
            records=len(answer.records),
            signed=_signed(answer, policy),
        )
        tell(f"summary: {orjson.dumps(answer.summary).decode()}")
        hold(_signed(answer, policy), "the answer's signature does not verify")
        hold(len(answer.records) > 0, "nothing was found about somebody who agreed")
    with story.step("The same lender asks about somebody who did not (无授权查询)") as tell:
        reasons = [_refused(lender, number) for number in (planted.never_asked[0], _NOBODY)]
        tell(f"refused: {reasons[0]}; a person nobody knows: {reasons[1]}", reasons=reasons)
        hold(reasons == ["no-consent", "no-consent"], "a refusal tells more than it may")
    (folder / "trust.json").write_bytes(orjson.dumps(home.keyring.trust_policy(), option=orjson.OPT_INDENT_2))
    with story.step("Evidence for the answer, checked offline (证据离线核验)") as tell:
        file = folder / "evidence.json"
        file.write_bytes(lender.evidence(answer.query_id))
        verdict = verify(file.read_bytes(), policy)
        for number, said in verdict.shown:
            tell(f"[green]✓[/green] {number}. {said}")
        tell(f"again: qingqiao verify {file} --trust {folder / 'trust.json'}", shown=len(verdict.shown))
    with story.step("One byte of it is flipped (篡改一个字节)") as tell:
        raw = bytearray(file.read_bytes())
        raw[_a_figure(raw)] ^= 1
        tell(f"caught at {_caught(bytes(raw), policy)}")
    with story.step("The person withdraws (撤回授权)") as tell:
        consents.withdraw(home, answer.consent_id, Channel.VILLAGE, actor="demo")
        started = time.perf_counter()
        fresh = _refused(lender, person)
        took = round((time.perf_counter() - started) * 1000)
        again = _refused(lender, person, key=answer.idempotency_key)
        tell(f"the same question, {took} ms later: {fresh}; by its old key: {again}", reasons=[fresh, again])
        hold([fresh, again] == ["withdrawn", "withdrawn"], "a withdrawal does not bite")


def _audit(story: Story, regulator: Regulator) -> None:
    with story.step("The regulator reads the trail (监管审计)") as tell:
        events = regulator.events(event="release:*", limit="50")["events"]
        found = [f"{one['event'].rpartition(':')[2]}" for one in reversed(events)]
        withdrawals = regulator.events(event="consent:grant:withdrawn")["events"]
        tell(f"{len(events)} releases and refusals: {', '.join(found)}", events=found)
        hold("permitted" in found and found.count("refused") >= 4, "the trail lacks an entry")  # noqa: PLR2004  # two unknown, two withdrawn
        hold(len(withdrawals) >= 1, "the trail lacks the withdrawal")


def _ask(lender: Lender, person: str, key: str | None = None) -> Answer:
    return lender.summary(
        Subject.person(person), purpose="LOAN_APPROVAL", business_no=_BUSINESS_NO, idempotency_key=key,
        staff=("u-1027", "credit"),
    )  # fmt: skip


def _signed(answer: Answer, policy: TrustPolicy) -> bool:
    try:
        answer.check(policy)
    except NotGenuine:
        return False
    return True


def _refused(lender: Lender, person: str, key: str | None = None) -> str:
    try:
        _ask(lender, person, key)
    except Refused as refused:
        return refused.code
    raise StepFailed("a question was answered that must be refused")


def _a_figure(raw: bytearray) -> int:
    """Find the last digit of an amount among the opened fields: changed, the file still reads well."""
    found = re.search(rb'"amount_due":\{"salt":"[0-9a-f]+","value":[0-9]+', raw) or re.search(rb'"value":[0-9]+', raw)
    if found is None:
        raise StepFailed("the evidence opens no figure")
    return found.end() - 1


def _caught(raw: bytes, policy: TrustPolicy) -> str:
    try:
        verify(raw, policy)
    except EvidenceRefused as error:
        return str(error)
    raise StepFailed("changed evidence was accepted")


def _write(story: Story, folder: Path, *, held: bool) -> None:
    report = {"held": held, "seconds": round(time.perf_counter() - story.began, 1), "steps": story.steps}
    (folder / "report.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))

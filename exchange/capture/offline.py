"""Chains of offline consents, taken in: what `consent.offline` lets through becomes consents, one by one.

In one transaction, with the device's row locked: the chain is checked, each record that is a link is kept, and each
that is also in time is handed to `exchange.consents`. A record that is refused there (a child, terms beyond the
purpose, a collector who is none) takes nothing of the others with it; the chain goes on behind it. The device's head,
the consents and their log entries commit together, so that an upload that was cut off can be sent again: what was
received is passed over, what was not is taken.

Until it is uploaded a record is `offline_pending`: nothing rests on it, and a query is answered as if it were not there
(R-72: "the query must not run before upload"). A device may announce its head, signed, over any line: it says how many
records are still to come, and of nobody whose they are; and it binds the device to that history, whatever it announces
later: every announced head is kept.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple
from uuid import UUID

from pydantic import Field, ValidationError

from consent import faults, offline, taking
from consent.errors import Fault as Terms
from consent.errors import TermsRefused
from consent.evidence import Channel, Evidence, EvidenceKind
from consent.offline import Checked, Fault, Signed, Taken
from exchange import consents, terms
from exchange.capture import collectors, devices, sealing, taken
from exchange.capture.devices import Device, State
from exchange.capture.events import Event
from exchange.capture.taken import TakenModel
from exchange.errors import RequestRefused
from exchange.home import Home
from exchange.oauth.clients import unreached
from exchange.oauth.guard import Caller
from exchange.problems import CATALOGUE
from registry import log, store, subjects
from registry.canonical import JSON, canonical
from registry.database import Transaction
from registry.identifiers import Identifier

INVALID: Final = "content-invalid"
_MALFORMED: Final = (
    "记录内容不符合格式",
    "the record's content does not have the declared form",
    "请本人重新同意，并改正设备程序",
    "ask the person again, and correct the device's program",
)


class OfflineContent(TakenModel):
    """What a device's record holds: what was agreed to, and the hash of what the device keeps as proof."""

    evidence_kind: EvidenceKind = EvidenceKind.RELIABLE_ESIGN
    evidence_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    fingerprints_redacted: bool = False


class Said(NamedTuple):
    """Why, and how to mend it, in Chinese and English."""

    reason: str
    zh: str
    en: str
    mend_zh: str
    mend_en: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a record: a consent, or a reason. `repeated`: it had been received before, and this came of it."""

    counter: int
    consent_id: str | None
    said: Said | None = None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """What became of an upload. `broken` is the place and reason from which nothing was taken."""

    device: Device
    outcomes: tuple[Outcome, ...]
    broken: tuple[int, int | None, Said] | None


def upload(
    home: Home, caller: Caller, device_id: str, records: Sequence[tuple[object, bytes]], *, now: datetime
) -> Received:
    """Take a segment of a device's chain in.

    Raises:
        RequestRefused: `device-unknown`: the organisation has no such device; `device-ended`, `device-blocked`;
            `consent-terms`: it is not known how the organisation is reached. The chain has not moved then.
    """
    with home.database.transaction() as tx:
        device = _usable(tx, device_id, caller)
        if unreached(tx, device.organisation):  # told before a record is used up: each is taken once
            raise terms.refused(TermsRefused(Terms.RECIPIENT_WITHOUT_CONTACT, "not said how it is reached"))
        signed = [Signed(record, signature) for record, signature in records]
        numbers = _numbers(signed)
        known = _received(tx, device_id, numbers)
        checked = offline.check(
            signed,
            device=device_id,
            stands=device.stands,
            received={counter: link for counter, (link, _, _) in known.items()},
            announced=devices.heads(tx, device_id, numbers),
            verifies=device.verifies,
            now=now,
            given=taking.bounds(),
        )
        people = _held(tx, home, checked.taken, now=now)
        outcomes = [_again(counter, known[counter]) for counter in checked.repeated]
        outcomes += [_take(tx, home, caller, device, one, _record_of(signed, one), now=now) for one in checked.taken]
        _forget_unconsenting(tx, people)
        _close(tx, device, checked, caller, now)
        after = devices.held(tx, device_id, caller.org_code)
    stopped = checked.broken
    broken = None if stopped is None else (stopped.place, stopped.counter, said_of(stopped.fault))
    return Received(after or device, tuple(sorted(outcomes, key=lambda one: one.counter)), broken)


def announce(home: Home, caller: Caller, device_id: str, head: object, signature: bytes, *, now: datetime) -> Device:
    """Take a device's signed head.

    Raises:
        RequestRefused: `device-unknown`, `device-ended`, `device-blocked`; `head-refused`: form, signature or clock, or
            behind what was announced before.
    """
    with home.database.transaction() as tx:
        device = _usable(tx, device_id, caller)
        said = offline.announcement(
            head, signature, device=device_id, verifies=device.verifies, now=now, given=taking.bounds()
        )
        if isinstance(said, Fault):
            raise RequestRefused("head-refused", f"{said.value}: {offline.MEANINGS[said].mend_en}")
        if _forked(tx, device, said):
            devices.block(tx, device, actor=caller.client_id, now=now)
        elif device.announced is not None and said.counter < device.announced.counter:
            raise RequestRefused("head-refused", "chain-order: a later head was announced before")
        else:
            devices.announce(tx, device, said)
        return devices.held(tx, device_id, caller.org_code) or device


def said_of(fault: Fault) -> Said:
    """Say what a fault of the chain means."""
    return Said(fault.value, *offline.MEANINGS[fault])


def _usable(tx: Transaction, device_id: str, caller: Caller) -> Device:
    device = devices.held(tx, device_id, caller.org_code)
    if device is None:
        raise RequestRefused("device-unknown")
    if device.state is State.ENDED:
        raise RequestRefused("device-ended")
    if device.state is State.BLOCKED:
        raise RequestRefused("device-blocked")
    return device


def _numbers(signed: Sequence[Signed]) -> list[int]:
    """Give the numbers that came, as far as they can be numbers of records."""
    return [
        one.record["counter"]
        for one in signed
        if isinstance(one.record, dict) and isinstance(one.record.get("counter"), int)
        if 0 < one.record["counter"] < 1 << 31
    ]


def _received(
    tx: Transaction, device_id: str, numbers: Sequence[int]
) -> dict[int, tuple[bytes, str | None, str | None]]:
    """Read what was received before under the numbers that came."""
    rows = tx.execute(
        "SELECT counter, link, consent_id, reason FROM offline_record WHERE device_id = %s AND counter = ANY(%s)",
        (device_id, numbers),
    )
    return {counter: (bytes(link), consent_id, reason) for counter, link, consent_id, reason in rows}


def _held(tx: Transaction, home: Home, records: Sequence[Taken], *, now: datetime) -> set[UUID]:
    """Make known and hold everybody whose consent is about to be taken, before any consent is written.

    All are made in one statement, and then all are held in one, each in one order. Made or held one by one in the
    records' order, two uploads that name the same people the other way round would wait for each other without end.
    """
    people: list[Identifier] = []
    for one in records:
        if one.fault is None:
            with suppress(RequestRefused):  # what cannot be read has its reason where it is taken
                people.append(_content(one.content).subject.read())
    ids = set(store.ensure_subjects(tx, home.keyring, people, now=now).values())
    store.hold_subjects(tx, sorted(ids))
    return ids


def _forget_unconsenting(tx: Transaction, people: Collection[UUID]) -> None:
    """Take back whoever was made known for a record that was refused: no trace is left of who has not consented."""
    consenting = tx.execute("SELECT subject_id FROM consent WHERE subject_id = ANY(%s)", (list(people),))
    subjects.unmake(tx, set(people) - {row[0] for row in consenting})


def _record_of(signed: Sequence[Signed], one: Taken) -> Signed:
    return next(each for each in signed if isinstance(each.record, dict) and each.record["counter"] == one.counter)


def _again(counter: int, known: tuple[bytes, str | None, str | None]) -> Outcome:
    _, consent_id, reason = known
    return Outcome(counter, consent_id, None if reason is None else _explained(reason), repeated=True)


def _take(
    tx: Transaction, home: Home, caller: Caller, device: Device, one: Taken, signed: Signed, *, now: datetime
) -> Outcome:
    if one.fault is not None:
        return _keep(tx, device, one, now, said=said_of(one.fault))
    try:
        with tx.transaction():
            return _consent(tx, home, caller, device, one, signed, now=now)
    except TermsRefused as refused:
        return _keep(tx, device, one, now, said=_explained(refused.code.value))
    except RequestRefused as refused:
        return _keep(tx, device, one, now, said=_explained(refused.code))


def _consent(
    tx: Transaction, home: Home, caller: Caller, device: Device, one: Taken, signed: Signed, *, now: datetime
) -> Outcome:
    content = _content(one.content)
    who = content.subject.read()
    collectors.require(tx, device.organisation, content.collector, at=one.at)
    witness = taken.witness_of(tx, home, content, who, organisation=device.organisation, now=now)
    new = taken.consent_of(
        content,
        replace(Evidence.of(content.evidence_kind, content.evidence_sha256), redacted=content.fingerprints_redacted),
        organisation=device.organisation,
        channel=Channel.OFFLINE,
        captured_at=one.at,
        uploaded_at=now,
        device=device.device_id,
    )
    made = consents.grant_in(
        tx,
        home,
        who,
        new,
        actor=caller.client_id,
        now=now,
        beside=taken.beside(content, witness),
        asked_by=content.asked_by,
    )
    place = f"offline|{device.device_id}|{one.counter}".encode()
    subject_id = store.lookup(tx, home.keyring, [who])[who.text]
    record: Any = signed.record
    whole = canonical({"record": record, "signature": signed.signature.hex()})
    sealed = sealing.keep(home, subject_id, place, whole, now=now)
    tx.execute(
        "INSERT INTO offline_record (device_id, counter, link, captured_at, uploaded_at, consent_id, subject_id,"
        " sealed) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (device.device_id, one.counter, one.link, one.at, now, made.consent_id, subject_id, sealed),
    )
    return Outcome(one.counter, made.consent_id)


def _content(content: Mapping[str, Any]) -> OfflineContent:
    try:
        return OfflineContent.model_validate(dict(content))
    except ValidationError as error:
        raise RequestRefused(INVALID) from error


def _keep(tx: Transaction, device: Device, one: Taken, now: datetime, *, said: Said) -> Outcome:
    """Keep the link of a record that is no consent; nothing of what it says is kept: the device has it."""
    tx.execute(
        "INSERT INTO offline_record (device_id, counter, link, captured_at, uploaded_at, reason)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (device.device_id, one.counter, one.link, one.at, now, said.reason),
    )
    return Outcome(one.counter, None, said)


def _close(tx: Transaction, device: Device, checked: Checked, caller: Caller, now: datetime) -> None:
    devices.stand(tx, device, checked.stands)
    fields: dict[str, JSON] = {
        "device_id": device.device_id,
        "organisation": device.organisation,
        "counter": checked.stands.counter,
        "head": checked.stands.link.hex(),
        "records": len(checked.taken),
        "broken": None if checked.broken is None else checked.broken.fault.value,
    }
    log.append(tx, [log.Entry(Event.CHAIN_RECEIVED.value, at=now, actor=caller.client_id, fields=fields)])
    if checked.broken is not None and checked.broken.fault is Fault.FORK:
        devices.block(tx, device, actor=caller.client_id, now=now)


def _forked(tx: Transaction, device: Device, said: offline.Announced) -> bool:
    """Say whether a device announced, or uploaded, another history before: it signed both."""
    if devices.heads(tx, device.device_id, [said.counter]).get(said.counter, said.link) != said.link:
        return True
    row = tx.execute(
        "SELECT link FROM offline_record WHERE device_id = %s AND counter = %s", (device.device_id, said.counter)
    ).fetchone()
    return row is not None and bytes(row[0]) != said.link


def _explained(reason: str) -> Said:
    """Say what a kept reason means: of the chain, of the terms, or of a door."""
    if reason in Fault._value2member_map_:
        return said_of(Fault(reason))
    if reason in Terms._value2member_map_:
        meaning = faults.MEANINGS[Terms(reason)]
        return Said(reason, meaning.zh, meaning.en, meaning.mend_zh, meaning.mend_en)
    if reason in CATALOGUE:
        problem = CATALOGUE[reason]
        return Said(reason, problem.title_zh, problem.cause, problem.title_zh, problem.mend)
    return Said(reason, *_MALFORMED)

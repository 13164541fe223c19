"""Without signal: a device's chain that was changed, cut, forked, taken over or comes too late."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

from consent.evidence import Channel
from exchange import consents
from exchange.capture import collectors, devices
from registry import clock
from registry.identifiers import ResidentId
from sandbox.device import Device, new_device
from tests.capturing import COLLECTOR, collector, device
from tests.people import BANK, consented
from tests.scenarios.stage import Lender, Scene, on_device, refuses

UPLOAD = "/v1/consents/offline"
HEADS = "/v1/capture-devices/heads"
MINUTE = timedelta(minutes=1)


@dataclass
class Field:
    """A collector with a device somewhere without signal."""

    scene: Scene
    code: str
    device: Device

    def take(self, who: ResidentId, **changes: Any) -> None:
        """Take a consent, a minute after the one before, the first an hour ago."""
        at = clock.now() - timedelta(hours=1) + MINUTE * len(self.device.records)
        self.device.take(on_device(self.code, who, **changes), at=at)

    def upload(self, records: list[dict[str, Any]] | None = None, by: Lender | None = None) -> Any:
        """Upload the chain, or some of its records."""
        sent = {"device": self.device.name, "records": self.device.records if records is None else records}
        return (by or self.scene.bank).call("POST", UPLOAD, sent)


def field(scene: Scene) -> Field:
    """Somebody new, with a new device."""
    return Field(scene, collector(scene.home, f"c-{uuid4()}", scene.person(35)), device(scene.home))


def became(answer: Any) -> list[str]:
    """What became of each record, and of the chain where it broke."""
    assert answer.status_code == 200, answer.text
    said = answer.json()
    found = [_record(one) for one in said["records"]]
    return found if said["broken"] is None else [*found, said["broken"]["reason"]["code"]]


def _record(one: dict[str, Any]) -> str:
    if one["repeated"]:
        return "repeated"
    return "permitted" if one["consent_id"] else str(one["reason"]["code"])


# ---- the chain ------------------------------------------------------------------------------------------------------


@refuses("record-tampered")
def test_a_record_that_was_changed_after_it_was_signed_is_no_consent(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    here.take(scene.person())
    first, second = here.device.records
    bent = {**second, "record": {**second["record"], "content": on_device(here.code, scene.person())}}
    before, broken = became(here.upload([first, bent]))
    scene.permitted(before)
    scene.refused(broken)


@refuses("record-tampered")
def test_a_record_that_another_key_signed_is_no_consent(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    (record,) = here.device.records
    forged = {"record": record["record"], "signature": new_device().sign(b"whatever")}
    scene.refused(became(here.upload([forged]))[0])
    scene.permitted(became(here.upload())[0])


@refuses("wrong-device")
def test_one_devices_record_is_not_slipped_into_anothers_chain(scene: Scene) -> None:
    here, there = field(scene), field(scene)
    here.take(scene.person())
    there.take(scene.person())
    scene.refused(became(here.upload(there.device.records))[0])
    scene.permitted(became(here.upload())[0])


@refuses("chain-gap")
def test_a_record_behind_a_gap_is_no_consent_until_the_gap_is_filled(scene: Scene) -> None:
    here = field(scene)
    for _ in range(3):
        here.take(scene.person())
    first, _, third = here.device.records
    before, broken = became(here.upload([first, third]))
    scene.permitted(before)
    scene.refused(broken)
    assert became(here.upload()) == ["repeated", "permitted", "permitted"]


@refuses("chain-gap", "chain-order")
def test_records_in_another_order_are_no_consents(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    here.take(scene.person())
    scene.refused(became(here.upload(here.device.records[::-1]))[0])
    for one in became(here.upload()):
        scene.permitted(one)


@refuses("chain-fork")
def test_a_second_history_of_one_device_is_not_believed(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    scene.permitted(became(here.upload())[0])
    twin = Field(scene, here.code, Device(here.device.key))
    twin.take(scene.person())
    scene.refused(became(twin.upload())[0])


@refuses("device-blocked")
def test_a_device_with_two_histories_is_believed_nothing_any_more(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    scene.permitted(here.upload())
    twin = Field(scene, here.code, Device(here.device.key))
    twin.take(scene.person())
    twin.upload()
    here.take(scene.person())
    scene.refused(here.upload())


@refuses("chain-fork")
def test_a_chain_that_differs_from_the_head_it_announced_is_not_believed(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    scene.permitted(scene.bank.call("POST", HEADS, here.device.head(at=clock.now())))
    twin = Field(scene, here.code, Device(here.device.key))
    twin.take(scene.person())
    scene.refused(became(twin.upload())[0])


@refuses("head-refused")
def test_a_head_that_the_device_did_not_sign_is_not_taken(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    said = here.device.head(at=clock.now())
    scene.refused(scene.bank.call("POST", HEADS, said | {"head": said["head"] | {"counter": 9}}))
    scene.permitted(scene.bank.call("POST", HEADS, said))


@refuses("repeated")
def test_an_upload_that_was_overheard_makes_no_second_consent(scene: Scene) -> None:
    here, who = field(scene), scene.person()
    here.take(who)
    scene.permitted(became(here.upload())[0])
    scene.refused(became(here.upload())[0])
    assert len(scene.consents(who)) == 1


@refuses("record-malformed")
def test_a_record_of_another_form_is_no_consent(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    (record,) = here.device.records
    bent = {**record, "record": {**record["record"], "note": "more"}}
    scene.refused(became(here.upload([bent]))[0])
    scene.permitted(became(here.upload())[0])


# ---- devices --------------------------------------------------------------------------------------------------------


@refuses("device-unknown")
def test_a_device_that_nobody_registered_takes_no_consents(scene: Scene) -> None:
    here = field(scene)
    stray = Field(scene, here.code, new_device())
    stray.take(scene.person())
    here.take(scene.person())
    scene.refused(stray.upload())
    scene.permitted(here.upload())


@refuses("device-unknown")
def test_one_lenders_device_takes_no_consents_for_another(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    scene.refused(here.upload(by=scene.other))
    scene.permitted(here.upload())


@refuses("device-ended")
def test_a_device_that_was_lost_takes_no_consents_any_more(scene: Scene) -> None:
    here, lost = field(scene), field(scene)
    here.take(scene.person())
    lost.take(scene.person())
    with scene.home.database.transaction() as tx:
        devices.end(tx, lost.device.name, now=clock.now())
    scene.refused(lost.upload())
    scene.permitted(here.upload())


# ---- what a record says ---------------------------------------------------------------------------------------------


@refuses("no-consent")
def test_what_lies_on_a_device_opens_nothing_until_it_is_uploaded(scene: Scene) -> None:
    here, who = field(scene), scene.person()
    here.take(who)
    scene.permitted(scene.bank.call("POST", HEADS, here.device.head(at=clock.now())))
    scene.refused(scene.asks(who))
    scene.permitted(became(here.upload())[0])
    scene.permitted(scene.asks(who))


@refuses("EVIDENCE_REUSED")
def test_one_proof_on_a_device_does_not_serve_two_people(scene: Scene) -> None:
    here, proof = field(scene), uuid4().hex * 2
    for who in (scene.person(), scene.person()):
        said = on_device(here.code, who) | {"evidence_sha256": proof}
        here.device.take(said, at=clock.now() - MINUTE)
    first, second = became(here.upload())
    scene.permitted(first)
    scene.refused(second)


@refuses("BEFORE_WITHDRAWAL")
def test_an_upload_does_not_undo_a_withdrawal_of_the_same_day(scene: Scene) -> None:
    here, gone, stands = field(scene), scene.person(), scene.person()
    here.take(gone)
    here.take(stands)
    consent = consented(scene.home, gone)
    consents.withdraw(scene.home, consent.consent_id, Channel.COUNTER, actor="test")
    undone, taken = became(here.upload())
    scene.refused(undone)
    scene.permitted(taken)


@refuses("collector-unknown")
def test_a_collector_whose_time_was_over_when_the_device_signed_took_nothing(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person())
    here.take(scene.person())
    with scene.home.database.transaction() as tx:  # between the two
        collectors.end(tx, BANK, here.code, now=clock.now() - timedelta(hours=1) + MINUTE / 2)
    taken, late = became(here.upload())
    scene.permitted(taken)
    scene.refused(late)


@refuses("witness-unfit")
def test_far_from_any_signal_a_collector_is_no_witness_either(scene: Scene) -> None:
    here = field(scene)
    collector(scene.home, f"c-{uuid4()}", COLLECTOR)
    for witness in (COLLECTOR, scene.person(30)):
        here.take(scene.person(70), read_aloud=True, witness={"identifier": witness.text})
    colleague, neighbour = became(here.upload())
    scene.refused(colleague)
    scene.permitted(neighbour)


@refuses("GUARDIAN_NEEDED")
def test_far_from_any_signal_a_child_agrees_to_nothing_either(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person(15))
    here.take(scene.person(18))
    child, grown = became(here.upload())
    scene.refused(child)
    scene.permitted(grown)


@refuses("SENSITIVE_NOT_AGREED")
def test_far_from_any_signal_sensitive_items_are_an_act_of_their_own_too(scene: Scene) -> None:
    here = field(scene)
    terms = {"type": "credit_data", "purpose": "LOAN_APPROVAL", "items": ["HOUSE_FUND.fund_status"]}
    here.take(scene.person(), terms=terms)
    here.take(scene.person(), terms=terms, sensitive_agreed=True)
    along, apart = became(here.upload())
    scene.refused(along)
    scene.permitted(apart)


@refuses("REFUSED_LATELY")
def test_whoever_said_no_at_the_counter_is_not_asked_again_in_the_pasture(scene: Scene) -> None:
    here, who = field(scene), scene.person()
    consents.refuse(scene.home, who, BANK, "LOAN_APPROVAL", channel=Channel.COUNTER, actor="test")
    here.take(who)
    here.take(scene.person())
    again, other = became(here.upload())
    scene.refused(again)
    scene.permitted(other)


@refuses("TEXT_UNKNOWN")
def test_a_device_with_a_text_that_nobody_published_takes_no_consents(scene: Scene) -> None:
    here = field(scene)
    here.take(scene.person(), text_version="2031-01")
    here.take(scene.person())
    unknown, known = became(here.upload())
    scene.refused(unknown)
    scene.permitted(known)


@refuses("REFUSED_LATELY")
def test_a_no_said_in_silence_shows_in_no_chain(scene: Scene) -> None:
    here, loud, silent = field(scene), scene.person(), scene.person()
    for who, channel in ((loud, Channel.VILLAGE), (silent, Channel.APP)):
        consents.refuse(scene.home, who, BANK, "LOAN_APPROVAL", channel=channel, actor="test")
        here.take(who)
    known, unknown = became(here.upload())
    scene.refused(known)
    scene.permitted(unknown)


@refuses("GUARDIAN_NEEDED")
def test_far_from_any_signal_a_guardian_agrees_for_a_child(scene: Scene) -> None:
    here, ward, parent = field(scene), scene.person(11), scene.person(38)
    acted = {"kind": "guardian", "relation": "parent", "document_sha256": "01" * 32}
    by = {"representative": {"type": "resident_id", "identifier": parent.text}}
    here.take(ward, sensitive_agreed=True)
    here.take(ward, sensitive_agreed=True, representation=acted | by)
    alone, guarded = became(here.upload())
    scene.refused(alone)
    scene.permitted(guarded)


@refuses("BEFORE_WITHDRAWAL")
def test_of_one_person_the_record_before_a_withdrawal_is_none_and_the_one_after_is(scene: Scene) -> None:
    here, who = field(scene), scene.person()
    here.take(who)
    consents.withdraw(scene.home, consented(scene.home, who).consent_id, Channel.COUNTER, actor="test")
    here.device.take(on_device(here.code, who), at=clock.now() + timedelta(seconds=2))  # its clock tells whole seconds
    before, after = became(here.upload())
    scene.refused(before)
    scene.permitted(after)

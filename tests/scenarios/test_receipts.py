"""Receipts: ours, unchanged, of this consent; and no word about anybody's to whoever does not hold it."""

import json
from uuid import uuid4

import httpx

from consent import printing, receipt
from consent.record import Consent
from registry import jws
from registry.canonical import b64url, canonical, unb64url
from registry.errors import CipherUnavailable
from registry.keyring import Purpose
from registry.suites import Ed25519Key
from tests.attacks.bent_client import ISSUER
from tests.people import consented
from tests.phones import bound
from tests.scenarios.stage import Scene, refuses


def verified(scene: Scene, text: str) -> str:
    """Check a receipt by the published keys."""
    return scene.tries(lambda: receipt.verify(text, scene.home.keyring.policy().receipt_keys))


def checked(scene: Scene, consent_id: str, code: str) -> str:
    """Check a code on the page that a receipt's QR code opens."""
    answer = scene.door.call("POST", f"{ISSUER}/receipts/{consent_id}", data={"code": code, "lang": "en"})
    assert answer.status_code == 200, answer.text
    return "permitted" if "has not been changed" in answer.text else "not-confirmed"


def digest(consent: Consent) -> str:
    return receipt.digest(consent.receipt).hex()


def bent(text: str, **changes: str) -> str:
    """A receipt with its consent's id changed, and the signature of before."""
    header, body, signature = text.split(".")
    document = json.loads(unb64url(body)) | changes
    return f"{header}.{b64url(canonical(document))}.{signature}"


# ---- signatures -----------------------------------------------------------------------------------------------------


@refuses("ReceiptInvalid")
def test_a_receipt_of_which_a_word_was_changed_is_none(scene: Scene) -> None:
    consent = consented(scene.home, scene.person())
    scene.permitted(verified(scene, consent.receipt))
    scene.refused(verified(scene, bent(consent.receipt, jti=str(uuid4()))))


@refuses("ReceiptInvalid")
def test_a_receipt_that_another_key_signed_is_none(scene: Scene) -> None:
    consent = consented(scene.home, scene.person())
    ours, stranger = scene.home.keyring.signing(Purpose.RECEIPT), Ed25519Key.generate()
    document = receipt.document_bytes(consent.receipt)
    header = b64url(canonical({"alg": "EdDSA", "kid": ours.key_id, "typ": receipt.TYP}))
    signed = f"{header}.{b64url(document)}"
    scene.refused(verified(scene, f"{signed}.{b64url(stranger.sign(signed.encode()))}"))
    scene.permitted(verified(scene, jws.sign(ours, ours.key_id, document, receipt.TYP)))


@refuses("ReceiptInvalid")
def test_a_receipt_without_a_signature_is_none(scene: Scene) -> None:
    consent = consented(scene.home, scene.person())
    _, body, _ = consent.receipt.split(".")
    header = b64url(canonical({"alg": "none", "typ": receipt.TYP}))
    scene.refused(verified(scene, f"{header}.{body}."))
    scene.permitted(verified(scene, consent.receipt))


@refuses("ReceiptInvalid")
def test_something_else_that_we_signed_is_no_receipt(scene: Scene) -> None:
    consent = consented(scene.home, scene.person())
    ours, document = scene.home.keyring.signing(Purpose.RECEIPT), receipt.document_bytes(consent.receipt)
    scene.refused(verified(scene, jws.sign(ours, ours.key_id, document, "answer+jwt")))
    scene.permitted(verified(scene, jws.sign(ours, ours.key_id, document, receipt.TYP)))


@refuses("ReceiptInvalid")
def test_a_receipt_with_a_part_left_out_is_none(scene: Scene) -> None:
    consent = consented(scene.home, scene.person())
    ours = scene.home.keyring.signing(Purpose.RECEIPT)
    document = json.loads(receipt.document_bytes(consent.receipt))
    scene.permitted(verified(scene, jws.sign(ours, ours.key_id, canonical(document), receipt.TYP)))
    del document["events"]
    scene.refused(verified(scene, jws.sign(ours, ours.key_id, canonical(document), receipt.TYP)))


@refuses("ReceiptInvalid", "cipher-unavailable")
def test_the_second_signature_of_one_receipt_does_not_stand_beside_another(scene: Scene) -> None:
    """Where this machine cannot check SM2 at all, nothing is taken for checked."""
    one, other = consented(scene.home, scene.person()), consented(scene.home, scene.person())
    key = scene.home.keyring.sm2(Purpose.RECEIPT)
    trusted = {} if key is None else {key.key_id: key.public}

    def beside(consent: Consent, signature: str | None) -> str:
        if signature is None:
            return "cipher-unavailable"
        try:
            return scene.tries(lambda: receipt.verify_sm2(consent.receipt, signature, trusted))
        except CipherUnavailable:
            return "cipher-unavailable"

    scene.refused(beside(one, other.receipt_sm2))
    if key is None:
        scene.permitted(verified(scene, one.receipt))
    else:
        scene.permitted(beside(one, one.receipt_sm2))


# ---- the page -------------------------------------------------------------------------------------------------------


@refuses("not-confirmed")
def test_the_code_of_one_receipt_confirms_no_other(scene: Scene) -> None:
    one, other = consented(scene.home, scene.person()), consented(scene.home, scene.person())
    scene.refused(checked(scene, one.consent_id, digest(other)))
    scene.permitted(checked(scene, one.consent_id, digest(one)))


@refuses("not-confirmed")
def test_a_code_that_lacks_its_last_sign_confirms_nothing(scene: Scene) -> None:
    consent = consented(scene.home, scene.person())
    code = printing.check_code(consent.receipt)
    scene.refused(checked(scene, consent.consent_id, code[:-1]))
    scene.permitted(checked(scene, consent.consent_id, code))


@refuses("not-confirmed")
def test_a_receipt_of_a_consent_that_never_was_is_not_confirmed(scene: Scene) -> None:
    consent = consented(scene.home, scene.person())
    scene.refused(checked(scene, str(uuid4()), digest(consent)))
    scene.permitted(checked(scene, consent.consent_id, digest(consent)))


@refuses("not-confirmed")
def test_a_receipt_that_was_changed_where_it_is_kept_is_not_confirmed(scene: Scene) -> None:
    consent = consented(scene.home, scene.person())
    scene.permitted(checked(scene, consent.consent_id, digest(consent)))
    changed = bent(consent.receipt, jti=str(uuid4()))
    with scene.home.database.transaction() as tx:
        tx.execute("UPDATE consent SET receipt = %s WHERE consent_id = %s", (changed, consent.consent_id))
    scene.refused(checked(scene, consent.consent_id, receipt.digest(changed).hex()))
    scene.refused(checked(scene, consent.consent_id, digest(consent)))


@refuses("not-confirmed")
def test_whoever_has_no_code_is_told_nothing(scene: Scene) -> None:
    consent = consented(scene.home, scene.person())
    scene.refused(checked(scene, consent.consent_id, ""))
    shown = scene.door.call("GET", f"{ISSUER}/receipts/{consent.consent_id}").content
    assert shown == scene.door.call("GET", f"{ISSUER}/receipts/{uuid4()}").content
    scene.permitted(checked(scene, consent.consent_id, digest(consent)))


# ---- who sees one ---------------------------------------------------------------------------------------------------


@refuses("consent-unknown")
def test_another_lender_prints_no_receipt(scene: Scene) -> None:
    path = f"/v1/consents/{scene.recorded(scene.person())['consent_id']}/receipt"
    scene.refused(scene.other.call("GET", path))
    scene.permitted(scene.bank.call("GET", path))


@refuses("consent-unknown")
def test_another_person_takes_no_receipt_along(scene: Scene) -> None:
    who, other = scene.person(), scene.person()
    path = f"/subject/v1/consents/{scene.recorded(who)['consent_id']}/receipt"
    scene.refused(bound(scene.home, scene.door, other).call("GET", path))
    scene.permitted(bound(scene.home, scene.door, who).call("GET", path))


@refuses("credentials-missing")
def test_nobody_takes_a_receipt_along_without_showing_who_asks(scene: Scene) -> None:
    who = scene.person()
    path = f"/subject/v1/consents/{scene.recorded(who)['consent_id']}/receipt"
    answer: httpx.Response = scene.door.call("GET", ISSUER + path)
    scene.refused(answer)
    scene.permitted(bound(scene.home, scene.door, who).call("GET", path))

"""The texts that people agree to: of this version, in this language, and naming what is agreed to."""

from consent import notices, reviews
from consent.evidence import Language
from consent.notices import Form, Notice
from registry import clock
from tests.asking import WANTED
from tests.scenarios.stage import GRADE, Scene, evidence, refuses


@refuses("TEXT_UNKNOWN")
def test_nobody_agrees_to_a_text_of_a_version_that_never_was(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, text_version="2031-01"))
    scene.permitted(scene.records(who, text_version="2026-03"))


@refuses("TEXT_UNKNOWN")
def test_nobody_agrees_in_a_language_that_the_text_does_not_have(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, text_language="mn"))
    scene.permitted(scene.records(who, text_language="bo"))


@refuses("TEXT_UNKNOWN")
def test_a_version_that_one_purpose_has_is_no_text_of_another(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, purpose="RATING", text_version="2026-01"))
    scene.permitted(scene.records(who, purpose="LOAN_APPROVAL", text_version="2026-01"))


@refuses("ITEM_NOT_IN_TEXT")
def test_nobody_agrees_to_an_item_that_the_text_does_not_name(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, text_version="2026-01", items=["WATER"]))
    scene.permitted(scene.records(who, text_version="2026-03", items=["WATER"], adverse_consequences_acknowledged=True))


@refuses("ITEM_NOT_IN_TEXT")
def test_one_item_that_the_text_names_does_not_carry_another_that_it_does_not(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, text_version="2026-01", items=[*GRADE, "WATER.volume"]))
    scene.permitted(scene.records(who, text_version="2026-01", items=GRADE))


@refuses("request-invalid")
def test_a_version_is_no_way_to_another_file(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, text_version="../RATING/2026-03"))
    scene.permitted(scene.records(who))


@refuses("request-invalid")
def test_a_consent_without_a_text_is_none(scene: Scene) -> None:
    who = scene.person()
    scene.refused(scene.records(who, text_version=None))
    scene.permitted(scene.records(who, evidence=evidence()))


@refuses("PURPOSE_UNKNOWN", "invalid_authorization_details")
def test_nobody_is_asked_for_a_purpose_that_has_no_text(scene: Scene) -> None:
    scene.refused(scene.bank.pages.push(WANTED | {"purpose": "MARKETING"}))
    scene.permitted(scene.bank.pages.push(WANTED | {"purpose": "GUARANTEE"}))


def reviewed(scene: Scene, text: Notice, *, sha256: str, reviewer: str = "才让卓玛", remark: str = "可用") -> str:
    """Enter that somebody has read a text."""

    def enter() -> None:
        with scene.home.database.transaction() as tx:
            reviews.record(
                tx,
                text,
                sha256=sha256,
                reviewer=reviewer,
                role="县编译局译审",
                decision=reviews.Decision.APPROVED if remark else reviews.Decision.REFUSED,
                remark=remark,
                now=clock.now(),
            )

    return scene.tries(enter)


def tibetan(form: Form = Form.READ) -> Notice:
    found = notices.find("LOAN_APPROVAL", "2026-03", Language.TIBETAN, form)
    assert found is not None
    return found


@refuses("ReviewRefused")
def test_a_text_is_not_signed_off_by_somebody_who_read_another(scene: Scene) -> None:
    text, aloud = tibetan(), tibetan(Form.ALOUD)
    scene.refused(reviewed(scene, text, sha256=aloud.sha256.hex()))
    scene.permitted(reviewed(scene, text, sha256=text.sha256.hex()))


@refuses("ReviewRefused")
def test_a_text_is_not_signed_off_by_nobody_in_particular(scene: Scene) -> None:
    text = tibetan()
    scene.refused(reviewed(scene, text, sha256=text.sha256.hex(), reviewer=" "))
    scene.permitted(reviewed(scene, text, sha256=text.sha256.hex()))


@refuses("ReviewRefused")
def test_a_text_is_not_turned_down_without_a_word_about_what_to_mend(scene: Scene) -> None:
    text = tibetan()
    scene.refused(reviewed(scene, text, sha256=text.sha256.hex(), remark=""))
    scene.permitted(reviewed(scene, text, sha256=text.sha256.hex()))

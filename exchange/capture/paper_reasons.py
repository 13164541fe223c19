"""Why a consent on paper is refused by whoever looked at it, and how that is mended. Values only."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Reason(StrEnum):
    """Why a paper was refused. The values are published; never reuse one."""

    UNREADABLE = "unreadable"
    UNSIGNED = "unsigned"
    OTHER_PERSON = "other-person"
    TERMS_DIFFER = "terms-differ"
    FINGERPRINT_VISIBLE = "fingerprint-visible"
    NO_WITNESS = "no-witness"
    NOT_TOLD = "consequences-not-told"
    NOT_ENTITLED = "not-entitled"


class Meaning(NamedTuple):
    """Cause and mend, in Chinese and English."""

    zh: str
    en: str
    mend_zh: str
    mend_en: str


MEANINGS: Final[Mapping[Reason, Meaning]] = MappingProxyType(
    {
        Reason.UNREADABLE: Meaning(
            "看不清", "it cannot be read", "重新扫描后再录入", "scan it again and enter it anew"
        ),
        Reason.UNSIGNED: Meaning(
            "没有签名或按印", "it is not signed", "请本人签名后再录入", "have it signed, then enter it"
        ),
        Reason.OTHER_PERSON: Meaning(
            "签署人不是本人", "somebody else signed", "请本人亲自签署", "have the person sign in person"
        ),
        Reason.TERMS_DIFFER: Meaning(
            "录入内容与纸面不符",
            "what was entered is not what stands on the paper",
            "按纸面重新录入",
            "enter what the paper says",
        ),
        Reason.FINGERPRINT_VISIBLE: Meaning(
            "指印未遮盖",
            "a fingerprint can be seen",
            "遮盖指印后重新扫描，删除未遮盖的副本",
            "black it out, scan again, delete the copy",
        ),
        Reason.NO_WITNESS: Meaning(
            "需要见证人而没有",
            "a witness is needed and there is none",
            "有见证人在场时重新签署",
            "have it signed before a witness",
        ),
        Reason.NOT_TOLD: Meaning(
            "未告知不良后果",
            "adverse consequences were not told",
            "告知后由本人另行签字",
            "tell them, and have that signed too",
        ),
        Reason.NOT_ENTITLED: Meaning(
            "代办人无权代办，或没有证明",
            "whoever acted may not, or it is not proven",
            "由本人或有证明的监护人、受托人重新签署",
            "have the person sign, or a guardian or proxy with proof",
        ),
    }
)

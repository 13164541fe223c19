"""What is said to a door when terms are refused: the fault, its place, and how it is mended, in Chinese and in English.

Fixed words only (consent.faults): nothing that was sent is repeated, since it may be somebody's identifier.
"""

from consent.errors import TermsRefused
from consent.faults import MEANINGS
from exchange.errors import RequestRefused


def refused(error: TermsRefused) -> RequestRefused:
    """Turn refused terms into a problem: `detail` names fault and mend, `errors` place, cause and mend."""
    meaning = MEANINGS[error.code]
    place = {
        "at": "/" + meaning.place.replace(".", "/"),
        "code": error.code.value,
        "cause": meaning.en,
        "cause_zh": meaning.zh,
        "mend": meaning.mend_en,
        "mend_zh": meaning.mend_zh,
    }
    return RequestRefused("consent-terms", f"{error.code.value}: {meaning.en}", more={"errors": [place]})

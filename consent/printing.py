"""The receipt on a sheet: what a person agreed to, in plain words, with a code that opens its check. Pure.

The sheet is one HTML document that needs nothing from elsewhere: it prints on A4, reads on a phone, and holds the whole
signed receipt, which other tools can check. It says only what the signed document says; but for a masked name (张**)
that whoever prints it may give, for the person to know its sheet by: that name is kept nowhere.

The QR code is the address of the public check with the receipt's SHA-256 behind `#`: no browser sends that part, so no
server on the way learns which receipt was looked at. The check code is the beginning of the same digest, for those who
type. `consent/printing.yml` has the words, the catalogue the names of kinds and fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson
import segno
import yaml
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from consent.errors import ReceiptInvalid
from consent.evidence import Language
from consent.parties import party_of, reached
from consent.purposes import current
from consent.receipt import digest, document_bytes
from registry import catalogue
from registry.canonical import b64, unb64url
from registry.instants import beijing_day
from registry.suites import sha256

LANGUAGES: Final = (Language.CHINESE, Language.TIBETAN, Language.ENGLISH)
CODE_DIGITS: Final = 24  # hexadecimal: 96 bits, beyond guessing
_GROUP: Final = 4
_LAST_INSTANT: Final = timedelta(microseconds=1)  # before an end that is exclusive


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the sheet."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is printed: a receipt, its second signature, where it is checked, and a masked name if there is one."""

    receipt: str
    sm2: str | None
    check_at: str
    masked_name: str | None = None


def check_code(receipt: str) -> str:
    """Give the code that a person types to have a receipt checked: groups of four."""
    code = digest(receipt).hex()[:CODE_DIGITS]
    return " ".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


def style_hash() -> str:
    """Name the sheet's one stylesheet for a Content-Security-Policy."""
    return f"sha256-{b64(sha256(_style().encode()))}"


def html(sheet: Sheet, language: Language) -> str:
    """Write the sheet.

    Args:
        sheet: the receipt and what goes with it.
        language: one of LANGUAGES; any other gets Chinese.

    Raises:
        ReceiptInvalid: the receipt is none of ours.
    """
    said = language if language in LANGUAGES else Language.CHINESE
    document = orjson.loads(document_bytes(sheet.receipt))
    if not isinstance(document, dict) or "processing" not in document:
        raise ReceiptInvalid("receipt: no document of ours")
    w = _words(said)
    return _template().render(
        language=said.value,
        w=w,
        style=Markup(_style()),  # noqa: S704  # a file of ours
        operator=document["party_identification"][0]["party_name"],
        requested=document["events"][0]["event_state"] == "consent requested",
        rows=_rows(document, sheet.masked_name, w, said),
        qr=Markup(_qr(f"{sheet.check_at}#{digest(sheet.receipt).hex()}")),  # noqa: S704  # drawn by us
        address=sheet.check_at,
        code=check_code(sheet.receipt),
        keys=[_key_of(one) for one in (sheet.receipt, sheet.sm2) if one is not None],
        jws=sheet.receipt,
        sm2=sheet.sm2,
    )


def _rows(document: Mapping[str, Any], name: str | None, w: Mapping[str, Any], language: Language) -> list[Row]:
    processing, event = document["processing"], document["events"][0]
    purpose, acted = processing["purposes"][0], processing.get("representation")
    limits, notice = purpose["limits"], processing["privacy_notice"]
    titles = current().get(purpose["purpose"])
    operator, recipient = (party_of(one) for one in document["party_identification"][:2])
    since, until = (datetime.fromisoformat(moment) for moment in event["validity_duration"].split("/"))
    last = beijing_day(until - _LAST_INSTANT)
    stated: list[tuple[str, object]] = [
        ("number", document["header"]["record_id"]),
        ("holder", name or w["unnamed"]),
        ("acted", None if acted is None else _acted(acted, w)),
        ("recipient", (recipient.name, reached(recipient.contact, language))),
        ("operator", (operator.name, reached(operator.contact, language))),
        ("purpose", titles.titles[language.value] if titles else purpose["purpose_type"]),
        ("items", _items(document["pii_information"], limits, w, language)),
        ("history", limits["history_months"]),
        ("period", f"{beijing_day(since).isoformat()} — {last.isoformat()}"),
        ("uses", limits["max_uses"]),
        ("monthly", limits.get("uses_per_month")),
        ("life", purpose["retention_period"].removeprefix("P").removesuffix("D")),
        ("reconfirm", limits.get("reconfirm_months") or None),
        ("taken", _taken(event, purpose, w)),
        ("text", f"{notice['purpose']} {notice['version']} ({notice['language']})"),
        ("evidence", processing["evidence"]["sha256"]),
        ("replaces", processing["replaces"]),
    ]
    return [
        Row(w[key], tuple(map(str, value)) if isinstance(value, tuple) else (str(value),))
        for key, value in stated
        if value is not None
    ]


def _acted(acted: Mapping[str, Any], w: Mapping[str, Any]) -> str:
    decided, until = acted["resolution"], acted["until"]
    what = w["kinds"][acted["kind"]]
    if decided is not None:
        return f"{what} {decided['number']} ({decided['votes_for']}/{decided['members']}, {decided['held_on']})"
    return what if until is None else f"{what} (— {until})"


def _items(
    groups: list[Mapping[str, Any]], limits: Mapping[str, Any], w: Mapping[str, Any], language: Language
) -> tuple[str, ...]:
    lines = [_group(group, w, language) for group in groups]
    if limits["adverse_consequences_acknowledged"]:
        lines.append(w["adverse"])
    return tuple(lines)


def _group(group: Mapping[str, Any], w: Mapping[str, Any], language: Language) -> str:
    """Name a kind and its fields; one that the catalogue of today does not have stays as its code."""
    kind = catalogue.current().kinds.get(group["pii_type"])
    names = list(group["pii_attribute_id"])
    title = group["pii_type"]
    if kind is not None:
        title = kind.titles[language.value]
        known = [kind.fields.get(name) for name in names]
        names = [name if spec is None else spec.titles[language.value] for name, spec in zip(names, known, strict=True)]
    apart, between = (": ", ", ") if language is Language.ENGLISH else ("：", "、")
    mark = f" ({w['separate']})" if group.get("sensitive_pii_category") else ""
    return f"{title}{apart}{between.join(names)}{mark}"


def _taken(event: Mapping[str, Any], purpose: Mapping[str, Any], w: Mapping[str, Any]) -> str:
    at = datetime.fromisoformat(event.get("captured_at") or event["event_time"])
    channel = w["channels"][purpose["collection_method"]]
    place = event.get("place")
    return f"{beijing_day(at).isoformat()}, {channel}" + (f" ({place})" if place else "")


def _key_of(signed: str) -> str:
    header = orjson.loads(unb64url(signed.partition(".")[0]))
    return f"{header['alg']} {header['kid']}"


def _qr(content: str) -> str:
    """Draw a code that survives a fold and a stain (15 % may be lost), without a size of its own."""
    return segno.make(content, error="m", micro=False).svg_inline(border=2, omitsize=True)


@cache
def _style() -> str:
    return _file("receipt.css").strip()


@cache
def _words(language: Language) -> Mapping[str, Any]:
    everything = yaml.safe_load(_file("printing.yml"))
    return {name: _in(said, language.value) for name, said in everything.items()}


def _in(said: Mapping[str, Any], language: str) -> Any:  # noqa: ANN401  # a word, or words by code
    return said[language] if language in said else {code: words[language] for code, words in said.items()}


@cache
def _template() -> Template:
    known = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return known.from_string(_file("receipt.html"))


@cache
def _file(name: str) -> str:
    return (resources.files("consent") / name).read_text("utf-8")

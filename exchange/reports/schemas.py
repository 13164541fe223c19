"""The published form of answers: a JSON Schema (2020-12) for each mode, at `/schemas/answer-<mode>-v1.json`. Pure.

A schema is of the value of `answer` in a response; what travels beside it is the signature alone. Nothing may stand
beside what is described: a member that is added is a new version of the format. Amounts are whole fen (1/100 元), areas
whole 1/10000 亩, instants in UTC.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import orjson

from consent.scope import Mode
from exchange.reports.conditions import HISTORY_TOO_SHORT, INCOMPLETE
from exchange.reports.sections import MARKS, NO_DATA, REASONS, WARNINGS
from exchange.reports.tags import STALE, WITHHELD

MODES: Final = (Mode.VERIFY, Mode.TAGS, Mode.SUMMARY, Mode.REPORT)  # those that are answered
MEDIA_TYPE: Final = "application/schema+json"
PATHS: Final = MappingProxyType({f"/schemas/answer-{mode.value}-v1.json": mode for mode in MODES})

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_BEHIND: Final = ("late", "failing", "blocked")


def _closed(members: Mapping[str, Any], *, optional: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Describe an object with these members, and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": sorted(members),
        "properties": {**members, **optional},
    }


def _list(of: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _one_of(values: object) -> dict[str, Any]:
    return {"enum": list(values)}  # type: ignore[call-overload]  # any collection of texts


_TEXT: Final = {"type": "string"}
_MAYBE: Final = {"type": ["string", "null"]}
_COUNT: Final = {"type": "integer", "minimum": 0}
_DAY: Final = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_MAYBE_DAY: Final = {"type": ["string", "null"], "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_MOMENT: Final = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"}
_HEX: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_ITEM: Final = {"type": "string", "pattern": r"^[A-Z][A-Z0-9_]*\.[a-z0-9_]+$"}
_VALUE: Final = {"type": ["string", "integer", "boolean", "null"]}
_QUALITY: Final = _one_of("ABCD")
_MAYBE_QUALITY: Final = _one_of((*"ABCD", None))
_WORDS: Final = _closed({"zh": _TEXT, "en": _TEXT})
_STATEMENT: Final = _closed({"made_at": _MOMENT, "text": _TEXT})
_CODE: Final = {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"}

_COMMON: Final[Mapping[str, Any]] = {
    "format": {"const": "qingqiao-answer/v1"},
    "installation": _closed(
        {
            "mode": _one_of(("sandbox", "production")),
            "operator": _MAYBE,
            "operating_mode": _MAYBE,
            "authorisation": _MAYBE,
            "authorised_until": _MAYBE,
        }
    ),
    "notice": _TEXT,
    "query_id": {"type": "string", "format": "uuid"},
    "decided_at": _MOMENT,
    "lender": _TEXT,
    "purpose": _TEXT,
    "business_no": _MAYBE,
    "consent_id": _TEXT,
    "request": _closed({"salt": _TEXT, "sha256": _HEX}),
    "items": {
        "type": "object",
        "propertyNames": _ITEM,
        "additionalProperties": _closed(
            {
                "as_of": _MAYBE_DAY,
                "completeness": _one_of(("COMPLETE", "PARTIAL", "STALE")),
                "publishers": _list(_TEXT),
                "quality": _MAYBE_QUALITY,
                "records": _COUNT,
                "sources": _list(_TEXT),
            },
            optional={"reason": _one_of(_BEHIND), "disputed": {"const": True}},
        ),
    },
}
_NAMED_RECORD: Final = _closed({"commitment": _HEX})
_RECORD: Final = _closed(
    {
        "as_of": _DAY,
        "catalogue": _TEXT,
        "kind": _CODE,
        "period": _TEXT,
        "publisher": _TEXT,
        "quality": _QUALITY,
        "raw_sha256": _HEX,
        "row": _COUNT,
        "sheet": _TEXT,
        "source": _TEXT,
        "commitment": _HEX,
        "remark": _MAYBE,
        "fields": {"type": "object", "additionalProperties": _VALUE},
    },
    optional={"disputed": _list(_ITEM), "flags": _list(_TEXT)},
)
_SUMMARY: Final = {"type": "object", "propertyNames": _CODE, "additionalProperties": {"type": "object"}}
_TAG: Final = _closed(
    {
        "tag": _CODE,
        "zh": _TEXT,
        "en": _TEXT,
        "rule": _WORDS,
        "value": _one_of(("yes", "no", "unknown")),
        "good": {"type": ["boolean", "null"], "description": "whether the value is good news; null of unknown"},
        "items": _list(_ITEM),
        "sources": _list(_CODE),
        "as_of": _MAYBE_DAY,
        "valid_until": _MAYBE_DAY,
        "quality": _MAYBE_QUALITY,
        "rests_on": _list(_HEX),
    },
    optional={
        "reason": _one_of((NO_DATA, INCOMPLETE, HISTORY_TOO_SHORT, STALE, *_BEHIND)),
        "disputed": {"const": True},
    },
)
_NOT_COMPUTED: Final = _list(_closed({"tag": _CODE, "reason": {"const": WITHHELD}}))
_ENTRY: Final = _closed(
    {
        "record": _HEX,
        "kind": _CODE,
        "zh": _TEXT,
        "en": _TEXT,
        "items": _list(_ITEM),
        "marks": _list(
            _closed(
                {"mark": _one_of(MARKS), "zh": _TEXT, "en": _TEXT},
                optional={"on": _TEXT, "items": _list(_ITEM), "quality": _QUALITY, "rules": _list(_TEXT)},
            )
        ),
    }
)
_PARTS: Final[Mapping[str, Any]] = {
    "entries": _list(_ENTRY),
    "incomplete": _list(_closed({"item": _ITEM, "reason": _one_of((STALE, *_BEHIND))})),
    "overview": _closed(
        {
            "figures": _SUMMARY,
            "complete_percent": {"type": "integer", "minimum": 0, "maximum": 100},
            "good": _list(_CODE),
            "bad": _list(_CODE),
        }
    ),
    "warnings": _list(
        _closed(
            {"warning": _one_of(WARNINGS), "zh": _TEXT, "en": _TEXT},
            optional={
                "record": _HEX,
                "kind": _CODE,
                "tag": _CODE,
                "on": _TEXT,
                "reason": _one_of(_BEHIND),
                "rules": _list(_TEXT),
            },
        )
    ),
    "tags": _list(_TAG),
    "disputed": _list(_closed({"record": _HEX, "items": _list(_ITEM), "zh": _TEXT, "en": _TEXT})),
    "statement": {"anyOf": [_STATEMENT, {"type": "null"}]},
    "queries": _list(_closed({"at": _MOMENT, "purpose": _TEXT})),
    "provenance": _list(
        _closed(
            {
                "record": _HEX,
                "kind": _CODE,
                "provider": _TEXT,
                "source": _TEXT,
                "business_date": _DAY,
                "taken_in_on": _MAYBE_DAY,
                "quality": _QUALITY,
                "catalogue": _TEXT,
            }
        )
    ),
    "glossary": {"type": "object", "additionalProperties": _WORDS},
}
_SECTION: Final = _closed(
    {
        "number": {"type": "integer", "minimum": 0, "maximum": 14},
        "code": _TEXT,
        "zh": _TEXT,
        "en": _TEXT,
        "state": _one_of(("given", "withheld")),
        "reason": _one_of((None, *REASONS)),
        "lacks": _list(_WORDS),
    },
    optional=_PARTS,
)
_HEAD: Final = _closed(
    {
        "number": {"type": "string", "format": "uuid"},
        "staff": _closed({"user_id": _TEXT, "department": _TEXT}),
        "consent_until": _MOMENT,
        "history_months": _COUNT,
        "layout": _TEXT,
        "title": _WORDS,
        "about": _WORDS,
        "subject": _closed({"kind": _one_of(("person", "organisation")), "name": _MAYBE, "region": _MAYBE}),
        "freshness": _closed(
            {"oldest": _MAYBE_DAY, "newest": _MAYBE_DAY, "COMPLETE": _COUNT, "PARTIAL": _COUNT, "STALE": _COUNT}
        ),
    }
)


def _withheld(reasons: object, **more: Any) -> dict[str, Any]:  # noqa: ANN401  # schemas
    return _list(_closed({"item": _ITEM, "reason": _one_of(reasons), **more}))


def _members(mode: Mode) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give what an answer in this mode has beside what all have: what it always has, and what it may have."""
    untold = _withheld((WITHHELD, "mode-tells-no-values"))
    match mode:
        case Mode.VERIFY:
            relation = _one_of(("exists", "equals", "at_least", "at_most"))
            holds = {"type": ["boolean", "null"], "description": "null: nothing is known"}
            claim = _closed({"item": _ITEM, "relation": relation, "value": _VALUE, "holds": holds})
            always = {"claims": _list(claim), "records": _list(_NAMED_RECORD), "withheld": untold}
            return always, {}
        case Mode.TAGS:
            always = {"tags": _list(_TAG), "records": _list(_NAMED_RECORD), "withheld": untold}
            return always | {"tags_version": _TEXT, "withheld_tags": _NOT_COMPUTED}, {}
        case Mode.REPORT:
            withheld = _withheld((WITHHELD, NO_DATA, *_BEHIND), section=_COUNT)
            always = {"report": _HEAD, "sections": _list(_SECTION), "records": _list(_RECORD), "withheld": withheld}
            return always | {"tags_version": _TEXT, "withheld_tags": _NOT_COMPUTED}, {}
        case _:
            always = {"summary": _SUMMARY, "records": _list(_RECORD), "withheld": _withheld((WITHHELD,))}
            return always, {"statement": _STATEMENT}


@cache
def of(mode: Mode) -> dict[str, Any]:
    """Give the schema of a mode's answer."""
    always, maybe = _members(mode)
    path = next(path for path, one in PATHS.items() if one is mode)
    described = _closed({**_COMMON, "mode": {"const": mode.value}, **always}, optional=maybe)
    return {"$schema": _DIALECT, "$id": path, "title": f"Answer in mode {mode.value}", **described}


@cache
def written(path: str) -> bytes:
    """Write the schema that is published at a path."""
    return orjson.dumps(of(PATHS[path]), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

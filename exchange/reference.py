"""The reference of the interfaces: `/docs`, in Chinese and English, from the same description as `/openapi.json`.

One page for each audience, written on the server: no script, nothing from elsewhere, so that it is read where there is
no way out, and printed. What an operation is called in Chinese stands in `pages/reference.yml`; everything else is said
once, in the code that serves it. Members of bodies are written out as a table, with the constraints that are checked.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Annotated, Any, Final, Literal

import yaml
from fastapi import APIRouter, Query, Response

from exchange import pages, problems

PATH: Final = "/docs"
AUDIENCES: Final[Mapping[str, tuple[str, ...]]] = {
    "lender": ("oauth", "lender", "log", "sources", "reports", "receipts", "consent texts", "problems"),
    "agency": ("oauth", "agency", "sources", "problems"),
    "subject": ("subject", "consent texts", "receipts", "problems"),
    "regulator": ("oauth", "regulator", "log", "problems"),
    "operator": ("operating",),
}
_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options")
_SHOWN: Final = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "default", "const")
_DEEPEST: Final = 6


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a body, a parameter or an answer: its type, whether it must be there, what is said of it."""

    name: str
    kind: str
    needed: bool
    said: str
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """One way to call one address."""

    anchor: str
    method: str
    path: str
    title: str
    said: str
    public: bool
    parameters: Sequence[Member]
    media_type: str
    body: Sequence[Member]
    answers: Sequence[tuple[str, str, Sequence[Member]]]
    problems: Sequence[tuple[str, Sequence[str]]] = field(default_factory=tuple)


def build_router(describe: Callable[[], dict[str, Any]]) -> APIRouter:
    """Build the route over the description that `/openapi.json` gives."""
    router = APIRouter(tags=["operating"])
    written: dict[tuple[str, str], bytes] = {}  # the same for everybody, for as long as the process lives

    @router.get(PATH, summary="The reference of the interfaces", response_class=Response)
    def show(
        audience: Annotated[Literal["lender", "agency", "subject", "regulator", "operator"], Query()] = "lender",
        lang: Annotated[Literal["zh", "en"], Query()] = "zh",
    ) -> Response:
        """Show the interfaces of one audience, in Chinese or English."""
        if (audience, lang) not in written:
            written[audience, lang] = page(describe(), audience, lang)
        more = {"Cache-Control": "public, max-age=300"}
        return Response(written[audience, lang], 200, {**pages.headers(), **more}, pages.MEDIA_TYPE)

    return router


def page(described: Mapping[str, Any], audience: str, language: str) -> bytes:
    """Write the page of one audience.

    Args:
        described: the OpenAPI description.
        audience: one of AUDIENCES.
        language: zh or en.
    """
    groups: dict[str, list[Operation]] = {}
    for tag, one in operations(described, language):
        if tag.partition(":")[0] in AUDIENCES[audience]:
            groups.setdefault(tag, []).append(one)
    shown = [(tag, groups[tag]) for tag in sorted(groups, key=lambda tag: _place(tag, audience))]
    told = [
        (one.code, one.status, one.title_zh if language == "zh" else one.title, one.cause, one.mend)
        for one in problems.CATALOGUE.values()
    ]
    return pages.page(
        "reference.html",
        language,
        base="",
        groups=shown,
        audience=audience,
        audiences=list(AUDIENCES),
        told=told,
        version=described["info"]["version"],
        intro=described["info"]["description"],
        words=_words(language),
    )


def operations(described: Mapping[str, Any], language: str) -> Iterator[tuple[str, Operation]]:
    """Give every operation with its tag, in the order of the description."""
    schemas = described.get("components", {}).get("schemas", {})
    for path, ways in described["paths"].items():
        for method in _METHODS:
            if method in ways:
                yield _tag(ways[method]), _operation(path, method, ways[method], schemas, language)


@cache
def chinese() -> Mapping[str, str]:
    """Give what operations are called in Chinese, by method and path."""
    found: Mapping[str, str] = yaml.safe_load(_text())["operations"]
    return found


@cache
def _text() -> str:
    return (resources.files("exchange.pages") / "reference.yml").read_text("utf-8")


def _words(language: str) -> Mapping[str, str]:
    return {name: said[language] for name, said in yaml.safe_load(_text())["words"].items()}


def _tag(operation: Mapping[str, Any]) -> str:
    return str((operation.get("tags") or ["operating"])[0])


def _place(tag: str, audience: str) -> tuple[int, str]:
    return AUDIENCES[audience].index(tag.partition(":")[0]), tag


def _operation(
    path: str, method: str, described: Mapping[str, Any], schemas: Mapping[str, Any], language: str
) -> Operation:
    named = f"{method.upper()} {path}"
    media_type, body = _body(described.get("requestBody", {}), schemas)
    answers, faults = [], []
    for status, answer in described.get("responses", {}).items():
        content = answer.get("content", {})
        if problems.MEDIA_TYPE in content:
            faults.append((status, sorted(content[problems.MEDIA_TYPE].get("examples", {}))))
        else:
            schema: Mapping[str, Any] = next((one.get("schema", {}) for one in content.values()), {})
            answers.append((status, str(answer.get("description", "")), list(_members(schema, schemas))))
    return Operation(
        anchor=f"{method}-{path.strip('/').replace('/', '-').replace('{', '').replace('}', '')}",
        method=method.upper(),
        path=path,
        title=chinese().get(named, "") if language == "zh" else str(described.get("summary", "")),
        said=str(described.get("description", "")),
        public=not described.get("security"),
        parameters=[
            Member(
                f"{one['name']} ({one['in']})",
                _kind(one.get("schema", {}), schemas),
                bool(one.get("required")),
                _said(one | one.get("schema", {})),
            )
            for one in described.get("parameters", [])
        ],
        media_type=media_type,
        body=body,
        answers=answers,
        problems=faults,
    )


def _body(body: Mapping[str, Any], schemas: Mapping[str, Any]) -> tuple[str, list[Member]]:
    for media_type, content in body.get("content", {}).items():
        return media_type, list(_members(content.get("schema", {}), schemas))
    return "", []


def _members(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> Iterator[Member]:
    """Write out an object's members, and those of what lies in them."""
    held = _resolved(schema, schemas)
    if held.get("type") == "array":
        held = _resolved(held.get("items", {}), schemas)
    if depth > _DEEPEST:
        return
    for name, member in held.get("properties", {}).items():
        needed = name in held.get("required", ())
        yield Member(name, _kind(member, schemas), needed, _said(member), depth)
        for branch in _branches(member):
            yield from _members(branch, schemas, depth + 1)


def _branches(schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return schema.get("anyOf") or schema.get("oneOf") or [schema]


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return schemas.get(name, {}) if name else schema


def _kind(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Say of what type something is, in a few words."""
    kinds = []
    for branch in _branches(schema):
        held = _resolved(branch, schemas)
        if "enum" in held:
            kinds.append(" | ".join(str(one) for one in held["enum"]))
        elif "const" in held:
            kinds.append(str(held["const"]))
        elif held.get("type") == "array":
            kinds.append(f"[{_kind(held.get('items', {}), schemas)}]")
        else:
            kinds.append(" ".join(str(one) for one in (held.get("type", "any"), held.get("format", "")) if one))
    return " | ".join(dict.fromkeys(kinds))


def _said(schema: Mapping[str, Any]) -> str:
    """Say what is checked of a value, and what its description adds."""
    rules = [
        f"{name} {_plain(branch[name])}"
        for branch in _branches(schema)
        for name in _SHOWN
        if branch.get(name) is not None and name != "const"
    ]
    described = (str(one["description"]) for one in (schema, *_branches(schema)) if one.get("description"))
    description = next(described, "")
    return "; ".join(one for one in (description, ", ".join(dict.fromkeys(rules))) if one)


def _plain(value: object) -> object:
    """Write a whole number as one: bounds come as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value

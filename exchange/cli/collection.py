"""`qingqiao lender collection`: the lenders' interfaces as a collection (Postman v2.1), from the OpenAPI description.

Requests are named and grouped as the description has them; bodies are its examples, or made of its schemas. Tokens and
proofs are made by `sandbox/collection.js`, which every request runs first. Nothing of an installation goes into it: the
address is a variable, and so the file is the same wherever it is written.
"""

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.markup import escape

from exchange.app import create_app
from exchange.cli.context import console, opened

Json = Mapping[str, Any]

_SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_SUBJECTS: Final = frozenset({"lender", "sources", "oauth"})  # of tags, which may say more after a colon
_METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options")
_BY_BROWSER: Final = frozenset({"/oauth/authorize", "/pages/{name}"})  # a person's, not a system's
_BY_SCRIPT: Final = frozenset({"DPoP"})
_VARIABLES: Final = ("issuer", "client_id", "private_jwk")
_DEEPEST: Final = 6


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(collection)


def collection(
    out: Annotated[Path, typer.Option(help="Where to write it, as docs/lenders.postman.json.")],
) -> None:
    """Write the lenders' interfaces as a collection for Postman, and for tools that read its format."""
    with opened() as home:
        out.write_bytes(written(create_app(home).openapi()))
    console.print(f"[green]✓[/green] {escape(str(out))}")


def written(described: Json) -> bytes:
    """Write the collection of a description."""
    folders: dict[str, list[dict[str, Any]]] = {}
    for path, method, operation in _operations(described):
        folders.setdefault(path.split("/")[2] if path.startswith("/v1/") else path.split("/")[1], []).append(
            _item(path, method, operation, described)
        )
    script = (resources.files("sandbox") / "collection.js").read_text("utf-8")
    whole = {
        "info": {
            "name": "Qingqiao 青桥: lenders",
            "description": "docs/lenders.md; set issuer, client_id and private_jwk (the `jwk` of the key file)",
            "schema": _SCHEMA,
        },
        "item": [{"name": name, "item": items} for name, items in folders.items()],
        "event": [{"listen": "prerequest", "script": {"type": "text/javascript", "exec": script.splitlines()}}],
        "variable": [{"key": name, "value": ""} for name in _VARIABLES],
    }
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n"


def _operations(described: Json) -> Iterator[tuple[str, str, Json]]:
    for path, operations in sorted(described["paths"].items()):
        for method in _METHODS:
            operation = operations.get(method)
            if operation is not None and path not in _BY_BROWSER and _is_of_lenders(operation):
                yield path, method, operation


def _is_of_lenders(operation: Json) -> bool:
    return any(tag.partition(":")[0] in _SUBJECTS for tag in operation.get("tags", ()))


def _item(path: str, method: str, operation: Json, described: Json) -> dict[str, Any]:
    parameters = operation.get("parameters", [])
    headers = [_header(one) for one in parameters if one["in"] == "header" and one["name"] not in _BY_SCRIPT]
    query = [
        {"key": one["name"], "value": "", "disabled": not one.get("required", False)}
        for one in parameters
        if one["in"] == "query"
    ]
    parts = [f":{part[1:-1]}" if part.startswith("{") else part for part in path.strip("/").split("/")]
    url: dict[str, Any] = {"raw": "{{issuer}}/" + "/".join(parts), "host": ["{{issuer}}"], "path": parts}
    if query:
        url["query"] = query
    variables = [{"key": one["name"], "value": ""} for one in parameters if one["in"] == "path"]
    if variables:
        url["variable"] = variables
    request: dict[str, Any] = {"method": method.upper(), "header": headers, "url": url}
    body = _body(operation, described)
    if body is not None:
        request["body"] = body
        if body["mode"] == "file":
            headers.append({"key": "Content-Type", "value": next(iter(operation["requestBody"]["content"]))})
    return {"name": operation.get("summary", path), "request": request}


def _header(parameter: Json) -> dict[str, Any]:
    name = parameter["name"]
    if name == "Idempotency-Key":
        return {"key": name, "value": "{{$guid}}"}
    header = {"key": name, "value": str(parameter["schema"].get("const", ""))}
    return header if parameter.get("required", False) else header | {"disabled": True}


def _body(operation: Json, described: Json) -> dict[str, Any] | None:
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        if media_type == "application/x-www-form-urlencoded":
            fields = content["schema"]["properties"].items()
            pairs = [{"key": name, "value": _form_value(name, schema)} for name, schema in fields]
            return {"mode": "urlencoded", "urlencoded": pairs}
        if media_type == "application/json":
            examples = list(content.get("examples", {}).values())
            value = examples[0]["value"] if examples else _sample(content.get("schema", {}), described)
            raw = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
            return {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}
        return {"mode": "file"}
    return None


def _form_value(name: str, schema: Json) -> str:
    if name in {"client_id", "client_assertion"}:
        return f"{{{{{name}}}}}"
    return str(schema.get("const") or schema.get("example") or (schema.get("enum") or [""])[0])


def _sample(schema: Json, described: Json, depth: int = 0) -> Any:  # noqa: ANN401  # any JSON
    """Make a value of a schema's shape: its example, constant or default first, and only what is required."""
    if "$ref" in schema:
        return _sample(described["components"]["schemas"].get(schema["$ref"].rpartition("/")[2], {}), described, depth)
    stated = [schema[word] for word in ("const", "default", "example") if word in schema]
    stated += [one for word in ("examples", "enum") for one in schema.get(word, [])]
    if stated or depth > _DEEPEST:
        return stated[0] if stated else None
    either = [one for word in ("anyOf", "oneOf", "allOf") for one in schema.get(word, [])]
    if either:
        return _sample(either[0], described, depth + 1)
    if schema.get("type") == "object":
        members, needed = schema.get("properties", {}), set(schema.get("required", ()))
        return {name: _sample(one, described, depth + 1) for name, one in members.items() if name in needed}
    if schema.get("type") == "array":
        return [_sample(schema.get("items", {}), described, depth + 1)]
    return {"integer": 1, "number": 1, "boolean": False}.get(str(schema.get("type")), "")

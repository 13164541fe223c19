"""Plain pages, written on the server: no script, one small stylesheet of ours, usable on a bad line.

A page is a template of this folder and the words of one language (`words.yml`). Everything that is put into it is
escaped; nothing of a page decides anything. The portals come later and take these pages over.

Every page goes out with `HEADERS`: it is stored by nobody, framed by nobody, loads nothing from elsewhere and tells
nobody where a person came from. `headers` adds where its form may lead.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from registry.canonical import b64
from registry.suites import sha256, sha256_hex

LANGUAGES: Final = ("zh", "bo", "en")
MEDIA_TYPE: Final = "text/html; charset=utf-8"
STYLE_PREFIX: Final = "/pages/"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",  # browsers that do not know frame-ancestors
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; form-action 'self'{more}; frame-ancestors 'none'; base-uri 'none'"
)


def headers(*form_leads_to: str) -> dict[str, str]:
    """Give the headers of a page. Browsers hold a form's redirects to `form-action` too: name their origins."""
    more = "".join(f" {origin}" for origin in form_leads_to)
    return {**_HEADERS, "Content-Security-Policy": _POLICY.format(more=more)}


def language_of(asked: str | None) -> str:
    """Give the language of a page: the one asked for, if we write it, else Chinese."""
    return asked if asked in LANGUAGES else LANGUAGES[0]


def page(template: str, language: str, **values: object) -> bytes:
    """Write a page.

    Args:
        template: a file of this folder.
        language: one of LANGUAGES.
        values: what the template asks for; all of it is escaped.
    """
    known = _environment().get_template(template)
    return known.render(w=words(language), language=language, style=style_path(), **values).encode()


def checking(
    name: str, language: str, *, base: str, with_script: bool, **values: object
) -> tuple[bytes, dict[str, str]]:
    """Write a page on which something of ours is checked, with its headers: `<name>.html`, `.yml`, `.js` if asked for.

    The script hands on what stands behind the address's `#`; its hash is in the policy, and nothing else may run.

    Args:
        name: of the page's files in this folder.
        language: one of LANGUAGES.
        base: the path under which the exchange is reached.
        with_script: whether the page may run its script.
        values: what else the template asks for; all of it is escaped.
    """
    script = _file(f"{name}.js").strip() if with_script else ""
    say = {word: said[language] for word, said in yaml.safe_load(_file(f"{name}.yml")).items()}
    text = page(f"{name}.html", language, base=base, say=say, script=Markup(script), **values)  # noqa: S704  # ours
    told = headers()
    if script:
        allowed = f"style-src 'self'; script-src 'sha256-{b64(sha256(script.encode()))}';"
        told["Content-Security-Policy"] = told["Content-Security-Policy"].replace("style-src 'self';", allowed)
    return text, told


def words(language: str) -> Mapping[str, Any]:
    """Give the words of a language, by name."""
    return {name: said[language] for name, said in _all_words().items()}


@cache
def _file(name: str) -> str:
    return (resources.files("exchange.pages") / name).read_text("utf-8")


@cache
def style() -> bytes:
    """Give the stylesheet."""
    return (resources.files("exchange.pages") / "page.css").read_bytes()


@cache
def style_path() -> str:
    """Give the stylesheet's address: named after its bytes, so that it may be kept for ever."""
    return f"{STYLE_PREFIX}{sha256_hex(style())[:16]}.css"


@cache
def _all_words() -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(
        (resources.files("exchange.pages") / "words.yml").read_text("utf-8")
    )
    return found


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("exchange", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

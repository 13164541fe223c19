"""What an installation is connected to: one yml a feed, `<home>/feeds/<name>.yml` (docs/feeds.md explains every key).

A feed says who answers, over which protocol, for which declaration (`connectors/sources`), when and within which
limits. It is read whole and strictly: an unknown key, a source nobody declared, an address with a password in it or
plain http beyond this machine stops the reading, with file, key and mend in Chinese and English. Values are never
repeated in these errors, since one of them may be a password put in the wrong place.

A kind of which each publication replaces the set before (`snapshot`) must not be fed in pieces: its feed states
`sets: whole`, which is the agency's promise that it delivers whole sets of those that changed.

Not here: how a source is reached (`protocols`), secrets (`credentials`), speaking to it (`transports`), when it is due
(the scheduler reads `schedule`).
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from connectors.errors import DeclarationInvalid
from connectors.protocols import Declared, Transport
from connectors.source import Declarations, current
from registry.catalogue import current as catalogue
from registry.identifiers import SubjectKind

SUFFIX: Final = ".yml"
_QUIET: Final = r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$"
_CRON: Final = r"^\S+( \S+){4}$"


# ---- when and how much ----------------------------------------------------------------------------------------------


class Schedule(Declared):
    """When a feed is collected. Times are Beijing's; nothing is asked within quiet hours.

    `deadline`: how long after its time a run counts as late; `catch_up`: one missed run is made up for, once.
    """

    cron: str = Field(pattern=_CRON)
    quiet: list[Annotated[str, Field(pattern=_QUIET)]] = Field(default=[])
    deadline: timedelta = timedelta(hours=6)
    catch_up: bool = True


class Limits(Declared):
    """What one run may cost; held to while bytes come in."""

    seconds: Annotated[int, Field(gt=0)] = 3600
    bytes: Annotated[int, Field(gt=0)] = 512 << 20
    rows: Annotated[int, Field(gt=0)] = 2_000_000


class Retry(Declared):
    """How often one request is tried, and how long is waited: up to `first` seconds, doubled each time, by chance."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    first: Annotated[float, Field(gt=0)] = 1.0
    most: Annotated[float, Field(gt=0)] = 60.0
    timeout: Annotated[float, Field(gt=0)] = 60.0


# ---- the feed -------------------------------------------------------------------------------------------------------


class Feed(Declared):
    """One connection to one source of one agency.

    `kind` names the kind of data where the source declares several; `title` is what documents made of rows are called
    (a year or a period that the rows do not state can stand in it); `filter: subjects` asks the source about
    consented people only; after `anew` everything is read from the beginning, so that people who consented since are
    found in what is old.
    """

    feed: str = Field(pattern=r"^[a-z][a-z0-9_]{2,47}$")
    source: str
    agency: str = Field(min_length=1)
    title: Annotated[str, Field(max_length=80, pattern=r"^[^/\\\x00-\x1f]*$")] = ""
    kind: str = ""
    sets: Literal["whole"] | None = None
    filter: Literal["subjects"] | None = None
    transport: Transport
    schedule: Schedule | None = None
    limits: Limits = Limits()
    retry: Retry = Retry()
    anew: timedelta | None = timedelta(days=28)

    @model_validator(mode="after")
    def _filterable(self) -> Self:
        transport = self.transport
        can = bool(getattr(transport, "people", None) or getattr(transport, "subject", ""))
        if (self.filter is not None) != can:
            raise ValueError(
                "filter: subjects 须与 transport.people（REST）或 transport.subject（SQL）同时给出"
                " / filter: subjects goes together with transport.people (rest) or transport.subject (sql)"
            )
        return self


def feeds(folder: Path, declarations: Declarations | None = None) -> dict[str, Feed]:
    """Read every feed of a folder, by code; none if there is no folder.

    Raises:
        DeclarationInvalid: a file is not a feed; file, key and mend are named.
    """
    known = declarations or current()
    found = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file()) if folder.is_dir() else []
    return {path.stem: read(path.name, path.read_bytes(), known) for path in found}


def read(name: str, text: bytes | str, declarations: Declarations) -> Feed:
    """Read one feed from its yml and hold it to declarations and catalogue.

    Raises:
        DeclarationInvalid: it is none; file, key and mend are named.
    """
    try:
        feed = Feed.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark is not None else ""
        raise DeclarationInvalid(f"feeds/{name}{at}: 不是合法的 YAML / not valid YAML") from None
    except UnicodeDecodeError:
        raise DeclarationInvalid(f"feeds/{name}: 须为 UTF-8 编码 / UTF-8 is expected") from None
    except ValidationError as error:
        raise DeclarationInvalid("\n".join(f"feeds/{name}: {_said(one)}" for one in error.errors())) from None
    if feed.feed != name.removesuffix(SUFFIX):
        raise DeclarationInvalid(f"feeds/{name}: feed: 须与文件名一致 / it must be the file's name")
    _hold(name, feed, declarations)
    return feed


def kinds_of(feed: Feed, declarations: Declarations | None = None) -> tuple[str, ...]:
    """Give the kinds of data that a feed can bring."""
    known = declarations or current()
    return (feed.kind,) if feed.kind else tuple(table.kind for table in _source(feed, known).tables)


def document_name(feed: Feed) -> str:
    """Give the name under which rows that came over an interface are taken in."""
    return f"{feed.title or feed.feed}.ndjson"


def _hold(name: str, feed: Feed, declarations: Declarations) -> None:
    if feed.source not in {source.source for source in declarations.sources}:
        raise DeclarationInvalid(f"feeds/{name}: source: 没有这个来源声明 / no source is declared by this code")
    offered = {table.kind for table in _source(feed, declarations).tables}
    if feed.kind and feed.kind not in offered:
        raise DeclarationInvalid(f"feeds/{name}: kind: 该来源只有 / the source has only {', '.join(sorted(offered))}")
    kinds = [catalogue().kinds[code] for code in kinds_of(feed, declarations)]
    if any(kind.snapshot for kind in kinds) and feed.sets != "whole":
        raise DeclarationInvalid(
            f"feeds/{name}: sets: 快照类数据每次发布即替换原有整套，须由数据源保证整套报送，并写明 sets: whole"
            " / each publication of this kind replaces the set before: the source must deliver whole sets, sets: whole"
        )
    if feed.filter and (len(kinds) != 1 or SubjectKind.PERSON not in kinds[0].subject):
        raise DeclarationInvalid(
            f"feeds/{name}: filter: 仅用于一种以个人为主体的数据，请用 kind 指明"
            " / only for one kind of data about persons; name it by kind"
        )


def _source(feed: Feed, declarations: Declarations) -> Any:  # noqa: ANN401  # connectors.source.Source
    return next(source for source in declarations.sources if source.source == feed.source)


def _said(error: Mapping[str, Any]) -> str:
    """Say what is wrong at which key; never the value."""
    key = ".".join(str(part) for part in error["loc"] if part not in {"rest", "sql", "sftp", "folder"}) or "(file)"
    words = {
        "missing": "缺少此项 / this key is missing",
        "extra_forbidden": "不认识的键 / unknown key",
        "model_type": "应为键值对 / a mapping is expected",
        "string_pattern_mismatch": "格式不对 / not of the form expected",
        "union_tag_not_found": "缺少类型（kind 或 by） / its kind or by is missing",
        "union_tag_invalid": "没有这种类型（kind 或 by） / no such kind or by",
    }
    said = words.get(error["type"])
    if said is None:
        said = re.sub(r"^Value error, ", "", error["msg"]) if error["type"] == "value_error" else ""
    return f"{key}: {said or '取值不对 / wrong value: ' + error['msg']}"

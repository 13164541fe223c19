"""What an installation is connected to: one yml a feed, `<home>/feeds/<name>.yml` (docs/feeds.md explains every key).

A feed says who answers, over which protocol, for which declaration (`connectors/sources`), when and within which
limits. It is read whole and strictly: an unknown key, a source nobody declared, an address with a password in it or
plain http beyond this machine stops the reading, with file, key and mend in Chinese and English. Values are never
repeated in these errors, since one of them may be a password put in the wrong place.

A kind of which each publication replaces the set before (`snapshot`) must not be fed in pieces: its feed states
`sets: whole`, which is the agency's promise that it delivers whole sets of those that changed.

Not here: secrets (credentials), the protocols (transports), when it is due (the scheduler reads `schedule`).
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from connectors.errors import DeclarationInvalid
from connectors.source import Declarations, current
from registry.catalogue import current as catalogue
from registry.identifiers import SubjectKind

SUFFIX: Final = ".yml"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_QUIET: Final = r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$"
_CRON: Final = r"^\S+( \S+){4}$"


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# ---- when and how much ----------------------------------------------------------------------------------------------


class Schedule(_Declared):
    """When a feed is collected. Times are Beijing's; nothing is asked within quiet hours.

    `deadline`: how long after its time a run counts as late; `catch_up`: one missed run is made up for, once.
    """

    cron: str = Field(pattern=_CRON)
    quiet: list[Annotated[str, Field(pattern=_QUIET)]] = []
    deadline: timedelta = timedelta(hours=6)
    catch_up: bool = True


class Limits(_Declared):
    """What one run may cost; held to while bytes come in."""

    seconds: Annotated[int, Field(gt=0)] = 3600
    bytes: Annotated[int, Field(gt=0)] = 512 << 20
    rows: Annotated[int, Field(gt=0)] = 2_000_000


class Retry(_Declared):
    """How often one request is tried, and how long is waited: up to `first` seconds, doubled each time, by chance."""

    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    first: Annotated[float, Field(gt=0)] = 1.0
    most: Annotated[float, Field(gt=0)] = 60.0
    timeout: Annotated[float, Field(gt=0)] = 60.0


# ---- REST -----------------------------------------------------------------------------------------------------------


class NoPages(_Declared):
    """Everything in one answer."""

    by: Literal["none"] = "none"


class NextPages(_Declared):
    """Each answer has the address of the next page under `path`, or in a Link header (rel="next") if it is empty."""

    by: Literal["next"]
    path: str = ""


class CursorPages(_Declared):
    """Each answer has under `path` what to send as `parameter` for the next; none at the end."""

    by: Literal["cursor"]
    path: str = Field(min_length=1)
    parameter: str = "cursor"


class NumberedPages(_Declared):
    """Pages by number. `path`: where the answer says its own number; `total`: where it says how many pages there are.

    Without `total` the first page with fewer than `size` rows is the last.
    """

    by: Literal["page"]
    parameter: str = "page"
    first: int = 1
    size: Annotated[int, Field(gt=0)] = 500
    size_parameter: str = "size"
    path: str = ""
    total: str = ""


Paging = Annotated[NoPages | NextPages | CursorPages | NumberedPages, Field(discriminator="by")]


class Since(_Declared):
    """Only what changed: `parameter` asks for it, `column` is where a row says when it changed.

    `overlap` is asked for again each time, for clocks that are off and transactions that committed late.
    """

    parameter: str = Field(min_length=1)
    column: str = Field(min_length=1)
    overlap: timedelta = timedelta(minutes=10)
    format: Literal["rfc3339", "beijing", "epoch"] = "rfc3339"


class People(_Declared):
    """How the source is asked about consented people only: their numbers under `path` of the body, never in a URL."""

    path: Annotated[str, Field(min_length=1)] = "identifiers"
    size: Annotated[int, Field(gt=0, le=5_000)] = 200
    column: str = Field(min_length=1)


class NoAuth(_Declared):
    """No credential: sandboxes, and lines that are private already."""

    by: Literal["none"] = "none"


class OAuth(_Declared):
    """OAuth 2.0 client credentials (RFC 6749, 4.4). The credential is the client secret, or the private key.

    With private_key_jwt (RFC 7523) the key is Ed25519 or P-256: base64url of its 32 bytes.
    """

    by: Literal["oauth"]
    token_url: str
    client_id: str = Field(min_length=1)
    method: Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] = "client_secret_basic"
    algorithm: Literal["Ed25519", "ES256"] = "Ed25519"
    key_id: str = ""
    audience: str = ""
    scope: str = ""

    @field_validator("token_url")
    @classmethod
    def _safe(cls, url: str) -> str:
        return _web_address(url)


class Signed(_Declared):
    """Every request signed by a shared secret.

    rfc9421: HTTP Message Signatures with hmac-sha256. hmac-sha256, hmac-sm3: as Chinese platforms do, over method,
    path with query, time and digest of the body, a line each.
    """

    by: Literal["signed"]
    scheme: Literal["rfc9421", "hmac-sha256", "hmac-sm3"]
    key_id: str = Field(min_length=1)


Auth = Annotated[NoAuth | OAuth | Signed, Field(discriminator="by")]


class RestTransport(_Declared):
    """A JSON interface over HTTPS. `columns`: key of a row → heading as in a workbook, null for what is not taken.

    `optional`: keys that rows may lack. `rows`: where the list stands in an answer, "" if the answer is the list.
    """

    kind: Literal["rest"]
    url: str
    method: Literal["GET", "POST"] = "GET"
    rows: str = ""
    columns: dict[str, str | None] = Field(min_length=1)
    optional: list[str] = []
    id: str = ""
    parameters: dict[str, str] = {}
    paging: Paging = NoPages()
    since: Since | None = None
    people: People | None = None
    auth: Auth = NoAuth()
    etag: bool = True
    ca: Path | None = None

    @field_validator("url")
    @classmethod
    def _safe(cls, url: str) -> str:
        return _web_address(url)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = {self.id, *self.optional, self.since.column if self.since else ""}
        named |= {self.people.column} if self.people else set()
        _known_columns(self.columns, named)
        if self.people and self.method != "POST":
            raise ValueError("people: 证件号只放请求体，method 须为 POST / numbers go in bodies only: POST")
        return self

    @property
    def needs_secret(self) -> bool:
        """Say whether it cannot be asked without a credential."""
        return not isinstance(self.auth, NoAuth)


# ---- SQL ------------------------------------------------------------------------------------------------------------


class SqlTransport(_Declared):
    """A view in an agency's database. The credential is the password.

    With `changed_at` and `id` only what changed is read, in their order, `overlap` of it again each time.
    """

    kind: Literal["sql"]
    url: str
    view: str = Field(pattern=r"^[^.\s\"';]+(\.[^.\s\"';]+)?$")
    columns: dict[str, str | None] = Field(min_length=1)
    changed_at: str = ""
    id: str = ""
    overlap: timedelta = timedelta(minutes=10)
    subject: str = ""
    chunk: Annotated[int, Field(gt=0, le=5_000)] = 500
    fetch: Annotated[int, Field(gt=0)] = 2_000
    password: bool = True

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str) -> str:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            raise ValueError("不是数据库地址，应形如 postgresql+psycopg://用户@主机/库 / no database address") from None
        if parsed.password is not None or "password" in parsed.query:
            raise ValueError("地址中不得写密码，用 qingqiao feed credential 保存 / no password here: feed credential")
        return url

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _known_columns(self.columns, {self.changed_at, self.id, self.subject})
        if bool(self.changed_at) != bool(self.id):
            raise ValueError("changed_at 与 id 须同时给出 / changed_at and id come together")
        return self

    @property
    def needs_secret(self) -> bool:
        """Say whether it cannot be asked without a credential."""
        return self.password


# ---- files ----------------------------------------------------------------------------------------------------------


class _Files(_Declared):
    pattern: Annotated[str, Field(min_length=1, pattern=r"^[^/\\]+$")] = "*"
    complete: Literal["stable", "done", "rename"] = "stable"
    settle: Annotated[float, Field(ge=0, le=300)] = 2.0


class SftpTransport(_Files):
    """A folder on an agency's SFTP server. The credential is the password, or the private key as OpenSSH writes it.

    `host_key`: type and key as in known_hosts; without the right one nothing is sent. `complete` says when a file is
    whole: its size and time stand still for `settle` seconds, a file of its name with `.done` lies beside it, or it
    is renamed to its name when whole (`rename`).
    """

    kind: Literal["sftp"]
    host: str = Field(min_length=1)
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: str = Field(min_length=1)
    host_key: str = Field(pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp\d+|ssh-rsa) [A-Za-z0-9+/]+=*$")
    login: Literal["password", "key"] = "password"
    folder: str = "."

    @property
    def needs_secret(self) -> bool:
        """Say whether it cannot be asked without a credential: always."""
        return True


class FolderTransport(_Files):
    """A drop folder on this machine; what was taken in goes to `done/` or `refused/` in it, with a receipt beside."""

    kind: Literal["folder"]
    path: Path

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError("须为绝对路径 / an absolute path is needed")
        return path

    @property
    def needs_secret(self) -> bool:
        """Say whether it cannot be asked without a credential: never."""
        return False


Transport = Annotated[
    RestTransport | SqlTransport | SftpTransport | FolderTransport,
    Field(discriminator="kind"),
]


# ---- the feed -------------------------------------------------------------------------------------------------------


class Feed(_Declared):
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


def _known_columns(columns: Mapping[str, str | None], named: set[str]) -> None:
    if named - {""} - columns.keys():
        raise ValueError("所引用的列未在 columns 中登记 / a column is named that columns does not have")


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("不是网址 / no web address") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("地址中不得写账号密码 / no credentials in an address")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ValueError("须使用 https（本机除外） / https is needed, except on this machine")
    if not parts.hostname or parts.query or parts.fragment:
        raise ValueError("须有主机名，且不含查询参数（用 parameters） / a host, and no query: use parameters")
    return url

"""How a source is reached, as a feed's `transport` says it: a JSON interface, a view, an SFTP server, a drop folder.

Each is read strictly: an unknown key, an address with a password in it, plain http or an unencrypted database line
beyond this machine is refused, in Chinese and English and without the value, which may be a password in the wrong
place.

Not here: the feed that a transport belongs to (`feed`), speaking the protocols (`transports`), secrets (`credentials`).
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SAID_ELSEWHERE: Final = frozenset({"sslmode", "sslrootcert", "ssl", "service", "hostaddr", "passfile"})


class Declared(BaseModel):
    """A part of a feed's file: an unknown key is an error, and values are in no error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# ---- REST -----------------------------------------------------------------------------------------------------------


class NoPages(Declared):
    """Everything in one answer."""

    by: Literal["none"] = "none"


class NextPages(Declared):
    """Each answer has the address of the next page under `path`, or in a Link header (rel="next") if it is empty."""

    by: Literal["next"]
    path: str = ""


class CursorPages(Declared):
    """Each answer has under `path` what to send as `parameter` for the next; none at the end."""

    by: Literal["cursor"]
    path: str = Field(min_length=1)
    parameter: str = "cursor"


class NumberedPages(Declared):
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


class Since(Declared):
    """Only what changed: `parameter` asks for it, `column` is where a row says when it changed.

    `overlap` is asked for again each time, for clocks that are off and transactions that committed late.
    """

    parameter: str = Field(min_length=1)
    column: str = Field(min_length=1)
    overlap: timedelta = timedelta(minutes=10)
    format: Literal["rfc3339", "beijing", "epoch"] = "rfc3339"


class People(Declared):
    """How the source is asked about consented people only: their numbers under `path` of the body, never in a URL."""

    path: Annotated[str, Field(min_length=1)] = "identifiers"
    size: Annotated[int, Field(gt=0, le=5_000)] = 200
    column: str = Field(min_length=1)


class NoAuth(Declared):
    """No credential: sandboxes, and lines that are private already."""

    by: Literal["none"] = "none"


class OAuth(Declared):
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


class Signed(Declared):
    """Every request signed by a shared secret.

    rfc9421: HTTP Message Signatures with hmac-sha256. hmac-sha256, hmac-sm3: as Chinese platforms do, over method,
    path with query, time and digest of the body, a line each.
    """

    by: Literal["signed"]
    scheme: Literal["rfc9421", "hmac-sha256", "hmac-sm3"]
    key_id: str = Field(min_length=1)


Auth = Annotated[NoAuth | OAuth | Signed, Field(discriminator="by")]


class RestTransport(Declared):
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


class SqlTransport(Declared):
    """A view in an agency's database. The credential is the password.

    With `changed_at` and `id` only what changed is read, in their order, `overlap` of it again each time.

    Beyond this machine the line is encrypted and the server's certificate checked, its name too, against `ca` or the
    system's roots. `tls: private` says that the line itself is private (a tunnel): nothing is asked of it then. Of
    databases other than PostgreSQL only the driver knows how to encrypt, and nobody here could hold it to it.
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
    tls: Literal["verify", "private"] = "verify"
    ca: Path | None = None

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str) -> str:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            raise ValueError("不是数据库地址，应形如 postgresql+psycopg://用户@主机/库 / no database address") from None
        if parsed.password is not None or "password" in parsed.query:
            raise ValueError("地址中不得写密码，用 qingqiao feed credential 保存 / no password here: feed credential")
        if named := sorted(_SAID_ELSEWHERE & parsed.query.keys()):
            said = ", ".join(named)
            raise ValueError(f"地址中不得写 {said}：服务器与加密由 url、tls、ca 说明 / not in url: {said}; use tls, ca")
        return url

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _known_columns(self.columns, {self.changed_at, self.id, self.subject})
        if bool(self.changed_at) != bool(self.id):
            raise ValueError("changed_at 与 id 须同时给出 / changed_at and id come together")
        if self.tls == "private" and self.ca is not None:
            raise ValueError("tls: private 与 ca 不能同时给出 / either tls: private or ca")
        if self.verified and not self.is_postgres:
            raise ValueError(
                "此类数据库的加密无法核对，专线写 tls: private / cannot be verified; if private: tls: private"
            )
        return self

    @property
    def is_postgres(self) -> bool:
        """Say whether it is a PostgreSQL database."""
        return make_url(self.url).get_backend_name() == "postgresql"

    @property
    def verified(self) -> bool:
        """Say whether the line must be encrypted and the server's certificate hold: wherever it leaves this machine."""
        return self.tls == "verify" and (self.ca is not None or not _is_here(make_url(self.url)))

    @property
    def needs_secret(self) -> bool:
        """Say whether it cannot be asked without a credential."""
        return self.password


# ---- files ----------------------------------------------------------------------------------------------------------


class _Files(Declared):
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


# ---- what they have in common ----------------------------------------------------------------------------------------


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


def _is_here(url: URL) -> bool:
    """Say whether a database is reached within this machine: over loopback, a socket or a file."""
    said = url.query.get("host", ())
    hosts = [url.host or "", *((said,) if isinstance(said, str) else said)]
    return all(not host or host in _LOOPBACK or host.startswith("/") for host in hosts)

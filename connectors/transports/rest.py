"""Rows from a JSON interface over HTTPS, page by page.

Steps (the numbers are used in the code):
  1. sign the request, or get a token first (OAuth client credentials)
  2. ask from the watermark less the overlap, or from the beginning; by GET, or by POST with everything in the body
  3. read a page; hold it to what was asked for: its number, its rows, no page and no row twice
  4. write its rows; remember the latest time of change
  5. at the end the position is the watermark, and the ETag of an answer that was whole

A watermark is in the source's own time. It is never put later than the moment at which this run began, so that a
source whose clock ran ahead for a while loses no row that comes afterwards; what is asked for twice by that is
recognised at intake. Identifiers of people stand in bodies only.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import quote_plus, urlencode, urljoin, urlsplit

import httpx
import orjson

from connectors.errors import SourceRefused
from connectors.feed import document_name
from connectors.protocols import CursorPages, NextPages, NumberedPages, OAuth, RestTransport, Signed
from connectors.transports import web
from connectors.transports.line import SAMPLE_ROWS, Arrival, Asked, Line, Position, Sight, folded
from connectors.transports.retrying import tried
from connectors.transports.rows import Writer
from connectors.transports.signing import signed_headers
from registry import clock
from registry.canonical import JSON, b64url, canonical, unb64url
from registry.clock import BEIJING, rfc3339
from registry.jws import sign
from registry.suites import Ed25519Key, Es256Key, random_bytes, sha256

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 60
_SPARE_SECONDS: Final = 30.0  # a token is not used in its last moments
_MILLISECONDS_FROM: Final = 100_000_000_000  # an epoch above this is in milliseconds
_KEYS: Final[dict[str, type[Ed25519Key | Es256Key]]] = {"Ed25519": Ed25519Key, "ES256": Es256Key}
_Result = TypeVar("_Result")
_UNAUTHORISED: Final = "HTTP 401"
_MOST_EMPTY: Final = 100  # pages without a row, one after another: a source that has nothing and does not end


def fetch(line: Line) -> Iterator[Arrival]:
    """Give what changed as one document, or nothing if nothing did.

    Raises:
        SourceUnavailable, SourceRefused, LimitExceeded: nothing was taken and the watermark stays.
    """
    transport = _transport(line)
    with web.Web(transport.ca, line.feed.retry.timeout) as opened:
        reading = _Reading(line, opened)
        yield reading.arrival()


def look(line: Line) -> Sight:
    """Ask for the first page and say what is in it; nobody is asked about, nothing is kept."""
    transport = _transport(line)
    with web.Web(transport.ca, line.feed.retry.timeout) as opened, line.spool() as body:
        if transport.people is not None:
            _Reading(line, opened).authorise()
            return Sight(transport.url)
        reading = _Reading(line, opened)
        rows = reading.first_rows()
        writer = Writer(body, transport.columns, transport.optional)
        for at, row in enumerate(rows[:SAMPLE_ROWS], start=1):
            writer.write(row, f"row {at}")
        writer.finish()
        return Sight(transport.url, rows=len(rows), columns=tuple(transport.columns))


def _transport(line: Line) -> RestTransport:
    if not isinstance(line.feed.transport, RestTransport):
        raise TypeError("not a feed over REST")
    return line.feed.transport


@dataclass(slots=True)
class _Ask:
    """One request of a series: constant parameters, people, and where in the pages it stands."""

    url: str
    fields: dict[str, Any]
    place: str
    etag: str = ""


class _Reading:
    """One run over one interface."""

    def __init__(self, line: Line, http: web.Web) -> None:
        self._line, self._http, self._transport = line, http, _transport(line)
        self._token, self._token_until = "", 0.0
        self._latest: datetime | None = None
        self._etag = ""

    def arrival(self) -> Arrival:
        """Read everything into one document."""
        line, transport = self._line, self._transport
        body = line.spool()
        try:
            writer = Writer(body, transport.columns, transport.optional)
            since = _moment_of(line.position.get("since"))
            for asked in self._groups():
                self._series(writer, asked, None if asked is not None and asked.anew else since)
            writer.finish()
        except BaseException:
            body.close()
            raise
        return Arrival(document_name(line.feed), body, writer.rows, self._position(since))

    def first_rows(self) -> list[Any]:
        """Give the rows of the first page."""
        return self._rows(self._page(self._first(None, None)).json("page 1"), "page 1")

    def authorise(self) -> None:
        """Get a token, if the source gives tokens."""
        if isinstance(self._transport.auth, OAuth):
            self._tried(lambda: self._bearer("token"))

    def _groups(self) -> Iterator[Asked | None]:
        if self._line.people is None:
            yield None
            return
        yield from self._line.people()

    def _position(self, since: datetime | None) -> Position:
        """Step 5."""
        found = [moment for moment in (since, self._latest) if moment is not None]
        position: dict[str, Any] = {}
        if found:
            position["since"] = rfc3339(max(found))
        if self._etag and position.get("since") == self._line.position.get("since"):
            position["etag"] = self._etag
        return position

    # ---- a series of pages ------------------------------------------------------------------------------------------

    def _series(self, writer: Writer, asked: Asked | None, since: datetime | None) -> None:
        """Steps 2 to 4 until the last page."""
        pages = _Pages(self._transport)
        ask: _Ask | None = self._first(asked, since)
        wanted = frozenset(folded(one) for one in asked.identifiers) if asked is not None else None
        while ask is not None:
            answer = self._page(ask)
            if answer.unchanged:
                self._etag = ask.etag
                return
            document = answer.json(ask.place)
            rows = self._rows(document, ask.place)
            pages.hold(ask, document, rows)
            self._line.meter.add(rows=len(rows))
            for number, row in enumerate(rows, start=1):
                place = f"{ask.place}, row {number}"
                self._look_at(writer.write(row, place), wanted, place)
            following = pages.following(ask, document, rows, answer.headers)
            if following is None and pages.count == 1 and asked is None:
                self._etag = answer.headers.get("etag", "")
            ask = following

    def _first(self, asked: Asked | None, since: datetime | None) -> _Ask:
        transport = self._transport
        fields: dict[str, Any] = dict(transport.parameters)
        if transport.since is not None and since is not None:
            fields[transport.since.parameter] = _written(since - transport.since.overlap, transport.since.format)
        if isinstance(transport.paging, NumberedPages):
            fields |= {transport.paging.parameter: transport.paging.first}
            if transport.paging.size_parameter:
                fields[transport.paging.size_parameter] = transport.paging.size
        if transport.people is not None and asked is not None:
            _put(fields, transport.people.path, list(asked.identifiers))
        etag = str(self._line.position.get("etag", "")) if transport.etag and asked is None else ""
        return _Ask(transport.url, fields, "page 1", etag)

    def _rows(self, document: object, place: str) -> list[Any]:
        rows = _at(document, self._transport.rows)
        if not isinstance(rows, list):
            raise SourceRefused("ROWS_MISSING", f"{place}: {self._transport.rows or '(answer)'}")
        return rows

    def _look_at(self, row: Mapping[str, Any], wanted: frozenset[str] | None, place: str) -> None:
        """Step 4: whose row it is, and when it changed."""
        transport = self._transport
        whose = row.get(transport.people.column, "") if transport.people is not None else ""
        if wanted is not None and folded(str(whose)) not in wanted:
            raise SourceRefused("ANSWERS_FOR_OTHERS", place)
        if transport.since is not None:
            changed = _read_moment(row.get(transport.since.column))
            if changed is None:
                raise SourceRefused("WATERMARK_MISSING", f"{place}: {transport.since.column}")
            changed = min(changed, self._line.began)
            self._latest = changed if self._latest is None else max(self._latest, changed)

    # ---- one request ------------------------------------------------------------------------------------------------

    def _page(self, ask: _Ask) -> web.Answer:
        """Steps 1 to 3: one page, tried again where that can help."""
        return self._tried(lambda: self._once(ask))

    def _tried(self, act: Callable[[], _Result]) -> _Result:
        return tried(act, self._line.feed.retry, self._line.sleep)

    def _once(self, ask: _Ask) -> web.Answer:
        try:
            answer = self._send(ask)
        except SourceRefused as refused:
            if not (self._token and refused.place.endswith(_UNAUTHORISED)):
                raise
            self._token = ""  # it may have been taken back early: one new one
            answer = self._send(ask)
        if not answer.unchanged:
            answer.json(ask.place)  # a body that broke off is asked for again
        elif not ask.etag:
            raise SourceRefused("ANSWER_MALFORMED", f"{ask.place}: HTTP 304")
        return answer

    def _send(self, ask: _Ask) -> web.Answer:
        transport = self._transport
        url, body, headers = ask.url, b"", {}
        if transport.method == "POST":
            body, headers = orjson.dumps(ask.fields), {"Content-Type": "application/json"}
        elif ask.fields:
            url = f"{ask.url}{'&' if urlsplit(ask.url).query else '?'}{urlencode(ask.fields)}"
        if ask.etag:
            headers["If-None-Match"] = ask.etag
        headers |= self._authorisation(url, body, ask.place)
        return self._request(transport.method, url, headers, body, ask.place)

    def _authorisation(self, url: str, body: bytes, place: str) -> dict[str, str]:
        """Step 1."""
        auth = self._transport.auth
        if isinstance(auth, Signed):
            secret = self._line.need_secret().text.encode()
            method = self._transport.method
            return signed_headers(auth.scheme, auth.key_id, secret, method=method, url=url, body=body, at=clock.now())
        if isinstance(auth, OAuth):
            return {"Authorization": f"Bearer {self._bearer(place)}"}
        return {}

    def _bearer(self, place: str) -> str:
        auth = self._transport.auth
        now = clock.now().timestamp()
        if self._token and now < self._token_until:
            return self._token
        if not isinstance(auth, OAuth):
            raise TypeError("not a feed with tokens")
        form, headers = token_request(auth, self._line.need_secret().text, now)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        at = f"{place}: token"
        answer = self._request("POST", auth.token_url, headers, urlencode(form).encode(), at).json(at)
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise SourceRefused("ANSWER_MALFORMED", at)
        lives = answer.get("expires_in")
        self._token_until = now + (float(lives) if isinstance(lives, int | float) else 60.0) - _SPARE_SECONDS
        self._token = token
        return token

    def _request(self, method: str, url: str, headers: dict[str, str], body: bytes, place: str) -> web.Answer:
        return self._http.send(method, url, headers=headers, body=body, meter=self._line.meter, place=place)


class _Pages:
    """Holds a series of pages to its order: the right number, nothing twice, the next on the same server."""

    def __init__(self, transport: RestTransport) -> None:
        self._transport = transport
        self._met: set[bytes] = set()
        self._empty = 0
        self._before: frozenset[str] = frozenset()
        self.count = 0

    def hold(self, ask: _Ask, document: object, rows: list[Any]) -> None:
        """Step 3.

        Raises:
            SourceRefused: another page than was asked for, or one or a row of it that came before.
        """
        self.count += 1
        paging = self._transport.paging
        if isinstance(paging, NumberedPages) and paging.path:
            said = _at(document, paging.path)
            if str(said) != str(ask.fields[paging.parameter]):
                raise SourceRefused("PAGE_WRONG", ask.place)
        if rows:
            self._twice(sha256(orjson.dumps(rows)), ask.place)
        self._empty = 0 if rows else self._empty + 1
        if self._empty > _MOST_EMPTY:
            raise SourceRefused("PAGE_REPEATED", f"{ask.place}: > {_MOST_EMPTY} empty pages")
        if self._transport.id:
            ids = [str(row.get(self._transport.id)) for row in rows if isinstance(row, dict)]
            now = frozenset(ids)
            if len(now) != len(ids) or now & self._before:
                raise SourceRefused("PAGE_REPEATED", ask.place)
            self._before = now

    def following(self, ask: _Ask, document: object, rows: list[Any], headers: httpx.Headers) -> _Ask | None:
        """Give the request for the next page; None after the last."""
        paging, place = self._transport.paging, f"page {self.count + 1}"
        if isinstance(paging, NextPages):
            return self._linked(ask, _at(document, paging.path) if paging.path else _link(headers), place)
        if isinstance(paging, CursorPages):
            cursor = _at(document, paging.path)
            if cursor in (None, "", False):
                return None
            self._twice(b"cursor|" + str(cursor).encode(), ask.place)
            return _Ask(ask.url, ask.fields | {paging.parameter: cursor}, place)
        if isinstance(paging, NumberedPages):
            number = int(ask.fields[paging.parameter])
            if paging.total:
                total = _at(document, paging.total)
                if not isinstance(total, int):
                    raise SourceRefused("PAGE_WRONG", f"{ask.place}: {paging.total}")
                last = number - paging.first + 1 >= total
            else:
                last = len(rows) < paging.size
            return None if last else _Ask(ask.url, ask.fields | {paging.parameter: number + 1}, place)
        return None

    def _linked(self, ask: _Ask, address: object, place: str) -> _Ask | None:
        if address in (None, "", False):
            return None
        try:
            url = urljoin(ask.url, str(address))
            there, here = urlsplit(url), urlsplit(self._transport.url)
            same = (there.scheme, there.hostname, there.port) == (here.scheme, here.hostname, here.port)
            same = same and there.username is None and there.password is None
        except ValueError:
            same, url = False, ""
        if not same:
            raise SourceRefused("PAGE_ELSEWHERE", ask.place)
        self._twice(b"link|" + url.encode(), ask.place)
        fields = ask.fields if self._transport.method == "POST" else {}
        return _Ask(url, fields, place)

    def _twice(self, mark: bytes, place: str) -> None:
        digest = sha256(mark)
        if digest in self._met:
            raise SourceRefused("PAGE_REPEATED", place)
        self._met.add(digest)


# ---- tokens ---------------------------------------------------------------------------------------------------------


def token_request(auth: OAuth, secret: str, now: float) -> tuple[dict[str, str], dict[str, str]]:
    """Give form and headers of a token request.

    Raises:
        SourceRefused: the private key kept as credential is none.
    """
    form = {"grant_type": "client_credentials"} | ({"scope": auth.scope} if auth.scope else {})
    if auth.method == "client_secret_basic":
        pair = f"{quote_plus(auth.client_id)}:{quote_plus(secret)}".encode()
        return form, {"Authorization": f"Basic {b64encode(pair).decode()}"}
    if auth.method == "client_secret_post":
        return form | {"client_id": auth.client_id, "client_secret": secret}, {}
    form |= {"client_id": auth.client_id, "client_assertion_type": _ASSERTION_TYPE}
    return form | {"client_assertion": _assertion(auth, secret, int(now))}, {}


def _assertion(auth: OAuth, secret: str, now: int) -> str:
    try:
        key = _KEYS[auth.algorithm](unb64url(secret.strip()))
    except ValueError:
        key = None
    if key is None:
        raise SourceRefused("CREDENTIAL_REFUSED", "private_key_jwt")
    claims: dict[str, JSON] = {
        "iss": auth.client_id,
        "sub": auth.client_id,
        "aud": auth.audience or auth.token_url,
        "iat": now,
        "exp": now + _ASSERTION_SECONDS,
        "jti": b64url(random_bytes(16)),
    }
    return sign(key, auth.key_id, canonical(claims), "JWT")


# ---- small readings -------------------------------------------------------------------------------------------------


def _at(document: object, path: str) -> Any:  # noqa: ANN401  # whatever the agency put there
    """Give what stands at a dotted path; None if nothing does."""
    for part in path.split(".") if path else []:
        if not isinstance(document, dict):
            return None
        document = document.get(part)
    return document


def _put(fields: dict[str, Any], path: str, value: object) -> None:
    *outer, last = path.split(".")
    for part in outer:
        fields = fields.setdefault(part, {})
    fields[last] = value


def _link(headers: httpx.Headers) -> str | None:
    """Read the next page from a Link header (RFC 8288)."""
    said: str = headers.get("link", "")
    for part in said.split(","):
        address, _, attributes = part.partition(";")
        if 'rel="next"' in attributes.replace(" ", "") or "rel=next" in attributes.replace(" ", ""):
            return address.strip().removeprefix("<").removesuffix(">")
    return None


def _moment_of(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _read_moment(value: object) -> datetime | None:
    """Read when a row changed: RFC 3339, a local time of Beijing, or an epoch in seconds or milliseconds."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            return (moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)).astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None
    return None


def _written(moment: datetime, form: str) -> str:
    if form == "epoch":
        return str(int(moment.timestamp()))
    if form == "beijing":
        return moment.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")
    return rfc3339(moment)

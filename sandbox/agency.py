"""An agency's system or clerk (数据提供单位) as the exchange meets it: OAuth, tus 1.0.0 and JSON over HTTP.

  upload     POST to create, PATCH piece by piece with a checksum; when the line breaks, HEAD says where to go on
  watch      how far intake has come, until it is over
  look       batches, their codes and control totals, rows to look at
  mend       the annotated workbook, rows to be decided, corrections, recalls, a second person's approval
  sign       a manifest of the bytes that are handed over (`sandbox.manifests`)

`exchange.client` has the OAuth: the kit that lenders get. A line that breaks is this module's own concern (`ONCE`).
"""

import hashlib  # noqa: TID251  # an outside party: it has no cipher room of the product
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Final
from urllib.parse import quote

import httpx

from exchange.client import ONCE, Client, Connection, NotReached, Refused

ALL_SCOPES: Final = "agency:upload agency:decide agency:read"
OVER: Final = frozenset({"done", "refused", "ended"})
PIECE_BYTES: Final = 1 << 20
BUSY: Final = frozenset({"upload-busy", "upload-offset"})  # after a cut: the exchange has not let go of the old line
PAUSE_SECONDS: Final = 1.0  # before the line is tried again, longer each time
GOING: Final = frozenset({"open", "waiting", "working", "done"})
Content = bytes | BinaryIO
Json = Mapping[str, Any]
_TUS: Final = {"Tus-Resumable": "1.0.0"}
_OCTETS: Final = "application/offset+octet-stream"
_UPLOADS: Final = "/agency/v1/uploads"
_ROWS_AT_ONCE: Final = 200


class NotOver(Exception):
    """Intake had not come to an end within the time that the client was willing to wait."""


class LineBroken(Exception):
    """The line broke more often than the client was willing to try again; what arrived stays there."""


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.seek(0, 2)


def _piece(content: Content, at: int, size: int) -> bytes:
    if isinstance(content, bytes):
        return content[at : at + size]
    content.seek(at)
    return content.read(size)


class Agency(Connection):
    """A session of one clerk or system of an agency with one exchange; not to be shared between threads.

    The arguments are those of `Connection`; the scopes are all of an agency's unless they are said.
    """

    def __init__(
        self,
        issuer: str,
        client: Client,
        *,
        scope: str = ALL_SCOPES,
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(issuer, client, scope=scope, http=http, clock=clock, pause=pause, retrying=ONCE)
        self._clock = clock

    # ---- handing over -----------------------------------------------------------------------------------------------

    def create(self, name: str, size: int, **said: str) -> str:
        """Begin an upload; give its id.

        Args:
            name: the file's name, for people.
            size: its length in bytes.
            said: more of tus's metadata: `source`, `sha256` (hex), `manifest` (compact JWS).

        Raises:
            Refused: too large, too many open, or a manifest that does not count.
        """
        pairs = {"filename": name, **said}
        metadata = ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in pairs.items() if value)
        answer = self.call("POST", _UPLOADS, headers={**_TUS, "Upload-Length": str(size), "Upload-Metadata": metadata})
        return answer.headers["Location"].rpartition("/")[2]

    def offset(self, upload_id: str) -> int:
        """Ask how many bytes have arrived.

        Raises:
            Refused: not this organisation's upload, or it is over.
        """
        return int(self.call("HEAD", _at(upload_id), headers=_TUS).headers["Upload-Offset"])

    def send(self, upload_id: str, offset: int, piece: bytes, *, checksum: bool = True) -> int:
        """Send bytes that follow those that have arrived; give the offset reached.

        Raises:
            Refused: another offset is awaited, the checksum does not hold, or the upload is over.
            NotReached: the line broke.
        """
        headers = {**_TUS, "Upload-Offset": str(offset), "Content-Type": _OCTETS}
        if checksum:
            headers["Upload-Checksum"] = f"sha256 {b64encode(hashlib.sha256(piece).digest()).decode()}"
        return int(self.call("PATCH", _at(upload_id), content=piece, headers=headers).headers["Upload-Offset"])

    def upload(  # what handing over a file states
        self,
        name: str,
        content: bytes,
        *,
        source: str = "",
        manifest: str = "",
        piece_bytes: int = PIECE_BYTES,
        tries: int = 5,
        cut: Callable[[], None] | None = None,
    ) -> str:
        """Hand over a file whole, going on from where it stopped whenever the line breaks; give the upload's id.

        Args:
            name: the file's name, for people.
            content: its bytes.
            source: for which declared source, "" to have it recognised.
            manifest: a signed manifest that lists it.
            piece_bytes: how much is sent at once.
            tries: how often the line may break in a row.
            cut: called before each piece; a test breaks the line there by raising httpx.HTTPError.

        Raises:
            Refused: the exchange will not have it.
            LineBroken: the line broke `tries` times without a byte getting through.
        """
        upload_id = self.create(name, len(content), source=source, manifest=manifest)
        self.resume(upload_id, content, piece_bytes=piece_bytes, tries=tries, cut=cut)
        return upload_id

    def resume(
        self,
        upload_id: str,
        content: Content,
        *,
        piece_bytes: int = PIECE_BYTES,
        tries: int = 5,
        cut: Callable[[], None] | None = None,
        arrived: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Send what has not arrived yet of a file, given as bytes or as an open file; the rest is as of `upload`.

        Args:
            upload_id: which upload.
            content: the whole file.
            piece_bytes: how much is sent at once.
            tries: how often the line may break in a row.
            cut: called before each piece.
            arrived: told how many bytes have arrived.

        Raises:
            Refused, LineBroken: as `upload`.
        """
        broken, at, size = 0, -1, _size(content)
        while at < size:
            try:
                if at < 0:
                    at = self.offset(upload_id)
                    arrived(at)
                    continue
                if cut is not None:
                    cut()
                at, broken = self.send(upload_id, at, _piece(content, at, piece_bytes)), 0
                arrived(at)
            except (NotReached, httpx.HTTPError, Refused) as error:
                if isinstance(error, Refused) and error.code not in BUSY:
                    raise
                broken += 1
                if broken >= tries:
                    raise LineBroken(f"upload {upload_id}: {max(at, 0)} of {size} bytes arrived") from None
                self._pause(PAUSE_SECONDS * broken)
                at = -1

    def unfinished(self, size: int, sha256: str) -> Json | None:
        """Find this organisation's latest upload of these bytes that has not failed; None without one.

        Args:
            size: their length.
            sha256: their hash in hex; found only where it was stated when the upload was begun.
        """
        for one in self.call("GET", _UPLOADS).json():
            if one["size_bytes"] == size and one["state"] in GOING:
                metadata = self.call("HEAD", _at(one["upload_id"]), headers=_TUS).headers.get("Upload-Metadata", "")
                pairs = dict(pair.strip().partition(" ")[::2] for pair in metadata.split(","))
                if b64decode(pairs.get("sha256", "")).decode() == sha256:
                    return dict(one)
        return None

    def give_up(self, upload_id: str) -> None:
        """End an upload that is not complete.

        Raises:
            Refused: it is over.
        """
        self.call("DELETE", _at(upload_id), headers=_TUS)

    def status(self, upload_id: str) -> Json:
        """Ask where an upload stands.

        Raises:
            Refused: not this organisation's upload.
        """
        return self._json(_at(upload_id))

    def wait(
        self, upload_id: str, *, patience_seconds: float = 60.0, told: Callable[[Json], None] = lambda _: None
    ) -> Json:
        """Wait until intake is over with an upload; give where it stands then. `told` hears where it stands meanwhile.

        Raises:
            Refused: not this organisation's upload.
            NotOver: it still is not.
        """
        deadline = self._clock() + patience_seconds
        while (standing := self.status(upload_id))["state"] not in OVER:
            told(standing)
            if self._clock() > deadline:
                raise NotOver(f"upload {upload_id} is {standing['state']} after {patience_seconds:.0f} s")
            self._pause(0.1)
        return standing

    def hand_in(self, manifest: str) -> Json:
        """Send a signed manifest.

        Raises:
            Refused: its signature does not count, or it does not agree with what is here.
        """
        return dict(self.call("POST", "/agency/v1/manifests", json_body={"manifest": manifest}).json())

    # ---- looking ----------------------------------------------------------------------------------------------------

    def batches(self, **filters: str) -> list[Json]:
        """List this organisation's batches, newest first: one page."""
        return list(self._json("/agency/v1/batches", **filters)["batches"])

    def batch(self, batch_id: str) -> Json:
        """Say what became of one table.

        Raises:
            Refused: not this organisation's batch.
        """
        return self._json(_batch(batch_id))

    def remarks(self, batch_id: str) -> list[Json]:
        """List rows of a batch to look at, by place and code: one page.

        Raises:
            Refused: not this organisation's batch.
        """
        return list(self._json(f"{_batch(batch_id)}/remarks")["remarks"])

    def queue(self, **filters: str) -> Json:
        """Give rows to be decided of all batches, the newest first: one page and, if it goes on, `next`."""
        return self._json("/agency/v1/quarantine", **filters)

    def findings(self) -> Json:
        """List what the consistency checks found of this organisation's data: one page."""
        return self._json("/agency/v1/findings")

    # ---- mending ----------------------------------------------------------------------------------------------------

    def annotated(self, batch_id: str, *, mask: bool = False) -> bytes:
        """Fetch the sender's own workbook with faults coloured; with `mask` for showing only.

        Raises:
            Refused: not this organisation's batch, or its bytes are destroyed.
        """
        return self.call("GET", f"{_batch(batch_id)}/annotated", params={"mask": str(mask).lower()}).content

    def template(self, kind: str) -> bytes:
        """Fetch the workbook template of a kind or class.

        Raises:
            Refused: there is none.
        """
        return self.call("GET", f"/agency/v1/templates/{quote(kind, safe='')}.xlsx").content

    def quarantine(self, batch_id: str, *, mask: bool = True, code: str = "", most: int | None = None) -> list[Json]:
        """List rows to be decided, with their cells, page by page: all, or at most so many.

        Raises:
            Refused: not this organisation's batch.
        """
        path, limit = f"{_batch(batch_id)}/quarantine", min(most or _ROWS_AT_ONCE, _ROWS_AT_ONCE)
        given = {"mask": str(mask).lower(), "limit": str(limit)}
        if code:
            given |= {"code": code}
        page = self._json(path, **given)
        found = list(page["rows"])
        while page["next"] is not None and (most is None or len(found) < most):
            page = self._json(path, **given, cursor=page["next"])
            found += page["rows"]
        return found[:most]

    def accept(self, batch_id: str, sheet: int, row: int, reason: str) -> Json:
        """Accept a row as it is, with a reason; gives the proposal, which may need a second person.

        Raises:
            Refused: no such row, or it cannot be accepted.
        """
        return self._decide(batch_id, sheet, row, {"act": "accept", "reason": reason})

    def correct(self, batch_id: str, sheet: int, row: int, cells: Mapping[str, str], reason: str) -> Json:
        """Correct cells of a row by their headings.

        Raises:
            Refused: no such row or heading.
        """
        return self._decide(batch_id, sheet, row, {"act": "correct", "reason": reason, "cells": dict(cells)})

    def reject(self, batch_id: str, sheet: int, row: int, reason: str) -> Json:
        """Withdraw a row.

        Raises:
            Refused: no such row.
        """
        return self._decide(batch_id, sheet, row, {"act": "withdraw", "reason": reason})

    def recall(self, batch_id: str, reason: str, rows: Sequence[tuple[int, int]] = ()) -> Json:
        """Take rows (sheet, row) back, or without any the whole batch.

        Raises:
            Refused: not this organisation's batch.
        """
        places = [{"sheet": sheet, "row": row} for sheet, row in rows]
        return self._post(f"{_batch(batch_id)}/recall", {"reason": reason, "rows": places})

    def replace(self, batch_id: str, successor: str, reason: str) -> Json:
        """Propose that another batch takes this one's place; another person must approve it.

        Raises:
            Refused: either is not this organisation's batch, or they do not fit.
        """
        return self._post(f"{_batch(batch_id)}/replace", {"reason": reason, "successor": successor})

    def proposals(self, **filters: str) -> list[Json]:
        """List proposals of this organisation, the oldest first: one page."""
        return list(self._json("/agency/v1/proposals", **filters)["proposals"])

    def approve(self, proposal_id: str) -> Json:
        """Approve another person's proposal.

        Raises:
            Refused: one's own, or it is settled.
        """
        return self._settle(proposal_id, "approve")

    def refuse(self, proposal_id: str) -> Json:
        """Refuse another person's proposal.

        Raises:
            Refused: one's own, or it is settled.
        """
        return self._settle(proposal_id, "refuse")

    def take_back(self, proposal_id: str) -> Json:
        """Take one's own proposal back.

        Raises:
            Refused: another person's, or it is settled.
        """
        return self._settle(proposal_id, "withdraw")

    def templates(self) -> list[Json]:
        """List the kinds that have a template."""
        return list(self.call("GET", "/agency/v1/templates").json())

    def mappings(self) -> list[Json]:
        """List what the organisation has said of its headings."""
        return list(self.call("GET", "/agency/v1/mappings").json())

    def say_heading(self, kind: str, heading: str, column: str, *, also: bool = False, batch_id: str = "") -> Json:
        """Say which column a heading is; with a batch, that one is weighed again.

        Raises:
            Refused: no such column, or another heading is it already and `also` was not said.
        """
        said = {"kind": kind, "heading": heading, "column": column, "also": also}
        body = {**said, "batch_id": batch_id} if batch_id else said
        return dict(self.call("PUT", "/agency/v1/mappings", json_body=body).json())

    def settle_heading(self, mapping_id: str, *, approve: bool) -> None:
        """Approve or refuse what another person has said of a heading.

        Raises:
            Refused: one's own, it is settled, or there is none.
        """
        self.call("POST", f"/agency/v1/mappings/{quote(mapping_id, safe='')}/{'approve' if approve else 'refuse'}")

    def want_four_eyes(self) -> None:
        """Ask for two persons for each decision from now on."""
        self.call("PUT", "/agency/v1/settings", json_body={"four_eyes": True})

    def _decide(self, batch_id: str, sheet: int, row: int, decision: Json) -> Json:
        return self._post(f"{_batch(batch_id)}/rows/{sheet}/{row}/decision", decision)

    def _settle(self, proposal_id: str, verb: str) -> Json:
        return self._post(f"/agency/v1/proposals/{quote(proposal_id, safe='')}/{verb}", None)

    def _post(self, path: str, body: Json | None) -> Json:
        said: Json = self.call("POST", path, json_body=body).json()
        return said

    def _json(self, path: str, **params: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", path, params=params or None).json()
        return found


def _batch(batch_id: str) -> str:
    return f"/agency/v1/batches/{quote(batch_id, safe='')}"


def _at(upload_id: str) -> str:
    return f"{_UPLOADS}/{quote(upload_id, safe='')}"


__all__ = ["Agency", "LineBroken", "NotOver", "Refused"]

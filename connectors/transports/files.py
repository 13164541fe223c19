"""Names and marks of files that agencies put down for us: which are taken, which are refused. Pure."""

import fnmatch
import unicodedata
from collections.abc import Collection
from typing import Final

_LONGEST: Final = 200
_UNFINISHED: Final = (".part", ".tmp", ".filepart", ".crdownload", ".swp", ".done")


def is_safe(name: str) -> bool:
    """Say whether a name names a file of this folder and nothing else, on any system."""
    return bool(
        name
        and len(name.encode("utf-8", "surrogatepass")) <= _LONGEST
        and not set(name) & set("/\\:\x00")
        and name not in {".", ".."}
        and not any(unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in name)
    )


def is_wanted(name: str, pattern: str) -> bool:
    """Say whether a file is asked for: by pattern, and neither hidden nor in the making by its name."""
    if name.startswith((".", "~$")) or name.lower().endswith(_UNFINISHED):
        return False
    return fnmatch.fnmatchcase(name, pattern)


def is_announced(name: str, others: Collection[str]) -> bool:
    """Say whether a file of the same name with `.done` lies beside it."""
    return f"{name}.done" in others

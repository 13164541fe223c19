"""How a file came, who answers for it, and what its sender has told us of its columns. Values only.

A delivery is kept with its file, so that weighing the file again weighs it as it came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from connectors.source import Quality

_SIGNED: Final[Mapping[str, Quality]] = {"B": "A"}  # checked, and signed by the agency; data-dictionary: A
_UNSIGNED: Final[Mapping[str, Quality]] = {"A": "B"}


class Channel(StrEnum):
    """The way in that a file took. The values stand in tables and metrics; never reuse one."""

    COMMAND = "command"
    UPLOAD = "upload"
    FOLDER = "folder"
    SFTP = "sftp"
    REST = "rest"
    SQL = "sql"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one file came.

    `agency` is the organisation whose system delivered it, "" for the operator of the installation; `source` the code
    of the declaration that it was fetched for, "" to recognise it by its headings; `manifest` the SHA-256 (hex) of the
    signed manifest that covers its bytes, "" if none does; `mapping` names columns by headings that no declaration
    knows (heading without spaces → column).
    """

    channel: Channel = Channel.COMMAND
    agency: str = ""
    source: str = ""
    manifest: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)

    def quality(self, declared: Quality) -> Quality:
        """Say how good rows are: what the declaration says, A only under the agency's signature, else B at best."""
        return (_SIGNED if self.manifest else _UNSIGNED).get(declared, declared)


BY_COMMAND: Final = Delivery()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the intake of one file has come: counts of rows, never rows. `stage` is a word of `Stage`."""

    stage: "Stage"
    read: int = 0
    checked: int = 0
    accepted: int = 0


class Stage(StrEnum):
    """What is being done with a file."""

    READING = "reading"
    CHECKING = "checking"
    STORING = "storing"
    DONE = "done"

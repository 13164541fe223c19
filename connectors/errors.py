"""Errors of the connectors, sorted by who must act.

ConnectorError
├── DeclarationInvalid   a source's declaration is not understood; whoever wrote the yml must correct it
│   └── ScheduleInvalid      its times cannot hold; the same
├── FileUnreadable       the bytes are not the file they claim to be; the sender must send it again
├── StorageFull          no space is left here; the operator must free some, and what failed is done again
├── BytesDestroyed       the raw file is past its term and its bytes are gone; the source must be asked again
├── IntakeBusy           another process is taking in the same file; try again when it has ended
├── MendingRefused       a decision on rows that may not be made so; who decides must do otherwise
├── ExecutorInsecure     a cluster that would get data keys in clear; whoever set it must give it TLS
├── UploadBusy           another connection is writing the same upload; try again when it has ended
├── UploadLimit          an agency has too much under way; complete or give up an upload first
├── ManifestRefused      a signed manifest that counts for nothing; the agency must sign another
└── SourceError          an agency's system that is asked for data (connectors.faults has the words for each)
    ├── SourceUnavailable    it does not answer, or breaks off; ask again later, the sooner of `retry_after` if it says
    ├── SourceRefused        it answers, and wrongly; the agency or whoever wrote the feed must mend it
    └── LimitExceeded        more time, bytes or rows than the feed allows; whoever wrote the feed must decide

What is wrong with a row or a batch is no error but an outcome with a code (connectors.codes). No message carries
the contents of a cell: file names, row numbers and column headings only.
"""

from connectors import faults


class ConnectorError(Exception):
    """Any failure that the connectors name."""


class DeclarationInvalid(ConnectorError):
    """A declaration with an unknown key, an unknown field or a rule that cannot hold."""


class ScheduleInvalid(DeclarationInvalid, ValueError):
    """Times that cannot be read, or that never come true; the text says which, in Chinese and English."""


class FileUnreadable(ConnectorError):
    """Bytes that no reader accepts: a broken workbook, or text that is neither UTF-8 nor GB18030."""


class StorageFull(ConnectorError):
    """No space is left where this installation keeps files. Nothing was kept of what was being written."""


class BytesDestroyed(ConnectorError):
    """A raw file whose sealed bytes have been destroyed."""


class ExecutorInsecure(ConnectorError):
    """A cluster that cannot be reached over TLS, or whose workers may write plaintext to their disks."""


class IntakeBusy(ConnectorError):
    """A raw file that another process has under its hands."""


class UploadBusy(ConnectorError):
    """An upload that another connection is writing."""


class UploadLimit(ConnectorError):
    """More uploads or bytes under way than one agency may have."""


class ManifestRefused(ConnectorError):
    """A manifest whose signature, key, form or agency does not hold. The text is a fixed sentence."""


class MendingRefused(ConnectorError):
    """A decision that may not be made so. `code` is a code of the problem catalogue, `detail` a fixed sentence."""

    def __init__(self, code: str, detail: str | None = None) -> None:
        super().__init__(detail or code)
        self.code = code
        self.detail = detail


class SourceError(ConnectorError):
    """A source that could not be collected from. `fault` is a name of `connectors.faults`, `place` where it was.

    The text is ours in every word: a driver's own text may hold an address, a password or a person.
    """

    def __init__(self, fault: str, place: str = "") -> None:
        found = faults.BY_NAME[fault]
        self.fault, self.place = found.name, place
        at = f" [{place}]" if place else ""
        super().__init__(f"{found.name}{at}: {found.cause.zh}；{found.mend.zh} / {found.cause.en}; {found.mend.en}")


class SourceUnavailable(SourceError):
    """A source that does not answer now. `retry_after` is in seconds, None where it did not say."""

    def __init__(self, reason: str, retry_after: float | None = None, *, place: str = "") -> None:
        super().__init__(reason, place)
        self.retry_after = retry_after


class SourceRefused(SourceError):
    """A source whose answer cannot be taken: nothing of it is, and the watermark stays."""


class LimitExceeded(SourceError):
    """A source that gives more than its feed allows; nothing of it was taken."""

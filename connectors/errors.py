"""Errors of the connectors, sorted by who must act.

ConnectorError
├── DeclarationInvalid   a source's declaration is not understood; whoever wrote the yml must correct it
├── FileUnreadable       the bytes are not the file they claim to be; the sender must send it again
├── BytesDestroyed       the raw file is past its term and its bytes are gone; the source must be asked again
└── IntakeBusy           another process is taking in the same file; try again when it has ended

What is wrong with a row or a batch is no error but an outcome with a code (connectors.codes). No message carries
the contents of a cell: file names, row numbers and column headings only.
"""


class ConnectorError(Exception):
    """Any failure that the connectors name."""


class DeclarationInvalid(ConnectorError):
    """A declaration with an unknown key, an unknown field or a rule that cannot hold."""


class FileUnreadable(ConnectorError):
    """Bytes that no reader accepts: a broken workbook, or text that is neither UTF-8 nor GB18030."""


class BytesDestroyed(ConnectorError):
    """A raw file whose sealed bytes have been destroyed."""


class IntakeBusy(ConnectorError):
    """A raw file that another process has under its hands."""

"""Declarations in yml: from a mapping everything meant is taken out, and what is left over was not understood.

A misspelt cap must not become no cap. It reads; what the values mean is for those who declare them (purposes,
representation).
"""

from consent.errors import DeclarationInvalid


class Table:
    """A yml mapping from which everything meant is taken out; what is left over was not understood."""

    def __init__(self, place: str, value: object) -> None:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise DeclarationInvalid(f"{place}: not a mapping with names")
        self.place = place
        self._left: dict[str, object] = dict(value)

    def names(self) -> list[str]:
        """Name what is left."""
        return list(self._left)

    def table(self, name: str) -> "Table":
        """Take a mapping out."""
        return Table(f"{self.place}.{name}", self._take(name))

    def text(self, name: str) -> str:
        """Take a text out; a blank one is none."""
        value = self._take(name)
        if not isinstance(value, str) or not value.strip():
            raise DeclarationInvalid(f"{self.place}.{name}: not a text")
        return value

    def texts(self, name: str) -> list[str]:
        """Take a list of texts out, with one at least."""
        value = self._take(name)
        if not isinstance(value, list) or not value or not all(isinstance(entry, str) for entry in value):
            raise DeclarationInvalid(f"{self.place}.{name}: not a list of texts")
        return value

    def flag(self, name: str) -> bool:
        """Take true or false out."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise DeclarationInvalid(f"{self.place}.{name}: not true or false")
        return value

    def number(self, name: str, *, least: int) -> int:
        """Take a whole number out, of at least so much."""
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise DeclarationInvalid(f"{self.place}.{name}: not a whole number of at least {least}")
        return value

    def done(self) -> None:
        """Refuse what is left: it was not understood."""
        if self._left:
            raise DeclarationInvalid(f"{self.place}: not understood: {sorted(self._left)}")

    def _take(self, name: str) -> object:
        if name not in self._left:
            raise DeclarationInvalid(f"{self.place}.{name}: missing")
        return self._left.pop(name)

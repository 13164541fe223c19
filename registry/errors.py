"""Errors of the registry, sorted by who must act.

RegistryError
├── MalformedIdentifier        the text is not an identifier of its kind; the sender must correct it
│   └── IdentifierCheckFailed  right in form, but its check character or date cannot be; the sender must correct it
├── SubjectUnknown             nobody is known by an identifier; the caller must correct it
├── IdentifierTaken            somebody else goes by an identifier; the operator must find out who is who
├── InexactAmount              the amount cannot be held in whole units; the sender must correct it
│   └── UnitUnknown            the text or its heading names no unit we know; the sender must state it
├── DateUnreadable             the text is not a calendar date; the sender must correct it
│   └── DateAmbiguous          a two-digit year: the century would be guessed; the sender must write it out
├── CanonicalError             a value outside the canonical profile reached signing; a mistake in the program
├── CatalogueError             an item that the catalogue does not name; the caller must correct it
├── EncryptionKeyRefused      a key that nothing can be sealed to or opened with; its owner must give another
├── KeyMissing                 a key is not in the ring or cannot be opened; the key officer must act
├── CipherUnavailable          this machine lacks a cipher (SM2 needs libcrypto 3); the operator must install it
├── SealBroken                 sealed bytes do not open under their key; stop serving, call the duty officer
├── ProofFailed                bytes disagree with the signed log; stop serving, call the duty officer
│   └── SignatureInvalid       a signature does not verify under the keys given
├── AnswerFailed               what was opened cannot be said; a mistake in the program
└── DatabaseUnavailable        the database cannot be reached; the operator must act
    └── EmbeddedError          the private PostgreSQL cannot be started here; the operator must act

No message carries more than four characters of an identifier, nor any part of a name or an account number.
"""


class RegistryError(Exception):
    """Any failure that the registry names."""


class MalformedIdentifier(RegistryError):
    """A text that is not a valid identifier of its kind."""


class IdentifierCheckFailed(MalformedIdentifier):
    """A text of the right form whose check character, birth date or age is impossible."""


class SubjectUnknown(RegistryError):
    """An identifier by which nobody is known."""


class IdentifierTaken(RegistryError):
    """An identifier that leads to another subject."""


class InexactAmount(RegistryError):
    """A quantity that whole units (fen, 1/10000 mu) cannot hold, or that is no number."""


class UnitUnknown(InexactAmount):
    """A unit that is not one of ours; an amount without its unit is unknown."""


class DateUnreadable(RegistryError):
    """A text that is not a calendar date in any form that agencies are known to use."""


class DateAmbiguous(DateUnreadable):
    """A date with a two-digit year; the century is not guessed."""


class CanonicalError(RegistryError):
    """A value that the canonical JSON profile forbids: float, non-ASCII key, integer of 2^53 or more."""


class CatalogueError(RegistryError):
    """A class, kind or field that the catalogue does not name."""


class KeyMissing(RegistryError):
    """A key that is not in the ring, or that its master key does not open."""


class CipherUnavailable(RegistryError):
    """A cipher that this machine's libraries do not offer."""


class SealBroken(RegistryError):
    """Sealed bytes that do not open: wrong key, wrong place or changed bytes."""


class ProofFailed(RegistryError):
    """Bytes that the signed log does not contain."""


class SignatureInvalid(ProofFailed):
    """A signature that does not verify under the keys given."""


class AnswerFailed(RegistryError):
    """Opened records out of which no answer can be built."""


class EncryptionKeyRefused(RegistryError):
    """A JWK that is not a key of ours for encryption."""


class DatabaseUnavailable(RegistryError):
    """A database that cannot be reached or is not at the schema expected."""


class EmbeddedError(DatabaseUnavailable):
    """The private PostgreSQL server cannot be started on this machine."""

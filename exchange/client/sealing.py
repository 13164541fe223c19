"""The key that a lender's batches are sealed to. Imported by itself, for it alone needs pycryptodome.

key = new_encryption_key()
path.write_bytes(orjson.dumps(private_jwk(key)))       # where only the lender reads it
jwk_of(key)                                            # to be registered by the operator
"""

from pathlib import Path

import orjson

from registry.encryption import jwk_of, private_jwk, read_private
from registry.errors import EncryptionKeyRefused
from registry.suites.hpke import Curve, HpkeKey

__all__ = ["HpkeKey", "jwk_of", "new_encryption_key", "private_jwk", "read_encryption_key"]


def new_encryption_key(curve: Curve = "P-256") -> HpkeKey:
    """Make a key."""
    return HpkeKey.generate(curve)


def read_encryption_key(path: Path) -> HpkeKey:
    """Read a key file, as `qingqiao lender encryption-key --make-key` writes it.

    Raises:
        OSError, ValueError: there is none, or it is not one; it is not repeated.
    """
    try:
        return read_private(orjson.loads(path.read_bytes()))
    except (EncryptionKeyRefused, TypeError, AttributeError):
        raise ValueError("not a private JWK for encryption") from None

"""HPKE (RFC 9180) in base mode: bytes sealed to the holder of a private key. Whoever seals cannot open.

DHKEM(P-256, HKDF-SHA256) or DHKEM(X25519, HKDF-SHA256), with HKDF-SHA256 and AES-256-GCM; one message to a key
schedule (§6.1), so that no two share a nonce. Keys are raw, as the RFC writes them: a public key is an uncompressed
point of 65 bytes or 32 bytes; which of the two KEMs it is for, its length says. Sealed bytes: enc ‖ ciphertext ‖ tag.

Not done: PSK and authenticated modes (answers are signed), export, other suites.
"""

from typing import Final, Literal, Self

from Crypto.Protocol import DH, HPKE
from Crypto.PublicKey import ECC

from registry.errors import SealBroken

Curve = Literal["P-256", "X25519"]
ENC_BYTES: Final[dict[Curve, int]] = {"P-256": 65, "X25519": 32}
_CURVES: Final[dict[int, Curve]] = {size: curve for curve, size in ENC_BYTES.items()}
_SCALAR_BYTES: Final = 32
_TAG_BYTES: Final = 16
_AEAD: Final = HPKE.AEAD.AES256_GCM


class HpkeKey:
    """A private key that opens what was sealed to its public half."""

    __slots__ = ("_key", "curve", "public")

    def __init__(self, curve: Curve, private: bytes) -> None:
        """Load a private key of 32 bytes.

        Raises:
            ValueError: not a private key of that curve.
        """
        if len(private) != _SCALAR_BYTES:
            raise ValueError(f"a private key has {_SCALAR_BYTES} bytes")
        self.curve: Curve = curve
        self._key = (
            ECC.construct(curve="P-256", d=int.from_bytes(private))
            if curve == "P-256"
            else DH.import_x25519_private_key(private)
        )
        self.public: bytes = self._key.public_key().export_key(format="raw")

    @classmethod
    def generate(cls, curve: Curve) -> Self:
        """Make a new key."""
        made = ECC.generate(curve="P-256" if curve == "P-256" else "Curve25519")
        return cls(curve, made.d.to_bytes(_SCALAR_BYTES) if curve == "P-256" else made.seed)

    def private_bytes(self) -> bytes:
        """Return the private key, 32 bytes."""
        whole: bytes = self._key.d.to_bytes(_SCALAR_BYTES) if self.curve == "P-256" else self._key.seed
        return whole

    def open(self, sealed: bytes, *, info: bytes, aad: bytes) -> bytes:
        """Open what `hpke_seal` sealed to this key, for the same `info` and `aad`.

        Raises:
            SealBroken: another key, another place, or changed bytes.
        """
        head = ENC_BYTES[self.curve]
        if len(sealed) < head + _TAG_BYTES:
            raise SealBroken("sealed bytes are cut short")
        try:
            context = HPKE.new(receiver_key=self._key, aead_id=_AEAD, enc=sealed[:head], info=info)
            opened: bytes = context.unseal(sealed[head:], aad)
        except ValueError as error:
            raise SealBroken("sealed bytes do not open under this key and place") from error
        return opened

    def __repr__(self) -> str:
        """Show the public key's beginning only."""
        return f"HpkeKey({self.curve}, {self.public[-4:].hex()}…)"


def hpke_curve(public: bytes) -> Curve:
    """Say which curve a raw public key is of, and that it can be sealed to.

    Raises:
        ValueError: not a public key of either.
    """
    hpke_seal(public, b"", info=b"", aad=b"")  # a point of small order passes for a key and gives no secret
    return _CURVES[len(public)]


def hpke_seal(public: bytes, plaintext: bytes, *, info: bytes, aad: bytes) -> bytes:
    """Seal to a public key. `info` and `aad` are authenticated, not part of the result; the opener must know them.

    Raises:
        ValueError: not a public key.
    """
    curve = _CURVES.get(len(public))
    if curve is None:
        raise ValueError("a public key for HPKE has 65 bytes (P-256, uncompressed) or 32 (X25519)")
    key = ECC.import_key(public, curve_name="P-256") if curve == "P-256" else DH.import_x25519_public_key(public)
    context = HPKE.new(receiver_key=key, aead_id=_AEAD, info=info)
    sealed: bytes = context.enc + context.seal(plaintext, aad)
    return sealed

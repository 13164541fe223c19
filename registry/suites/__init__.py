"""The cipher room: the only place in the product that calls a cipher, a hash or a signature algorithm.

Two suites, each complete in itself:
  intl   SHA-256, HMAC-SHA-256, AES-256-GCM, Ed25519, ES256
  gm     国密: SM3 (GB/T 32905), SM4-GCM (GB/T 32907), SM2 with SM3 (GB/T 32918)

`hpke` beside them seals to a public key of somebody else; it is imported by itself, since it needs pycryptodome, which
the lender's kit does without.

Everything here takes and returns bytes. Nothing here knows what the bytes mean, where keys lie or which key is whose.
"""

from registry.suites.digests import (
    CHECKSUMS,
    Digests,
    Hasher,
    constant_time_equal,
    hmac_sha256,
    hmac_sha256_each,
    hmac_sm3,
    random_bytes,
    sha256,
    sha256_each,
    sha256_hex,
    sha256_pairs,
    sha256_salted,
    sm3,
    streaming_digests,
)
from registry.suites.ocra import CHALLENGE_DIGITS as OCRA_CHALLENGE_DIGITS
from registry.suites.ocra import SECRET_BYTES as OCRA_SECRET_BYTES
from registry.suites.ocra import SUITE as OCRA_SUITE
from registry.suites.ocra import ocra_at, ocra_step, ocra_text
from registry.suites.sealing import Suite, gm, intl, seal, seal_each, suite_named, unseal, unseal_each
from registry.suites.signing import Ed25519Key, Es256Key, SigningKey, verify_ed25519, verify_es256, verify_ps256
from registry.suites.sm2 import Sm2Key, sm2_available, verify_sm2

__all__ = [
    "CHECKSUMS",
    "OCRA_CHALLENGE_DIGITS",
    "OCRA_SECRET_BYTES",
    "OCRA_SUITE",
    "Digests",
    "Ed25519Key",
    "Es256Key",
    "Hasher",
    "SigningKey",
    "Sm2Key",
    "Suite",
    "constant_time_equal",
    "gm",
    "hmac_sha256",
    "hmac_sha256_each",
    "hmac_sm3",
    "intl",
    "ocra_at",
    "ocra_step",
    "ocra_text",
    "random_bytes",
    "seal",
    "seal_each",
    "sha256",
    "sha256_each",
    "sha256_hex",
    "sha256_pairs",
    "sha256_salted",
    "sm2_available",
    "sm3",
    "streaming_digests",
    "suite_named",
    "unseal",
    "unseal_each",
    "verify_ed25519",
    "verify_es256",
    "verify_ps256",
    "verify_sm2",
]

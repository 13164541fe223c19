"""X.509 certificates that others show (RFC 5280): the thumbprint, the subject and the days. Nothing is signed here.

Whether the connection was made with the certificate's key, and whether an authority stands behind it, is seen by
whoever ended TLS; this reads what is handed over.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

MAX_DER_BYTES: Final = 8192  # an RSA-4096 certificate with many names is about 2,500


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says. `sha256` is over its DER bytes; `subject` is written as RFC 4514 has it."""

    sha256: bytes
    subject: str
    not_before: datetime
    not_after: datetime

    def valid_at(self, now: datetime) -> bool:
        """Say whether its days hold an instant."""
        return self.not_before <= now <= self.not_after


@lru_cache(maxsize=1024)  # a client shows the same one with every call; nothing here can go stale
def read_certificate(der: bytes) -> Certificate:
    """Read one certificate in DER.

    Raises:
        ValueError: not one certificate, or too long.
    """
    if len(der) > MAX_DER_BYTES:
        raise ValueError("a certificate of more than 8192 bytes")
    return _of(x509.load_der_x509_certificate(der))


def read_pem_certificate(pem: bytes) -> Certificate:
    """Read the one certificate of a PEM file.

    Raises:
        ValueError: none, several, or one that cannot be read.
    """
    found = x509.load_pem_x509_certificates(pem)
    if len(found) != 1:
        raise ValueError("a file with exactly one certificate is needed")
    return read_certificate(found[0].public_bytes(Encoding.DER))


def _of(certificate: x509.Certificate) -> Certificate:
    return Certificate(
        certificate.fingerprint(SHA256()),
        certificate.subject.rfc4514_string(),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )

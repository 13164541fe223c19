"""A certificate authority of one test, and what it issues: for servers on loopback that feeds talk to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509  # noqa: TID251  # certificates of tests
from cryptography.hazmat.primitives import hashes, serialization  # noqa: TID251  # certificates of tests
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: TID251  # certificates of tests
from cryptography.x509.oid import NameOID  # noqa: TID251  # certificates of tests

from registry import clock

_DAY = timedelta(days=1)


@dataclass
class Authority:
    """Signs certificates; its own lies in `path`."""

    folder: Path
    name: str = "ca"
    _key: ec.EllipticCurvePrivateKey = field(init=False)

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path, _ = self._write(self.name, self._key, (), ends=_DAY, authority=True)

    def issue(
        self, name: str, addresses: Sequence[str] = ("127.0.0.1",), *, ends: timedelta = _DAY
    ) -> tuple[Path, Path]:
        """Issue a certificate for some addresses; give its file and that of its key."""
        return self._write(name, ec.generate_private_key(ec.SECP256R1()), addresses, ends=ends, authority=False)

    def _write(
        self, name: str, key: ec.EllipticCurvePrivateKey, addresses: Sequence[str], *, ends: timedelta, authority: bool
    ) -> tuple[Path, Path]:
        now = clock.now()
        public = self._key.public_key()
        made = (
            x509.CertificateBuilder()
            .subject_name(_called(name))
            .issuer_name(_called(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * _DAY)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        )
        if addresses:
            made = made.add_extension(x509.SubjectAlternativeName([_named(one) for one in addresses]), critical=False)
        path, key_path = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_path.write_bytes(key.private_bytes(*form))
        return path, key_path


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _named(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(address))
    except ValueError:
        return x509.DNSName(address)

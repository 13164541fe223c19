"""What a token, or the code before it, is bound to: a key that signs proofs (RFC 9449), or a certificate (RFC 8705)."""

from dataclasses import dataclass
from typing import Final

from exchange.oauth.spending import Spend
from exchange.oauth.tokens import JKT

_OF_A_CERTIFICATE: Final = "x5t#S256:"


@dataclass(frozen=True, slots=True)
class Bound:
    """A thumbprint, of which kind it is, and what has to be spent with it; a certificate leaves nothing to spend."""

    by: str
    thumbprint: str
    spend: Spend | None

    @property
    def key(self) -> str:
        """Give it as one text, in which no certificate can pass for a key: how a code keeps it (`dpop_jkt`)."""
        return self.thumbprint if self.by == JKT else f"{_OF_A_CERTIFICATE}{self.thumbprint}"

"""Addresses and names of this authorization server, all from configuration, none from a request."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from exchange.oauth.jwks import ALGORITHMS
from exchange.oauth.scopes import Scope

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105  # a path, not a secret
JWKS_PATH: Final = "/oauth/jwks"
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True, slots=True)
class Profile:
    """What others know this server by. `issuer` is `QINGQIAO_ISSUER`."""

    issuer: str

    @property
    def resource(self) -> str:
        """What access tokens name as audience: the interfaces behind them, as distinct from the issuer."""
        return f"{self.issuer}/api"

    @property
    def token_endpoint(self) -> str:
        """The token endpoint's address."""
        return self.issuer + TOKEN_PATH

    def address(self, path: str) -> str:
        """Return the address that a DPoP proof must name for a path of ours."""
        return self.issuer + path

    @property
    def metadata_path(self) -> str:
        """Where RFC 8414 §3.1 looks for the metadata: the issuer's own path comes last."""
        return METADATA_PATH + urlsplit(self.issuer).path

    def metadata(self) -> dict[str, Any]:
        """Return the authorization server metadata (RFC 8414, RFC 9449 §5.1)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": self.token_endpoint,
            "jwks_uri": self.issuer + JWKS_PATH,
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "scopes_supported": [scope.value for scope in Scope],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "dpop_signing_alg_values_supported": list(ALGORITHMS),
            "service_documentation": f"{self.issuer}/problems",
        }

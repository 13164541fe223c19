"""Addresses and names of this authorization server, all from configuration, none from a request."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from exchange.credit_data import TYPE
from exchange.oauth.jwks import ALGORITHMS
from exchange.oauth.pkce import METHOD
from exchange.oauth.scopes import Scope

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105  # a path, not a secret
PAR_PATH: Final = "/oauth/par"
INTROSPECT_PATH: Final = "/oauth/introspect"
REVOKE_PATH: Final = "/oauth/revoke"
AUTHORIZE_PATH: Final = "/oauth/authorize"
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

    @property
    def par_endpoint(self) -> str:
        """Where a lender pushes its requests."""
        return self.issuer + PAR_PATH

    def address(self, path: str) -> str:
        """Return the address that a DPoP proof must name for a path of ours."""
        return self.issuer + path

    @property
    def metadata_path(self) -> str:
        """Where RFC 8414 §3.1 looks for the metadata: the issuer's own path comes last."""
        return METADATA_PATH + urlsplit(self.issuer).path

    def metadata(self) -> dict[str, Any]:
        """Return the authorization server metadata (RFC 8414; 7662, 7009, 9126 §5, 9207 §3, 9396 §10, 9449 §5.1)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": self.token_endpoint,
            "pushed_authorization_request_endpoint": self.par_endpoint,
            "require_pushed_authorization_requests": True,
            "introspection_endpoint": self.issuer + INTROSPECT_PATH,
            "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
            "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "revocation_endpoint": self.issuer + REVOKE_PATH,
            "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
            "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "authorization_endpoint": self.issuer + AUTHORIZE_PATH,
            "authorization_response_iss_parameter_supported": True,
            "authorization_details_types_supported": [TYPE],
            "code_challenge_methods_supported": [METHOD],
            "jwks_uri": self.issuer + JWKS_PATH,
            "grant_types_supported": ["client_credentials", "authorization_code"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "ui_locales_supported": ["zh", "bo", "en"],
            "scopes_supported": [scope.value for scope in Scope],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "dpop_signing_alg_values_supported": list(ALGORITHMS),
            "service_documentation": f"{self.issuer}/problems",
        }

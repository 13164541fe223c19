"""Addresses and names of this authorization server, all from configuration, none from a request."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from exchange.credit_data import TYPE
from exchange.oauth.certificates import BY_SUBJECT, BY_THUMBPRINT
from exchange.oauth.grants import ACTIONS
from exchange.oauth.jwks import ALGORITHMS
from exchange.oauth.pkce import METHOD
from exchange.oauth.scopes import Scope

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105  # a path, not a secret
PAR_PATH: Final = "/oauth/par"
INTROSPECT_PATH: Final = "/oauth/introspect"
REVOKE_PATH: Final = "/oauth/revoke"
AUTHORIZE_PATH: Final = "/oauth/authorize"
GRANTS_PATH: Final = "/grants"
JWKS_PATH: Final = "/oauth/jwks"
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True, slots=True)
class Profile:
    """What others know this server by. `issuer` is `QINGQIAO_ISSUER`.

    `certificates` says whether a proxy hands client certificates over; `mtls_address` where it asks for them.
    """

    issuer: str
    certificates: bool = False
    mtls_address: str | None = None

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
        """Return the authorization server metadata (RFC 8414).

        Its members beyond that: RFC 7662, 7009, 8705 §3.3 and §5, 9126 §5, 9207 §3, 9396 §10, 9449 §5.1; Grant
        Management §7.1.
        """
        methods = ["private_key_jwt", *((BY_SUBJECT, BY_THUMBPRINT) if self.certificates else ())]
        said: dict[str, Any] = {
            "issuer": self.issuer,
            "token_endpoint": self.token_endpoint,
            "pushed_authorization_request_endpoint": self.par_endpoint,
            "require_pushed_authorization_requests": True,
            "introspection_endpoint": self.issuer + INTROSPECT_PATH,
            "introspection_endpoint_auth_methods_supported": methods,
            "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "revocation_endpoint": self.issuer + REVOKE_PATH,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "authorization_endpoint": self.issuer + AUTHORIZE_PATH,
            "authorization_response_iss_parameter_supported": True,
            "authorization_details_types_supported": [TYPE],
            "grant_management_endpoint": self.issuer + GRANTS_PATH,
            "grant_management_actions_supported": list(ACTIONS),
            "grant_management_action_required": False,
            "code_challenge_methods_supported": [METHOD],
            "jwks_uri": self.issuer + JWKS_PATH,
            "grant_types_supported": ["client_credentials", "authorization_code"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "ui_locales_supported": ["zh", "bo", "en"],
            "scopes_supported": [scope.value for scope in Scope],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "dpop_signing_alg_values_supported": list(ALGORITHMS),
            "tls_client_certificate_bound_access_tokens": self.certificates,
            "service_documentation": f"{self.issuer}/problems",
        }
        return said if self.mtls_address is None else said | {"mtls_endpoint_aliases": self._aliases(self.mtls_address)}

    def _aliases(self, address: str) -> dict[str, str]:
        """Say where the doors are for whoever shows a certificate (RFC 8705 §5)."""
        return {
            "token_endpoint": address + TOKEN_PATH,
            "pushed_authorization_request_endpoint": address + PAR_PATH,
            "introspection_endpoint": address + INTROSPECT_PATH,
            "revocation_endpoint": address + REVOKE_PATH,
            "grant_management_endpoint": address + GRANTS_PATH,
        }

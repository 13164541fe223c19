"""OAuth's errors that Authlib lacks or says differently. Sentences are fixed and repeat nothing of a request."""

from typing import Final

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.rfc6749.errors import InvalidClientError

from exchange.oauth.jwks import ALGORITHMS

_CHALLENGE: Final = f'DPoP error="invalid_client", algs="{" ".join(ALGORITHMS)}"'


class InvalidDpopProof(OAuth2Error):
    """RFC 9449 §5: the proof does not hold."""

    error = "invalid_dpop_proof"
    status_code = 400


class InvalidTarget(OAuth2Error):
    """RFC 8707 §2: tokens are for another resource than the one asked for."""

    error = "invalid_target"
    status_code = 400


class InvalidAuthorizationDetails(OAuth2Error):
    """RFC 9396 §5: the details are unknown, malformed, or not what a consent may state."""

    error = "invalid_authorization_details"
    status_code = 400


class ClientNotProven(InvalidClientError):
    """RFC 6749 §5.2, always as 401: the client did not prove itself."""

    status_code = 401

    def get_headers(self) -> list[tuple[str, str]]:
        """Say which scheme would do; Authlib would say Basic."""
        return [("Content-Type", "application/json"), ("WWW-Authenticate", _CHALLENGE)]

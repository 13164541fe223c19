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


class InvalidGrantId(OAuth2Error):
    """Grant Management §6.1: the grant to be replaced is unknown, over, or not this client's for this purpose."""

    error = "invalid_grant_id"
    status_code = 400


class TooManyPushed(OAuth2Error):
    """RFC 9126 §2.3: 429; `temporarily_unavailable` of RFC 6749 §4.1.2.1, with the seconds to wait."""

    error = "temporarily_unavailable"
    description = "too many requests of yours that have not ended"
    status_code = 429

    def __init__(self, retry_after_seconds: int) -> None:
        """Say how long to wait."""
        super().__init__(self.description)
        self._seconds = retry_after_seconds

    def get_headers(self) -> list[tuple[str, str]]:
        """Add Retry-After."""
        return [*super().get_headers(), ("Retry-After", str(self._seconds))]


class TooFast(TooManyPushed):
    """A client comes for tokens, or pushes, faster than it may: 429 likewise."""

    description = "too many requests of yours at once"


class ClientNotProven(InvalidClientError):
    """RFC 6749 §5.2, always as 401: the client did not prove itself."""

    status_code = 401

    def get_headers(self) -> list[tuple[str, str]]:
        """Say which scheme would do; Authlib would say Basic."""
        return [("Content-Type", "application/json"), ("WWW-Authenticate", _CHALLENGE)]

"""What a token is asked for: scopes that the client holds, and the one resource there is. Pure."""

from authlib.oauth2.rfc6749.errors import InvalidScopeError

from exchange.oauth.clients import Registration
from exchange.oauth.refused import InvalidTarget


def scopes_of(asked: str | None, client: Registration) -> frozenset[str]:
    """Give the scopes that a client asked for; all of its own if it named none.

    Raises:
        InvalidScopeError: one that it may not hold.
    """
    if not asked:
        return client.scopes
    scopes = frozenset(asked.split(" "))
    if not scopes <= client.scopes:
        raise InvalidScopeError("a scope that this client may not hold")
    return scopes


def refuse_elsewhere(asked: str | None, resource: str) -> None:
    """Refuse a request for tokens of another resource.

    Raises:
        InvalidTarget: it names another.
    """
    if asked not in {None, resource}:
        raise InvalidTarget("tokens are issued for one resource only")

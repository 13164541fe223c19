"""How a client proves itself where it brings no token, the same at every endpoint: private_key_jwt, or a certificate.

One way a request: whoever sends an assertion is asked for nothing else, and a certificate beside it proves nothing but
what a token is bound to. A certificate authenticates with `client_id` alone, if it is the client's own (RFC 8705 §2).

What `authenticate` and `proof_of` return must be spent in the transaction that takes effect (`spending`). The errors
are OAuth's (RFC 6749 §5.2, RFC 9449 §5), with fixed sentences.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from authlib.oauth2.rfc6749.errors import InvalidRequestError

from exchange.errors import AssertionRefused, ProofRefused
from exchange.oauth import assertion, dpop
from exchange.oauth.clients import CLIENT_ID, Directory, Registration
from exchange.oauth.jwks import names_another
from exchange.oauth.refused import ClientNotProven, InvalidDpopProof
from exchange.oauth.spending import Spend
from registry.suites.certificates import Certificate

_ASSERTION: Final = frozenset({"client_assertion", "client_assertion_type"})
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def authenticate(
    directory: Directory,
    form: Mapping[str, str],
    *,
    issuer: str,
    now: datetime,
    may_wait: bool,
    certificate: Certificate | None = None,
) -> tuple[Registration, Spend | None]:
    """Prove the client that a form names; give it, and the assertion to spend, if it came by one.

    Raises:
        ClientNotProven, InvalidRequestError: it did not prove itself, or in more ways than one.
        NotRemembered: the client is not in memory, and `may_wait` is false.
        DatabaseUnavailable, psycopg.Error: the client's row could not be read.
    """
    if "client_secret" in form:
        raise InvalidRequestError("one way of client authentication only")
    if certificate is not None and "client_id" in form and not _ASSERTION.intersection(form):
        return _by_certificate(directory, form["client_id"], certificate, now=now, may_wait=may_wait), None
    if form.get("client_assertion_type") != ASSERTION_TYPE or "client_assertion" not in form:
        raise ClientNotProven(description="client authentication is private_key_jwt, or a registered certificate")
    try:
        claimed = assertion.read(form["client_assertion"])
        if form.get("client_id", claimed.client_id) != claimed.client_id:
            raise ClientNotProven(description="client assertion: of another client than client_id")
        known = client = directory.find(claimed.client_id, wait=may_wait)
        proven = client and assertion.prove(claimed, client)
        if client and not proven:
            client = directory.read_again(client, wait=may_wait)  # it may have new keys by now
            proven = client and assertion.prove(claimed, client)
        if known and not proven and names_another(claimed.parts.header, (client or known).keys):
            directory.want_keys(known, now=now)  # those at its address may be newer
        if not proven:
            raise ClientNotProven(description="client assertion: not signed with a registered key")
        return proven.client, assertion.check(proven, issuer=issuer, now=now)
    except AssertionRefused as error:
        raise ClientNotProven(description=str(error)) from error


def _by_certificate(
    directory: Directory, client_id: str, shown: Certificate, *, now: datetime, may_wait: bool
) -> Registration:
    client = directory.find(client_id, wait=may_wait) if CLIENT_ID.fullmatch(client_id) else None
    if client and not owns(client, shown, now=now):
        client = directory.read_again(client, wait=may_wait)  # it may have another certificate by now
    if client is None or not owns(client, shown, now=now):
        raise ClientNotProven(description="client certificate: not registered for this client, or out of date")
    return client.proved_by(None)


def owns(client: Registration, shown: Certificate, *, now: datetime) -> bool:
    """Say whether a certificate is one that a client registered, within its days."""
    return client.certificate is not None and client.certificate.accepts(shown, now=now)


def proof_of(proofs: Sequence[str], *, url: str, now: datetime) -> dpop.Proof:
    """Check the one DPoP proof of a POST.

    Raises:
        InvalidDpopProof: none or several came, or it does not hold.
    """
    if len(proofs) != 1:
        raise InvalidDpopProof("DPoP proof: exactly one DPoP header is needed")
    try:
        return dpop.verify(proofs[0], method="POST", url=url, now=now)
    except ProofRefused as error:
        raise InvalidDpopProof(str(error)) from error

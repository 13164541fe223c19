"""Registered systems: which organisation's, in which role, with which public keys and scopes.

A client is registered by the operator (`qingqiao lender add`), never by itself; a person's phone is bound by a code
that its owner was handed in person (`exchange.binding`). It has no secret; it proves itself with a key of its own.
Suspending it takes effect at the next statement of every process: what a process remembers of a client is a hint,
which the deciding statement compares with the row (`spending`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

import orjson

from consent import recipients
from consent.errors import Fault, TermsRefused
from consent.parties import Contact
from consent.scope import names_one, recipient_name
from exchange.errors import RequestRefused
from exchange.oauth import certificates, redirects
from exchange.oauth.jwks import PublicKey, RegisteredKey, read_jwks
from exchange.oauth.scopes import SCOPES_OF, Role
from registry.database import Database, Transaction

ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"
REGISTERED: Final = "registered"  # how a client proves itself, to Authlib: as it is registered
_NO_KEYS: Final = "{}"  # every row holds it
REMEMBERED: Final = 8192  # clients in the memory of one process; about 1 KB each
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._-]{3,64}")


@dataclass(frozen=True, slots=True)
class Registration:
    """A client as its row said when it was read. `certificate_text` is the row's JSON, to compare by.

    `jwks_text` is the row's too, or, once the client has proved itself, the set of what it did that by: the row may
    gain and lose other keys meanwhile. `key_texts` are such sets, one for each of `keys`.
    """

    client_id: str
    role: str
    organisation: str
    scopes: frozenset[str]
    keys: tuple[RegisteredKey, ...]
    jwks_text: str
    certificate: certificates.Registered | None = None
    certificate_text: str | None = None
    key_texts: tuple[str, ...] = ()

    def proved_by(self, key: PublicKey | None) -> Self:
        """Say by which key the client has proved itself; None: by none, but by its certificate."""
        places = [place for place, entry in enumerate(self.keys) if key is not None and entry.key is key]
        return replace(self, jwks_text=self.key_texts[places[0]] if places else _NO_KEYS)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Authlib asks; what came was held against the registration already (`authenticating`)."""
        del endpoint
        return method == REGISTERED

    @property
    def proven_by(self) -> tuple[str, str | None]:
        """What its proofs are checked against."""
        return self.jwks_text, self.certificate_text

    def check_grant_type(self, grant_type: str) -> bool:
        """Authlib asks: systems use client_credentials, and a lender's redeem the codes of persons who agreed."""
        return grant_type == "client_credentials" or (grant_type == "authorization_code" and self.role == Role.LENDER)


class NotRemembered(Exception):
    """The client is not in memory, and who asks may not wait for the database."""


class Directory:
    """Finds clients for the token endpoint and remembers them. Safe to share between threads.

    What is remembered may be out of date: `spending.issue` compares it with the row before a token leaves.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Registration] = {}

    def find(self, client_id: str, *, wait: bool) -> Registration | None:
        """Return an active client, as remembered or as its row says; None if there is none.

        Raises:
            NotRemembered: it is not in memory, and `wait` is false.
            DatabaseUnavailable, psycopg.Error: the row could not be read.
        """
        known = self._known.get(client_id)
        return known if known is not None else self._read(client_id, wait=wait)

    def read_again(self, client: Registration, *, wait: bool) -> Registration | None:
        """Return the client as its row now says; None if it says the same as before, or is gone.

        Raises:
            NotRemembered: `wait` is false.
            DatabaseUnavailable, psycopg.Error: the row could not be read.
        """
        current = self._read(client.client_id, wait=wait)
        return None if current is None or current.proven_by == client.proven_by else current

    def want_keys(self, client: Registration, *, now: datetime) -> None:
        """Have the keys read soon that lie at the client's address: it named one that is not known (a job does so)."""
        with self._database.transaction() as tx:
            tx.execute(
                "UPDATE client_profile SET wanted_at = %s WHERE client_id = %s AND jwks_uri IS NOT NULL"
                " AND (wanted_at IS NULL OR wanted_at <= fetched_at)",
                (now, client.client_id),
            )

    def forget(self, client_id: str) -> None:
        """Read the row the next time."""
        self._known.pop(client_id, None)

    def _read(self, client_id: str, *, wait: bool) -> Registration | None:
        if not wait:
            raise NotRemembered
        with self._database.transaction() as tx:
            client = read(tx, client_id)
        if client is None:
            self.forget(client_id)
        else:
            if len(self._known) >= REMEMBERED:  # phones are many; whoever is forgotten is read again
                for oldest in list(self._known)[: REMEMBERED // 4]:
                    self._known.pop(oldest, None)
            self._known[client_id] = client
        return client


def read(tx: Transaction, client_id: str) -> Registration | None:
    """Return an active client, or None: unknown and suspended are one to whoever asks."""
    row = tx.execute(
        "SELECT role, organisation, scopes, jwks::text, certificate::text FROM client"
        " WHERE client_id = %s AND state = %s",
        (client_id, ACTIVE),
    ).fetchone()
    if row is None:
        return None
    role, organisation, scopes, jwks_text, certificate_text = row
    jwks = orjson.loads(jwks_text)
    keys = read_jwks(jwks)
    certificate = certificates.registered(None if certificate_text is None else orjson.loads(certificate_text))
    texts = tuple(orjson.dumps({"keys": [jwk]}).decode() for jwk in jwks["keys"])
    return Registration(
        client_id=client_id,
        role=role,
        organisation=organisation,
        scopes=frozenset(scopes),
        keys=keys,
        jwks_text=jwks_text,
        certificate=certificate,
        certificate_text=certificate_text,
        key_texts=texts,
    )


def knows(tx: Transaction, organisation: str, role: Role) -> bool:
    """Say whether an organisation has a client in this role, active or not."""
    row = tx.execute("SELECT FROM client WHERE organisation = %s AND role = %s LIMIT 1", (organisation, role.value))
    return row.fetchone() is not None


def register(  # noqa: PLR0913  # what a registration states
    tx: Transaction,
    client_id: str,
    *,
    role: Role,
    organisation: str,
    jwks: dict[str, Any],
    scopes: Iterable[str] | None = None,
    now: datetime,
    same_organisation: bool = False,
    contact: Contact | None = None,
) -> frozenset[str]:
    """Register a client with its public keys; return its scopes (all of its role, unless fewer are given).

    Args:
        tx: the caller's transaction.
        client_id: what it is called.
        role: what kind of organisation it belongs to.
        organisation: that organisation's full name; kept as consents name recipients.
        jwks: its public keys.
        scopes: fewer than the role's.
        now: the moment of registration.
        same_organisation: that the organisation has a client already is known and meant: this one may ask on the
            same consents. An agency's clients, one a person or system, need no such word.
        contact: how a lender is reached; people are told of it before they agree (个人信息保护法 §23). It takes the
            place of the one that stood; a lender's first client cannot do without.

    Raises:
        KeyRefused: the keys are not ones we accept, or private members were handed over.
        RequestRefused: the id is taken or not 3 to 64 of [A-Za-z0-9._-], a scope is not of the role, the name is not
            that of one organisation, the organisation has a client already, or it is a lender without a contact.
    """
    if role is Role.SUBJECT:
        raise RequestRefused("client-unregistrable", "a person's phone is bound in person, never registered")
    if not CLIENT_ID.fullmatch(client_id):
        raise RequestRefused("client-unregistrable", "a client id is 3 to 64 of A-Z a-z 0-9 . _ -")
    if not names_one(organisation):
        raise RequestRefused("client-unregistrable", "the name is not that of one organisation, in visible characters")
    organisation = recipient_name(organisation)
    read_jwks(jwks)
    granted = frozenset(SCOPES_OF[role] if scopes is None else scopes)
    if not granted <= SCOPES_OF[role]:
        raise RequestRefused("client-unregistrable", "a scope that this role may not hold")
    standing = tx.execute("SELECT FROM client WHERE organisation = %s LIMIT 1", (organisation,)).fetchone()
    if standing is not None and not same_organisation and role is not Role.AGENCY:
        raise RequestRefused("client-unregistrable", "the organisation has a client already; say that it is the same")
    row = tx.execute(
        "INSERT INTO client (client_id, role, organisation, jwks, scopes, state, created_at)"
        " VALUES (%s, %s, %s, %s::jsonb, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING client_id",
        (client_id, role.value, organisation, orjson.dumps(jwks).decode(), sorted(granted), ACTIVE, now),
    ).fetchone()
    if row is None:
        raise RequestRefused("client-unregistrable", "the client id is taken")
    if role is Role.LENDER:
        tx.execute(
            "INSERT INTO client_key (client_id, thumbprint, added_at) SELECT DISTINCT %s, t, %s::timestamptz"
            " FROM unnest(%s::text[]) AS t",
            (client_id, now, [one.key.thumbprint for one in read_jwks(jwks)]),
        )
    if contact is not None:
        recipients.keep(tx, organisation, contact, now=now)
    elif role is Role.LENDER and recipients.contact(tx, organisation) is None:
        raise RequestRefused(
            "client-unregistrable", "a lender needs a contact: office, phone and address, of which people are told"
        )
    return granted


def unreached(tx: Transaction, organisation: str) -> bool:
    """Say whether an organisation has a lender's system, and nobody has said how it is reached."""
    name = recipient_name(organisation)
    return recipients.contact(tx, name) is None and knows(tx, name, Role.LENDER)


def refuse_unreached(tx: Transaction, organisation: str) -> None:
    """Refuse to have anybody agree for a lender of which nobody can be told how it is reached (个人信息保护法 §23).

    One that is not registered passes: it comes from a register of consents, and nobody can ask in its name.

    Raises:
        TermsRefused: RECIPIENT_WITHOUT_CONTACT.
    """
    if unreached(tx, organisation):
        raise TermsRefused(Fault.RECIPIENT_WITHOUT_CONTACT, "registered, and it is not said how it is reached")


def register_phone(tx: Transaction, client_id: str, jwk: Mapping[str, Any], *, active: bool, now: datetime) -> None:
    """Register a person's phone with its one key; only `exchange.binding` does so, on a code given in person.

    Its organisation is itself: no consent can name it as recipient, and no two phones share one.
    """
    tx.execute(
        "INSERT INTO client (client_id, role, organisation, jwks, scopes, state, created_at)"
        " VALUES (%s, %s, %s, %s::jsonb, %s, %s, %s)",
        (
            client_id,
            Role.SUBJECT.value,
            client_id,
            orjson.dumps({"keys": [dict(jwk)]}).decode(),
            sorted(SCOPES_OF[Role.SUBJECT]),
            ACTIVE if active else SUSPENDED,
            now,
        ),
    )


def set_redirects(tx: Transaction, client_id: str, uris: Iterable[str]) -> bool:
    """Put a lender's redirect URIs in place of the old; False if there is no lender's client of this id.

    Raises:
        RequestRefused: one that may not be registered, or more than a client may have.
    """
    checked = sorted({redirects.check(uri) for uri in uris})
    if len(checked) > redirects.MOST:
        raise RequestRefused("client-unregistrable", f"a client has at most {redirects.MOST} redirect URIs")
    changed = tx.execute(
        "UPDATE client SET redirect_uris = %s WHERE client_id = %s AND role = %s",
        (checked, client_id, Role.LENDER.value),
    )
    return changed.rowcount == 1


def set_certificate(tx: Transaction, client_id: str, certificate: Mapping[str, Any] | None) -> bool:
    """Put what a client shows by TLS in place of the old, or take it away; False if there is no such lender's client.

    `certificate` is as `certificates.as_row` writes it. It is asked for beside the keys, which stay.
    """
    changed = tx.execute(
        "UPDATE client SET certificate = %s::jsonb WHERE client_id = %s AND role = %s",
        (None if certificate is None else orjson.dumps(dict(certificate)).decode(), client_id, Role.LENDER.value),
    )
    return changed.rowcount == 1


def set_state(tx: Transaction, client_id: str, state: str) -> bool:
    """Suspend a client or make it active again; False if there is no such client."""
    if state not in {ACTIVE, SUSPENDED}:
        raise ValueError("a client is active or suspended")
    return tx.execute("UPDATE client SET state = %s WHERE client_id = %s", (state, client_id)).rowcount == 1


def organisations(tx: Transaction) -> frozenset[str]:
    """Return the names of organisations with an active lender's system: those that a consent can serve today."""
    rows = tx.execute(
        "SELECT DISTINCT organisation FROM client WHERE role = %s AND state = %s", (Role.LENDER.value, ACTIVE)
    ).fetchall()
    return frozenset(name for (name,) in rows)

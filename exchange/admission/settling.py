"""What follows once two officers have agreed, in the transaction of the second approval; and one officer's no.

A registration: the system is registered under an id of the exchange's making, with exactly the keys, contacts, regions
and caps of the digest that both have signed; in production its organisation keeps a list of staff from then on (R-65).
A suspension's end, higher caps, another certificate, other redirect addresses or another contact, an officer added or
ended: likewise, as the content says.

In production a registration is ready for approval only with a trial in a sandbox (`exchange.admission.trials`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from consent import recipients
from consent.parties import Contact
from exchange import staffing
from exchange.admission import ending, keyrings, matters, notes, officers, profiles, suspending
from exchange.admission.errors import NotApproved
from exchange.admission.matters import Kind, Matter, Reason, State
from exchange.admission.profiles import Caps
from exchange.errors import RequestRefused
from exchange.events import Event
from exchange.home import Home, Mode
from exchange.oauth import clients
from exchange.oauth.jwks import read_jwks
from exchange.oauth.scopes import Role
from registry import log
from registry.database import Transaction

_GONE: Final = "there is no such system any more"
_OF_OFFICERS: Final = frozenset({Kind.OFFICER_ADD, Kind.OFFICER_END})


def approve(home: Home, tx: Transaction, matter_id: UUID, statement: str, *, now: datetime) -> Matter:
    """Do all steps of an approval (`exchange.admission.matters`); give the matter as it stands then.

    Raises:
        NotApproved, RequestRefused, KeyRefused: a step failed; nothing was written.
    """
    matter = matters.held(tx, matter_id)  # 1
    officer = _who(home, tx, matter, statement, officers.Decision.APPROVE, now)  # 2
    refuse_unready(home, tx, matter)  # 3
    matters.keep_approval(tx, matter, officer.officer_id, statement, now=now)  # 4
    given = matters.approvals(tx, matter)
    if matters.decided(given):  # 5
        for one in given:
            officers.refuse_unsigned(
                tx,
                one.statement,
                one.officer_id,
                matter_id=matter.matter_id,
                digest=matter.digest,
                issuer=home.settings.issuer,
            )
        client_id = _carry_out(home, tx, matter, [one.officer_id for one in given], now)
        names = [one.officer_id for one in given]
        matters.settle(tx, matter, State.APPROVED, officers=names, client_id=client_id, now=now)
    return matters.get(tx, matter_id) or matter


def refuse(  # what a refusal states
    home: Home, tx: Transaction, matter_id: UUID, statement: str, reason: Reason, *, returned: bool, now: datetime
) -> None:
    """Close a matter by one officer's signed no; `returned`: the lender may mend it and ask again.

    Raises:
        NotApproved: there is no open matter of this id, or it is no officer's no to it as it stands.
    """
    matter = matters.held(tx, matter_id)
    officer = _who(home, tx, matter, statement, officers.Decision.REFUSE, now)
    if matter.kind is Kind.OFFICER_END and matter.content["officer_id"] == officer.officer_id:
        raise NotApproved("nobody refuses to be ended")
    state = State.RETURNED if returned else State.REFUSED
    matters.settle(tx, matter, state, officers=[officer.officer_id], reason=reason, now=now)
    if matter.client_id is not None:
        notes.leave(tx, matter.client_id, f"{matter.kind.value}-refused", {"reason": reason.value}, now=now)


def change_officers(
    tx: Transaction, kind: Kind, officer_id: str, content: dict[str, Any], *, now: datetime
) -> Matter | None:
    """Add or end an officer: at once while a role is empty, else by a matter that two officers decide (it is given).

    So the first of each role are named by whoever sets the installation up, and no later one by one person alone.

    Raises:
        NotApproved, KeyRefused: see `officers.add`, `officers.end`.
    """
    officers.one_by_one(tx)
    if len(officers.roles_standing(tx)) == len(officers.Role):
        return matters.open_(tx, kind, "operator", content, now=now)
    _change_officer(tx, kind, officer_id, content, "operator", now)
    return None


def _who(
    home: Home, tx: Transaction, matter: Matter, statement: str, decision: officers.Decision, now: datetime
) -> officers.Officer:
    return officers.who_says(
        tx,
        statement,
        decision,
        matter_id=matter.matter_id,
        digest=matter.digest,
        issuer=home.settings.issuer,
        now=now,
    )


def known_otherwise(tx: Transaction, content: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Say under which other credit codes this organisation is registered, and which others under its credit code."""
    rows = tx.execute(
        "SELECT DISTINCT c.organisation, p.uscc FROM client_profile p JOIN client c USING (client_id)"
        " WHERE (c.organisation = %(name)s) <> (p.uscc = %(uscc)s) ORDER BY 1, 2",
        {"name": content["organisation"], "uscc": content["uscc"]},
    ).fetchall()
    codes = [uscc for name, uscc in rows if name == content["organisation"]]
    return codes, [name for name, uscc in rows if uscc == content["uscc"]]


def refuse_unready(home: Home, tx: Transaction, matter: Matter) -> None:
    """Do step 3.

    Raises:
        NotApproved: what is missing before anybody can approve.
    """
    if matter.kind is not Kind.REGISTRATION:
        return
    if matter.content["jwks"] is None:
        raise NotApproved("the keys have not been read from the lender's address yet")
    if matter.content["signed_by"] not in matter.content["thumbprints"]:
        raise NotApproved("the key that signed the request does not lie at the lender's address")
    if known_otherwise(tx, matter.content)[0]:
        raise NotApproved(
            "the organisation is registered under another credit code; it is not this one, or that one is wrong"
        )
    if home.installation.mode is Mode.PRODUCTION and matter.content["trial"] is None:
        raise NotApproved("no trial in a sandbox yet; add it: qingqiao lender add-trial ID --file F --trust T")


def _carry_out(home: Home, tx: Transaction, matter: Matter, names: list[str], now: datetime) -> str | None:
    content, actor = matter.content, "+".join(sorted(names))
    if matter.kind is Kind.REGISTRATION:
        return _register(home, tx, matter, actor, now)
    if matter.kind in _OF_OFFICERS:
        _change_officer(tx, matter.kind, content["officer_id"], content, actor, now)
        return None
    if matter.kind is Kind.CONTACT:
        stated = Contact.read(content["contact"])
        if not set_contact(tx, content["organisation"], stated, actor=actor, now=now):
            raise NotApproved(_GONE)
        return None
    client_id = str(content["client_id"])
    if matter.kind is Kind.RESUME:
        done = suspending.resume(tx, client_id, actor=actor, now=now)
    elif matter.kind is Kind.CAPS:
        done = set_caps(tx, client_id, Caps(**content["caps"]), actor=actor, now=now)
    elif matter.kind is Kind.REDIRECTS:
        done = set_redirects(tx, client_id, content["redirect_uris"], actor=actor, now=now)
    else:
        done = set_certificate(tx, client_id, content["certificate"], actor=actor, now=now)
    if not done:
        raise NotApproved(_GONE)
    return client_id


def set_caps(tx: Transaction, client_id: str, caps: Caps, *, actor: str, now: datetime) -> bool:
    """Put other caps in force, log and note it; False if there is no such system with caps."""
    if not profiles.set_caps(tx, client_id, caps):
        return False
    fields: dict[str, Any] = {"client_id": client_id, "daily": caps.daily, "monthly": caps.monthly}
    log.append(tx, [log.Entry(Event.CLIENT_CAPS_SET, at=now, actor=actor, fields=fields)])
    notes.leave(tx, client_id, "caps-set", {"daily": caps.daily, "monthly": caps.monthly}, now=now)
    return True


def set_certificate(
    tx: Transaction, client_id: str, certificate: dict[str, Any] | None, *, actor: str, now: datetime
) -> bool:
    """Put another certificate in the place of what stood, log and note it; False if there is no such system.

    What was got before ends (`ending`): it may have been got with what stood.
    """
    if not clients.set_certificate(tx, client_id, certificate):
        return False
    ending.all_of_before(tx, client_id, now=now)
    method = None if certificate is None else certificate["method"]
    fields: dict[str, Any] = {"client_id": client_id, "method": method}
    log.append(tx, [log.Entry(Event.CLIENT_CERTIFICATE_SET, at=now, actor=actor, fields=fields)])
    notes.leave(tx, client_id, "certificate-set", {"method": method}, now=now)
    return True


def set_redirects(tx: Transaction, client_id: str, uris: Sequence[str], *, actor: str, now: datetime) -> bool:
    """Put other addresses in the place of those that stood, log and note it; False if there is no such system.

    Raises:
        RequestRefused: one that may not be registered.
    """
    if not clients.set_redirects(tx, client_id, uris):
        return False
    fields: dict[str, Any] = {"client_id": client_id, "redirect_uris": sorted(uris)}
    log.append(tx, [log.Entry(Event.CLIENT_REDIRECTS_SET, at=now, actor=actor, fields=fields)])
    notes.leave(tx, client_id, "redirects-set", {"redirect_uris": sorted(uris)}, now=now)
    return True


def set_contact(tx: Transaction, organisation: str, stated: Contact, *, actor: str, now: datetime) -> bool:
    """Say how a lender is reached, in the place of what stood, and log it; False if it has no system."""
    if not clients.knows(tx, organisation, Role.LENDER):
        return False
    recipients.keep(tx, organisation, stated, now=now)
    fields: dict[str, Any] = {"organisation": organisation, "contact": stated.as_json()}
    log.append(tx, [log.Entry(Event.LENDER_CONTACT_STATED, at=now, actor=actor, fields=fields)])
    return True


def _register(home: Home, tx: Transaction, matter: Matter, actor: str, now: datetime) -> str:
    content = matter.content
    client_id, organisation = f"lender-{matter.matter_id.hex[:12]}", content["organisation"]
    try:
        thumbprints = [one.key.thumbprint for one in read_jwks(content["jwks"])]
        keyrings.refuse_anothers(tx, None, thumbprints)
        contact = Contact.read(content["contact"])
        granted = clients.register(
            tx,
            client_id,
            role=Role.LENDER,
            organisation=organisation,
            jwks=content["jwks"],
            scopes=content["scopes"],
            now=now,
            same_organisation=True,  # two officers have seen it: `lender requests` says so
            contact=contact,
        )
        clients.set_redirects(tx, client_id, content["redirect_uris"])
    except RequestRefused as refused:
        raise NotApproved(refused.detail or refused.code) from refused
    profiles.keep(tx, client_id, content, now=now)
    recipients.keep(tx, organisation, contact, now=now)
    if home.installation.mode is Mode.PRODUCTION:
        staffing.begin_list(tx, organisation, now=now)
    fields: dict[str, Any] = {
        "client_id": client_id,
        "organisation": organisation,
        "role": Role.LENDER.value,
        "scopes": sorted(granted),
    }
    stated: dict[str, Any] = {"organisation": organisation, "contact": contact.as_json()}
    uris: dict[str, Any] = {"client_id": client_id, "redirect_uris": content["redirect_uris"]}
    log.append(
        tx,
        [
            log.Entry(Event.CLIENT_ADDED, at=now, actor=actor, fields=fields),
            log.Entry(Event.LENDER_CONTACT_STATED, at=now, actor=actor, fields=stated),
            log.Entry(Event.CLIENT_REDIRECTS_SET, at=now, actor=actor, fields=uris),
        ],
    )
    notes.leave(tx, client_id, "registered", {}, now=now)
    return client_id


def _change_officer(
    tx: Transaction, kind: Kind, officer_id: str, content: dict[str, Any], actor: str, now: datetime
) -> None:
    if kind is Kind.OFFICER_END:
        officers.end(tx, officer_id, now=now)
        event, fields = Event.OFFICER_ENDED, {"officer_id": officer_id}
    else:
        officers.add(tx, officer_id, officers.Role(content["role"]), content["jwk"], now=now)
        event, fields = Event.OFFICER_ADDED, {"officer_id": officer_id, "role": content["role"]}
    log.append(tx, [log.Entry(event, at=now, actor=actor, fields=fields)])

"""How the recipients of consents are reached: kept by the operator, read into every receipt that is made.

A receipt keeps the contact of its day; a later one changes no receipt. A recipient that nobody has registered has none:
its consents come from a register (consent.importing), and nobody can ask in its name.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from consent.parties import Contact
from consent.scope import recipient_name
from registry.database import Transaction

_KEEP: Final = (
    "INSERT INTO recipient_contact (recipient, office, phone, address, email, url, stated_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (recipient) DO UPDATE SET office = EXCLUDED.office,"
    " phone = EXCLUDED.phone, address = EXCLUDED.address, email = EXCLUDED.email, url = EXCLUDED.url,"
    " stated_at = EXCLUDED.stated_at"
)


def keep(tx: Transaction, recipient: str, contact: Contact, *, now: datetime) -> None:
    """Put a contact in the place of the one that stood."""
    values = contact.as_json()
    tx.execute(
        _KEEP,
        (
            recipient_name(recipient),
            values["office"],
            values["phone"],
            values["address"],
            values["email"],
            values["url"],
            now,
        ),
    )


def contacts(tx: Transaction, recipients: Collection[str]) -> dict[str, Contact]:
    """Give the contacts of recipients, by the name that consents use; one without is absent."""
    rows = tx.execute(
        "SELECT recipient, office, phone, address, email, url FROM recipient_contact WHERE recipient = ANY(%s)",
        (sorted(set(recipients)),),
    )
    return {name: Contact(*stated) for name, *stated in rows}


def contact(tx: Transaction, recipient: str) -> Contact | None:
    """Give the contact of one recipient, if it has one."""
    return contacts(tx, [recipient]).get(recipient)

"""Revision 0019 over a filled database of 0018: what stood in the log is kept as it was, and nothing is made up."""

from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from alembic import command

from registry import schema
from tests.databases import Addresses

AT = ["2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z", "2026-06-03T00:00:00Z"]
SAME, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def before(addresses: Addresses) -> Addresses:
    """Both databases, the main one as it was at 0018."""
    schema.downgrade(addresses.database_url, addresses.keystore_url)
    schema._on("main", addresses.database_url, lambda config: command.upgrade(config, "0018"))
    return addresses


def confirmed(connection: psycopg.Connection[Any], consent_id: str, at: str, digest: str, **more: str) -> None:
    said = {"recipient": "农商银行", "channel": "village", "evidence_sha256": digest, "purpose": "POST_LOAN"} | more
    connection.execute(
        "INSERT INTO log_entry (entry_id, event, at, actor, consent_id, fields, seed)"
        " VALUES (%s, 'consent:grant:reconfirmed', %s, 'bank', %s, %s::jsonb, %s)",
        (uuid4(), at, consent_id, orjson.dumps(said).decode(), bytes(32)),
    )


def phone(connection: psycopg.Connection[Any], client_id: str, state: str, secret: bytes | None) -> UUID:
    owner = uuid4()
    connection.execute(
        "INSERT INTO subject_phone (client_id, subject_id, thumbprint, state, bound_by, organisation, collector,"
        " bound_at, active_from, totp, totp_step, totp_wrong, totp_locked_until)"
        " VALUES (%s, %s, %s, %s, 'bank', '农商银行', 'c-1', now(), now(), %s, 59000000, 7, now() + interval '1 day')",
        (client_id, owner, client_id, state, secret),
    )
    return owner


def to_head(both: Addresses) -> psycopg.Connection[Any]:
    schema.upgrade(both.database_url, both.keystore_url)
    schema.check(both.database_url, both.keystore_url)
    return psycopg.connect(both.database_url, autocommit=True)


def test_every_confirmation_of_before_is_kept_and_none_says_what_nobody_knows(before: Addresses) -> None:
    with psycopg.connect(before.database_url, autocommit=True) as old:
        confirmed(old, "c1", AT[0], SAME)
        confirmed(old, "c2", AT[1], SAME)
        signed = {"evidence_kind": "reliable_esign", "captured_at": "2026-05-30T04:00:00.000000Z", "collector": "c-9"}
        confirmed(old, "c3", AT[2], OTHER, **signed)
    with to_head(before) as now:
        rows = now.execute(
            "SELECT consent_id, evidence_kind, collector, captured_at IS NULL, confirmed_at::date::text, from_log"
            " FROM consent_confirmation ORDER BY consent_id"
        ).fetchall()
    assert rows == [
        ("c1", "unknown", None, True, "2026-06-01", True),
        ("c2", "unknown", None, True, "2026-06-02", True),
        ("c3", "reliable_esign", "c-9", False, "2026-06-03", True),
    ]


def test_only_new_confirmations_are_held_to_evidence_of_their_own(before: Addresses) -> None:
    insert = (
        "INSERT INTO consent_confirmation (confirmation_id, consent_id, recipient, channel, evidence_kind,"
        " evidence_sha256, captured_at, confirmed_at)"
        " VALUES (%s, 'c9', '农商银行', 'app', 'reliable_esign', %s, now(), now())"
    )
    with psycopg.connect(before.database_url, autocommit=True) as old:
        confirmed(old, "c1", AT[0], SAME)
        confirmed(old, "c2", AT[1], SAME)
    with to_head(before) as now:
        now.execute(insert, (uuid4(), bytes.fromhex(OTHER)))
        with pytest.raises(psycopg.errors.UniqueViolation, match="consent_confirmation_once"):
            now.execute(insert, (uuid4(), bytes.fromhex(OTHER)))


def test_a_password_by_the_clock_is_no_secret_of_codes_and_its_owner_is_told(before: Addresses) -> None:
    with psycopg.connect(before.database_url, autocommit=True) as old:
        owner = phone(old, "phone-old", "active", b"sealed: twenty bytes")
        phone(old, "phone-ended", "ended", None)
    with to_head(before) as now:
        kept = now.execute("SELECT client_id, state, page_secret, page_step FROM subject_phone ORDER BY 1").fetchall()
        told = now.execute("SELECT subject_id, kind, facts->>'phone' FROM subject_message").fetchall()
    assert kept == [("phone-ended", "ended", None, 0), ("phone-old", "active", None, 0)]
    assert told == [(owner, "page_codes_ended", "phone-old")]


def test_the_way_back_hands_out_no_secret_of_the_other_kind(before: Addresses) -> None:
    both = (before.database_url, before.keystore_url)
    with psycopg.connect(before.database_url, autocommit=True) as old:
        phone(old, "phone-old", "active", b"sealed: twenty bytes")
    with to_head(before) as now:
        now.execute("UPDATE subject_phone SET page_secret = %s", (b"sealed: thirty-two bytes",))
    schema._on("main", both[0], lambda config: command.downgrade(config, "0018"))
    with psycopg.connect(both[0]) as back:
        kept = back.execute("SELECT totp, totp_wrong, totp_locked_until FROM subject_phone").fetchone()
    assert kept == (None, 0, None)
    schema.upgrade(*both)

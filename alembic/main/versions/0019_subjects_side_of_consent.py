"""The subject's side of consent: confirmations with their evidence, binding codes by handle, who guesses at handles.

Revision 0019, after 0018. Binding codes that were handed out before have no handle and cannot be looked up by one; they
counted for fifteen minutes and are dropped. Confirmations of before stand in the log alone; those that name evidence
are copied from there (`from_log`), so that the same paper confirms nothing once more. The log of before says neither
what kind of evidence it was (`unknown`) nor when the person signed (null), and the same evidence may stand there twice:
that is kept as it was. Only confirmations that are made from now on are held to evidence of their own.

Phones of before hold the secret of one-time passwords by the clock (RFC 6238, 20 bytes), which answers no challenge. It
is destroyed: such a phone confirms on no page until it has fetched a secret of the new kind (`POST
/subject/v1/phones/page-codes`, signed by its key) or is bound anew; its signed door works as before. Its owner is told
by a message. Going back gives no secret of before back.

Of collectors registered before, the number alone is known, as a keyed hash by which the registry finds nobody: they are
told apart by that number, until they are registered again under another code.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_AT = sa.DateTime(timezone=True)
_RENAMED = (  # where the secret of one-time passwords was, that of codes over a challenge is to be
    ("totp", "page_secret"),
    ("totp_step", "page_step"),
)


def upgrade() -> None:
    op.create_table(
        "consent_confirmation",
        sa.Column("confirmation_id", sa.Uuid(), nullable=False),
        sa.Column("consent_id", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("evidence_kind", sa.String(), nullable=False),
        sa.Column("evidence_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("collector", sa.String(), nullable=True),
        sa.Column("device", sa.String(), nullable=True),
        sa.Column("captured_at", _AT, nullable=True),
        sa.Column("confirmed_at", _AT, nullable=False),
        sa.Column("from_log", sa.Boolean(), server_default="false", nullable=False),
        sa.PrimaryKeyConstraint("confirmation_id"),
    )
    op.create_index(
        "consent_confirmation_once",
        "consent_confirmation",
        ["recipient", "evidence_sha256"],
        unique=True,
        postgresql_where=sa.text("NOT from_log"),
    )
    op.create_index("consent_confirmation_by_evidence", "consent_confirmation", ["evidence_sha256"])
    op.create_index("consent_confirmation_by_consent", "consent_confirmation", ["consent_id", "captured_at"])
    op.execute(
        "INSERT INTO consent_confirmation (confirmation_id, consent_id, recipient, channel, evidence_kind,"
        " evidence_sha256, collector, captured_at, confirmed_at, from_log)"
        " SELECT entry_id, consent_id, fields->>'recipient', fields->>'channel',"
        " coalesce(fields->>'evidence_kind', 'unknown'), decode(fields->>'evidence_sha256', 'hex'),"
        " fields->>'collector', (fields->>'captured_at')::timestamptz, at, true FROM log_entry"
        " WHERE event = 'consent:grant:reconfirmed' AND fields->>'evidence_sha256' IS NOT NULL"
    )
    op.create_index(
        "consent_of_others",
        "consent",
        ["consent_id"],
        postgresql_where=sa.text("representation IS NOT NULL AND state IN ('requested', 'active', 'paused')"),
    )
    op.execute("DELETE FROM binding_code")
    op.add_column("binding_code", sa.Column("handle", sa.String(), nullable=False))
    op.create_unique_constraint("binding_code_handle_key", "binding_code", ["handle"])
    _end_passwords_by_the_clock()
    op.add_column(
        "collector", sa.Column("lookups", postgresql.ARRAY(sa.LargeBinary()), server_default="{}", nullable=False)
    )
    op.create_table(
        "presence_wrong",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("since", _AT, nullable=False),
        sa.Column("told_at", _AT, nullable=True),
        sa.PrimaryKeyConstraint("client_id", "organisation"),
    )
    op.create_table(
        "binding_miss",
        sa.Column("source", sa.LargeBinary(), nullable=False),
        sa.Column("since", _AT, nullable=False),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )


def _end_passwords_by_the_clock() -> None:
    """Destroy the secrets of phones that stand, and tell their owners."""
    op.execute(
        "INSERT INTO subject_message (message_id, subject_id, kind, facts, at)"
        " SELECT gen_random_uuid(), subject_id, 'page_codes_ended', jsonb_build_object('phone', client_id), now()"
        " FROM subject_phone WHERE totp IS NOT NULL"
    )
    op.execute("UPDATE subject_phone SET totp = NULL, totp_step = 0")
    op.drop_column("subject_phone", "totp_wrong")
    op.drop_column("subject_phone", "totp_locked_until")
    for old, new in _RENAMED:
        op.alter_column("subject_phone", old, new_column_name=new)


def downgrade() -> None:
    op.drop_table("binding_miss")
    op.drop_table("presence_wrong")
    op.drop_column("collector", "lookups")
    for old, new in _RENAMED:
        op.alter_column("subject_phone", new, new_column_name=old)
    op.execute("UPDATE subject_phone SET totp = NULL")  # a secret of codes over a challenge is no password's either
    op.add_column("subject_phone", sa.Column("totp_wrong", sa.Integer(), server_default="0", nullable=False))
    op.alter_column("subject_phone", "totp_wrong", server_default=None)
    op.add_column("subject_phone", sa.Column("totp_locked_until", _AT, nullable=True))
    op.drop_constraint("binding_code_handle_key", "binding_code")
    op.drop_column("binding_code", "handle")
    op.drop_index("consent_of_others", "consent")
    op.drop_table("consent_confirmation")

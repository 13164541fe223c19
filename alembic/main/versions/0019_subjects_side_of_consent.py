"""The subject's side of consent: confirmations with their evidence, binding codes by handle, who guesses at handles.

Revision 0019, after 0018. Binding codes that were handed out before have no handle and cannot be looked up by one; they
counted for fifteen minutes and are dropped. Confirmations of before stand in the log alone; those that name evidence
are copied from there, so that the same paper confirms nothing once more.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_AT = sa.DateTime(timezone=True)
_RENAMED = (  # what was the secret of one-time passwords is that of codes over a challenge
    ("totp", "page_secret"),
    ("totp_step", "page_step"),
    ("totp_wrong", "page_wrong"),
    ("totp_locked_until", "page_locked_until"),
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
        sa.Column("captured_at", _AT, nullable=False),
        sa.Column("confirmed_at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("confirmation_id"),
        sa.UniqueConstraint("recipient", "evidence_sha256"),
    )
    op.create_index("consent_confirmation_by_consent", "consent_confirmation", ["consent_id", "captured_at"])
    op.execute(
        "INSERT INTO consent_confirmation (confirmation_id, consent_id, recipient, channel, evidence_kind,"
        " evidence_sha256, captured_at, confirmed_at)"
        " SELECT entry_id, consent_id, fields->>'recipient', fields->>'channel', 'paper_scan',"
        " decode(fields->>'evidence_sha256', 'hex'), at, at FROM log_entry"
        " WHERE event = 'consent:grant:reconfirmed' AND fields->>'evidence_sha256' IS NOT NULL"
        " ORDER BY at ON CONFLICT DO NOTHING"
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
    for old, new in _RENAMED:
        op.alter_column("subject_phone", old, new_column_name=new)
    op.create_table(
        "binding_miss",
        sa.Column("source", sa.LargeBinary(), nullable=False),
        sa.Column("since", _AT, nullable=False),
        sa.Column("misses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )


def downgrade() -> None:
    op.drop_table("binding_miss")
    for old, new in _RENAMED:
        op.alter_column("subject_phone", new, new_column_name=old)
    op.drop_constraint("binding_code_handle_key", "binding_code")
    op.drop_column("binding_code", "handle")
    op.drop_index("consent_of_others", "consent")
    op.drop_table("consent_confirmation")

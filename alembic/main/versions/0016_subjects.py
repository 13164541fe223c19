"""The subjects' door: phones bound in person, messages, statements, disputes, complaints.

Revision 0016, after 0015.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MOMENT = sa.DateTime(timezone=True)
_STANDING = sa.text("ended_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "subject_phone",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("thumbprint", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("bound_by", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("collector", sa.String(), nullable=False),
        sa.Column("bound_at", _MOMENT, nullable=False),
        sa.Column("active_from", _MOMENT, nullable=False),
        sa.Column("trial_until", _MOMENT, nullable=True),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.Column("totp", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        sa.Column("totp_wrong", sa.Integer(), nullable=False),
        sa.Column("totp_locked_until", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("client_id"),
        sa.UniqueConstraint("thumbprint"),
    )
    op.create_index("subject_phone_by_subject", "subject_phone", ["subject_id", "state"])
    op.create_index(
        "subject_phone_waiting", "subject_phone", ["active_from"], postgresql_where=sa.text("state = 'waiting'")
    )
    op.create_table(
        "binding_code",
        sa.Column("code_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("code_mac", sa.LargeBinary(), nullable=False),
        sa.Column("issued_by", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("collector", sa.String(), nullable=False),
        sa.Column("issued_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("used_at", _MOMENT, nullable=True),
        sa.Column("exhausted_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("code_id"),
    )
    op.create_index("binding_code_by_subject", "binding_code", ["subject_id", "issued_at"])
    op.create_table(
        "subject_message",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.create_index("subject_message_by_subject", "subject_message", ["subject_id", "at", "message_id"])
    op.create_table(
        "subject_choice",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("access_messages_from", _MOMENT, nullable=True),
        sa.Column("chosen_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("subject_id"),
    )
    op.create_table(
        "subject_statement",
        sa.Column("statement_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("statement_id"),
    )
    op.create_index("ix_subject_statement_subject_id", "subject_statement", ["subject_id"])
    op.create_index(
        "subject_statement_standing", "subject_statement", ["subject_id"], unique=True, postgresql_where=_STANDING
    )
    _create_dispute()
    _create_complaint()


def _create_dispute() -> None:
    op.create_table(
        "dispute",
        sa.Column("dispute_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("until_version", sa.Integer(), nullable=True),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=True),
        sa.Column("evidence_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("filed_by", sa.String(), nullable=False),
        sa.Column("filed_at", _MOMENT, nullable=False),
        sa.Column("warn_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("warned_at", _MOMENT, nullable=True),
        sa.Column("escalated_at", _MOMENT, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("marked", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("answered_at", _MOMENT, nullable=True),
        sa.Column("answered_by", sa.String(), nullable=True),
        sa.Column("reply", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("dispute_id"),
        sa.UniqueConstraint("number"),
    )
    op.create_index("dispute_marked", "dispute", ["subject_id"], postgresql_where=sa.text("marked"))
    op.create_index("dispute_by_subject", "dispute", ["subject_id", "filed_at"])
    op.create_index("dispute_by_agency", "dispute", ["agency", "state", "due_at"])
    op.create_index(
        "dispute_open_item",
        "dispute",
        ["subject_id", "record_id", "item"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )


def _create_complaint() -> None:
    op.create_table(
        "complaint",
        sa.Column("complaint_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("organisation", sa.LargeBinary(), nullable=True),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.Column("filed_by", sa.String(), nullable=False),
        sa.Column("filed_at", _MOMENT, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("escalated_at", _MOMENT, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("answered_at", _MOMENT, nullable=True),
        sa.Column("answered_by", sa.String(), nullable=True),
        sa.Column("reply", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("complaint_id"),
        sa.UniqueConstraint("number"),
    )
    op.create_index("complaint_by_subject", "complaint", ["subject_id", "filed_at"])
    op.create_index("complaint_open", "complaint", ["due_at"], postgresql_where=sa.text("state = 'open'"))


def downgrade() -> None:
    for table in (
        "complaint",
        "dispute",
        "subject_statement",
        "subject_choice",
        "subject_message",
        "binding_code",
        "subject_phone",
    ):
        op.drop_table(table)

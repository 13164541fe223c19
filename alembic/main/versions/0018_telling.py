"""Telling: events to lenders, deletion notices, reminders, figures.

Revision 0018, after 0017. What stands in the log before it is told to no lender: telling begins behind it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "telling_progress",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reached", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.execute("INSERT INTO telling_progress SELECT 'log', coalesce(max(leaf_index), -1) FROM log_position")
    op.create_table(
        "lender_event",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("settled_at", _AT, nullable=True),
        sa.Column("settled", sa.String(), nullable=True),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("entry_id"),
    )
    op.create_index(
        "lender_event_waiting",
        "lender_event",
        ["organisation", "position"],
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index(
        "lender_event_settled", "lender_event", ["settled_at"], postgresql_where=sa.text("settled_at IS NOT NULL")
    )
    op.create_table(
        "event_push",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("since", _AT, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at", _AT, nullable=False),
        sa.Column("paused_at", _AT, nullable=True),
        sa.PrimaryKeyConstraint("organisation"),
    )
    op.create_table(
        "event_delivery",
        sa.Column("delivery_id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("at", _AT, nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.create_index("event_delivery_by_time", "event_delivery", ["at"])
    op.create_index("event_delivery_by_organisation", "event_delivery", ["organisation", "at"])
    op.create_table(
        "deletion_notice",
        sa.Column("position", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("consent_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("queries", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("ended_at", _AT, nullable=False),
        sa.Column("due_at", _AT, nullable=False),
        sa.Column("acknowledged_at", _AT, nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("legal_basis", sa.String(), nullable=True),
        sa.Column("overdue_at", _AT, nullable=True),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("notice_id"),
    )
    op.create_index("deletion_notice_by_consent", "deletion_notice", ["consent_id"])
    op.create_index(
        "deletion_notice_of_ended",
        "deletion_notice",
        ["organisation", "consent_id"],
        unique=True,
        postgresql_where=sa.text("reason <> 'data-life'"),
    )
    op.create_index("deletion_notice_by_organisation", "deletion_notice", ["organisation", "position"])
    op.create_index(
        "deletion_notice_open", "deletion_notice", ["due_at"], postgresql_where=sa.text("acknowledged_at IS NULL")
    )
    op.create_table(
        "reminder_sent",
        sa.Column("consent_id", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("due_at", _AT, nullable=False),
        sa.Column("sent_at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("consent_id", "what", "due_at"),
    )
    op.create_table(
        "consent_request_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "channel", "stage", "language"),
    )


def downgrade() -> None:
    for table in (
        "consent_request_day",
        "reminder_sent",
        "deletion_notice",
        "event_delivery",
        "event_push",
        "lender_event",
        "telling_progress",
    ):
        op.drop_table(table)

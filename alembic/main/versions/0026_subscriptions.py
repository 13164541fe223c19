"""Subscriptions of lenders and what they were told.

Revision 0026, after 0025. New tables, and an index by which the records of an entry of the log are found. What stands
in the log before this revision is told under no subscription.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("record_chunk_by_entry", "record_chunk", ["entry_id"])
    op.create_table(
        "monitor_subscription",
        sa.Column("position", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("consent_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("business_no", sa.String(), nullable=True),
        sa.Column("items", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("staff", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("subscription_id"),
    )
    op.create_index("monitor_subscription_by_organisation", "monitor_subscription", ["organisation", "position"])
    for name, column in (("of_subject", "subject_id"), ("of_consent", "consent_id")):
        op.create_index(
            f"monitor_subscription_{name}",
            "monitor_subscription",
            [column],
            postgresql_where=sa.text("ended_at IS NULL"),
        )
    op.create_table(
        "monitor_event",
        sa.Column("position", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("consent_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("event_id"),
        sa.UniqueConstraint("subscription_id", "sequence"),
    )
    op.create_index("monitor_event_by_organisation", "monitor_event", ["organisation", "position"])
    op.create_index(
        "monitor_event_waiting",
        "monitor_event",
        ["organisation", "subject_id", "position"],
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_index("monitor_event_by_time", "monitor_event", ["made_at"])
    op.create_table(
        "webhook",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("challenges", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("organisation"),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("position", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("webhook_delivery_by_organisation", "webhook_delivery", ["organisation", "position"])
    op.create_index("webhook_delivery_by_time", "webhook_delivery", ["at"])
    op.execute(
        "INSERT INTO telling_progress (name, reached) SELECT 'monitor', coalesce(max(leaf_index), -1) FROM log_position"
    )


def downgrade() -> None:
    op.execute("DELETE FROM telling_progress WHERE name = 'monitor'")
    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
    op.drop_table("monitor_event")
    op.drop_table("monitor_subscription")
    op.drop_index("record_chunk_by_entry", "record_chunk")

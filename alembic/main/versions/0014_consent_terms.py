"""What a consent says of itself in full: who acted, sensitive items, monthly uses, two signatures, refusals.

Revision 0014, after 0012. Consents of before state no uses a month and no data life: theirs are those of the purpose.
Also when a subject is known to have died: nothing is released of the dead, and nobody consents for them.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0014"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_STATED = ("sensitive_agreed", "month_uses", "evidence_redacted")  # filled once, for the consents that stand


def _columns() -> tuple[sa.Column, ...]:
    return (
        sa.Column("sensitive_agreed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("uses_per_month", sa.Integer(), nullable=True),
        sa.Column("month", sa.String(), nullable=True),
        sa.Column("month_uses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reconfirm_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("data_life_days", sa.Integer(), nullable=True),
        sa.Column("representation", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("evidence_sm3", sa.LargeBinary(), nullable=True),
        sa.Column("evidence_redacted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("receipt_sm2", sa.Text(), nullable=True),
    )


def upgrade() -> None:
    for column in _columns():
        op.add_column("consent", column)
    for name in _STATED:
        op.alter_column("consent", name, server_default=None)
    op.create_index("consent_by_previous", "consent", ["previous"], unique=False)
    op.create_table(
        "consent_refusal",
        sa.Column("refusal_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("refusal_id"),
    )
    op.create_index(
        "consent_refusal_by_subject",
        "consent_refusal",
        ["subject_id", "recipient", "purpose", "refused_at"],
        unique=False,
    )
    op.add_column("subject", sa.Column("deceased_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("subject", "deceased_at")
    op.drop_index("consent_refusal_by_subject", table_name="consent_refusal")
    op.drop_table("consent_refusal")
    op.drop_index("consent_by_previous", table_name="consent")
    for column in reversed(_columns()):
        op.drop_column("consent", column.name)

"""What people decide of rows.

Revision 0006, after 0005.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("record", sa.Column("recalled_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "record_recalled", "record", ["recalled_at"], unique=False, postgresql_where=sa.text("recalled_at IS NOT NULL")
    )
    op.create_table(
        "mending",
        sa.Column("mending_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("raw_id", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("places", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("successor", sa.Uuid(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("proposer", sa.String(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approver", sa.String(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("weighed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.batch_id"]),
        sa.ForeignKeyConstraint(["raw_id"], ["raw_file.raw_id"]),
        sa.PrimaryKeyConstraint("mending_id"),
    )
    op.create_index("mending_by_batch", "mending", ["batch_id", "state"], unique=False)
    op.create_index("mending_by_file", "mending", ["raw_id", "state"], unique=False)
    op.create_index(op.f("ix_mending_organisation"), "mending", ["organisation"], unique=False)
    op.create_table(
        "agency_setting",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("four_eyes", sa.Boolean(), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("organisation"),
    )
    op.create_table(
        "column_mapping",
        sa.Column("mapping_id", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("heading", sa.String(), nullable=False),
        sa.Column("column", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("proposer", sa.String(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approver", sa.String(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("mapping_id"),
        sa.UniqueConstraint("organisation", "kind", "heading"),
    )
    op.create_table(
        "lender_notice",
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("notice_id", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("queries", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("recalled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("notice_id"),
        sa.UniqueConstraint("organisation", "commitment"),
    )


def downgrade() -> None:
    op.drop_table("lender_notice")
    op.drop_table("column_mapping")
    op.drop_table("agency_setting")
    op.drop_table("mending")
    op.drop_index("record_recalled", table_name="record", postgresql_where=sa.text("recalled_at IS NOT NULL"))
    op.drop_column("record", "recalled_at")

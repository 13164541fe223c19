"""Sealed identifiers of people who consented; findings of consistency rules.

Revision 0007, after 0006.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "subject_identifier",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.subject_id"]),
        sa.PrimaryKeyConstraint("subject_id"),
    )
    op.create_table(
        "finding",
        sa.Column("finding_id", sa.Uuid(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("class_code", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.String(), nullable=False),
        sa.Column("found_at", _MOMENT, nullable=False),
        sa.Column("cleared_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("finding_id"),
    )
    op.create_index(
        "finding_standing",
        "finding",
        ["subject_id", "rule", "record_id", "version"],
        unique=True,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_index("finding_by_agency", "finding", ["agency", "batch_id"])
    op.create_index("finding_by_time", "finding", ["found_at"])
    op.create_table(
        "check_mark",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("rule", "token", "subject_id"),
    )
    op.create_index("check_mark_by_subject", "check_mark", ["subject_id"])
    op.create_table(
        "checked_publication",
        sa.Column("publication_id", sa.Uuid(), nullable=False),
        sa.Column("after_subject", sa.Uuid(), nullable=False),
        sa.Column("subjects", sa.Integer(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("cleared", sa.Integer(), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("done_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("publication_id"),
    )


def downgrade() -> None:
    op.drop_table("checked_publication")
    op.drop_index("check_mark_by_subject", table_name="check_mark")
    op.drop_table("check_mark")
    op.drop_index("finding_by_time", table_name="finding")
    op.drop_index("finding_by_agency", table_name="finding")
    op.drop_index("finding_standing", table_name="finding")
    op.drop_table("finding")
    op.drop_table("subject_identifier")

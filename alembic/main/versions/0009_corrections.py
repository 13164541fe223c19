"""Corrections are told to lenders too, and a mapping remembers the batch that it was made for.

Revision 0009, after 0007.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OLD, _NEW = "lender_notice_organisation_commitment_key", "lender_notice_organisation_commitment_event_key"


def upgrade() -> None:
    op.add_column("column_mapping", sa.Column("batch_id", sa.Uuid(), nullable=True))
    op.add_column("lender_notice", sa.Column("event", sa.String(), server_default="recalled", nullable=False))
    op.alter_column("lender_notice", "event", server_default=None)
    op.drop_constraint(_OLD, "lender_notice", type_="unique")
    op.create_unique_constraint(_NEW, "lender_notice", ["organisation", "commitment", "event"])


def downgrade() -> None:
    op.execute("DELETE FROM lender_notice WHERE event <> 'recalled'")
    op.drop_constraint(_NEW, "lender_notice", type_="unique")
    op.create_unique_constraint(_OLD, "lender_notice", ["organisation", "commitment"])
    op.drop_column("lender_notice", "event")
    op.drop_column("column_mapping", "batch_id")

"""A decided mapping stays in force while another one of the same heading is only proposed.

Revision 0010, after 0009.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("column_mapping", sa.Column("in_force", sa.String(), nullable=True))
    op.execute("UPDATE column_mapping SET in_force = \"column\" WHERE state = 'decided'")


def downgrade() -> None:
    op.drop_column("column_mapping", "in_force")

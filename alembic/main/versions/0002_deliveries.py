"""How files came.

Revision 0002, after 0001.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    for name in ("channel", "agency", "source", "manifest"):
        said = "command" if name == "channel" else ""
        op.add_column("raw_file", sa.Column(name, sa.String(), nullable=False, server_default=said))
        op.alter_column("raw_file", name, server_default=None)
    mapping = sa.Column("mapping", postgresql.JSONB(astext_type=sa.Text()), nullable=False, server_default="{}")
    op.add_column("raw_file", mapping)
    op.alter_column("raw_file", "mapping", server_default=None)


def downgrade() -> None:
    for name in ("mapping", "manifest", "source", "agency", "channel"):
        op.drop_column("raw_file", name)

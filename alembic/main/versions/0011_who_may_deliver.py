"""What agencies may deliver; whose a publication is; the same bytes of two agencies are two files.

Revision 0011, after 0010. Nobody is permitted anything by it: the operator says what each agency may deliver. The way
back is barred by the database as long as the same bytes of two agencies stand.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OLD, _NEW = "raw_file_sm3_key", "raw_file_agency_sm3_key"


def upgrade() -> None:
    op.create_table(
        "agency_source",
        sa.Column("agency", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("agency", "source"),
    )
    op.add_column("publication", sa.Column("sender", sa.String(), server_default="", nullable=False))
    op.alter_column("publication", "sender", server_default=None)
    op.execute(
        "UPDATE publication p SET sender = f.agency FROM batch b JOIN raw_file f USING (raw_id)"
        " WHERE b.batch_id = p.batch_id"
    )
    op.drop_constraint(_OLD, "raw_file", type_="unique")
    op.create_unique_constraint(_NEW, "raw_file", ["agency", "sm3"])


def downgrade() -> None:
    op.drop_constraint(_NEW, "raw_file", type_="unique")
    op.create_unique_constraint(_OLD, "raw_file", ["sm3"])
    op.drop_column("publication", "sender")
    op.drop_table("agency_source")

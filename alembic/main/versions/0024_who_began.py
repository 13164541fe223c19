"""Who began a consent, and since when it is paused.

Revision 0024, after 0023. Of what was recorded before nobody knows who began. A consent that stands paused was paused
when it came into this state; pauses of consents that have ended since are not looked for.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("consent", sa.Column("asked_by", sa.String(), nullable=True))
    op.add_column("consent", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE consent SET paused_at = state_at WHERE state = 'paused'")


def downgrade() -> None:
    op.drop_column("consent", "paused_at")
    op.drop_column("consent", "asked_by")

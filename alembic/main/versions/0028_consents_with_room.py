"""Pages of consents keep room: counting a use then writes the row beside itself and no entry into seven indexes.

Revision 0028, after 0027.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE consent SET (fillfactor = 80)")


def downgrade() -> None:
    op.execute("ALTER TABLE consent RESET (fillfactor)")

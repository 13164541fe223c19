"""How recipients are reached, one contact an organisation (个人信息保护法 §23); in which language a page was opened.

Revision 0020, after 0019. Organisations registered before have none; nobody can be asked in their name until the
operator has said it (`qingqiao lender contact`). Receipts that were made before stay as they are.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "recipient_contact",
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("office", sa.String(), nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("stated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("recipient"),
    )
    op.add_column("authorization_request", sa.Column("language", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("authorization_request", "language")
    op.drop_table("recipient_contact")

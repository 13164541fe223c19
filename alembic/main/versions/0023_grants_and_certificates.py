"""Grant management and client certificates: what a request is to take the place of, scopes, what a client shows.

Revision 0023, after 0022. Systems of lenders that may ask persons for consent (scope `consents`) may see and give up
what those agreed to. Tokens that were issued before do not have the new scopes. No client has a certificate
yet (`qingqiao lender certificate`).
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_GAIN = """
UPDATE client SET scopes = ARRAY(
    SELECT scope FROM unnest(scopes || '{grant_management_query,grant_management_revoke}') AS scope
    GROUP BY scope ORDER BY scope COLLATE "C"
) WHERE role = 'lender' AND 'consents' = ANY(scopes)
"""
_LOSE = """
UPDATE client SET scopes = array_remove(array_remove(scopes, 'grant_management_query'), 'grant_management_revoke')
WHERE role = 'lender'
"""


def upgrade() -> None:
    op.add_column("authorization_request", sa.Column("replaces", sa.String(), nullable=True))
    op.add_column("client", sa.Column("certificate", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.execute(_GAIN)


def downgrade() -> None:
    op.execute(_LOSE)
    op.drop_column("client", "certificate")
    op.drop_column("authorization_request", "replaces")

"""Registrations of lenders, officers who approve them, their keys' dates, notes and warnings, staff of lenders.

Revision 0025, after 0024. Systems of lenders gain the scope `registration`: they see their own registration, change
their keys and keep a list of their staff. Tokens that were issued before do not have it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_GAIN = """
UPDATE client SET scopes = ARRAY(
    SELECT scope FROM unnest(scopes || '{registration}') AS scope GROUP BY scope ORDER BY scope COLLATE "C"
) WHERE role = 'lender'
"""
_LOSE = "UPDATE client SET scopes = array_remove(scopes, 'registration') WHERE role = 'lender'"
_TABLES = (
    "lender_staff",
    "staff_list",
    "client_warning",
    "client_note",
    "client_key",
    "client_profile",
    "matter_approval",
    "matter",
    "officer",
)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=False)


def _place() -> sa.Column[int]:
    return sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def upgrade() -> None:
    op.add_column("client", _moment("tokens_from", nullable=True))
    _officers()
    _systems()
    _staff()
    op.execute(_GAIN)


def _officers() -> None:
    op.create_table(
        "officer",
        _text("officer_id"),
        _text("role"),
        _json("jwk"),
        _text("thumbprint"),
        _moment("added_at"),
        _moment("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("officer_id"),
        sa.UniqueConstraint("thumbprint"),
    )
    op.create_table(
        "matter",
        sa.Column("matter_id", sa.Uuid(), nullable=False),
        _text("kind"),
        _text("state"),
        _text("organisation"),
        _text("client_id", nullable=True),
        _json("content"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _text("reason", nullable=True),
        _moment("opened_at"),
        _moment("fetched_at", nullable=True),
        _moment("settled_at", nullable=True),
        sa.PrimaryKeyConstraint("matter_id"),
    )
    op.create_index("matter_open", "matter", ["opened_at"], postgresql_where=sa.text("settled_at IS NULL"))
    op.create_table(
        "matter_approval",
        sa.Column("matter_id", sa.Uuid(), nullable=False),
        _text("officer_id"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _text("statement"),
        _moment("approved_at"),
        sa.PrimaryKeyConstraint("matter_id", "officer_id"),
    )


def _systems() -> None:
    op.create_table(
        "client_profile",
        _text("client_id"),
        _text("client_name"),
        _text("uscc"),
        sa.Column("contacts", postgresql.ARRAY(sa.Text()), nullable=False),
        _json("technical"),
        _json("security"),
        sa.Column("service_regions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("daily_cap", sa.Integer(), nullable=False),
        sa.Column("monthly_cap", sa.Integer(), nullable=False),
        _text("jwks_uri", nullable=True),
        _moment("fetched_at", nullable=True),
        _moment("wanted_at", nullable=True),
        _text("fault", nullable=True),
        sa.PrimaryKeyConstraint("client_id"),
    )
    op.create_table(
        "client_key",
        _text("client_id"),
        _text("thumbprint"),
        _moment("added_at"),
        _moment("leaves_at", nullable=True),
        sa.PrimaryKeyConstraint("client_id", "thumbprint"),
    )
    op.create_index("client_key_by_thumbprint", "client_key", ["thumbprint"])
    op.create_table(
        "client_note",
        _place(),
        _text("client_id"),
        _text("code"),
        _json("fields"),
        _moment("noted_at"),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("client_note_by_client", "client_note", ["client_id", "position"])
    op.create_table(
        "client_warning",
        _text("client_id"),
        _text("thumbprint"),
        sa.Column("days", sa.Integer(), nullable=False),
        _moment("warned_at"),
        sa.PrimaryKeyConstraint("client_id", "thumbprint", "days"),
    )


def _staff() -> None:
    op.create_table(
        "staff_list",
        _text("organisation"),
        _moment("since"),
        sa.PrimaryKeyConstraint("organisation"),
    )
    op.create_table(
        "lender_staff",
        _place(),
        _text("organisation"),
        _text("user_id"),
        _text("department"),
        _moment("valid_from"),
        _moment("valid_until"),
        _moment("stated_at"),
        _text("stated_by"),
        _moment("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index(
        "lender_staff_standing",
        "lender_staff",
        ["organisation", "user_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("lender_staff_history", "lender_staff", ["organisation", "position"])


def downgrade() -> None:
    op.execute(_LOSE)
    for name in _TABLES:
        op.drop_table(name)
    op.drop_column("client", "tokens_from")

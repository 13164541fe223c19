"""How much clients, users and subjects were asked, what was found of it; what was made under which key.

Revision 0027, after 0026.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "limit_count",
        _text("key"),
        _text("part"),
        sa.Column("day", sa.Date(), nullable=False),
        _number("n"),
        sa.Column("paced_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", "part", "day"),
    )
    op.create_index("limit_count_by_day", "limit_count", ["day"])
    op.create_table(
        "limit_denied",
        _text("key"),
        _text("part"),
        sa.Column("recent", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        _moment("denied_at"),
        sa.PrimaryKeyConstraint("key", "part"),
    )
    op.create_table(
        "limit_hold",
        _text("key"),
        _text("part"),
        _moment("until"),
        sa.PrimaryKeyConstraint("key", "part"),
    )
    op.create_table(
        "once",
        _text("client_id"),
        _text("door"),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("made", sa.String(), nullable=True),
        _moment("made_at"),
        sa.PrimaryKeyConstraint("client_id", "door", "key"),
    )
    op.create_index("once_by_age", "once", ["made_at"])
    op.create_table(
        "alert",
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _text("rule"),
        _text("code"),
        _text("client_id"),
        _text("organisation"),
        _text("user_code"),
        sa.Column("day", sa.Date(), nullable=False),
        _number("window_seconds"),
        _number("counted"),
        _number("refused"),
        _moment("raised_at"),
        _moment("last_at"),
        _moment("held_until", nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
    )
    of_a_day = ["rule", "code", "client_id", "user_code", "day"]
    op.create_index("alert_of_a_day", "alert", of_a_day, unique=True)
    op.create_index("alert_by_position", "alert", ["position"], unique=True)
    op.create_index("alert_by_client", "alert", ["client_id", "position"])


def downgrade() -> None:
    for name in ("alert", "once", "limit_hold", "limit_denied", "limit_count"):
        op.drop_table(name)

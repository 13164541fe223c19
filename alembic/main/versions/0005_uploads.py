"""Uploads and manifests.

Revision 0005, after 0004.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def _text(name: str) -> sa.Column:
    return sa.Column(name, sa.String(), nullable=False)


def _number(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _bytes(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "upload",
        sa.Column("upload_id", sa.Uuid(), nullable=False),
        *map(_text, ("agency", "client_id", "label", "source", "metadata_text", "manifest")),
        _bytes("sha256", nullable=True),
        _number("size_bytes"),
        _number("received_bytes"),
        *map(_text, ("state", "fault")),
        _moment("created_at"),
        _moment("expires_at"),
        *(_moment(name, nullable=True) for name in ("completed_at", "not_before", "ended_at")),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _text("stage"),
        *map(_number, ("rows_read", "rows_checked", "rows_accepted")),
        sa.Column("raw_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("upload_id"),
    )
    op.create_index("upload_by_state", "upload", ["state", "not_before"])
    op.create_index("upload_by_agency", "upload", ["agency", "created_at"])
    op.create_table(
        "agency_key",
        *map(_text, ("key_id", "agency", "algorithm")),
        _bytes("public"),
        _moment("valid_from"),
        *(_moment(name, nullable=True) for name in ("valid_until", "revoked_at")),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_index(op.f("ix_agency_key_agency"), "agency_key", ["agency"])
    op.create_table(
        "manifest",
        *map(_text, ("manifest_id", "agency", "key_id", "jws")),
        _moment("made_at"),
        _moment("received_at"),
        sa.ForeignKeyConstraint(["key_id"], ["agency_key.key_id"]),
        sa.PrimaryKeyConstraint("manifest_id"),
    )
    op.create_index(op.f("ix_manifest_agency"), "manifest", ["agency"])
    op.create_table(
        "manifest_file",
        _text("manifest_id"),
        _bytes("sha256"),
        _bytes("sm3"),
        _number("size_bytes"),
        _number("rows", nullable=True),
        _number("amount_fen", nullable=True),
        _moment("applied_at", nullable=True),
        sa.ForeignKeyConstraint(["manifest_id"], ["manifest.manifest_id"]),
        sa.PrimaryKeyConstraint("manifest_id", "sha256"),
    )
    op.create_index("manifest_file_by_hash", "manifest_file", ["sha256"])


def downgrade() -> None:
    for name in ("manifest_file", "manifest", "agency_key", "upload"):
        op.drop_table(name)

"""Capture: pushed requests and codes, requests to phones, collectors, paper, devices and their chains.

Revision 0017, after 0016. No client has a redirect URI by it: nobody is sent to the page before the operator registers
one.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_AT = sa.DateTime(timezone=True)
_TEXTS = postgresql.ARRAY(sa.Text())
_JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.add_column("client", sa.Column("redirect_uris", _TEXTS, server_default="{}", nullable=False))
    op.create_table(
        "authorization_request",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("redirect_uri", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=True),
        sa.Column("nonce", sa.String(), nullable=True),
        sa.Column("code_challenge", sa.String(), nullable=False),
        sa.Column("dpop_jkt", sa.String(), nullable=False),
        sa.Column("scopes", _TEXTS, nullable=False),
        sa.Column("wanted", _JSON, nullable=False),
        sa.Column("created_at", _AT, nullable=False),
        sa.Column("expires_at", _AT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("settled_at", _AT, nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("granted", _JSON, nullable=True),
        sa.Column("code_digest", sa.LargeBinary(), nullable=True),
        sa.Column("code_until", _AT, nullable=True),
        sa.Column("code_used_at", _AT, nullable=True),
        sa.Column("token_jti", sa.String(), nullable=True),
        sa.Column("token_until", _AT, nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("authorization_request_by_code", "authorization_request", ["code_digest"], unique=True)
    op.create_index("authorization_request_by_expiry", "authorization_request", ["expires_at"])
    op.create_table(
        "consent_request",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("terms", _JSON, nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("user_code", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("text_version", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("consent_id", sa.String(), nullable=True),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("created_at", _AT, nullable=False),
        sa.Column("expires_at", _AT, nullable=False),
        sa.Column("settled_at", _AT, nullable=True),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index("consent_request_by_subject", "consent_request", ["subject_id", "state"])
    op.create_index("consent_request_by_recipient", "consent_request", ["recipient", "expires_at"])
    op.create_index(
        "consent_request_by_expiry", "consent_request", ["expires_at"], postgresql_where=sa.text("state = 'offered'")
    )
    op.create_table(
        "capture_evidence",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("consent_id", sa.String(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index("ix_capture_evidence_consent_id", "capture_evidence", ["consent_id"])
    op.create_table(
        "collector",
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("person", sa.LargeBinary(), nullable=False),
        sa.Column("valid_from", _AT, nullable=False),
        sa.Column("valid_until", _AT, nullable=True),
        sa.PrimaryKeyConstraint("organisation", "code"),
    )
    op.create_table(
        "paper_consent",
        sa.Column("paper_id", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("original_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("terms", _JSON, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("entered_by", sa.String(), nullable=False),
        sa.Column("entered_at", _AT, nullable=False),
        sa.Column("open_until", _AT, nullable=False),
        sa.Column("decided_client", sa.String(), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at", _AT, nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("consent_id", sa.String(), nullable=True),
        sa.Column("scan", sa.LargeBinary(), nullable=True),
        sa.Column("scan_type", sa.String(), nullable=True),
        sa.Column("scan_sha256", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("paper_id"),
    )
    op.create_index("paper_consent_by_organisation", "paper_consent", ["organisation", "state", "entered_at"])
    op.create_index("paper_consent_by_original", "paper_consent", ["organisation", "original_sha256"])
    op.create_table(
        "capture_device",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("organisation", sa.String(), nullable=False),
        sa.Column("algorithm", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("valid_from", _AT, nullable=False),
        sa.Column("ended_at", _AT, nullable=True),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("last_at", _AT, nullable=True),
        sa.Column("announced", sa.Integer(), nullable=False),
        sa.Column("announced_head", sa.LargeBinary(), nullable=True),
        sa.Column("announced_at", _AT, nullable=True),
        sa.PrimaryKeyConstraint("device_id"),
    )
    op.create_index("capture_device_by_organisation", "capture_device", ["organisation"])
    op.create_table(
        "offline_head",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("link", sa.LargeBinary(), nullable=False),
        sa.Column("announced_at", _AT, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "counter"),
    )
    op.create_table(
        "offline_record",
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("link", sa.LargeBinary(), nullable=False),
        sa.Column("captured_at", _AT, nullable=False),
        sa.Column("uploaded_at", _AT, nullable=False),
        sa.Column("consent_id", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("device_id", "counter"),
    )


def downgrade() -> None:
    for table in (
        "offline_record",
        "offline_head",
        "capture_device",
        "paper_consent",
        "collector",
        "capture_evidence",
        "consent_request",
        "authorization_request",
    ):
        op.drop_table(table)
    op.drop_column("client", "redirect_uris")

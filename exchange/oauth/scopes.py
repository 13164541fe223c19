"""Scopes: what an access token may open, and which role may be given it.

A regulator reads the audit trail and nothing else; a lender never reads it. The two roles share
no scope, so that no registration can mix them by mistake.
"""

from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """A scope. The values are published; never reuse one."""

    QUERIES = "queries"
    CONSENTS = "consents"
    AUDIT_READ = "audit:read"


class Role(StrEnum):
    """What kind of organisation's system a client is: 贷款机构 or 监管部门."""

    LENDER = "lender"
    REGULATOR = "regulator"


SCOPES_OF: Final[dict[Role, frozenset[Scope]]] = {
    Role.LENDER: frozenset({Scope.QUERIES, Scope.CONSENTS}),
    Role.REGULATOR: frozenset({Scope.AUDIT_READ}),
}

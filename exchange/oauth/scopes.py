"""Scopes: what an access token may open, and which role may be given it.

A regulator reads the audit trail and nothing else; a lender never reads it; an agency hands over data and mends its
own; a person's phone reaches that person's own data, consents and rights. No two roles share a scope, so that no
registration can mix them by mistake.
"""

from enum import StrEnum
from typing import Final


class Scope(StrEnum):
    """A scope. The values are published; never reuse one."""

    QUERIES = "queries"
    CONSENTS = "consents"
    GRANT_QUERY = "grant_management_query"  # the names are the specification's
    GRANT_REVOKE = "grant_management_revoke"
    REGISTRATION = "registration"
    AUDIT_READ = "audit:read"
    AGENCY_UPLOAD = "agency:upload"
    AGENCY_DECIDE = "agency:decide"
    AGENCY_READ = "agency:read"
    SUBJECT = "subject"


class Role(StrEnum):
    """Whose a client is: the system of a 贷款机构, 监管部门 or 数据提供单位; or a person's own phone (信息主体)."""

    LENDER = "lender"
    REGULATOR = "regulator"
    AGENCY = "agency"
    SUBJECT = "subject"


SCOPES_OF: Final[dict[Role, frozenset[Scope]]] = {
    Role.LENDER: frozenset({Scope.QUERIES, Scope.CONSENTS, Scope.GRANT_QUERY, Scope.GRANT_REVOKE, Scope.REGISTRATION}),
    Role.REGULATOR: frozenset({Scope.AUDIT_READ}),
    Role.AGENCY: frozenset({Scope.AGENCY_UPLOAD, Scope.AGENCY_DECIDE, Scope.AGENCY_READ}),
    Role.SUBJECT: frozenset({Scope.SUBJECT}),
}
OF_AN_AGENCY_SYSTEM: Final = frozenset({Scope.AGENCY_UPLOAD, Scope.AGENCY_READ})  # a program decides nothing of rows
OF_AN_AGREEMENT: Final = frozenset({Scope.QUERIES})  # a token that one person's agreement stands behind asks, no more

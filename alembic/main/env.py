"""Migrations of the main database. Every package's tables must be known here before they are compared."""

import connectors.tables
import consent.tables
import exchange.bulk_tables
import exchange.capture.tables
import exchange.client_tables
import exchange.limit_tables
import exchange.subject_tables
import exchange.subscription_tables
import exchange.tables
import exchange.telling_tables
import registry.tables
from exchange.settings import Settings
from registry import schema

TABLES = (
    connectors.tables,
    consent.tables,
    exchange.bulk_tables,
    exchange.capture.tables,
    exchange.client_tables,
    exchange.limit_tables,
    exchange.subject_tables,
    exchange.subscription_tables,
    exchange.tables,
    exchange.telling_tables,
    registry.tables,
)

schema.migrate("main", lambda: Settings().database_url)

"""Migrations of the main database. Every package's tables must be known here before they are compared."""

import connectors.tables
import consent.tables
import exchange.tables
import registry.tables
from exchange.settings import Settings
from registry import schema

TABLES = (connectors.tables, consent.tables, exchange.tables, registry.tables)

schema.migrate("main", lambda: Settings().database_url)

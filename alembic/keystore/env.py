"""Migrations of the key store: another database, another backup, another history."""

from exchange.settings import Settings
from registry import schema

schema.migrate("keystore", lambda: Settings().keystore)

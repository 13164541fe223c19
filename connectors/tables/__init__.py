"""Tables of the connectors, by what they belong to. Private to `connectors`."""

from connectors.tables import intake

__all__ = ["intake"]

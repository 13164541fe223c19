"""Tables of the connectors, by what they belong to. Private to `connectors`."""

from connectors.tables import collecting, intake, mending, schedule, uploads

__all__ = ["collecting", "intake", "mending", "schedule", "uploads"]

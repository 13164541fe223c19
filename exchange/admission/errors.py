"""What stops two officers' decision; each is a sentence that says what to do. Told at the command line, at no door."""

from exchange.errors import ExchangeError


class NotApproved(ExchangeError):
    """An approval, or what it would carry out, that does not hold as it stands."""

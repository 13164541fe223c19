"""How much may be asked: by a system, by a person at a lender, about one subject; and what is taken for guessing.

  declared   limits.yml, read strictly
  places     what a question counts for, as keys of rows
  deciding   which questions of a round are within the limits; pure
  counting   the counts in the database, in a short transaction of their own
  pacing     how fast a system may call beside its questions
  trying     refusals for want of a consent, and when they are too many (AQ17); what is decided of them is pure
  alerts     what was found, for regulators and for the lender's operator
  shown      the headers RateLimit and RateLimit-Policy

Limits are looked at after the caller is admitted and before any consent is read: a question that is refused here takes
no use, and its answer says nothing of whom it was about, for an unknown subject counts as a known one does.

Not here: sizes of bodies (`exchange.envelope`), slow clients (`exchange.connections`), codes tried out at a page
(`exchange.presence`).
"""

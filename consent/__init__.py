"""Whether a subject's data may be released: purposes, scopes, grants, the decision, and the ledger that keeps them."""

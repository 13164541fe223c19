"""The doors, the one gate, and the judgements; the only floor that composes the others."""

"""The ground floor: what is known, who said it, and the proof that it was not changed."""

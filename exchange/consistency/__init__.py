"""Consistency rules across sources (data-dictionary X01 to X18): declared, evaluated, and nothing more. Pure.

  rows        what a rule sees of a record, and how values are compared
  operators   the checks that a rule may be made of
  declared    the rules, read from rules.yml and held against the catalogue
  evaluating  which records the rules find fault with

A rule is a declaration; another rule of an existing operator needs no code. What is not known is no fault: a record
whose counterpart is missing is never flagged.

Not here: opening records (`exchange.release.checking`), keeping what was found (`exchange.findings`).
"""

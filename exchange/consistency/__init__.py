"""Consistency rules across sources (data-dictionary X01 to X18): declared, evaluated, and nothing more. Pure.

  rows        what a rule sees of a record, and how values are compared
  selecting   which records a rule is about, and which it compares them with
  sums        the checks that add up; operators: all others that a rule may be made of
  declared    the rules, read from rules.yml and held against the catalogue
  evaluating  which records the rules find fault with
  unchecked   what the rules cannot find, and why

A rule is a declaration; another rule of an existing operator needs no code. What is not known is no fault: a record
whose counterpart is missing is never flagged; that it was not checked is told (`unchecked`).

Not here: opening records (`exchange.release.checking`), keeping what was found (`exchange.findings`).
"""

"""Tags and reports: what a lender is told beyond figures, computed from opened records alone. Pure.

  conditions  what a tag may ask of records: yes, no, or unknown
  tags        the tags, read from tags-*.yml and held against the catalogue; and what opened records say to each
  layout      the sections of a report, read from sections.yml: every item that a lender may see has one place
  sections    a report put together: sections, marks, provenance, what is withheld and why
  schemas     the published JSON Schema of each mode's answer

Each tag and each line of a report names the records that it rests on by their commitments, so that evidence of the
answer shows them to be the records that were permitted. What is not known is `unknown`, never `no`.

Not here: opening records and who may ask (`exchange.release`), the answer round it (`exchange.answer`), a report on
paper (`exchange.portable`).
"""

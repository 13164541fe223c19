"""A small province beside the product: simulated agencies, their files, and a lender.

Nothing here imports a product package. What an agency sends are files, or answers over its own protocol; what a
lender does is HTTP. So a mistake in the product's rules cannot hide behind the same mistake here: check characters,
outcomes and signatures are written a second time, from the same public texts.

  numbers    identifiers that check, and ones that are broken on purpose
  places     villages of four real counties (`places.csv`) and the county codes of the province
  people     households, collectives and what they consented to
  faults     what was planted in which row, and what must become of it
  subsidy rating sanzi   the three classes, as their agencies lay them out
  register   the consent register (授权台账)
  workbooks  cells to bytes: xlsx, csv in GB18030 or UTF-8
  province   all of it into a folder, with the expected tally
  bulk       one roster of up to a million rows, quickly
  caller     OAuth over HTTP, for both clients below
  lender     a lender's system
  agency     an agency's system or clerk: uploads, mending, signatures
  agencies   three agencies that speak REST, SQL and SFTP, with faults to switch
"""

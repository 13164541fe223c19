"""Three agencies that really speak their protocols, on loopback only; each stops with the block that it runs in.

  faults          what can be switched on to go wrong, and how often
  line            a TCP relay before each agency: drips, cuts the connection at a byte, takes no call
  listening       a web application on a free loopback port, in a thread
  holdings        ledgers and payments as rows that a system delivers, with what must become of each
  sanzi_platform  the 三资 platform: REST, OAuth, pages, whole sets of organisations that changed
  subsidy_system  the subsidy system: a read-only view in PostgreSQL, ordered by (changed_at, id)
  rating_office   the rating office: workbooks over SFTP
  control         switch faults and let time pass in agencies that another process runs

The data are the sandbox's people and collectives (`sandbox.people`). Faults of rows are planted as in files
(`sandbox.faults`); faults of the line and of the other system are here. Nothing judges what it delivers.
"""

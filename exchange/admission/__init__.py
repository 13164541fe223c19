"""How lenders' systems are let in, kept current and sent away.

registration  what a lender asks for before it has credentials; read and checked, pure
arriving      such a request kept, from the door or from a file
officers      the two roles that decide, their keys, and what they sign
matters       what waits for two officers: opened, changed, approved, refused
settling      what follows once two have agreed
trials        what a system has shown in a sandbox, signed by that sandbox
keyrings      keys of a system: since when, which leave, changed by the lender itself
fetching      keys that are read from a lender's address (a job)
expiring      keys and certificates that end, warned of in time (a job)
suspending    one step by which a system is out, everywhere

Decided in docs/adr/0030-two-people-let-a-lender-in.md. Not here: doors (`exchange.registrations_api`,
`exchange.client_api`), staff (`exchange.staffing`), who calls (`exchange.oauth`).
"""

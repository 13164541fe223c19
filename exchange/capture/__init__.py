"""Capture: the ways in which somebody comes to agree, each kept with what proves it (docs/capture.md).

  tables       what is kept until an agreement is a consent
  evidence     what a person saw and did, as bytes that are kept and hashed
  sealing      identifiers, sealed while somebody still has to decide
  witnesses    keyed hashes of people who collect and witness
  collectors   who may collect for an organisation; who may witness
  counter      consents taken at a counter or village point
  asking       a lender's request, as one thing to show: terms, text, what needs an act of its own
  requests     requests to a person's phone (decoupled), without telling who is known here
  confirming   the answer on the confirmation page
  reconfirming a consent confirmed again, at a counter or by the phone
  taken        what an agreement in person states
  paper        consents on paper: entered by one, confirmed by another
  devices      devices that take consents without signal
  offline      chains of such a device, taken in

What a consent may state, and whether it may be given at all, is decided by `exchange.consents` alone.
"""

"""Batches of a lender's questions: handed in as one file, answered line by line at the gate, fetched sealed.

  keys       the public key that a system's results are sealed to
  keeping    a batch's row: handed in once under its keys and its digest, counted, cancelled, cleared
  questions  a line of the file as a question, or why it is none; pure
  preparing  a file that has arrived whole: its digest checked, cut into sealed blocks of lines
  working    blocks through the gate, each line decided and noted in one transaction (a job)
  results    a part of the result: opened anew through the gate, sealed to the lender, its digest noted

  doors      `/v1/batches`

No answer is stored (docs/adr/0028). A batch is seen by the system that handed it in, and by nobody else. Batches of
agencies' deliveries are another matter: `connectors.batches`, `agency_api`.
"""

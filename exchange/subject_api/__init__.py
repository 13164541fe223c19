"""The door of persons (信息主体): own consents, who has asked, own data, own words; `/subject/v1`.

A caller is a phone that was bound in person (`exchange.binding`). Each router stands behind one guard (`asking`), which
admits the phone and says, anew at each request, whom it speaks for: whatever is read or changed is looked for under
that person's id alone, so that another person's consent, record, dispute or message is what does not exist.

  bindings  a phone is bound with a one-time code; the one public address (no phone has a token before)
  phones    own phones: list, refuse one that waits, end one
  consents  own consents: see, receipt, withdraw, pause, resume, narrow
  requests  what lenders ask for (decoupled): see, agree, refuse
  records   own data, accesses, recipients, the portable export
  voice     messages, statement, disputes, complaints
"""

from fastapi import APIRouter

from exchange.home import Home
from exchange.subject_api import bindings, consents, phones, records, requests, voice


def build_router(home: Home) -> APIRouter:
    """Build the persons' routes over an installation."""
    router = APIRouter()  # each door states its whole address, which whoever walks the doors reads
    for build in (door.build_router for door in (bindings, phones, consents, requests, records, voice)):
        router.routes.extend(build(home).routes)
    return router

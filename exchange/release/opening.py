"""Steps 4 and 5: open exactly the permitted items; after the commit, build the answer and sign it."""

from collections.abc import Sequence

from exchange import answer
from exchange.home import Home
from exchange.release import marking
from exchange.release.cases import AskAgain, Case, Outcome, Permitted
from registry import catalogue, disclosure, jws, profile
from registry.keyring import Purpose
from registry.verify import ANSWER_TYPE


def open_all(home: Home, cases: Sequence[Case]) -> None:
    """Open what was permitted, for all cases together; what was asked for again is proven, for it becomes evidence."""
    marking.open_statements(home, cases)
    wanted: list[disclosure.Wanted] = []
    owners: list[Case] = []
    for case in cases:
        if case.open and case.permit is not None and not case.conflict:
            case.opened = []
            names = profile.names_by_kind(case.permit.items)
            prove = isinstance(case.ask, AskAgain) and case.ask.form == "evidence"
            for record in case.records or ():
                wanted.append(disclosure.Wanted(record, names.get(record.kind, frozenset()), prove))
                owners.append(case)
    for case, opened in zip(owners, disclosure.open_records(home.datakeys, wanted), strict=True):
        if case.opened is not None:
            case.opened.append(opened)


def signed(home: Home, case: Case) -> Outcome:
    """Build and sign the answer of a case that was permitted, opened and committed."""
    if case.facts is None or case.opened is None:
        raise TypeError("a case without outcome has been permitted and opened")
    body = answer.build(case.facts, case.opened, catalogue.current(), home.installation_label)
    key = home.keyring.signing(Purpose.ANSWER)
    signature = jws.sign_detached(key, key.key_id, body, ANSWER_TYPE)
    return Permitted(case.facts.query_id, body, signature, tuple(case.opened), case.facts, case.left)


def response_bytes(permitted: Permitted) -> bytes:
    """Write the body of a 200: the answer's canonical bytes as they were signed, and the signature."""
    return b'{"answer":' + permitted.body + b',"signature":"' + permitted.signature.encode() + b'"}'

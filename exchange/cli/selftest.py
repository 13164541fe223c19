"""`qingqiao lender selftest URL`: whether a lender's side and an exchange understand each other, step by step.

  1  metadata         RFC 8414: this issuer, PAR only, DPoP, private_key_jwt
  2  token            asked for by the client's key, bound to a key of the session
  3  proof replay     the same proof a second time is refused
  4  proof elsewhere  a proof for another address is refused
  5  no proof         a token without a proof is refused
  6  outcomes         one question for each person of `sandbox/outcomes.yml`: permitted, or refused as the table says
  7  repeat           the same question by the same key: the same answer, and no second use
  8  key reused       another question by a used key is refused
  9  evidence         fetched, and checked offline against the trust policy; a changed byte is refused
  10 events           polled, signed for this client
  11 subscription     made once under its key, its events read by cursor, ended
  12 revocation       a token taken back is inactive, and refused at the doors

Whoever is denied five times within ten minutes is held for guessing (docs/lenders.md, limits). So what is to be denied
in 6 is asked for by a user of this run alone; a sandbox takes eight runs in ten minutes.

It asks with the kit (`exchange.client`), and by hand where something must be wrong. Nothing of a person is printed. It
is for a sandbox in which `qingqiao sandbox lender` was run; at any other exchange step 6 finds nobody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import httpx

from exchange.client import Answer, KitError, Lender, NotGenuine, Refused, TrustPolicy, check_evidence
from exchange.client.keys import proof, proof_key
from sandbox.outcomes import PERMITTED, Outcome, Table

_DOOR: Final = "/v1/catalogue"
_HELD: Final = "held"
_DENIED: Final = "no-consent"
_WATCHED: Final = "watched"  # of whom one may hear under a subscription
_SANDBOX: Final = "run `qingqiao sandbox lender` in the exchange's home, then ask again"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the table: what was expected, what came, and what to do if they differ."""

    name: str
    expected: str
    got: str
    mend: str = ""

    @property
    def held(self) -> bool:
        """Whether it came as expected."""
        return self.expected == self.got


class Selftest:
    """The steps, against one exchange. `http` sends what the kit would not."""

    def __init__(self, lender: Lender, http: httpx.Client, policy: TrustPolicy | None, table: Table) -> None:
        self._lender = lender
        self._http = http
        self._policy = policy
        self._table = table
        self._token, self._key = "", proof_key()
        self._staff = (f"selftest-{uuid4().hex[:8]}", "selftest")

    def run(self) -> list[Step]:
        """Do all steps; one that fails does not stop the others, but for those that nothing goes on without."""
        steps = [self._step("metadata", _HELD, self._metadata, "is this the issuer's address? see docs/lenders.md")]
        steps.append(self._step("token", _HELD, self._fetch, "register this key: qingqiao lender add --jwks"))
        if not all(step.held for step in steps):
            return steps
        proofs = "each request needs a proof of its own: fresh jti, htm, htu without query, ath (RFC 9449)"
        steps += [
            self._step("proof replay", "proof-invalid", self._replayed, proofs),
            self._step("proof elsewhere", "proof-invalid", self._elsewhere, proofs),
            self._step("no proof", "proof-invalid", self._without, proofs),
        ]
        steps += [self._outcome(one) for one in self._table.outcomes]
        steps += [
            self._step("repeat", _HELD, self._repeated, "send the same key with the very same body"),
            self._step("key reused", "idempotency-key-reused", self._reused, "a new key for a new question"),
            self._step("evidence", _HELD, self._proven, "is the trust policy this exchange's? --trust FILE"),
            self._step("events", _HELD, self._polled, "the client needs the scope consents"),
            self._step("subscription", _HELD, self._subscribed, _SANDBOX),
            self._step("revocation", "token-invalid", self._revoked, "see docs/lenders.md, tokens"),
        ]
        return steps

    # ---- 1 to 5: the client proves itself --------------------------------------------------------------------------

    def _metadata(self) -> str:
        found = self._http.get(f"{self._lender.issuer}/.well-known/oauth-authorization-server").json()
        wanted = {
            "issuer": self._lender.issuer,
            "require_pushed_authorization_requests": True,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "code_challenge_methods_supported": ["S256"],
        }
        wrong = sorted(name for name, value in wanted.items() if found.get(name) != value)
        return f"other: {', '.join(wrong)}" if wrong else _HELD

    def _fetch(self) -> str:
        self._token, self._key = self._lender.credentials()
        return _HELD if self._lender.introspect(self._token).get("active") is True else "inactive"

    def _proof(self, path: str) -> str:
        return proof(self._key, "GET", self._lender.issuer + path, self._lender.now(), token=self._token)

    def _called(self, proof_text: str | None) -> str:
        headers = {"Authorization": f"DPoP {self._token}"} | ({} if proof_text is None else {"DPoP": proof_text})
        answer = self._http.get(f"{self._lender.issuer}{_DOOR}", headers=headers)
        return str(answer.json().get("code")) if answer.is_error else PERMITTED

    def _replayed(self) -> str:
        once = self._proof(_DOOR)
        first = self._called(once)
        return self._called(once) if first == PERMITTED else f"at first {first}"

    def _elsewhere(self) -> str:
        return self._called(self._proof("/v1/sources"))

    def _without(self) -> str:
        return self._called(None)

    # ---- 6 to 8: questions -----------------------------------------------------------------------------------------

    def _outcome(self, one: Outcome) -> Step:
        expected = one.expect if one.label is None else f"{one.expect}, {one.label}"
        return self._step(one.name, expected, lambda: self._came(one), _SANDBOX)

    def _came(self, one: Outcome) -> str:
        subject, stated = one.question()
        if one.expect == _DENIED:
            stated["staff"] = self._staff
        answer = self._lender.query(subject, idempotency_key=one.key if one.ask.again else None, **stated)
        if one.labelled is None:
            return PERMITTED
        label = answer.items[one.labelled]
        return f"{PERMITTED}, {'disputed' if label.get('disputed') else label['completeness']}"

    def _permitted(self, key: str, **changed: Any) -> Answer:  # noqa: ANN401  # what a question states
        subject, stated = self._table.named(PERMITTED).question()
        return self._lender.query(subject, idempotency_key=key, **(stated | changed))

    def _repeated(self) -> str:
        key = str(uuid4())
        first = self._permitted(key)
        left = self._lender.see_consent(first.consent_id).uses_left
        if self._permitted(key) != first:
            return "another answer"
        return _HELD if self._lender.see_consent(first.consent_id).uses_left == left else "a second use"

    def _reused(self) -> str:
        key = str(uuid4())
        self._permitted(key)
        self._permitted(key, business_no="SANDBOX-another")
        return PERMITTED

    # ---- 9 to 12: proof, events, a subscription, the end of a token ------------------------------------------------

    def _proven(self) -> str:
        raw = self._lender.evidence(self._permitted(str(uuid4())).query_id)
        if self._policy is None:
            return "no trust policy"
        check_evidence(raw, self._policy)
        middle = len(raw) // 2
        try:
            check_evidence(raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :], self._policy)
        except NotGenuine:
            return _HELD
        return "a changed byte was not noticed"

    def _polled(self) -> str:
        self._lender.poll_events()  # the kit checks each signature
        return _HELD

    def _subscribed(self) -> str:
        subject, stated = self._table.named(_WATCHED).question()
        stated |= {"events": ["record.new", "warning"], "idempotency_key": str(uuid4())}
        made = self._lender.subscribe(subject, **stated)
        if self._lender.subscribe(subject, **stated) != made:
            return "another subscription"
        page = self._lender.happenings()
        while page.more:
            page = self._lender.happenings(page.next)
        if len(self._lender.happenings(page.next)):
            return "events behind the last cursor"
        self._lender.unsubscribe(made["subscription_id"])
        ended = self._lender.subscribe(subject, **stated)["ended"]
        return _HELD if ended == "deleted" else f"ended: {ended}"

    def _revoked(self) -> str:
        self._lender.revoke(self._token)
        if self._lender.introspect(self._token) != {"active": False}:
            return "still active"
        return self._called(self._proof(_DOOR))

    def _step(self, name: str, expected: str, act: Callable[[], str], mend: str) -> Step:
        try:
            got = act()
        except Refused as refused:
            got, mend = refused.code, refused.problem.mend or mend
        except KitError as error:
            got = str(error)
        except (httpx.HTTPError, ValueError):
            got = "no answer that could be read"
        return Step(name, expected, got, "" if got == expected else mend)


def all_held(steps: Sequence[Step]) -> bool:
    """Say whether every step came as expected."""
    return all(step.held for step in steps)

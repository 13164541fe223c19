"""The trust policy (信任清单): the public keys a verifier must have obtained by another way than the evidence.

As JSON, with Ed25519 public keys in base64url:
  {"v": 1, "log": {"origin": …, "vkeys": [C2SP verifier keys]}, "receipt": {kid: public}, "answer": {kid: public},
   "receipt_sm2": {kid: uncompressed point of SM2}}
`receipt_sm2` is missing in policies of before, and where the operator has no key of SM2 for receipts.
Retired keys stay in it, since what they signed stays true. Token keys are not in it: a token proves nothing later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import orjson

from registry.canonical import b64url, unb64url
from registry.note import NoteVerifier

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Whose signatures count, and for what."""

    origin: str
    log_keys: tuple[NoteVerifier, ...]
    receipt_keys: Mapping[str, bytes]
    answer_keys: Mapping[str, bytes]
    receipt_sm2_keys: Mapping[str, bytes] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the policy as JSON values."""
        sm2 = {kid: b64url(public) for kid, public in self.receipt_sm2_keys.items()}
        return {
            "v": _VERSION,
            "log": {"origin": self.origin, "vkeys": [key.vkey for key in self.log_keys]},
            "receipt": {kid: b64url(public) for kid, public in self.receipt_keys.items()},
            "answer": {kid: b64url(public) for kid, public in self.answer_keys.items()},
            **({"receipt_sm2": sm2} if sm2 else {}),
        }

    @classmethod
    def parse(cls, document: bytes | str | Mapping[str, Any]) -> Self:
        """Read a policy from JSON text or from its values.

        Raises:
            ValueError: not a trust policy, or without a key for the log.
        """
        try:
            values = orjson.loads(document) if isinstance(document, bytes | str) else document
            if values["v"] != _VERSION:
                raise ValueError("a trust policy of an unknown version")
            policy = cls(
                origin=str(values["log"]["origin"]),
                log_keys=tuple(NoteVerifier.parse(vkey) for vkey in values["log"]["vkeys"]),
                receipt_keys={kid: unb64url(public) for kid, public in values["receipt"].items()},
                answer_keys={kid: unb64url(public) for kid, public in values["answer"].items()},
                receipt_sm2_keys={kid: unb64url(public) for kid, public in values.get("receipt_sm2", {}).items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a trust policy") from error
        if not policy.log_keys or any(key.name != policy.origin for key in policy.log_keys):
            raise ValueError("a trust policy needs keys of the log, named after its origin")
        return policy

"""What we sign and prove is accepted by tools that are not ours: joserfc for signatures, pymerkle for the tree."""

from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import gmalg
import orjson
import pymerkle
import rfc8785
from joserfc import jws
from joserfc.jwk import OKPKey

from exchange import evidence
from exchange.home import Home
from exchange.release import AskAgain, Permitted, release
from registry.tiles import TlogProof
from tests.people import caller, consented, held, question, sequenced

ALLOWED = ["Ed25519"]


def full_evidence(home: Home) -> dict[str, Any]:
    consented(home)
    held(home)
    (first,) = release(home, [question()])
    assert isinstance(first, Permitted)
    sequenced(home)
    (again,) = release(home, [AskAgain(caller(), first.query_id)])
    assert isinstance(again, Permitted)
    raw = evidence.full(home, again)
    assert raw is not None
    return dict(orjson.loads(raw))


def key(public: str) -> OKPKey:
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": public})


def test_the_receipt_and_the_answer_verify_with_joserfc_and_rfc8785(exchange_home: Home) -> None:
    found = full_evidence(exchange_home)
    policy = exchange_home.keyring.trust_policy()
    (receipt_key,) = policy["receipt"].values()
    (answer_key,) = policy["answer"].values()
    receipt = jws.deserialize_compact(str(found["receipt"]), key(receipt_key), algorithms=ALLOWED)
    assert receipt.protected["typ"] == "consent-receipt+jwt"
    head, nothing, signature = str(found["signature"]).split(".")
    assert nothing == ""
    payload = rfc8785.dumps(found["answer"])
    body = urlsafe_b64encode(payload).rstrip(b"=").decode()
    assert jws.deserialize_compact(f"{head}.{body}.{signature}", key(answer_key), algorithms=ALLOWED).payload == payload


def test_both_signatures_of_a_receipt_verify_with_joserfc_and_gmalg(exchange_home: Home) -> None:
    """The second one is detached, over the very bytes that the first one carries; docs/consent.md says how."""
    consent = consented(exchange_home)
    policy = exchange_home.keyring.trust_policy()
    (receipt_key,) = policy["receipt"].values()
    first = jws.deserialize_compact(consent.receipt, key(receipt_key), algorithms=ALLOWED)
    assert first.payload == rfc8785.dumps(orjson.loads(first.payload))
    assert consent.receipt_sm2 is not None
    head, nothing, signature = consent.receipt_sm2.split(".")
    assert nothing == ""
    assert orjson.loads(unpadded(head))["alg"] == "SM2"
    (point,) = policy["receipt_sm2"].values()
    tool = gmalg.SM2(None, b"1234567812345678", unpadded(point))
    body = urlsafe_b64encode(first.payload).rstrip(b"=").decode()
    raw = unpadded(signature)
    assert tool.verify(f"{head}.{body}".encode(), raw[:32], raw[32:])
    other = urlsafe_b64encode(first.payload.replace(b"consent given", b"consent taken")).rstrip(b"=").decode()
    assert not tool.verify(f"{head}.{other}".encode(), raw[:32], raw[32:])


def unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_an_entry_is_in_a_tree_that_pymerkle_builds(exchange_home: Home) -> None:
    """The entries of the public tiles give the same root and path in another implementation."""
    found = full_evidence(exchange_home)
    access = found["access"]
    assert isinstance(access, dict)
    proof = TlogProof.parse(access["proof"])
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    with exchange_home.database.transaction() as tx:
        rows = tx.execute("SELECT data FROM log_tile WHERE level = -1 ORDER BY tile_index").fetchall()
    for (bundle,) in rows:
        place = 0
        while place < len(bundle):
            size = int.from_bytes(bundle[place : place + 2], "big")
            tree.append_entry(bundle[place + 2 : place + 2 + size])
            place += 2 + size
    checkpoint = str(found["checkpoint"]).split("\n")
    assert tree.get_size() == int(checkpoint[1])
    assert b64encode(tree.get_root()).decode() == checkpoint[2]
    theirs = tree.prove_inclusion(proof.index + 1, tree.get_size())
    assert tree.get_leaf(proof.index + 1) == theirs.path[0]
    assert set(theirs.path[1:]) == set(proof.path)

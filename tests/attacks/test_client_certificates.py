"""Attacks with client certificates: nobody but the proxy says who showed one, and a token serves its own alone."""

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest

from exchange.home import Home
from exchange.oauth import certificates, clients
from exchange.oauth.certificates import thumbprint
from registry.suites.certificates import read_pem_certificate
from tests.asking import PAR_URL, REDIRECT, VERIFIER, Bank, Browser, back, bank
from tests.attacks.bent_client import CATALOGUE_URL, ISSUER, TOKEN_URL, Caller, Door
from tests.certificates import Authority
from tests.phones import bound

STANDING = True
INTROSPECT = f"{ISSUER}/oauth/introspect"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"
HERE = "127.0.0.1/32"  # where the tests' connections come from


def behind(home: Home, proxy: str | None, **more: Any) -> Home:
    """The same installation, told of a proxy."""
    stated = {"tls_proxy": None if proxy is None else ip_network(proxy), **more}
    settings = home.settings.model_copy(update=stated)
    return Home(settings, home.installation, home.keyring, home.database, home.datakeys)


@pytest.fixture
def proxied(exchange_home: Home) -> Iterator[Door]:
    with Door(behind(exchange_home, HERE, mtls_address="https://mtls.exchange.example")) as opened:
        yield opened


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def shown(authority: Authority, exchange_home: Home, lender: Caller) -> str:
    """The header for a certificate that the lender registered by its thumbprint."""
    return registered(exchange_home, lender, authority.issue("lender-one")[0])


def registered(home: Home, caller: Caller, path: Path, *, by_subject: bool = False) -> str:
    row = certificates.as_row([read_pem_certificate(path.read_bytes())], by_subject=by_subject)
    with home.database.transaction() as tx:
        assert clients.set_certificate(tx, caller.client_id, row)
    return header(path)


def header(path: Path) -> str:
    """A certificate as RFC 9440 has it."""
    body = path.read_text().partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0]
    return f":{''.join(body.split())}:"


def asks(door: Door, caller: Caller, certificate: str | None, **fields: str | None) -> httpx.Response:
    """Ask for a token by a certificate: with client_id, and no assertion and no proof."""
    form = {"grant_type": "client_credentials", "client_id": caller.client_id} | fields
    sent = {name: value for name, value in form.items() if value is not None}
    return door.call("POST", TOKEN_URL, data=sent, headers={} if certificate is None else {"Client-Cert": certificate})


def token_of(door: Door, caller: Caller, certificate: str) -> str:
    answer = asks(door, caller, certificate)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def uses(door: Door, token: str, certificate: str | None, scheme: str = "Bearer") -> httpx.Response:
    headers = {"Authorization": f"{scheme} {token}"} | ({} if certificate is None else {"Client-Cert": certificate})
    return door.call("GET", CATALOGUE_URL, headers=headers)


def unproven(answer: httpx.Response) -> bool:
    assert "access_token" not in answer.text
    return (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def unbound(answer: httpx.Response) -> bool:
    """No certificate came, so that a proof was needed."""
    assert "access_token" not in answer.text
    return (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


def unserved(answer: httpx.Response, code: str) -> bool:
    return (answer.status_code, answer.json()["code"]) == (401, code)


# ---- what works -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_subject", [False, True])
def test_a_registered_certificate_gives_a_token_that_is_bound_to_it(
    proxied: Door, exchange_home: Home, lender: Caller, authority: Authority, *, by_subject: bool
) -> None:
    path, _ = authority.issue("lender-one")
    certificate = registered(exchange_home, lender, path, by_subject=by_subject)
    answer = asks(proxied, lender, certificate).json()
    assert answer["token_type"] == "Bearer"
    assert uses(proxied, answer["access_token"], certificate).status_code == 200
    form = {"client_id": lender.client_id, "token": answer["access_token"]}
    said = proxied.call("POST", INTROSPECT, data=form, headers={"Client-Cert": certificate}).json()
    assert said["cnf"] == {"x5t#S256": thumbprint(read_pem_certificate(path.read_bytes()))}
    assert (said["active"], said["token_type"]) == (True, "Bearer")


def test_an_assertion_beside_the_certificate_gives_a_token_bound_to_the_certificate(
    proxied: Door, lender: Caller, shown: str
) -> None:
    answer = proxied.call("POST", TOKEN_URL, data=lender.form(), headers={"Client-Cert": shown})
    assert answer.json()["token_type"] == "Bearer"
    assert uses(proxied, answer.json()["access_token"], shown).status_code == 200


def test_a_proof_comes_before_the_certificate(proxied: Door, lender: Caller, shown: str) -> None:
    headers = {"Client-Cert": shown, "DPoP": lender.proof("POST", TOKEN_URL)}
    answer = proxied.call("POST", TOKEN_URL, data=lender.form(), headers=headers)
    assert answer.json()["token_type"] == "DPoP"
    assert lender.get(proxied, answer.json()["access_token"]).status_code == 200


def test_the_whole_way_by_a_certificate(proxied: Door, exchange_home: Home, authority: Authority) -> None:
    phone = bound(exchange_home, proxied)
    one = bank(exchange_home, proxied)
    certificate = registered(exchange_home, one.caller, authority.issue("bank")[0])
    code = _code(one, certificate, phone.secret)
    sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
    with_a_key = one.redeem(code)
    assert (with_a_key.status_code, with_a_key.json()["error"]) == (400, "invalid_grant")
    given = asks(proxied, one.caller, certificate, **sent)
    assert given.status_code == 200, given.text
    assert uses(proxied, given.json()["access_token"], certificate).status_code == 200


def _code(lender: Bank, certificate: str, secret: str) -> str:
    form = lender.form(client_assertion=None, client_assertion_type=None, dpop_jkt=None)
    pushed = lender.door.call("POST", PAR_URL, data=form, headers={"Client-Cert": certificate})
    assert pushed.status_code == 201, pushed.text
    page = Browser(lender.door, lender.caller.client_id, pushed.json()["request_uri"])
    page.open()
    return back(page.agree(secret))["code"]


def test_the_metadata_says_whether_certificates_are_taken(proxied: Door, door: Door) -> None:
    with_, without = (one.call("GET", METADATA).json() for one in (proxied, door))
    assert with_["tls_client_certificate_bound_access_tokens"] is True
    assert with_["mtls_endpoint_aliases"]["token_endpoint"] == "https://mtls.exchange.example/oauth/token"
    assert {"tls_client_auth", "self_signed_tls_client_auth"} <= set(with_["token_endpoint_auth_methods_supported"])
    assert without["tls_client_certificate_bound_access_tokens"] is False
    assert "mtls_endpoint_aliases" not in without
    assert without["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]


# ---- who says what was shown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("proxy", [None, "10.0.0.7/32", "127.0.0.2/32", "::1/128"])
def test_a_header_from_elsewhere_is_no_certificate(
    exchange_home: Home, proxied: Door, lender: Caller, shown: str, proxy: str | None
) -> None:
    token = token_of(proxied, lender, shown)
    with Door(behind(exchange_home, proxy)) as door:
        assert unbound(asks(door, lender, shown))
        assert unserved(uses(door, token, shown), "credentials-missing")
        beside = door.call("POST", TOKEN_URL, data=lender.form(), headers={"Client-Cert": shown})
        assert unbound(beside)


@pytest.mark.parametrize("bent", ["{}, {}", "x{}", "{}x", "", ":", "::", ":AAAA:", ":!!!:", '"{}"', ":{}:"])
def test_a_header_that_is_not_one_certificate_is_none(proxied: Door, lender: Caller, shown: str, bent: str) -> None:
    sent = bent.format(shown, shown)
    assert unbound(asks(proxied, lender, sent))
    assert unserved(uses(proxied, token_of(proxied, lender, shown), sent), "credentials-missing")


def test_two_headers_are_none(proxied: Door, lender: Caller, shown: str) -> None:
    form = {"grant_type": "client_credentials", "client_id": lender.client_id}
    answer = proxied.call("POST", TOKEN_URL, data=form, headers=[("Client-Cert", shown), ("Client-Cert", shown)])
    assert unbound(answer)


# ---- whose it is ----------------------------------------------------------------------------------------------------


def test_a_certificate_that_is_not_registered_proves_nobody(
    proxied: Door, lender: Caller, shown: str, authority: Authority
) -> None:
    same_name = header(authority.issue("lender-one")[0])  # of the same subject and authority, and another
    assert same_name != shown
    assert unproven(asks(proxied, lender, same_name))
    assert unproven(proxied.call("POST", TOKEN_URL, data=lender.form(), headers={"Client-Cert": same_name}))


def test_a_certificate_of_another_subject_proves_nobody(
    proxied: Door, exchange_home: Home, lender: Caller, authority: Authority
) -> None:
    registered(exchange_home, lender, authority.issue("lender-one")[0], by_subject=True)
    assert unproven(asks(proxied, lender, header(authority.issue("lender-two")[0])))


def test_one_lenders_certificate_does_not_speak_for_another(
    proxied: Door, lender: Caller, other_lender: Caller, shown: str
) -> None:
    assert unproven(asks(proxied, other_lender, shown))
    assert unproven(asks(proxied, Caller("nobody"), shown))
    assert unproven(asks(proxied, Caller("a b"), shown))


@pytest.mark.parametrize("by_subject", [False, True])
def test_a_certificate_that_is_out_of_date_proves_nobody(
    proxied: Door, exchange_home: Home, lender: Caller, authority: Authority, *, by_subject: bool
) -> None:
    path, _ = authority.issue("lender-one", ends=timedelta(seconds=-1))
    assert unproven(asks(proxied, lender, registered(exchange_home, lender, path, by_subject=by_subject)))


def test_a_certificate_that_was_taken_away_is_of_no_use_in_a_process_that_knew_it(
    proxied: Door, exchange_home: Home, lender: Caller, shown: str
) -> None:
    token_of(proxied, lender, shown)
    with exchange_home.database.transaction() as tx:
        assert clients.set_certificate(tx, lender.client_id, None)
    assert unproven(asks(proxied, lender, shown))
    assert lender.ask(proxied).status_code == 200  # by its key, as ever


def test_a_suspended_lender_s_certificate_and_token_are_of_no_use_at_once(
    proxied: Door, exchange_home: Home, lender: Caller, shown: str
) -> None:
    token = token_of(proxied, lender, shown)
    with exchange_home.database.transaction() as tx:
        clients.set_state(tx, lender.client_id, clients.SUSPENDED)
    assert unproven(asks(proxied, lender, shown))
    assert unserved(uses(proxied, token, shown), "token-invalid")


# ---- what a token serves --------------------------------------------------------------------------------------------


def test_a_token_of_a_certificate_is_no_bearer_token(proxied: Door, lender: Caller, shown: str) -> None:
    assert unserved(uses(proxied, token_of(proxied, lender, shown), None), "credentials-missing")


def test_a_stolen_token_serves_no_other_certificate(
    proxied: Door, exchange_home: Home, lender: Caller, other_lender: Caller, shown: str, authority: Authority
) -> None:
    theirs = registered(exchange_home, other_lender, authority.issue("lender-two")[0])
    assert unserved(uses(proxied, token_of(proxied, lender, shown), theirs), "token-invalid")


def test_a_token_of_a_key_is_not_used_by_a_certificate(proxied: Door, lender: Caller, shown: str) -> None:
    assert unserved(uses(proxied, lender.token(proxied), shown), "token-invalid")


def test_a_token_of_a_certificate_is_not_used_by_a_key(proxied: Door, lender: Caller, shown: str) -> None:
    token = token_of(proxied, lender, shown)
    assert unserved(lender.get(proxied, token), "proof-invalid")
    headers = lender.headers("GET", CATALOGUE_URL, token) | {"Client-Cert": shown}
    assert unserved(proxied.call("GET", CATALOGUE_URL, headers=headers), "proof-invalid")
    assert unserved(uses(proxied, token, shown, "DPoP"), "proof-invalid")
    both = headers | {"Authorization": f"Bearer {token}"}
    assert unserved(proxied.call("GET", CATALOGUE_URL, headers=both), "credentials-missing")


def test_a_token_of_a_certificate_that_has_run_out_since_is_refused(
    proxied: Door, exchange_home: Home, lender: Caller, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = authority.issue("lender-one", ends=timedelta(seconds=60))
    certificate = registered(exchange_home, lender, path)
    token = token_of(proxied, lender, certificate)
    later = read_pem_certificate(path.read_bytes()).not_after + timedelta(seconds=1)
    monkeypatch.setattr("registry.clock.now", lambda: later)
    assert unserved(uses(proxied, token, certificate), "token-invalid")


def test_a_token_of_a_certificate_that_was_taken_back_is_refused(proxied: Door, lender: Caller, shown: str) -> None:
    token = token_of(proxied, lender, shown)
    form = {"client_id": lender.client_id, "token": token}
    assert proxied.call("POST", f"{ISSUER}/oauth/revoke", data=form, headers={"Client-Cert": shown}).status_code == 200
    assert unserved(uses(proxied, token, shown), "token-invalid")


def test_a_request_is_pushed_with_no_other_certificate(proxied: Door, exchange_home: Home, shown: str) -> None:
    one = bank(exchange_home, proxied)
    form = one.form(dpop_jkt=None)
    answer = proxied.call("POST", PAR_URL, data=form, headers={"Client-Cert": shown})  # another lender's
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    by_it = one.form(client_assertion=None, client_assertion_type=None, dpop_jkt=None)
    assert unproven(proxied.call("POST", PAR_URL, data=by_it, headers={"Client-Cert": shown}))

"""The modules of the OpenID Foundation's conformance suite for FAPI 2.0 servers, as the suite names them.

They are those of the plan `fapi2-security-profile-final-test-plan`. `OURS` concern this server: plain_fapi,
private_key_jwt, dpop, rar, grant_management enabled, unsigned requests, plain_response, plain_oauth; with them some
that the suite runs for OpenID Connect only, where the same can be asked here (a nonce, the order of scopes). `NOT_OURS`
say why they do not. A test names its modules with `@oidf`; docs/fapi.md lists them.
"""

from typing import Final

import pytest

oidf = pytest.mark.oidf
PLAN: Final = "fapi2-security-profile-final-"

OURS: Final = tuple(
    PLAN + name
    for name in (
        "discovery-end-point-verification",
        "happy-flow",
        "user-rejects-authentication",
        "ensure-authorization-request-without-state-success",
        "ensure-authorization-request-without-nonce-success",
        "ensure-authorization-request-with-64-char-nonce-success",
        "ensure-other-scope-order-succeeds",
        "access-token-type-header-case-sensitivity",
        "check-dpop-proof-nbf-exp",
        "ensure-dpopproof-with-iat-10seconds-before-succeeds",
        "ensure-dpopproof-with-iat-10seconds-after-succeeds",
        "ensure-mismatched-dpop-jkt-fails",
        "ensure-token-endpoint-fails-with-mismatched-dpop-proof-jkt",
        "ensure-token-endpoint-fails-with-mismatched-dpop-jkt",
        "ensure-dpopproof-at-par-endpoint-binding-success",
        "ensure-dpop-auth-code-binding-success",
        "ensure-authorization-request-with-long-nonce",
        "ensure-authorization-request-with-long-state",
        "ensure-registered-redirect-uri",
        "plain-fapi-tolerate-unregistered-redirect-uri",
        "ensure-unsigned-authorization-request-without-using-par-fails",
        "ensure-redirect-uri-in-authorization-request",
        "ensure-response-type-code-idtoken-fails",
        "ensure-response-type-token-fails",
        "ensure-client-id-in-token-endpoint",
        "ensure-holder-of-key-required",
        "ensure-authorization-code-is-bound-to-client",
        "attempt-reuse-authorization-code-after-one-second",
        "ensure-token-endpoint-fails-with-expired-auth-code",
        "ensure-signed-client-assertion-with-RS256-fails",
        "ensure-client-assertion-in-token-endpoint",
        "ensure-client-assertion-with-exp-is-5-minutes-in-past-fails",
        "ensure-client-assertion-with-wrong-aud-fails",
        "ensure-client-assertion-with-no-sub-fails",
        "ensure-invalid-client-assertions-fail",
        "dpop-negative-tests",
        "par-ensure-reused-request-uri-prior-to-auth-completion-succeeds",
        "par-attempt-reuse-request_uri",
        "par-attempt-to-use-expired-request_uri",
        "par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted",
        "par-ensure-jwt-client-assertions-nbf-over-60-seconds-in-the-future-fails",
        "par-attempt-to-use-request_uri-for-different-client",
        "par-authorization-request-containing-request_uri-form-param",
        "par-authorization-request-containing-request_uri",
        "par-attempt-invalid-http-method",
        "par-ensure-pkce-required",
        "ensure-pkce-code-verifier-required",
        "incorrect-pkce-code-verifier-rejected",
        "par-plain-pkce-rejected",
        "par-without-duplicate-parameters",
        "par-test-array-as-audience-fails",
        "par-test-par-endpoint-url-as-audience-fails",
        "par-test-token-endpoint-url-as-audience-fails",
        "grant-management-happy-flow",
        "grant-management-query-and-revoke",
        "grant-management-merge",
        "grant-management-replace",
        "grant-management-ensure-invalid-grant-id-fails",
        "grant-management-ensure-query-nonexistent-grant-fails",
        "grant-management-ensure-query-after-revoke-fails",
        "grant-management-ensure-wrong-client-cannot-query-grant",
        "grant-management-ensure-wrong-client-cannot-revoke-grant",
    )
)

_JAR: Final = (
    "signed request objects (JAR, RFC 9101): requests are pushed as parameters, over the client's own connection"
)
_CLAIMS: Final = "OpenID Connect claims: there is no id_token, and no claim about a person leaves with a token"
_REFRESH: Final = "refresh tokens: there are none; a consent outlives the token, and the client gets another one"
_CDR: Final = "the Australian Consumer Data Right"
_BRAZIL: Final = "Open Finance Brazil"
_KSA: Final = "KSA Open Banking"
_CONNECTID: Final = "ConnectID Australia"

NOT_OURS: Final = {
    PLAN + name: reason
    for reason, names in {
        _JAR: (
            "ensure-request-object-with-multiple-aud-succeeds",
            "ensure-request-object-with-nbf-8-seconds-in-the-future-is-accepted",
            "ensure-different-nonce-inside-and-outside-request-object",
            "ensure-different-state-inside-and-outside-request-object",
            "ensure-request-object-without-exp-fails",
            "ensure-request-object-without-nbf-fails",
            "state-only-outside-request-object-not-used",
            "ensure-request-object-without-redirect-uri-fails",
            "ensure-expired-request-object-fails",
            "ensure-request-object-with-bad-aud-fails",
            "ensure-request-object-with-exp-over-60-fails",
            "ensure-request-object-with-nbf-over-60-fails",
            "ensure-signed-request-object-with-RS256-fails",
            "ensure-request-object-signature-algorithm-is-not-none",
            "ensure-request-object-with-invalid-signature-fails",
            "ensure-matching-key-in-authorization-request",
            "ensure-unsigned-request-at-par-endpoint-fails",
        ),
        _CLAIMS: ("test-claims-parameter-identity-claims",),
        _REFRESH: ("refresh-token",),
        _CDR: (
            "cdr-sharing-duration-zero",
            "cdr-negative-sharing-duration",
            "cdr-refresh-token-introspection-expiry",
            "cdr-arrangement-amendment",
            "cdr-unrecognised-arrangement-id",
        ),
        _BRAZIL: ("brazil-ensure-bad-payment-signature-fails",),
        _KSA: (
            "ksa-ensure-request-object-with-exp-over-10-fails",
            "ksa-ensure-request-object-with-nbf-over-10-fails",
        ),
        _CONNECTID: (
            "australia-connectid-ensure-request-object-with-exp-over-10-fails",
            "australia-connectid-ensure-request-object-with-nbf-over-15-fails",
            "australia-connectid-ensure-invalid-purpose-fails",
            "australia-connectid-test-claims-parameter-idtoken-identity-claims",
        ),
    }.items()
    for name in names
}

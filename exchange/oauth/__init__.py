"""OAuth 2.0 for systems: who calls, with which key, for which door.

  scopes     what a token may open, and which role may hold it
  profile    addresses and names of this server, from configuration
  compact    a strict reader of compact JWS
  jwks       public keys of others: which kinds, how strict
  assertion  private_key_jwt (RFC 7523), pure
  dpop       proofs of possession (RFC 9449), pure
  tokens     access tokens (RFC 9068): issue and verify
  spending   the ledger of used proofs and assertions
  certificates, binding   client certificates behind a trusted proxy (RFC 8705, 9440); what a token is bound to
  clients    registered systems
  form       a form, each parameter once
  refused    OAuth's errors that Authlib lacks
  authenticating  how a client proves itself where it brings no token
  targets    scopes and resource that a token is asked for
  redirects, pkce, grants, par, codes   a lender asks a person: pushed requests (RFC 9126), and the codes of those who
                agreed; which agreement another takes the place of (FAPI Grant Management)
  server     the authorization server on Authlib
  guard      the resource side: verify what is presented, then admit it in the caller's transaction
  doors      how a router asks for a caller
  inspection what a token is worth, and taking it back (RFC 7662, RFC 7009)
  endpoints  /oauth/token, /oauth/par, /oauth/jwks, metadata (RFC 8414)

The rules are those of FAPI 2.0 Security Profile; where Authlib is laxer, ours stand (docs/fapi.md, docs/adr).
Not here: the confirmation page (`exchange.authorize_api`); the door for grants (`exchange.grants_api`).
"""

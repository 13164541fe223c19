"""OAuth 2.0 for systems: who calls, with which key, for which door.

  scopes     what a token may open, and which role may hold it
  profile    addresses and names of this server, from configuration
  compact    a strict reader of compact JWS
  jwks       public keys of others: which kinds, how strict
  assertion  private_key_jwt (RFC 7523), pure
  dpop       proofs of possession (RFC 9449), pure
  tokens     access tokens (RFC 9068): issue and verify
  spending   the ledger of used proofs and assertions
  clients    registered systems
  form       a form, each parameter once
  refused    OAuth's errors that Authlib lacks
  authenticating  how a client proves itself where it brings no token
  targets    scopes and resource that a token is asked for
  redirects, pkce, par, codes   a lender asks a person: pushed requests (RFC 9126), and the codes of those who agreed
  server     the authorization server on Authlib
  guard      the resource side: verify what is presented, then admit it in the caller's transaction
  doors      how a router asks for a caller
  endpoints  /oauth/token, /oauth/par, /oauth/jwks, metadata (RFC 8414)

The rules are those of FAPI 2.0 Security Profile; where Authlib is laxer, ours stand (docs/adr).
Not here: the confirmation page (`exchange.authorize_api`); introspection and revocation by the client are yet to come.
"""

"""OAuth 2.0 for systems: who calls, with which key, for which door.

  scopes     what a token may open, and which role may hold it
  compact    a strict reader of compact JWS
  jwks       public keys of others: which kinds, how strict
  assertion  private_key_jwt (RFC 7523), pure
  dpop       proofs of possession (RFC 9449), pure
  tokens     access tokens (RFC 9068): issue and verify
  clients    registered systems, and the ledger of used proofs
  server     the authorization server on Authlib: the token endpoint
  guard      the resource side: verify what is presented, then admit it in the caller's transaction
  endpoints  /oauth/token, /oauth/jwks, metadata (RFC 8414)

The rules are those of FAPI 2.0 Security Profile; where Authlib is laxer, ours stand (docs/adr).
Not here yet: authorization code with PAR and PKCE, introspection, revocation by the client.
"""

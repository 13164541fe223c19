// npm oidc-provider as a token endpoint that answers the same requests as ours: client_credentials, private_key_jwt,
// DPoP, JWT access tokens for one resource, ES256 throughout. Its store is its own default, which is memory: used
// assertions and proofs are noted there and nowhere else, and nothing is left when it ends.

import { createServer } from "node:http";
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const { PORT, ISSUER, CLIENT_ID, CLIENT_JWKS } = process.env;
const resource = `${ISSUER}/v1`;
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

const provider = new Provider(ISSUER, {
  clients: [
    {
      client_id: CLIENT_ID,
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "ES256",
      id_token_signed_response_alg: "ES256", // the only algorithm of its keys; no such token is asked for
      jwks: JSON.parse(CLIENT_JWKS),
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      scope: "queries",
      dpop_bound_access_tokens: true,
    },
  ],
  clientAuthMethods: ["private_key_jwt"],
  cookies: { keys: ["not used: no page is shown"] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: () => ({
        scope: "queries",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), alg: "ES256", use: "sig" }] },
  routes: { token: "/oauth/token" },
  scopes: ["queries"],
});

const answer = provider.callback();
const address = new URL(ISSUER).host;
createServer((request, response) => {
  request.headers.host = address; // a proof names the address with its port
  answer(request, response);
}).listen(Number(PORT), "127.0.0.1");

// The whole way with openid-client: metadata, PAR, code, token, query, introspection, revocation.

import * as openid from "openid-client";
import { clientId, clientKey, grantScopes, hear, issuer, question, redirect, served, tell, wanted } from "./line.mjs";

const config = await openid.discovery(issuer, clientId, undefined, openid.PrivateKeyJwt(await clientKey()), {
  algorithm: "oauth2",
  [openid.customFetch]: served,
});
config[openid.customFetch] = served;
tell({ step: "discovered", issuer: config.serverMetadata().issuer });

const keys = await openid.randomDPoPKeyPair("ES256");
const DPoP = openid.getDPoPHandle(config, keys);

const own = await openid.clientCredentialsGrant(config, { scope: "queries" }, { DPoP });
tell({ step: "own token", token_type: own.token_type, scope: own.scope });

const verifier = openid.randomPKCECodeVerifier();
const state = openid.randomState();
const page = await openid.buildAuthorizationUrlWithPAR(
  config,
  {
    redirect_uri: redirect,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    authorization_details: wanted,
    state,
  },
  { DPoP },
);
tell({ step: "pushed", page: page.href, request_uri: page.searchParams.get("request_uri") });

const { callback, identifier } = await hear();
const granted = await openid.authorizationCodeGrant(
  config,
  new URL(callback),
  { pkceCodeVerifier: verifier, expectedState: state },
  { redirect_uri: redirect },
  { DPoP },
);
tell({ step: "granted", token_type: granted.token_type, scope: granted.scope, details: granted.authorization_details });

const ask = () =>
  openid.fetchProtectedResource(
    config,
    granted.access_token,
    new URL("/v1/queries", issuer),
    "POST",
    question(identifier),
    new Headers({ "content-type": "application/json" }),
    { DPoP },
  );
const answered = await ask();
tell({ step: "answered", status: answered.status, answer: await answered.json() });

tell({ step: "introspected", said: await openid.tokenIntrospection(config, granted.access_token) });
await openid.tokenRevocation(config, granted.access_token);
tell({ step: "revoked", said: await openid.tokenIntrospection(config, granted.access_token) });
try {
  await ask();
  tell({ step: "after", refused: false });
} catch (error) {
  tell({ step: "after", refused: true, status: error.status, challenges: error.cause.map((one) => one.parameters.error) });
}

const managing = await openid.clientCredentialsGrant(config, { scope: grantScopes }, { DPoP });
const grant = new URL(`${config.serverMetadata().grant_management_endpoint}/${granted.grant_id}`);
const manage = (method) =>
  openid.fetchProtectedResource(config, managing.access_token, grant, method, undefined, undefined, { DPoP });
const seen = await manage("GET");
tell({ step: "grant", status: seen.status, said: await seen.json() });
tell({ step: "given up", status: (await manage("DELETE")).status, then: (await manage("GET")).status });

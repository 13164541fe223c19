// The whole way with oauth4webapi: metadata, PAR, code, token, query, introspection, revocation, grants; FAPI 2.0's own checks on.

import * as oauth from "oauth4webapi";
import { clientId, clientKey, grantScopes, hear, issuer, question, redirect, served, tell, wanted } from "./line.mjs";

const client = { client_id: clientId };
const proves = oauth.PrivateKeyJwt(await clientKey());
const onTheLine = { [oauth.customFetch]: served };

const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...onTheLine });
const server = await oauth.processDiscoveryResponse(issuer, discovered);
tell({ step: "discovered", issuer: server.issuer });

const keys = await oauth.generateKeyPair("ES256", { extractable: false });
const proofs = oauth.DPoP(client, keys);

// a system's own token
const own = await oauth.clientCredentialsGrantRequest(server, client, proves, { scope: "queries" }, { DPoP: proofs, ...onTheLine });
const ownToken = await oauth.processClientCredentialsResponse(server, client, own);
tell({ step: "own token", token_type: ownToken.token_type, scope: ownToken.scope });

// a person is asked
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const asked = new URLSearchParams({
  response_type: "code",
  client_id: clientId,
  redirect_uri: redirect,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  authorization_details: wanted,
  state,
});
const pushing = await oauth.pushedAuthorizationRequest(server, client, proves, asked, { DPoP: proofs, ...onTheLine });
const pushed = await oauth.processPushedAuthorizationResponse(server, client, pushing);
const page = new URL(server.authorization_endpoint);
page.search = new URLSearchParams({ client_id: clientId, request_uri: pushed.request_uri }).toString();
tell({ step: "pushed", page: page.href, request_uri: pushed.request_uri });

// the person agreed, and comes back
const { callback, identifier } = await hear();
const returned = oauth.validateAuthResponse(server, client, new URL(callback), state);
const redeeming = await oauth.authorizationCodeGrantRequest(server, client, proves, returned, redirect, verifier, {
  DPoP: proofs,
  ...onTheLine,
});
const granted = await oauth.processAuthorizationCodeResponse(server, client, redeeming);
tell({ step: "granted", token_type: granted.token_type, scope: granted.scope, details: granted.authorization_details });

// it asks
const queries = new URL("/v1/queries", issuer);
const ask = (token) =>
  oauth.protectedResourceRequest(token, "POST", queries, new Headers({ "content-type": "application/json" }), question(identifier), {
    DPoP: proofs,
    ...onTheLine,
  });
const answered = await ask(granted.access_token);
tell({ step: "answered", status: answered.status, answer: await answered.json() });

// what the token is worth, before and after it is taken back
const worth = async () => {
  const response = await oauth.introspectionRequest(server, client, proves, granted.access_token, onTheLine);
  return oauth.processIntrospectionResponse(server, client, response);
};
tell({ step: "introspected", said: await worth() });
await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, proves, granted.access_token, onTheLine),
);
tell({ step: "revoked", said: await worth() });
try {
  await ask(granted.access_token);
  tell({ step: "after", refused: false });
} catch (error) {
  tell({ step: "after", refused: true, status: error.status, challenges: error.cause.map((one) => one.parameters.error) });
}

// the grant is looked at, given up, and looked for again
const managing = await oauth.processClientCredentialsResponse(
  server,
  client,
  await oauth.clientCredentialsGrantRequest(server, client, proves, { scope: grantScopes }, { DPoP: proofs, ...onTheLine }),
);
const grant = new URL(`${server.grant_management_endpoint}/${granted.grant_id}`);
const manage = (method) =>
  oauth.protectedResourceRequest(managing.access_token, method, grant, undefined, undefined, { DPoP: proofs, ...onTheLine });
const seen = await manage("GET");
tell({ step: "grant", status: seen.status, said: await seen.json() });
tell({ step: "given up", status: (await manage("DELETE")).status, then: (await manage("GET")).status });

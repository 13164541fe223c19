// Signs each request: a token bound to a key of this run (private_key_jwt, DPoP), and a fresh proof for the address.
// Variables: issuer, client_id, private_jwk (a P-256 key: `jwk` of the key file). Standard Web Crypto, nothing else.
const waiting = setInterval(() => {}, 20); // the runner waits for timers, so the request waits for the signatures

const text = (value) => new TextEncoder().encode(value);
const b64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const part = (value) => b64url(text(JSON.stringify(value)));
const OPEN = /^\/(\.well-known|schemas|v1\/registrations)\//; // doors that take no token: one may have none yet
const CURVE = { name: "ECDSA", namedCurve: "P-256" };

async function signed(header, claims, key) {
  const body = `${part(header)}.${part(claims)}`;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, text(body));
  return `${body}.${b64url(signature)}`;
}

async function proofKey() {
  const kept = pm.collectionVariables.get("proof_jwk");
  if (kept) return JSON.parse(kept);
  const pair = await crypto.subtle.generateKey(CURVE, true, ["sign"]);
  const jwk = await crypto.subtle.exportKey("jwk", pair.privateKey);
  pm.collectionVariables.set("proof_jwk", JSON.stringify(jwk));
  return jwk;
}

async function proof(jwk, method, url, token) {
  const key = await crypto.subtle.importKey("jwk", jwk, CURVE, false, ["sign"]);
  const shown = { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y };
  const claims = { htm: method, htu: url, iat: Math.floor(Date.now() / 1000), jti: crypto.randomUUID() };
  if (token) claims.ath = b64url(await crypto.subtle.digest("SHA-256", text(token)));
  return signed({ typ: "dpop+jwt", alg: "ES256", jwk: shown }, claims, key);
}

async function assertion(issuer) {
  const client = pm.collectionVariables.get("client_id");
  const { kty, crv, x, y, d } = JSON.parse(pm.collectionVariables.get("private_jwk"));
  const key = await crypto.subtle.importKey("jwk", { kty, crv, x, y, d }, CURVE, false, ["sign"]);
  const thumbprint = b64url(await crypto.subtle.digest("SHA-256", text(JSON.stringify({ crv, kty, x, y }))));
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: client, sub: client, aud: issuer, jti: crypto.randomUUID(), iat: now, exp: now + 60 };
  return signed({ alg: "ES256", kid: thumbprint }, claims, key);
}

async function token(issuer, jwk) {
  const kept = pm.collectionVariables.get("access_token");
  if (kept && Date.now() < Number(pm.collectionVariables.get("token_until")) - 20000) return kept;
  const url = `${issuer}/oauth/token`;
  const form = {
    grant_type: "client_credentials",
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: await assertion(issuer),
  };
  const urlencoded = Object.entries(form).map(([key, value]) => ({ key, value }));
  const header = { DPoP: await proof(jwk, "POST", url), "Content-Type": "application/x-www-form-urlencoded" };
  const answer = await new Promise((resolve, reject) =>
    pm.sendRequest({ url, method: "POST", header, body: { mode: "urlencoded", urlencoded } }, (error, response) =>
      error ? reject(error) : resolve(response.json()),
    ),
  );
  if (!answer.access_token) throw new Error(`no token: ${answer.error}`);
  pm.collectionVariables.set("access_token", answer.access_token);
  pm.collectionVariables.set("token_until", String(Date.now() + answer.expires_in * 1000));
  return answer.access_token;
}

(async () => {
  const issuer = pm.collectionVariables.get("issuer");
  const path = pm.variables.replaceIn(pm.request.url.getPath());
  if (OPEN.test(`${path}/`)) return;
  const jwk = await proofKey();
  if (path.startsWith("/oauth/")) {
    pm.variables.set("client_assertion", await assertion(issuer));
    pm.request.headers.upsert({ key: "DPoP", value: await proof(jwk, pm.request.method, issuer + path) });
  } else {
    const bearer = await token(issuer, jwk);
    pm.request.headers.upsert({ key: "Authorization", value: `DPoP ${bearer}` });
    pm.request.headers.upsert({ key: "DPoP", value: await proof(jwk, pm.request.method, issuer + path, bearer) });
  }
})().finally(() => clearInterval(waiting));

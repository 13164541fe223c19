// What both clients share: their key, the line to the exchange, and words with the test over standard input and output.
// The exchange calls itself by its public name; its requests go to where the test serves it.

import { createInterface } from "node:readline";

const { ISSUER, SERVED, CLIENT_ID, CLIENT_KEY, REDIRECT } = process.env;

export const issuer = new URL(ISSUER);
export const clientId = CLIENT_ID;
export const redirect = REDIRECT;

export async function clientKey() {
  const jwk = JSON.parse(CLIENT_KEY);
  const algorithm = jwk.kty === "EC" ? { name: "ECDSA", namedCurve: jwk.crv } : { name: "Ed25519" };
  const { kid, ...bare } = jwk;
  return { key: await crypto.subtle.importKey("jwk", bare, algorithm, false, ["sign"]), kid };
}

export const served = (url, options) => fetch(String(url).replace(ISSUER, SERVED), options);

export const tell = (said) => process.stdout.write(JSON.stringify(said) + "\n");

// The one thing that the test says: whereto the person came back.
export async function hear() {
  const reader = createInterface({ input: process.stdin });
  const { value } = await reader[Symbol.asyncIterator]().next();
  reader.close();
  process.stdin.destroy();
  return JSON.parse(value);
}

export const wanted = JSON.stringify([
  { type: "credit_data", purpose: "LOAN_APPROVAL", items: ["SUBSIDY.project", "RATING"] },
]);

export const grantScopes = "grant_management_query grant_management_revoke";

export const question = (identifier) =>
  JSON.stringify({
    subject: { type: "resident_id", identifier },
    purpose: "LOAN_APPROVAL",
    mode: "summary",
    business_no: "LA-1",
  });

// A lender's client in another language, written from docs/lenders.md and docs/trust.md alone: it asks for a report, fetches
// the evidence, and checks all eight steps of docs/trust.md §4 with node:crypto and an RFC 8785 library.
// Nothing of the exchange's code is used. Standard input: whom to ask about, and the trust policy.

import { createHash, createPublicKey, verify as verifySignature } from "node:crypto";
import canonicalize from "canonicalize";
import * as oauth from "oauth4webapi";
import { clientId, clientKey, hear, issuer, served, tell } from "./line.mjs";

const { identifier, policy, tampered } = await hear();

// ---- OAuth, and the report

const client = { client_id: clientId };
const proves = oauth.PrivateKeyJwt(await clientKey());
const line = { [oauth.customFetch]: served };
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...line }),
);
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256", { extractable: false }));
const granted = await oauth.processClientCredentialsResponse(
  server,
  client,
  await oauth.clientCredentialsGrantRequest(server, client, proves, { scope: "queries" }, { DPoP, ...line }),
);
const call = (method, path, body) =>
  oauth.protectedResourceRequest(
    granted.access_token,
    method,
    new URL(path, issuer),
    new Headers(body ? { "content-type": "application/json" } : {}),
    body,
    { DPoP, ...line },
  );

const asked = {
  subject: { type: "resident_id", identifier },
  purpose: "LOAN_APPROVAL",
  business_no: "LA-1",
  mode: "report",
  staff: { user_id: "u-1", department: "credit" },
};
const { answer, signature } = await (await call("POST", "/v1/queries", JSON.stringify(asked))).json();
tell({ step: "report", mode: answer.mode, sections: answer.sections.length });

let response;
do {
  await new Promise((done) => setTimeout(done, response ? 200 : 0));
  response = await call("GET", `/v1/queries/${answer.query_id}/evidence`);
} while (response.status === 202);
const bytes = Buffer.from(await response.arrayBuffer());
tell({ step: "evidence", bytes: bytes.length });

// ---- what docs/trust.md says, in other words than the exchange's

const need = (step, holds, what) => {
  if (!holds) throw new Error(`step ${step}: ${what}`);
};
const sha256 = (...parts) => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const zero = Buffer.of(0);
const same = (one, other) => canonicalize(one) === canonicalize(other);
const digest = (salt, name, value) => sha256("qq-field", zero, salt, name, zero, canonicalize(value)).toString("hex");

const ed25519 = (raw, message, signed) => {
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
  return verifySignature(null, message, key, signed);
};
const jose = (protectedPart, payload, signed, keys, typ) => {
  const header = JSON.parse(Buffer.from(protectedPart, "base64url"));
  const key = keys[header.kid];
  return (
    header.typ === typ &&
    header.alg === "Ed25519" &&
    key !== undefined &&
    ed25519(Buffer.from(key, "base64url"), Buffer.from(`${protectedPart}.${payload}`), Buffer.from(signed, "base64url"))
  );
};

// RFC 6962: the root that a leaf and its path lead to
const root = (leafHash, index, size, path) => {
  let [hash, at, last] = [leafHash, BigInt(index), BigInt(size) - 1n];
  for (const step of path) {
    if (last === 0n) return null;
    if (at & 1n || at === last) {
      hash = sha256(Buffer.of(1), step, hash);
      while (!(at & 1n) && at !== 0n) [at, last] = [at >> 1n, last >> 1n];
    } else {
      hash = sha256(Buffer.of(1), hash, step);
    }
    [at, last] = [at >> 1n, last >> 1n];
  }
  return last === 0n ? hash : null;
};

// C2SP signed note: text, an empty line, and lines "— name base64(key id, signature)"
const openNote = (note) => {
  const end = note.lastIndexOf("\n\n");
  const text = note.slice(0, end + 1);
  const signed = policy.log.vkeys.some((vkey) => {
    const [name, id, key] = [vkey.split("+")[0], vkey.split("+")[1], vkey.split("+").slice(2).join("+")];
    const raw = Buffer.from(key, "base64");
    if (raw[0] !== 1) return false; // 1 is Ed25519
    return note
      .slice(end + 2)
      .split("\n")
      .some((one) => {
        const [, by, packed] = one.split(" ");
        const sealed = Buffer.from(packed ?? "", "base64");
        return by === name && sealed.subarray(0, 4).toString("hex") === id && ed25519(raw.subarray(1), Buffer.from(text), sealed.subarray(4));
      });
  });
  const [origin, size, hash] = text.split("\n");
  return { signed, origin, size: Number(size), root: Buffer.from(hash, "base64") };
};

const check = (raw) => {
  const evidence = JSON.parse(raw);
  need(1, raw.toString() === `${canonicalize(evidence)}\n`, "not in canonical bytes");
  need(1, evidence.format === "qingqiao-evidence/v1" && evidence.form === "full", "not full evidence");

  const checkpoint = openNote(evidence.checkpoint);
  need(2, checkpoint.signed && checkpoint.origin === policy.log.origin, "the checkpoint is not signed by the log");

  const entries = [evidence.access, evidence.consent, ...evidence.chunks];
  for (const entry of entries) {
    const [head] = entry.proof.split("\n\n");
    need(3, entry.proof.slice(head.length + 2) === evidence.checkpoint, "a proof under another checkpoint");
    const lines = head.split("\n");
    need(3, lines[0] === "c2sp.org/tlog-proof@v1" && lines[1].startsWith("index "), "not a tlog-proof");
    entry.index = Number(lines[1].slice(6));
    const path = lines.slice(2).map((one) => Buffer.from(one, "base64"));
    const reached = root(sha256(zero, entry.leaf), entry.index, checkpoint.size, path);
    need(3, reached?.equals(checkpoint.root), "an entry is not in the tree");
  }

  for (const entry of entries) {
    const { fields } = JSON.parse(entry.leaf);
    for (const [name, { salt, value }] of Object.entries(entry.opened)) {
      const raw = Buffer.from(salt, "hex");
      need(4, raw.length === 16 && digest(raw, name, value) === fields[name], `${name} does not open`);
    }
  }

  const said = JSON.parse(evidence.access.leaf);
  const opened = (entry, name) => entry.opened[name].value;
  const access = opened(evidence.access, "access");
  need(5, said.event === "release:query:permitted", "not a permit");
  need(5, opened(evidence.access, "consent_entry") === opened(evidence.consent, "entry_id"), "another consent");
  need(5, evidence.consent.index < evidence.access.index, "the consent came later");

  const subject = opened(evidence.access, "subject_id");
  const commitments = evidence.records.map((record) => {
    for (const [name, { salt, value }] of Object.entries(record.opened)) {
      need(6, digest(Buffer.from(salt, "hex"), name, value) === record.digests[name], `${name} does not open`);
    }
    need(6, record.opened.subject.value === subject, "a record of somebody else");
    const committed = sha256("qq-record", zero, canonicalize({ fields: record.digests, header: record.header }));
    const chunk = evidence.chunks[record.chunk];
    const path = record.path.map((one) => Buffer.from(one, "hex"));
    const reached = root(sha256(zero, committed), record.position, record.size, path);
    need(6, reached?.toString("hex") === opened(chunk, "records_root"), "a record is not in its chunk");
    need(6, record.header.raw_sha256 === opened(chunk, "raw_sha256"), "a record of another file");
    return committed.toString("hex");
  });
  need(6, same(commitments, opened(evidence.access, "records")), "other records than those permitted");

  const [head, payload, sealed] = evidence.receipt.split(".");
  need(7, jose(head, payload, sealed, policy.receipt, "consent-receipt+jwt"), "the receipt is not signed");
  const receipt = JSON.parse(Buffer.from(payload, "base64url"));
  const receiptDigest = sha256(evidence.receipt).toString("hex");
  need(7, receiptDigest === opened(evidence.consent, "receipt_sha256"), "another receipt than the consent's");
  need(7, receiptDigest === access.receipt_sha256 && receipt.jti === access.consent_id, "another receipt than the access's");
  need(7, opened(evidence.consent, "subject_id") === subject, "a consent of somebody else");

  const [protectedPart, nothing, signedBy] = evidence.signature.split(".");
  const written = Buffer.from(canonicalize(evidence.answer)).toString("base64url");
  need(8, nothing === "" && jose(protectedPart, written, signedBy, policy.answer, "qq-answer+jws"), "the answer is not signed");
  for (const name of ["query_id", "lender", "purpose", "mode", "business_no", "consent_id"]) {
    need(8, evidence.answer[name] === access[name], `another ${name}`);
  }
  const mine = sha256("qq-request", zero, Buffer.from(evidence.answer.request.salt, "base64url"), canonicalize(asked));
  need(8, mine.toString("hex") === access.request_sha256, "not my question");
  evidence.answer.records.forEach((record) => {
    const held = evidence.records[commitments.indexOf(record.commitment)];
    const shown = Object.entries(held.opened).filter(([name]) => name !== "subject");
    const values = Object.fromEntries(shown.map(([name, { value }]) => [name, value]));
    need(8, same(values, record.fields), "a value is not the record's");
  });
  return { records: commitments.length, fields: evidence.records.reduce((sum, one) => sum + Object.keys(one.opened).length - 1, 0) };
};

tell({ step: "verified", ...check(bytes), same: signature === JSON.parse(bytes).signature });

// bent in many places, it is refused
const refused = [];
for (let place = 7; place < bytes.length; place += Math.ceil(bytes.length / tampered)) {
  const bent = Buffer.from(bytes);
  bent[place] ^= 1;
  try {
    check(bent);
    refused.push("taken");
  } catch (error) {
    refused.push(String(error.message).startsWith("step") ? "step" : "unreadable");
  }
}
tell({ step: "bent", tried: refused.length, taken: refused.filter((one) => one === "taken").length });

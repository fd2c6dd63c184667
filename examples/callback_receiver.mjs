// Receives VIIWork's callbacks and prints one line for each: `WEBHOOK_SECRET=whsec_… node callback_receiver.mjs [PORT]`.
//
// The secret is what `viiwork callbacks endpoint add` or `viiwork callbacks secret` has shown. It needs no package; with
// npm, `standardwebhooks` does what `verify` does here. Put TLS in front: VIIWork calls over plain HTTP only where
// `callbacks.allow` says so.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const LARGEST_BODY_BYTES = 64 * 1024;
const TOLERANCE_S = 300;
const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
const seen = new Set(); // a program that lives longer than a test keeps these in its database

function verify(headers, body) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  const signatures = headers["webhook-signature"];
  if (!id || !timestamp || !signatures || !(Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE_S)) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]); // the bytes as they came
  const expected = createHmac("sha256", key).update(signed).digest();
  return signatures.split(" ").some((each) => {
    // two of them while a secret is being rotated
    const [version, text] = each.split(",");
    const given = Buffer.from(text ?? "", "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > LARGEST_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const server = createServer(async (request, response) => {
  const body = await read(request);
  if (body === null) return response.writeHead(413).end();
  if (request.method !== "POST" || !verify(request.headers, body)) return response.writeHead(401).end();
  const id = request.headers["webhook-id"];
  if (!seen.has(id)) {
    // a callback may come twice, under the same id
    seen.add(id);
    const event = JSON.parse(body);
    console.log(id, event.type, event.data.id);
  }
  response.writeHead(204).end(); // quickly: do the work afterwards
});

server.listen(Number(process.argv[2] ?? 8099), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}/`);
});

// Files and batches with the official Node SDK, from the upload to the output: `URL=… MODEL=… node --test batch.cjs`.
"use strict";

const test = require("node:test");
const assert = require("node:assert/strict");
const OpenAI = require("openai");
const { toFile } = OpenAI;

const { URL: baseURL, MODEL: model } = process.env;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const WITHIN_MS = 30_000;

function line(number) {
  const body = { model, messages: [{ role: "user", content: `Line ${number}` }], max_tokens: 4 };
  return JSON.stringify({ custom_id: `line-${number}`, method: "POST", url: "/v1/chat/completions", body });
}

async function ended(id) {
  const until = Date.now() + WITHIN_MS;
  for (;;) {
    const batch = await client.batches.retrieve(id);
    if (["completed", "failed", "expired", "cancelled"].includes(batch.status)) return batch;
    assert.ok(Date.now() < until, `the batch is still ${batch.status}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test("a file becomes a batch, and the batch an output with each line once", async () => {
  const text = [1, 2, 3].map(line).join("\n") + "\n";
  const file = await client.files.create({ file: await toFile(Buffer.from(text), "lines.jsonl"), purpose: "batch" });
  assert.equal(file.status, "processed");
  assert.equal(await (await client.files.content(file.id)).text(), text);
  const batch = await client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
    metadata: { who: "node" },
  });
  const done = await ended(batch.id);
  assert.equal(done.status, "completed");
  assert.deepEqual(done.request_counts, { total: 3, completed: 3, failed: 0 });
  const output = await (await client.files.content(done.output_file_id)).text();
  const rows = output.trim().split("\n").map((row) => JSON.parse(row));
  assert.deepEqual(rows.map((row) => row.custom_id).sort(), ["line-1", "line-2", "line-3"]);
  assert.ok(rows.every((row) => row.response.status_code === 200 && row.response.body.choices.length === 1));
  const known = [];
  for await (const one of client.batches.list({ limit: 1 })) known.push(one.id);
  assert.ok(known.includes(batch.id));
  assert.equal((await client.files.delete(file.id)).deleted, true);
  await assert.rejects(client.files.retrieve(file.id), OpenAI.NotFoundError);
});

test("a bad file fails its batch and says which line", async () => {
  const file = await client.files.create({ file: await toFile(Buffer.from("{no\n"), "bad.jsonl"), purpose: "batch" });
  const batch = await client.batches.create({
    input_file_id: file.id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  });
  const done = await ended(batch.id);
  assert.equal(done.status, "failed");
  assert.equal(done.errors.data[0].code, "invalid_json_line");
  assert.equal(done.errors.data[0].line, 1);
});

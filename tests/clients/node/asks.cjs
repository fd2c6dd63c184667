// The official Node SDK against the service, unmodified: `URL=… MODEL=… node --test asks.cjs`.
"use strict";

const test = require("node:test");
const assert = require("node:assert/strict");
const OpenAI = require("openai");

const { URL: baseURL, MODEL: model } = process.env;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "What colour is the sky on a clear day?" }];
const asked = { model, messages, temperature: 0, max_tokens: 12 };

test("a chat is answered, with its tokens counted and a request id", async () => {
  const { data, response } = await client.chat.completions.create(asked).withResponse();
  assert.equal(data.object, "chat.completion");
  assert.equal(data.choices[0].message.role, "assistant");
  assert.ok(data.choices[0].message.content.length > 0);
  assert.equal(data.choices[0].finish_reason, "length");
  assert.equal(data.usage.completion_tokens, 12);
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + 12);
  assert.ok(data._request_id);
  assert.equal(response.headers.get("x-request-id"), data._request_id);
});

test("a streamed chat says the same, piece by piece, and its usage at the end", async () => {
  const whole = await client.chat.completions.create(asked);
  const stream = await client.chat.completions.create({
    ...asked,
    stream: true,
    stream_options: { include_usage: true },
  });
  const texts = [];
  let usage = null;
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    texts.push(chunk.choices[0]?.delta?.content ?? "");
    usage = chunk.usage ?? usage;
  }
  assert.equal(texts.join(""), whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, 12);
});

test("the SDK's own helper puts a stream together", async () => {
  const final = await client.chat.completions.stream(asked).finalChatCompletion();
  assert.equal(final.choices[0].finish_reason, "length");
});

test("who leaves a stream early ends it, and the next one is answered", async () => {
  const stream = await client.chat.completions.create({ ...asked, max_tokens: 400, stream: true });
  for await (const _ of stream) break;
  const next = await client.chat.completions.create(asked);
  assert.ok(next.choices[0].message.content);
});

test("a tool that must be called is called", async () => {
  const tools = [{ type: "function", function: { name: "look_up", parameters: { type: "object", properties: {} } } }];
  const told = await client.chat.completions.create({ ...asked, tools, tool_choice: "required" });
  assert.equal(told.choices[0].message.tool_calls[0].function.name, "look_up");
  assert.equal(told.choices[0].finish_reason, "tool_calls");
});

test("a completion and vectors", async () => {
  const told = await client.completions.create({ model, prompt: "The sky is", max_tokens: 8, temperature: 0 });
  assert.ok(told.choices[0].text.length > 0);
  const vectors = await client.embeddings.create({ model, input: ["one", "two"] });
  assert.equal(vectors.data.length, 2);
  assert.ok(vectors.data[0].embedding.every((number) => Number.isFinite(number)));
  assert.ok(vectors.data[0].embedding.length > 0);
});

test("the models are listed and one is looked up", async () => {
  const ids = [];
  for await (const one of client.models.list()) ids.push(one.id);
  assert.ok(ids.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
});

test("an unknown model and a wrong field are the SDK's own errors", async () => {
  await assert.rejects(client.chat.completions.create({ ...asked, model: "nobody" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    assert.ok(error.requestID);
    return true;
  });
  await assert.rejects(client.chat.completions.create({ ...asked, messages: [] }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "messages");
    return true;
  });
});

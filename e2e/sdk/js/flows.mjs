// Drives the official SDKs of npm through every flow that applications use, and
// prints what each of them gave: a line of JSON a flow, the result or the
// exception. Called twice, directly at the provider and through gnomon, it must
// print the same.
//
//   node flows.mjs http://host:port
import OpenAI, { toFile } from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import Anthropic from '@anthropic-ai/sdk';
import { createOpenAI } from '@ai-sdk/openai';
import { embed, generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const base = process.argv[2];
const key = process.env.PLANTED_KEY ?? 'sk-test';
const prompt = process.env.PLANTED_PROMPT ?? 'Say hello.';
const picture = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

const user = [{ role: 'user', content: prompt }];
const weather = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const chatTools = [{ type: 'function', function: { name: 'weather', description: 'the weather in a city', parameters: weather } }];
const messageTools = [{ name: 'weather', description: 'the weather in a city', input_schema: weather }];
const Person = z.object({ name: z.string(), age: z.number() });

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

// Three pieces, then the client leaves. How many more were on their way is chance.
async function abandoned(stream, leave) {
  let seen = 0;
  for await (const _ of stream) if (++seen === 3) leave();
  return { left: seen >= 3 };
}

// What an application can tell an exception by.
function told(e) {
  const t = { class: e.constructor.name, message: e.message };
  for (const k of ['status', 'code', 'param', 'type', 'requestID', 'error', 'statusCode', 'responseBody', 'isRetryable', 'reason']) if (e[k] !== undefined) t[k] = e[k];
  const after = e.headers?.get?.('retry-after') ?? e.responseHeaders?.['retry-after'];
  if (after) t.retryAfter = after;
  if (e.lastError) t.last = told(e.lastError);
  return t;
}

const flows = {};
const openai = (name, f, options = {}) => {
  flows['openai/' + name] = () => f(new OpenAI({ baseURL: base + '/v1', apiKey: key, maxRetries: 0, ...options, defaultHeaders: { 'x-flow': 'openai/' + name } }));
};
const anthropic = (name, f, options = {}) => {
  flows['anthropic/' + name] = () => f(new Anthropic({ baseURL: base, apiKey: key, maxRetries: 0, ...options, defaultHeaders: { 'x-flow': 'anthropic/' + name } }));
};
const ai = (name, f) => {
  flows['ai/' + name] = () => f(createOpenAI({ baseURL: base + '/v1', apiKey: key, headers: { 'x-flow': 'ai/' + name } }));
};

const chat = (more) => ({ model: 'gpt-4o', messages: user, ...more });
openai('plain', (c) => c.chat.completions.create(chat()));
openai('raw-response', async (c) => {
  const { data, response, request_id } = await c.chat.completions.create(chat()).withResponse();
  return { data, request_id, status: response.status, limit: response.headers.get('x-ratelimit-remaining-requests') };
});
openai('stream', async (c) => all(await c.chat.completions.create(chat({ stream: true }))));
openai('stream-with-usage', async (c) => all(await c.chat.completions.create(chat({ stream: true, stream_options: { include_usage: true } }))));
openai('stream-without-usage', async (c) => all(await c.chat.completions.create(chat({ stream: true, stream_options: { include_usage: false } }))));
openai('stream-helper', async (c) => {
  const words = [];
  const s = c.chat.completions.stream(chat()).on('content', (delta) => words.push(delta));
  return { final: await s.finalChatCompletion(), words };
});
openai('tools', async (c) => {
  const first = await c.chat.completions.create(chat({ tools: chatTools }));
  const call = first.choices[0].message.tool_calls[0];
  const messages = [...user, first.choices[0].message, { role: 'tool', tool_call_id: call.id, content: 'sunny' }];
  return [first, await c.chat.completions.create(chat({ tools: chatTools, messages }))];
});
openai('tools-stream', async (c) => (await c.chat.completions.stream(chat({ tools: chatTools })).finalChatCompletion()));
openai('tools-runner', async (c) => {
  const run = c.chat.completions.runTools(chat({ tools: [{ type: 'function', function: { name: 'weather', parameters: weather, parse: JSON.parse, function: ({ city }) => 'sunny in ' + city } }] }));
  return { content: await run.finalContent(), messages: run.messages };
});
openai('vision', (c) => c.chat.completions.create(chat({ messages: [{ role: 'user', content: [{ type: 'text', text: prompt }, { type: 'image_url', image_url: { url: 'data:image/png;base64,' + picture } }] }] })));
openai('structured', (c) => c.chat.completions.parse(chat({ response_format: zodResponseFormat(Person, 'person') })));
openai('structured-stream', async (c) => (await c.chat.completions.stream(chat({ response_format: zodResponseFormat(Person, 'person') })).finalChatCompletion()));
openai('responses', (c) => c.responses.create({ model: 'gpt-4o', input: prompt }));
openai('responses-stream', async (c) => all(await c.responses.create({ model: 'gpt-4o', input: prompt, stream: true })));
openai('responses-helper', (c) => c.responses.stream({ model: 'gpt-4o', input: prompt }).finalResponse());
openai('embeddings', (c) => c.embeddings.create({ model: 'text-embedding-3-small', input: prompt }));
openai('models', async (c) => all(c.models.list()));
openai('upload', async (c) => c.files.create({ file: await toFile(Buffer.from(prompt.repeat(1000)), 'a.jsonl'), purpose: 'batch' }));
openai('retry', (c) => c.chat.completions.create(chat()), { maxRetries: 2 });
openai('retry-stream', async (c) => all(await c.chat.completions.create(chat({ stream: true }))), { maxRetries: 2 });
openai('abort', async (c) => {
  const s = await c.chat.completions.create(chat({ stream: true }));
  return abandoned(s, () => s.controller.abort());
});
openai('abort-helper', (c) => {
  const s = c.chat.completions.stream(chat());
  return abandoned(s, () => s.abort());
});
openai('abort-before', async (c) => {
  const leave = new AbortController();
  setTimeout(() => leave.abort(), 200);
  return c.chat.completions.create(chat(), { signal: leave.signal });
});
openai('timeout', (c) => c.chat.completions.create(chat()), { timeout: 300 });
openai('timeout-in-stream', async (c) => abandoned(await c.chat.completions.create(chat({ stream: true }), { signal: AbortSignal.timeout(500) }), () => {}));
openai('error-in-stream', async (c) => all(await c.chat.completions.create(chat({ stream: true }))));
openai('dies-in-stream', async (c) => all(await c.chat.completions.create(chat({ stream: true }))));
openai('dies-in-body', (c) => c.chat.completions.create(chat()));
openai('not-json', (c) => c.chat.completions.create(chat()));
for (const status of [400, 401, 403, 404, 409, 413, 422, 429, 500, 503]) openai('error-' + status, (c) => c.chat.completions.create(chat()));
openai('error-429-stream', async (c) => all(await c.chat.completions.create(chat({ stream: true }))));

const message = (more) => ({ model: 'claude-sonnet-4-20250514', max_tokens: 100, messages: user, ...more });
anthropic('plain', (c) => c.messages.create(message()));
anthropic('stream', async (c) => all(await c.messages.create(message({ stream: true }))));
anthropic('stream-helper', async (c) => {
  const words = [];
  const s = c.messages.stream(message()).on('text', (delta) => words.push(delta));
  return { final: await s.finalMessage(), words };
});
anthropic('tools', async (c) => {
  const first = await c.messages.create(message({ tools: messageTools }));
  const messages = [...user, { role: 'assistant', content: first.content }, { role: 'user', content: [{ type: 'tool_result', tool_use_id: first.content.at(-1).id, content: 'sunny' }] }];
  return [first, await c.messages.create(message({ tools: messageTools, messages }))];
});
anthropic('tools-stream', async (c) => {
  const partial = [];
  const s = c.messages.stream(message({ tools: messageTools })).on('inputJson', (delta) => partial.push(delta));
  return { final: await s.finalMessage(), partial };
});
anthropic('vision', (c) => c.messages.create(message({ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: picture } }, { type: 'text', text: prompt }] }] })));
anthropic('structured', (c) => c.messages.create(message({ tools: messageTools, tool_choice: { type: 'tool', name: 'weather' } })));
anthropic('thinking-stream', (c) => c.messages.stream(message({ max_tokens: 2000, thinking: { type: 'enabled', budget_tokens: 1024 } })).finalMessage());
anthropic('cached', (c) => c.messages.create(message({ system: [{ type: 'text', text: 'You are terse.', cache_control: { type: 'ephemeral', ttl: '1h' } }] })));
anthropic('count', (c) => c.messages.countTokens({ model: 'claude-sonnet-4-20250514', messages: user }));
anthropic('models', async (c) => all(c.models.list()));
anthropic('retry', (c) => c.messages.create(message()), { maxRetries: 2 });
anthropic('abort', async (c) => {
  const s = await c.messages.create(message({ stream: true }));
  return abandoned(s, () => s.controller.abort());
});
anthropic('abort-helper', (c) => {
  const s = c.messages.stream(message());
  return abandoned(s, () => s.abort());
});
anthropic('timeout', (c) => c.messages.create(message()), { timeout: 300 });
anthropic('error-in-stream', async (c) => all(await c.messages.create(message({ stream: true }))));
anthropic('dies-in-stream', async (c) => all(await c.messages.create(message({ stream: true }))));
for (const status of [400, 401, 403, 404, 413, 422, 429, 500, 529]) anthropic('error-' + status, (c) => c.messages.create(message()));

const seen = (r) => ({ text: r.text, finishReason: r.finishReason, usage: r.usage, toolCalls: r.toolCalls, toolResults: r.toolResults, steps: r.steps?.length, warnings: r.warnings });
const aiTools = { weather: tool({ description: 'the weather in a city', inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => 'sunny in ' + city }) };
const once = { prompt, maxRetries: 0 };
for (const [surface, model] of [['chat', (p) => p.chat('gpt-4o')], ['responses', (p) => p.responses('gpt-4o')]]) {
  ai(surface + '-generate', async (p) => seen(await generateText({ model: model(p), ...once })));
  ai(surface + '-stream', async (p) => {
    const s = streamText({ model: model(p), ...once });
    return { words: await all(s.textStream), finish: await s.finishReason, usage: await s.usage };
  });
  ai(surface + '-tools', async (p) => seen(await generateText({ model: model(p), ...once, tools: aiTools, stopWhen: stepCountIs(3) })));
  ai(surface + '-object', async (p) => (await generateObject({ model: model(p), ...once, schema: Person })).object);
}
ai('vision', async (p) => seen(await generateText({ model: p.chat('gpt-4o'), maxRetries: 0, messages: [{ role: 'user', content: [{ type: 'text', text: prompt }, { type: 'image', image: picture, mediaType: 'image/png' }] }] })));
ai('embed', async (p) => (await embed({ model: p.embedding('text-embedding-3-small'), value: prompt, maxRetries: 0 })).embedding);
ai('retry', async (p) => seen(await generateText({ model: p.chat('gpt-4o'), prompt, maxRetries: 1 })));
ai('abort', async (p) => {
  const leave = new AbortController();
  const s = streamText({ model: p.chat('gpt-4o'), ...once, abortSignal: leave.signal });
  return abandoned(s.textStream, () => leave.abort());
});
ai('timeout', (p) => generateText({ model: p.chat('gpt-4o'), ...once, abortSignal: AbortSignal.timeout(300) }));
for (const status of [400, 429, 500]) ai('error-' + status, (p) => generateText({ model: p.chat('gpt-4o'), ...once }));
ai('error-429-twice', (p) => generateText({ model: p.chat('gpt-4o'), prompt, maxRetries: 1 }));

// The SDKs' own complaints about what they were sent are no part of the answer.
console.warn = console.error = () => {};
globalThis.AI_SDK_LOG_WARNINGS = false;

const queue = Object.keys(flows);
await Promise.all(Array.from({ length: 6 }, async () => {
  for (let name = queue.shift(); name; name = queue.shift()) {
    const line = { flow: name };
    try {
      line.result = await flows[name]();
    } catch (e) {
      line.error = told(e);
    }
    process.stdout.write(JSON.stringify(line) + '\n');
  }
}));
process.exit(0);

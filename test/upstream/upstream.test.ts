// The scripted provider is what other tests believe, so it is believed here only as far as raw sockets confirm it.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import zlib from 'node:zlib'
import { describeBehaviours, startUpstream, tokensIn, type Upstream } from './index.ts'

let upstream: Upstream
before(async () => {
  upstream = await startUpstream()
})
beforeEach(() => upstream.reset())
after(() => upstream.close())

type Got = {
  status: number
  headers: http.IncomingHttpHeaders
  bytes: Buffer
  text: string
  /** The writes, as far as the parser can tell them apart. */
  pieces: Buffer[]
  /** The body came to its proper end. */
  complete: boolean
  error: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: replies are looked into freely here
  json: any
}

type Options = { headers?: Record<string, string>; method?: string; agent?: http.Agent; patienceMs?: number }

/** A request that reports what happened rather than throwing. With `patienceMs` the client leaves after that silence. */
function send(path: string, body?: unknown, options: Options = {}): Promise<Got> {
  const { headers = {}, method = 'POST', agent, patienceMs } = options
  return new Promise((resolve) => {
    const pieces: Buffer[] = []
    let response: http.IncomingMessage | undefined
    const done = (res: http.IncomingMessage | undefined, error?: string) => {
      const bytes = Buffer.concat(pieces)
      const text = bytes.toString()
      let json: unknown
      try {
        json = JSON.parse(text)
      } catch {}
      const complete = res?.complete ?? false
      resolve({ status: res?.statusCode ?? 0, headers: res?.headers ?? {}, bytes, text, pieces, complete, error, json })
    }
    const options = {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(agent ? { agent } : { agent: false as const }),
    }
    const req = http.request(upstream.url + path, options, (res) => {
      response = res
      res.on('data', (piece) => pieces.push(piece))
      res.on('end', () => done(res))
      res.on('error', (error: NodeJS.ErrnoException) => done(res, error.code))
    })
    req.on('error', (error: NodeJS.ErrnoException) => done(response, error.code))
    if (patienceMs) req.setTimeout(patienceMs, () => req.destroy(Object.assign(new Error('left'), { code: 'LEFT' })))
    req.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body))
  })
}

const hello = [{ role: 'user', content: 'hello there' }]
const chat = (behaviour = '', rest: object = {}, options: Options = {}) =>
  send('/v1/chat/completions', { model: `gpt-4o-mini${behaviour}`, messages: hello, ...rest }, options)
const streamed = (behaviour = '', rest: object = {}, options: Options = {}) =>
  chat(behaviour, { stream: true, ...rest }, options)

const claudeHeaders = { 'x-api-key': 'key', 'anthropic-version': '2023-06-01' }
const claude = (behaviour = '', rest: object = {}, headers: Record<string, string> = claudeHeaders) =>
  send(
    '/v1/messages',
    { model: `claude-sonnet-4-5${behaviour}`, max_tokens: 4096, messages: hello, ...rest },
    { headers },
  )

const contents = [{ role: 'user', parts: [{ text: 'hello there' }] }]
const gemini = (behaviour = '', verb = 'generateContent', rest: object = {}) =>
  send(
    `/v1beta/models/gemini-2.5-flash${behaviour}:${verb}`,
    { contents, ...rest },
    { headers: { 'x-goog-api-key': 'key' } },
  )

// biome-ignore lint/suspicious/noExplicitAny: events are looked into freely here
type Seen = { event: string | undefined; data: any }
const eventsIn = (text: string): Seen[] =>
  text
    .replace(/^\uFEFF/, '')
    .split(/\r\n\r\n|\n\n|\r\r/)
    .map((block) => block.split(/\r\n|\n|\r/))
    .map((lines) => ({
      event: lines.find((line) => line.startsWith('event: '))?.slice(7),
      text: lines.find((line) => line.startsWith('data: '))?.slice(6),
    }))
    .flatMap(({ event, text }) =>
      text === undefined ? [] : [{ event, data: text === '[DONE]' ? text : JSON.parse(text) }],
    )
const chatText = (text: string): string =>
  eventsIn(text)
    .map(({ data }) => data.choices?.[0]?.delta?.content ?? '')
    .join('')
const row = () => {
  const last = upstream.ledger.rows.at(-1)
  assert.ok(last)
  return last
}

// --- dialects -------------------------------------------------------------------------------------------------

test('OpenAI chat, unstreamed: the same answer every time, and the ledger agrees with its usage', async () => {
  const got = await chat()
  assert.equal(got.status, 200)
  assert.equal(got.json.choices[0].message.content, 'echo: hello there')
  assert.deepEqual(
    [got.json.usage.prompt_tokens, got.json.usage.completion_tokens, got.json.usage.total_tokens],
    [3, 5, 8],
  )
  assert.equal(got.json.model, 'gpt-4o-mini')
  assert.equal(got.json.created, 1_750_000_000)
  const {
    inputTokens,
    outputTokens,
    tokensServed,
    finished,
    status,
    bytesSent,
    bodyBytes,
    rawBody,
    dialect,
    operation,
  } = row()
  assert.deepEqual([inputTokens, outputTokens, tokensServed, finished, status], [3, 5, 5, true, 200])
  assert.equal(bytesSent, got.bytes.length)
  assert.equal(bodyBytes, rawBody.length)
  assert.deepEqual([dialect, operation], ['openai', 'chat'])
  upstream.reset()
  assert.equal((await chat()).text, got.text)
})

test('OpenAI chat, streamed: role, deltas, finish reason, usage only if asked, [DONE]', async () => {
  const silent = eventsIn((await streamed()).text)
  assert.equal(silent[0]?.data.choices[0].delta.role, 'assistant')
  assert.equal(silent.at(-2)?.data.choices[0].finish_reason, 'stop')
  assert.equal(silent.at(-1)?.data, '[DONE]')
  assert.ok(silent.every(({ data }) => data.usage === undefined))
  const got = await streamed('', { stream_options: { include_usage: true } })
  const events = eventsIn(got.text)
  assert.equal(chatText(got.text), 'echo: hello there')
  assert.deepEqual(events.at(-2)?.data.choices, [])
  assert.equal(events.at(-2)?.data.usage.completion_tokens, 5)
  assert.equal(events[0]?.data.usage, null)
  assert.deepEqual([row().tokensServed, row().eventsSent, row().stream], [5, events.length, true])
})

test('OpenAI chat: tools, parallel, with arguments in pieces; a forced choice; a tool result', async () => {
  const tools = ['look', 'find'].map((name) => ({
    type: 'function',
    function: { name, parameters: { type: 'object', properties: { q: { type: 'string' } } } },
  }))
  const messages = [
    { role: 'user', content: 'please call:look{"q":"a } \\" b"} and call:find{"q":"x"} not call:other{}' },
  ]
  const whole = await chat('', { messages, tools })
  const calls = whole.json.choices[0].message.tool_calls
  assert.deepEqual(
    calls.map((call: { function: object }) => call.function),
    [
      { name: 'look', arguments: '{"q":"a } \\" b"}' },
      { name: 'find', arguments: '{"q":"x"}' },
    ],
  )
  assert.equal(whole.json.choices[0].finish_reason, 'tool_calls')
  const args = ['', '']
  let pieces = 0
  for (const { data } of eventsIn((await streamed('', { messages, tools })).text)) {
    for (const call of data.choices?.[0]?.delta?.tool_calls ?? []) {
      args[call.index] += call.function.arguments
      pieces++
    }
  }
  assert.deepEqual(args, ['{"q":"a } \\" b"}', '{"q":"x"}'])
  assert.ok(pieces > 4)
  assert.equal(
    (await chat('', { messages, tools, parallel_tool_calls: false })).json.choices[0].message.tool_calls.length,
    1,
  )
  const forced = await chat('', { tools, tool_choice: { type: 'function', function: { name: 'find' } } })
  assert.deepEqual(forced.json.choices[0].message.tool_calls[0].function, { name: 'find', arguments: '{"q":"mock"}' })
  const answered = await chat('', {
    tools,
    messages: [
      ...messages,
      whole.json.choices[0].message,
      { role: 'tool', tool_call_id: calls[0].id, content: 'sunny' },
    ],
  })
  assert.equal(answered.json.choices[0].message.content, 'echo: sunny')
})

test('OpenAI chat: json_schema, n, logprobs, stop, max_tokens, reasoning', async () => {
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string' },
      kind: { enum: ['a', 'b'] },
      tags: { type: 'array', items: { $ref: '#/$defs/tag' } },
      old: { anyOf: [{ type: 'null' }, { type: 'integer' }] },
    },
    $defs: { tag: { type: 'integer', minimum: 5 } },
  }
  const format = { response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }
  const said = JSON.parse((await chat('', format)).json.choices[0].message.content)
  assert.deepEqual(said, { name: 'mock', kind: 'a', tags: [5], old: null })
  const several = (await chat('', { n: 3, logprobs: true })).json
  assert.deepEqual(
    several.choices.map((choice: { message: { content: string } }) => choice.message.content),
    ['echo: hello there', 'echo: hello there (2)', 'echo: hello there (3)'],
  )
  assert.equal(
    several.choices[0].logprobs.content.map(({ token }: { token: string }) => token).join(''),
    'echo: hello there',
  )
  assert.equal((await chat('', { stop: ['lo'] })).json.choices[0].message.content, 'echo: hel')
  const short = (await chat('', { max_tokens: 2 })).json
  assert.deepEqual(
    [short.choices[0].message.content, short.choices[0].finish_reason, short.usage.completion_tokens],
    ['echo: he', 'length', 2],
  )
  const reasoned = (await chat('', { reasoning_effort: 'low' })).json.usage
  assert.equal(reasoned.completion_tokens_details.reasoning_tokens, tokensIn('thinking about: hello there'.length))
  assert.equal(reasoned.completion_tokens, 5 + reasoned.completion_tokens_details.reasoning_tokens)
})

test('OpenAI: other base URLs, completions, embeddings, models, errors of its shape', async () => {
  for (const path of ['/chat/completions', '/openai/v1/chat/completions', '/api/v1/chat/completions']) {
    assert.equal((await send(path, { model: 'm', messages: hello })).status, 200, path)
  }
  assert.equal((await send('/v1/v1/chat/completions', { model: 'm', messages: hello })).status, 404)
  const completed = (await send('/v1/completions', { model: 'm', prompt: ['a', [1, 2, 3]], n: 2 })).json
  assert.equal(completed.choices.length, 4)
  assert.equal(completed.usage.prompt_tokens, 4)
  const text = eventsIn((await send('/v1/completions', { model: 'm', prompt: 'hi', stream: true })).text)
  assert.equal(text.map(({ data }) => data.choices?.[0].text ?? '').join(''), 'echo: hi')

  const floats = (await send('/v1/embeddings', { model: 'm', input: ['hi', 'you'], dimensions: 8 })).json
  const base64 = (
    await send('/v1/embeddings', { model: 'm', input: ['hi', 'you'], dimensions: 8, encoding_format: 'base64' })
  ).json
  for (const i of [0, 1]) {
    const bytes = Buffer.from(base64.data[i].embedding, 'base64')
    assert.deepEqual(
      [...new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))],
      floats.data[i].embedding,
    )
  }
  assert.notDeepEqual(floats.data[0].embedding, floats.data[1].embedding)
  assert.equal(
    (await send('/v1/embeddings', { model: 'text-embedding-3-small', input: [1, 2, 3] })).json.data[0].embedding.length,
    1536,
  )
  assert.equal(row().inputTokens, 3)

  assert.ok(
    (await send('/v1/models', undefined, { method: 'GET' })).json.data.some(
      ({ id }: { id: string }) => id === 'gpt-4o-mini',
    ),
  )
  assert.equal((await send('/v1/models/gpt-4o', undefined, { method: 'GET' })).json.id, 'gpt-4o')
  assert.equal((await send('/v1/models/none', undefined, { method: 'GET' })).json.error.code, 'model_not_found')
  assert.equal((await send('/v1/chat/completions', '{"model":')).status, 400)
  assert.equal((await send('/v1/chat/completions', '[]')).status, 400)
  assert.equal((await send('/v1/chat/completions', { model: 'm' })).status, 400)
  assert.equal((await send('/v1/chat/completions', undefined, { method: 'GET' })).status, 405)
  assert.equal((await send('/nowhere', {})).json.error.code, 'unknown_url')
})

test('OpenAI responses: text, reasoning and calls; streamed events add up to the unstreamed output', async () => {
  const tools = [{ type: 'function', name: 'look', parameters: {} }]
  const asked = {
    model: 'gpt-4o',
    input: [{ role: 'user', content: [{ type: 'input_text', text: 'call:look{"a":[1,2,3]}' }] }],
    tools,
    reasoning: { effort: 'low' },
  }
  const whole = (await send('/v1/responses', asked)).json
  assert.equal(whole.status, 'completed')
  assert.deepEqual(
    whole.output.map(({ type }: { type: string }) => type),
    ['reasoning', 'function_call'],
  )
  const events = eventsIn((await send('/v1/responses', { ...asked, stream: true })).text)
  assert.equal(events[0]?.event, 'response.created')
  assert.deepEqual(
    events.map(({ data }) => data.sequence_number),
    events.map((_, i) => i),
  )
  const args = events.filter(({ event }) => event === 'response.function_call_arguments.delta')
  assert.equal(args.map(({ data }) => data.delta).join(''), '{"a":[1,2,3]}')
  const ended = events.at(-1)
  assert.equal(ended?.event, 'response.completed')
  assert.deepEqual(ended?.data.response.usage, whole.usage)
  assert.equal(row().tokensServed, whole.usage.output_tokens)
  assert.equal((await send('/v1/responses', { model: 'm', input: 'hi' })).json.output[0].content[0].text, 'echo: hi')
  assert.equal(
    (await send('/v1/responses', { model: 'm+finish=length', input: 'hi' })).json.incomplete_details.reason,
    'max_output_tokens',
  )
})

test('Anthropic: unstreamed and streamed say the same, thinking is signed, tool input comes in pieces', async () => {
  const asked = {
    thinking: { type: 'enabled', budget_tokens: 1024 },
    tools: [{ name: 'look', input_schema: { type: 'object' } }],
    messages: [{ role: 'user', content: [{ type: 'text', text: 'call:look{"q":"a long one"}' }] }],
  }
  const whole = (await claude('+text=first', asked)).json
  assert.deepEqual(
    whole.content.map(({ type }: { type: string }) => type),
    ['thinking', 'text', 'tool_use'],
  )
  assert.deepEqual(whole.content[2].input, { q: 'a long one' })
  assert.equal(whole.stop_reason, 'tool_use')
  const events = eventsIn((await claude('+text=first', { ...asked, stream: true })).text)
  assert.ok(events.every(({ event, data }) => event === data.type))
  const kinds = events.map(({ event }) => event)
  assert.deepEqual([kinds[0], kinds.at(-2), kinds.at(-1)], ['message_start', 'message_delta', 'message_stop'])
  assert.ok(kinds.includes('ping'))
  const blocks: Record<string, string>[] = []
  for (const { data } of events) {
    if (data.type === 'content_block_start') blocks[data.index] = {}
    if (data.type !== 'content_block_delta') continue
    const block = blocks[data.index] as Record<string, string>
    for (const [key, value] of Object.entries(data.delta)) if (key !== 'type') block[key] = (block[key] ?? '') + value
  }
  assert.equal(blocks[0]?.thinking, whole.content[0].thinking)
  assert.equal(blocks[0]?.signature, whole.content[0].signature)
  assert.equal(blocks[1]?.text, 'first')
  assert.deepEqual(JSON.parse(blocks[2]?.partial_json ?? ''), whole.content[2].input)
  assert.equal(events.at(-2)?.data.usage.output_tokens, whole.usage.output_tokens)
  assert.equal(row().tokensServed, whole.usage.output_tokens)
})

test('Anthropic: a marked prefix is written to the cache, then read from it', async () => {
  const asked = { system: [{ type: 'text', text: 'x'.repeat(400), cache_control: { type: 'ephemeral', ttl: '1h' } }] }
  const first = (await claude('', asked)).json.usage
  assert.deepEqual([first.input_tokens, first.cache_creation_input_tokens, first.cache_read_input_tokens], [3, 100, 0])
  assert.equal(first.cache_creation.ephemeral_1h_input_tokens, 100)
  assert.deepEqual([row().inputTokens, row().cacheWriteTokens], [103, 100])
  const second = (await claude('', asked)).json.usage
  assert.deepEqual(
    [second.input_tokens, second.cache_creation_input_tokens, second.cache_read_input_tokens],
    [3, 0, 100],
  )
})

test('Anthropic is strict: key, version, max_tokens, unknown fields, roles, tool results', async () => {
  const failed = async (got: Promise<Got>, status: number, type: string) => {
    const { status: was, json } = await got
    assert.deepEqual([was, json.type, json.error.type], [status, 'error', type])
    return json.error.message as string
  }
  await failed(claude('', {}, { 'anthropic-version': 'x' }), 401, 'authentication_error')
  await failed(claude('', {}, { 'x-api-key': 'x' }), 400, 'invalid_request_error')
  assert.match(await failed(claude('', { max_tokens: undefined }), 400, 'invalid_request_error'), /max_tokens/)
  assert.match(await failed(claude('', { n: 2 }), 400, 'invalid_request_error'), /^n: Extra inputs/)
  await failed(claude('', { messages: [{ role: 'system', content: 'x' }] }), 400, 'invalid_request_error')
  const result = { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: 'sunny' }] }
  const use = { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'look', input: {} }] }
  await failed(claude('', { messages: [result] }), 400, 'invalid_request_error')
  await failed(claude('', { messages: [...hello, use, ...hello] }), 400, 'invalid_request_error')
  assert.equal((await claude('', { messages: [...hello, use, result] })).json.content[0].text, 'echo: sunny')
  const counted = await send('/v1/messages/count_tokens', { model: 'm', messages: hello }, { headers: claudeHeaders })
  assert.deepEqual(counted.json, { input_tokens: 3 })
  assert.equal(
    (await send('/v1/models', undefined, { method: 'GET', headers: claudeHeaders })).json.data[0].type,
    'model',
  )
  await failed(claude('+status=529'), 529, 'overloaded_error')
})

test('Gemini: unstreamed, SSE and JSON array say the same; thoughts and calls', async () => {
  const thinking = { generationConfig: { thinkingConfig: { includeThoughts: true } } }
  const whole = (await gemini('', 'generateContent', thinking)).json
  assert.deepEqual(
    whole.candidates[0].content.parts.map((part: { thought?: true }) => part.thought === true),
    [true, false],
  )
  assert.ok(whole.candidates[0].content.parts[1].thoughtSignature)
  assert.deepEqual(
    [
      whole.usageMetadata.promptTokenCount,
      whole.usageMetadata.candidatesTokenCount,
      whole.usageMetadata.thoughtsTokenCount,
      whole.usageMetadata.totalTokenCount,
    ],
    [3, 5, 7, 15],
  )
  assert.deepEqual([row().outputTokens, row().reasoningTokens], [12, 7])
  const array = (await gemini('', 'streamGenerateContent', thinking)).json
  const sse = eventsIn((await gemini('', 'streamGenerateContent?alt=sse', thinking)).text).map(({ data }) => data)
  for (const chunks of [array, sse]) {
    assert.equal(
      chunks
        .flatMap(
          (chunk: { candidates: { content: { parts: { thought?: true; text: string }[] } }[] }) =>
            chunk.candidates[0]?.content.parts ?? [],
        )
        .filter((part: { thought?: true }) => !part.thought)
        .map((part: { text: string }) => part.text)
        .join(''),
      'echo: hello there',
    )
    assert.equal(chunks.at(-1).candidates[0].finishReason, 'STOP')
    assert.deepEqual(chunks.at(-1).usageMetadata, whole.usageMetadata)
  }
  assert.equal(row().tokensServed, 12)
  const tools = {
    tools: [{ functionDeclarations: [{ name: 'look' }] }],
    contents: [{ parts: [{ text: 'call:look{"a":1} call:look{"a":2}' }] }],
  }
  const calls = (await gemini('', 'generateContent', tools)).json.candidates[0].content.parts
  assert.deepEqual(
    calls.map((part: { functionCall: { args: object } }) => part.functionCall.args),
    [{ a: 1 }, { a: 2 }],
  )
  assert.equal((await gemini('+cached=2')).json.usageMetadata.cachedContentTokenCount, 2)
})

test('Gemini is strict, and has neighbours: countTokens, embeddings, models', async () => {
  assert.equal((await send('/v1beta/models/g:generateContent', { contents })).json.error.status, 'PERMISSION_DENIED')
  assert.equal((await send('/v1beta/models/g:generateContent?key=k', { contents })).status, 200)
  assert.match((await gemini('', 'generateContent', { max_tokens: 3 })).json.error.message, /Unknown name "maxTokens"/)
  assert.equal((await gemini('', 'generateContent', { contents: [] })).json.error.status, 'INVALID_ARGUMENT')
  assert.equal(
    (await gemini('', 'generateContent', { contents: [{ role: 'assistant', parts: [{ text: 'x' }] }] })).status,
    400,
  )
  assert.equal((await gemini('', 'generateContent', { contents: [{ parts: [{}] }] })).status, 400)
  assert.equal(
    (await gemini('', 'generateContent', { system_instruction: { parts: [{ text: 'abcd' }] } })).json.usageMetadata
      .promptTokenCount,
    4,
  )
  assert.equal((await gemini('', 'countTokens')).json.totalTokens, 3)
  const headers = { 'x-goog-api-key': 'k' }
  const content = { parts: [{ text: 'hi' }] }
  assert.equal(
    (await send('/v1beta/models/e:embedContent', { content, outputDimensionality: 4 }, { headers })).json.embedding
      .values.length,
    4,
  )
  assert.equal(
    (await send('/v1beta/models/e:batchEmbedContents', { requests: [{ content }, { content }] }, { headers })).json
      .embeddings.length,
    2,
  )
  assert.ok((await send('/v1beta/models', undefined, { method: 'GET', headers })).json.models.length > 1)
  const limited = (await gemini('+status=429+retry-after=7')).json.error
  assert.deepEqual([limited.status, limited.details[0].retryDelay], ['RESOURCE_EXHAUSTED', '7s'])
})

// --- how behaviours are chosen --------------------------------------------------------------------------------

test('a behaviour comes from the name, the header or a script, which win in that order; an unknown one is named', async () => {
  assert.equal((await chat('+text=name')).json.choices[0].message.content, 'name')
  assert.equal(
    (await chat('+text=name', {}, { headers: { 'x-mock': 'text=a%2Cb, pace=1' } })).json.choices[0].message.content,
    'a,b',
  )
  upstream.script({ behaviour: { text: 'script' }, match: (request) => request.model === 'gpt-4o-mini' })
  assert.equal((await chat('', {}, { headers: { 'x-mock': 'text=header' } })).json.choices[0].message.content, 'script')
  const wrong = await chat('+stall+foo=1+gzip=3', {}, { headers: { 'x-mock': 'bar' } })
  assert.equal(wrong.status, 400)
  assert.equal(wrong.json.error.message, 'unknown behaviour: stall, foo=1, gzip=3, bar')
  assert.throws(() => upstream.script({ behaviour: 'nothing' }), /unknown behaviour: nothing/)
})

test('scripts are used up in order; failures can be counted per model; reset forgets both', async () => {
  upstream.script({ behaviour: 'status=500', times: 2 })
  upstream.script({ behaviour: 'ok' })
  upstream.script({ behaviour: { status: 429 } })
  const seen: number[] = []
  for (let i = 0; i < 5; i++) seen.push((await chat()).status)
  assert.deepEqual(seen, [500, 500, 200, 429, 200])
  const counted = async () => [(await chat('+500-then-ok=2+status=503')).status, (await chat('+500-then-ok')).status]
  assert.deepEqual([await counted(), await counted(), await counted()].flat(), [503, 500, 503, 200, 200, 200])
  upstream.script({ behaviour: 'status=500', times: Number.POSITIVE_INFINITY })
  upstream.reset()
  assert.equal((await chat('+500-then-ok')).status, 500)
  assert.equal((await send('/__script', { behaviour: 'status=418', model: 'gpt-4o-mini' })).status, 200)
  assert.equal((await chat()).status, 418)
  assert.equal((await send('/__script', { behaviour: 'nothing' })).status, 400)
})

test('the ledger is read and reset over HTTP', async () => {
  await chat('+chunks=3', { stream: true })
  const { rows, totals, connections } = (await send('/__ledger', undefined, { method: 'GET' })).json
  assert.deepEqual(rows, JSON.parse(JSON.stringify(upstream.ledger.rows)))
  assert.deepEqual(rows[0].behaviour, { chunks: 3 })
  assert.equal(totals.requests, 1)
  assert.ok(connections >= 1)
  await send('/__reset')
  assert.equal(upstream.ledger.rows.length, 0)
})

test('the README lists every behaviour as it is', () => {
  const readme = readFileSync(new URL('./README.md', import.meta.url), 'utf8')
  const table = describeBehaviours().map(({ written, does }) => `| \`${written}\` | ${does} |`)
  // The formatter pads tables.
  const listed = /<!-- behaviours -->\s+(.*?)\s+<!-- \/behaviours -->/s.exec(readme)?.[1]?.replace(/ +\|/g, ' |')
  assert.deepEqual(listed?.split('\n').slice(2), table)
})

// --- what is said ---------------------------------------------------------------------------------------------

test('size, chunks, finish, model, reasoning, cached', async () => {
  assert.equal((await chat('+size=10k')).json.choices[0].message.content.length, 10_240)
  for (const n of [1, 7, 100]) {
    const deltas = eventsIn((await streamed(`+chunks=${n}`)).text).filter(({ data }) => data.choices?.[0].delta.content)
    assert.equal(deltas.length, n)
  }
  const got = (await chat('+finish=content_filter+model=other+reasoning=because+cached=2')).json
  assert.deepEqual(
    [got.choices[0].finish_reason, got.model, got.choices[0].message.reasoning_content],
    ['content_filter', 'other', 'because'],
  )
  assert.equal(got.usage.prompt_tokens_details.cached_tokens, 2)
  assert.equal((await claude('+finish=length')).json.stop_reason, 'max_tokens')
  assert.equal((await gemini('+finish=content_filter')).json.candidates[0].finishReason, 'SAFETY')
  const azure = eventsIn((await streamed('+filter-only')).text)[0]?.data
  assert.deepEqual([azure.choices, azure.prompt_filter_results.length], [[], 1])
})

test('usage: absent, twice, late, unasked for, withheld, and hostile', async () => {
  const asked = { stream_options: { include_usage: true } }
  const usages = async (behaviour: string, rest: object = asked) =>
    eventsIn((await streamed(behaviour, rest)).text)
      .map(({ data }) => (data === '[DONE]' ? 'done' : data.usage ? 'usage' : ''))
      .filter(Boolean)
  assert.deepEqual(await usages(''), ['usage', 'done'])
  assert.deepEqual(await usages('+no-usage'), ['done'])
  assert.deepEqual(await usages('+dup-usage'), ['usage', 'usage', 'done'])
  assert.deepEqual(await usages('+usage-after-done'), ['done', 'usage'])
  assert.deepEqual(await usages('+usage-always', {}), ['usage', 'done'])
  assert.deepEqual(await usages('+ignore-include-usage'), ['done'])
  assert.deepEqual(await usages('+no-done'), ['usage'])
  for (const unstreamed of [await chat('+no-usage'), await claude('+no-usage'), await gemini('+no-usage')]) {
    assert.doesNotMatch(unstreamed.text, /"usage/)
  }
  assert.doesNotMatch((await claude('+no-usage', { stream: true })).text, /"usage"/)
  const kinds = eventsIn((await claude('+dup-usage', { stream: true })).text).map(({ event }) => event)
  assert.equal(kinds.filter((kind) => kind === 'message_delta').length, 2)
  assert.doesNotMatch((await claude('+no-done', { stream: true })).text, /message_stop/)
  assert.doesNotMatch((await gemini('+no-done', 'streamGenerateContent?alt=sse')).text, /finishReason/)

  assert.match((await chat('+usage-huge')).text, /"prompt_tokens":1e400,"completion_tokens":1e400/)
  assert.equal((await chat('+usage-huge=NaN')).json.usage.prompt_tokens, 'NaN')
  assert.equal((await claude('+usage-huge=-1')).json.usage.input_tokens, -1)
  assert.equal((await gemini('+usage-output=-5')).json.usageMetadata.candidatesTokenCount, -5)
  assert.equal(row().outputTokens, 5)
  const claimed = (await streamed('+usage-input=1000+usage-output=50', asked)).text
  assert.match(claimed, /"prompt_tokens":1000,"completion_tokens":50,"total_tokens":1050/)
  assert.deepEqual([row().inputTokens, row().outputTokens, row().tokensServed], [1000, 50, 50])
})

// --- errors ---------------------------------------------------------------------------------------------------

test('error statuses with their headers, codes, pages, redirects and leaks', async () => {
  const limited = await chat(
    '+status=429+retry-after=3+retry-after-ms=2500+error-code=insufficient_quota+error-type=quota+error-message=spent',
  )
  assert.equal(limited.status, 429)
  assert.deepEqual([limited.headers['retry-after'], limited.headers['retry-after-ms']], ['3', '2500'])
  assert.deepEqual(limited.json.error, { message: 'spent', type: 'quota', param: null, code: 'insufficient_quota' })
  assert.deepEqual([row().status, row().outputTokens], [429, 0])
  const page = await chat('+html')
  assert.deepEqual([page.status, page.headers['content-type']], [200, 'text/html; charset=utf-8'])
  assert.equal((await chat('+html-error')).status, 502)
  const moved = await chat('+redirect=http://169.254.169.254/latest/meta-data')
  assert.deepEqual([moved.status, moved.headers.location], [307, 'http://169.254.169.254/latest/meta-data'])
  const key = { headers: { authorization: 'Bearer sk-secret' } }
  const leak = await chat('+echo-key', {}, key)
  assert.equal(leak.status, 401)
  assert.match(leak.json.error.message, /sk-secret/)
  const improper = await chat('+set-cookie+oversized-header=2000+wrong-content-type')
  assert.equal(improper.headers['set-cookie']?.length, 2)
  assert.equal(improper.headers['x-stockyard-cost-usd'], '-1')
  assert.equal(improper.headers['content-type'], 'text/plain')
  assert.equal(improper.headers['x-oversized']?.length, 2000)
})

test('an error inside a 200, at the start and in the middle, in each dialect', async () => {
  const first = eventsIn((await streamed('+inband-error')).text)
  assert.equal(first.length, 1)
  assert.equal(first[0]?.data.error.type, 'server_error')
  const middle = await streamed('+inband-error=2+status=429')
  assert.equal(middle.status, 200)
  assert.equal(eventsIn(middle.text).at(-1)?.data.error.code, 'rate_limit_exceeded')
  assert.equal(middle.complete, true)
  const anthropic = eventsIn((await claude('+inband-error=3', { stream: true })).text).at(-1)
  assert.deepEqual([anthropic?.event, anthropic?.data.error.type], ['error', 'overloaded_error'])
  assert.equal((await gemini('+inband-error=1', 'streamGenerateContent')).json.at(-1).error.status, 'UNAVAILABLE')
  assert.equal((await gemini('+inband-error=0', 'streamGenerateContent')).json[0].error.code, 503)
  assert.equal((await chat('+inband-error')).json.error.type, 'server_error')
})

// --- time and ends --------------------------------------------------------------------------------------------

test('delay, first and pace wait', async () => {
  const timed = async (got: Promise<Got>) => {
    const start = performance.now()
    await got
    return performance.now() - start
  }
  assert.ok((await timed(chat('+delay=60'))) >= 55)
  assert.ok((await timed(streamed('+first=60'))) >= 55)
  assert.ok((await timed(streamed('+chunks=5+pace=20'))) >= 95)
  assert.ok((await timed(streamed('+text=x+slow-drip=10000'))) >= 30)
})

test('a stall, and the client that leaves is noticed with what it got', async () => {
  const got = await streamed('+stall=3', {}, { patienceMs: 300 })
  assert.equal(got.complete, false)
  assert.equal(eventsIn(got.text).length, 3)
  await upstream.until(() => row().clientHungUpAt)
  assert.deepEqual([row().eventsSent, row().tokensServed, row().outputTokens, row().finished], [3, 3, 5, false])
  const half = await chat('+stall=1', {}, { patienceMs: 300 })
  assert.equal(half.status, 200)
  assert.ok(half.bytes.length > 10 && half.json === undefined)
  const none = await chat('+hang-headers', {}, { patienceMs: 300 })
  assert.deepEqual([none.status, none.error], [0, 'LEFT'])
  await upstream.until(() => row().clientHungUpAt)
  assert.equal(row().status, 0)
  await chat('+delay=60000', {}, { patienceMs: 50 })
  await upstream.until(() => row().clientHungUpAt)
})

test('hang-connect: a connection that is never read', async () => {
  upstream.script({ behaviour: 'hang-connect' })
  assert.equal((await chat('', {}, { patienceMs: 300 })).error, 'LEFT')
  assert.deepEqual([row().method, row().behaviour], ['', { 'hang-connect': true }])
  assert.equal((await chat()).status, 200)
  assert.equal((await chat('', {}, { patienceMs: 300, headers: { 'x-mock': 'hang-connect' } })).error, 'LEFT')
  assert.equal(row().bodyBytes, 0)
})

test('truncate ends cleanly; half-close and reset do not', async () => {
  const cut = await streamed('+truncate=2')
  assert.deepEqual([cut.complete, cut.error, eventsIn(cut.text).length], [true, undefined, 2])
  await upstream.until(() => row().finished)
  assert.equal((await claude('+truncate=4', { stream: true })).text.includes('message_stop'), false)
  assert.equal((await chat('+truncate=1')).json, undefined)
  for (const kind of ['reset', 'half-close']) {
    const dead = await streamed(`+${kind}=2`)
    assert.deepEqual([dead.complete, dead.error, eventsIn(dead.text).length], [false, 'ECONNRESET', 2], kind)
    assert.equal((await chat(`+${kind}=0`)).error, 'ECONNRESET', kind)
    assert.deepEqual([(await chat(`+${kind}`)).status, row().status], [0, 0], kind)
    assert.equal(row().clientHungUpAt, undefined)
  }
})

test('keepalive closes an idle connection, and only an idle one', async () => {
  await upstream.until(() => upstream.connections === 0)
  const agent = new http.Agent({ keepAlive: true })
  await chat('+keepalive=50', {}, { agent })
  assert.equal(upstream.connections, 1)
  await chat('+delay=100', {}, { agent })
  assert.equal(upstream.ledger.rows.length, 2)
  await chat('+keepalive=20', {}, { agent })
  await upstream.until(() => upstream.connections === 0)
  agent.destroy()
})

test('endless goes on only while it is read, streamed and not', async () => {
  for (const stream of [true, false]) {
    const socket = net.connect(upstream.port, '127.0.0.1')
    socket.on('error', () => {})
    const body = JSON.stringify({ model: 'm+endless', messages: hello, stream })
    socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    socket.pause()
    await upstream.until(() => upstream.ledger.rows.length > 0 && row().bytesSent > 1000)
    let before = -1
    while (before !== row().bytesSent) {
      before = row().bytesSent
      await sleep(100)
    }
    assert.ok(before < 32 * 1024 * 1024, `${before} bytes are buffered somewhere`)
    socket.resume()
    await upstream.until(() => row().bytesSent > before + 1024 * 1024)
    socket.destroy()
    await upstream.until(() => row().clientHungUpAt)
    assert.ok(row().tokensServed > 0)
    upstream.reset()
  }
})

// --- bytes ----------------------------------------------------------------------------------------------------

test('split and splitat cut the body across event borders and lose nothing', async () => {
  const whole = await streamed()
  for (const n of [1, 7, 100]) {
    upstream.reset()
    const got = await streamed(`+split=${n}`)
    assert.equal(got.text, whole.text)
    assert.ok(got.pieces.slice(0, -1).every((piece) => piece.length === n))
  }
  for (const n of [1, 300, whole.bytes.length - 1]) {
    upstream.reset()
    const got = await streamed(`+splitat=${n}`)
    assert.equal(got.text, whole.text)
    assert.deepEqual(
      got.pieces.map((piece) => piece.length),
      [n, whole.bytes.length - n],
    )
  }
  upstream.reset()
  const body = await chat('+split=10')
  assert.equal(body.json.choices[0].message.content, 'echo: hello there')
  assert.equal(body.pieces[0]?.length, 10)
})

test('line ends, comments, a byte order mark, a tail: the events stay the same', async () => {
  const plain = eventsIn((await streamed()).text).length
  for (const behaviour of ['crlf', 'cr', 'comments', 'bom', 'json-tail', 'slow-drip=100000']) {
    const got = await streamed(`+${behaviour}`)
    assert.equal(eventsIn(got.text).length, plain, behaviour)
    assert.equal(chatText(got.text), 'echo: hello there', behaviour)
  }
  assert.doesNotMatch((await streamed('+cr')).text, /\n/)
  assert.match((await streamed('+comments')).text, /^: still here\n\ndata: /)
  assert.deepEqual([...(await chat('+bom')).bytes.subarray(0, 3)], [0xef, 0xbb, 0xbf])
  assert.match((await streamed('+json-tail')).text, /\[DONE\]\n\n\{"error":/)
})

test('rubbish: garbage, cut JSON, bad and split UTF-8', async () => {
  assert.ok((await chat('+garbage')).bytes.includes(0xff))
  assert.equal((await streamed('+garbage')).text.startsWith('data: '), true)
  assert.match((await chat('+garbage=http')).error ?? '', /^HPE_/)
  const cut = await chat('+bad-json')
  assert.deepEqual([cut.status, cut.json, cut.complete], [200, undefined, true])
  const lines = (await streamed('+bad-json')).text.split('\n\n').filter((line) => line.startsWith('data: {'))
  const broken = lines.filter((line) => {
    try {
      JSON.parse(line.slice(6))
      return false
    } catch {
      return true
    }
  })
  assert.equal(broken.length, 1)
  for (const got of [await chat('+bad-utf8'), await streamed('+bad-utf8')]) {
    assert.throws(() => new TextDecoder('utf-8', { fatal: true }).decode(got.bytes))
  }
  const split = await streamed('+split-utf8')
  assert.equal(chatText(split.text), 'é漢😀 echo: hello there')
  assert.ok(split.pieces.filter((piece) => ((piece[0] ?? 0) & 0xc0) === 0x80).length >= 6)
})

test('encodings: flushed per event; nested; a bomb is small on the wire; a long line is one line', async () => {
  const decode = {
    gzip: zlib.gunzipSync,
    deflate: zlib.inflateSync,
    br: zlib.brotliDecompressSync,
    zstd: zlib.zstdDecompressSync,
  }
  const whole = await streamed()
  for (const [name, decoder] of Object.entries(decode)) {
    upstream.reset()
    const got = await streamed(`+${name}`)
    assert.equal(got.headers['content-encoding'], name)
    assert.equal(decoder(got.bytes).toString(), whole.text)
    const stalled = await streamed(`+${name}+stall=2`, {}, { patienceMs: 300 })
    assert.ok(stalled.bytes.length > 50, `${name} keeps events back`)
    assert.equal(JSON.parse(decoder((await chat(`+${name}+split=3`)).bytes).toString()).choices.length, 1)
  }
  const nested = await chat('+nested-encoding=3')
  assert.equal(nested.headers['content-encoding'], 'gzip, gzip, gzip')
  assert.match([1, 2, 3].reduce((bytes) => zlib.gunzipSync(bytes), nested.bytes).toString(), /echo: hello/)
  for (const bomb of [await chat('+gzip-bomb=5m'), await streamed('+gzip-bomb=5m')]) {
    assert.ok(bomb.bytes.length < 50_000)
    assert.ok(zlib.gunzipSync(bomb.bytes).length > 5 * 1024 * 1024)
    await upstream.until(() => row().finished)
    assert.deepEqual([row().outputTokens, row().tokensServed], [1_310_720, 1_310_720])
  }
  const line = (await streamed('+oversized-line=300000')).text.split('\n').find((line) => line.length > 1000) ?? ''
  assert.equal(JSON.parse(line.slice(6)).choices[0].delta.content, 'x'.repeat(300_000))
  assert.equal(row().tokensServed, 75_000)
  assert.equal((await claude('+oversized-line=70000')).json.content[0].text.length, 70_000)
})

test('over TLS it speaks and breaks off as it does without', async (t) => {
  const made = spawnSync(
    'openssl',
    'req -x509 -newkey rsa:2048 -nodes -keyout - -out - -days 1 -subj /CN=localhost'.split(' '),
  )
  if (made.status !== 0) return t.skip('needs openssl to make a certificate')
  const pem = made.stdout.toString()
  const secure = await startUpstream({ tls: { key: pem, cert: pem.slice(pem.indexOf('-----BEGIN CERTIFICATE')) } })
  const ask = (behaviour: string) =>
    new Promise<{ text: string; error: string | undefined }>((resolve) => {
      let text = ''
      const ended = (error?: NodeJS.ErrnoException) => resolve({ text, error: error?.code })
      const req = https.request(
        `${secure.url}/v1/chat/completions`,
        { method: 'POST', rejectUnauthorized: false, agent: false },
        (res) => {
          res.on('data', (piece) => {
            text += piece
          })
          res.on('end', () => ended())
          res.on('error', ended)
        },
      )
      req.on('error', ended)
      req.end(JSON.stringify({ model: `m${behaviour}`, stream: true, messages: hello }))
    })
  assert.equal(chatText((await ask('')).text), 'echo: hello there')
  assert.deepEqual(await ask('+reset'), { text: '', error: 'ECONNRESET' })
  const halfway = await ask('+reset=2')
  assert.deepEqual([eventsIn(halfway.text).length, halfway.error], [2, 'ECONNRESET'])
  assert.equal((await ask('+half-close=1')).error, 'ECONNRESET')
  await secure.close()
})

test('it survives what clients send', async () => {
  const raw = (bytes: string) =>
    new Promise<string>((resolve) => {
      const socket = net.connect(upstream.port, '127.0.0.1', () => socket.end(bytes))
      let text = ''
      socket.on('data', (piece) => {
        text += piece
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(text))
    })
  await raw('')
  assert.match(await raw('NONSENSE\r\n\r\n'), /400/)
  await raw('POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 1000\r\n\r\n{"mod')
  await raw('GET //?%%%&=%ff HTTP/1.1\r\nhost: x\r\n\r\n')
  await raw('CONNECT example.com:443 HTTP/1.1\r\nhost: x\r\n\r\n')
  for (const body of [
    'null',
    '"x"',
    '{"messages":[null,3]}',
    '{"model":{},"messages":"x","__proto__":{"a":1}}',
    '['.repeat(200_000),
  ]) {
    for (const path of [
      '/v1/chat/completions',
      '/v1/responses',
      '/v1/embeddings',
      '/v1/completions',
      '/v1/messages',
      '/v1beta/models/%zz+split=0:generateContent',
    ]) {
      const got = await send(path, body, { headers: { ...claudeHeaders, 'x-goog-api-key': 'k' } })
      assert.ok(
        got.status === 200 || (got.status >= 400 && got.status < 500),
        `${path} ${body.slice(0, 40)} ${got.status} ${got.text}`,
      )
    }
  }
  assert.equal((await chat()).status, 200)
})

/** What holds for any reply and any input: written and read again it says the same, and nothing makes it throw at random. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { validateChatStream } from '../../../test/golden/chat-stream.ts'
import {
  collect,
  pieces,
  readBody,
  readStream,
  streamOf,
  watchStream,
  writtenBody,
  writtenStream,
} from '../../../test/replay/replay.ts'
import { GatewayError } from '../../core/errors.ts'
import { MARK, type ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { BUCKETS, inputTokens, MOST_TOKENS, outputTokens } from '../../core/usage.ts'
import openaiChat from './index.ts'
import { usageOf, writeUsage } from './usage.ts'

const RUNS = { numRuns: 200 }
const { client, upstream } = openaiChat
assert.ok(client && upstream)

const words = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom('"usage":{}', 'data: [DONE]\n\n', '\\"'),
)
const said = words.filter((text) => text !== '')
const json = fc.dictionary(words, fc.jsonValue()).map((value) => JSON.stringify(value))

/** A text cut at any of its characters. */
const cut = (text: fc.Arbitrary<string>): fc.Arbitrary<string[]> =>
  fc.tuple(text, fc.array(fc.nat())).map(([whole, places]) => {
    const ends = [...new Set(places.map((place) => place % (whole.length + 1)))].sort((a, b) => a - b)
    return [...ends, whole.length].map((end, i, all) => whole.slice(i === 0 ? 0 : all[i - 1], end)).filter(Boolean)
  })

type Part = { kind: 'text' | 'reasoning' | 'refusal' | 'call'; pieces: string[]; signature?: string; redacted?: string }
const part: fc.Arbitrary<Part> = fc.oneof(
  fc.record({ kind: fc.constant('text' as const), pieces: cut(said) }),
  fc.record({ kind: fc.constant('refusal' as const), pieces: cut(said) }),
  fc.record({ kind: fc.constant('reasoning' as const), pieces: cut(said) }),
  fc.record({ kind: fc.constant('reasoning' as const), pieces: cut(said), signature: said }),
  fc.record({ kind: fc.constant('reasoning' as const), pieces: fc.constant<string[]>([]), redacted: said }),
  fc.record({ kind: fc.constant('call' as const), pieces: cut(fc.oneof(json, fc.constant(''))) }),
  fc.record({ kind: fc.constant('call' as const), pieces: cut(json), signature: said }),
)
const usage = fc.record(Object.fromEntries(BUCKETS.map((bucket) => [bucket, fc.nat(1_000_000)])))

/** A reply's events: its choices take turns, part by part. */
const reply: fc.Arbitrary<ReplyEvent[]> = fc
  .tuple(fc.array(fc.array(part, { maxLength: 6 }), { minLength: 1, maxLength: 3 }), usage)
  .map(([choices, counts]) => {
    const events: ReplyEvent[] = [{ type: 'reply-start', id: 'reply', model: 'm', created: 1 }]
    let number = 0
    const longest = Math.max(...choices.map((parts) => parts.length))
    for (let i = 0; i < longest; i++) {
      choices.forEach((parts, choice) => {
        const each = parts[i]
        if (each) events.push(...eventsOf(each, number++, choice))
      })
    }
    choices.forEach((parts, choice) => {
      const reason = parts.some(({ kind }) => kind === 'call') ? 'tool-calls' : 'stop'
      events.push({ type: 'finish', choice, reason })
    })
    events.push({ type: 'usage-report', usage: { source: 'provider', ...counts } }, { type: 'reply-end' })
    return events
  })

function eventsOf({ kind, pieces, signature, redacted }: Part, part: number, choice: number): ReplyEvent[] {
  const at = { part, choice }
  const signed = signature === undefined ? {} : { signature }
  switch (kind) {
    case 'text':
      return [
        { type: 'text-start', ...at },
        ...pieces.map((text): ReplyEvent => ({ type: 'text-delta', ...at, text })),
        { type: 'text-end', ...at },
      ]
    case 'refusal':
      return pieces.map((text) => ({ type: 'refusal-delta', ...at, text }))
    case 'reasoning':
      return [
        { type: 'reasoning-start', ...at, ...(redacted === undefined ? {} : { redacted }) },
        ...pieces.map((text): ReplyEvent => ({ type: 'reasoning-delta', ...at, text })),
        { type: 'reasoning-end', ...at, ...signed },
      ]
    case 'call':
      return [
        { type: 'tool-call-start', ...at, id: `call_${part}`, name: `tool_${part}`, ...signed },
        ...pieces.map((json): ReplyEvent => ({ type: 'tool-call-delta', ...at, json })),
        { type: 'tool-call-end', ...at },
      ]
  }
}

const choicesOf = (events: readonly ReplyEvent[]) => events.filter((event) => event.type === 'finish').length
/** Signatures of calls and of thoughts stand in different places of a body: their order is not compared. */
const meanings = (events: readonly ReplyEvent[]) =>
  Array.from({ length: choicesOf(events) }, (_, choice) => {
    const meaning = collect(events, choice)
    return { ...meaning, signatures: [...meaning.signatures].sort() }
  })

test('A56: any reply streamed to a client and read again says the same, however it is cut', () => {
  fc.assert(
    fc.property(reply, fc.integer({ min: 1, max: 50 }), (events, size) => {
      const stream = writtenStream(openaiChat, events, { stream_options: { include_usage: true } })
      validateChatStream(stream, { usage: true })
      const again = readStream(openaiChat, pieces(Buffer.from(stream), size))
      assert.deepEqual(meanings(again), meanings(events))
      const { facts } = watchStream(openaiChat, pieces(Buffer.from(stream), size), { n: choicesOf(events) })
      assert.equal(facts.finish, collect(again).finish)
      assert.equal(facts.complete, true)
      assert.deepEqual(facts.usage, again.find((event) => event.type === 'usage-report')?.usage)
    }),
    RUNS,
  )
})

test('any reply as a body says what its stream says', () => {
  fc.assert(
    fc.property(reply, (events) => {
      const body = JSON.stringify(writtenBody(openaiChat, events))
      assert.deepEqual(meanings(readBody(openaiChat, body)), meanings(events))
    }),
    RUNS,
  )
})

test('A56: five parallel calls whose pieces come in any order between text are the same five calls', () => {
  const calls = fc.array(cut(json), { minLength: 5, maxLength: 5 })
  fc.assert(
    fc.property(calls, fc.array(fc.nat(4)), fc.boolean(), (wanted, turns, hasIndex) => {
      const left = wanted.map((pieces) => [...pieces])
      const chunks: JsonObject[] = wanted.map((_, i) => delta({ tool_calls: [start(i, hasIndex)] }))
      const order = [...turns, ...wanted.flatMap((pieces, i) => pieces.map(() => i))]
      for (const i of order) {
        const piece = left[i]?.shift()
        const key = hasIndex ? { index: i } : { id: `c${i}` }
        if (piece !== undefined) chunks.push(delta({ tool_calls: [{ ...key, function: { arguments: piece } }] }))
      }
      chunks.push({ choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] })
      const bytes = streamOf(chunks.map((chunk) => JSON.stringify(chunk)))
      assert.deepEqual(
        collect(readStream(openaiChat, [bytes])).toolCalls,
        wanted.map((pieces, i) => ({ name: `tool_${i}`, args: JSON.parse(pieces.join('')) })),
      )
    }),
    RUNS,
  )
})
const delta = (fields: JsonObject): JsonObject => ({
  id: 'x',
  choices: [{ index: 0, delta: fields, finish_reason: null }],
})
const start = (i: number, hasIndex: boolean): JsonObject => ({
  ...(hasIndex ? { index: i } : {}),
  id: `c${i}`,
  type: 'function',
  function: { name: `tool_${i}`, arguments: '' },
})

test('a call that is whole is closed as soon as something else begins, an open one waits for its end', () => {
  const call = (index: number, json: string) => ({ ...start(index, true), function: { name: 'f', arguments: json } })
  const chunks = [
    { tool_calls: [call(0, '{}')] },
    { tool_calls: [call(1, '{}')] },
    { content: 'x' },
    { tool_calls: [call(2, '{"a"')] },
    { content: 'y' },
  ]
  const end = { tool_calls: [{ index: 2, function: { arguments: ':1}' } }] }
  const last = { choices: [{ index: 0, delta: end, finish_reason: 'tool_calls' }] }
  const bytes = streamOf([...chunks.map(delta), last].map((chunk) => JSON.stringify(chunk)))
  const order = readStream(openaiChat, [bytes]).flatMap((event) =>
    'part' in event && /-(start|end)$/.test(event.type) ? [`${event.type} ${event.part}`] : [],
  )
  const calls = ['tool-call-start 0', 'tool-call-end 0', 'tool-call-start 1', 'tool-call-end 1']
  const texts = ['text-start 2', 'text-end 2', 'tool-call-start 3', 'text-start 4', 'text-end 4', 'tool-call-end 3']
  assert.deepEqual(order, [...calls, ...texts])
})

const USAGE_FIELDS = ['prompt_tokens', 'completion_tokens', 'total_tokens', 'cached_tokens', 'prompt_cache_hit_tokens']
const DETAILS = ['cached_tokens', 'audio_tokens', 'image_tokens', 'reasoning_tokens', 'cache_write_tokens']

test('T19: whatever a vendor counts, no bucket is negative, huge or a fraction', () => {
  const count = fc.oneof(
    fc.constantFrom<JsonValue>(
      -1,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      2 ** 63,
      0.5,
      '7',
      null,
      true,
      [],
      {},
    ),
    fc.integer(),
    fc.double(),
  )
  const record = (names: readonly string[]) => fc.dictionary(fc.constantFrom(...names), count)
  const details = fc.oneof(count, record(DETAILS))
  const hostile = fc
    .tuple(record(USAGE_FIELDS), details, details)
    .map(([top, i, o]) => ({ ...top, prompt_tokens_details: i, completion_tokens_details: o }) as JsonObject)
  fc.assert(
    fc.property(hostile, (reported) => {
      const buckets = usageOf(reported)
      if (!buckets) return
      for (const bucket of BUCKETS) {
        const tokens: number = buckets[bucket] ?? 0
        assert.ok(Number.isInteger(tokens) && tokens >= 0 && tokens <= MOST_TOKENS, `${bucket}: ${tokens}`)
      }
      assert.ok(inputTokens(buckets) <= MOST_TOKENS && outputTokens(buckets) <= 2 * MOST_TOKENS)
      if (outputTokens(buckets) > MOST_TOKENS) return
      assert.deepEqual(usageOf(writeUsage(buckets)), buckets, 'written as OpenAI does, it is read as the same')
    }),
    { numRuns: 1_000 },
  )
})

test('arbitrary JSON is read, or refused as the client’s or the upstream’s mistake, and never anything else', () => {
  const names = fc.constantFrom(
    ...[
      'messages',
      'role',
      'content',
      'type',
      'text',
      'tool_calls',
      'function',
      'arguments',
      'tools',
      'stop',
      'choices',
    ],
    ...['delta', 'message', 'usage', 'error', 'reasoning_details', 'thinking_blocks', 'index', 'model', '__proto__'],
  )
  const leaf: fc.Arbitrary<unknown> = fc.oneof(
    fc.constantFrom<JsonValue>('user', 'assistant', 'tool', 'text', 'function', null, 0),
    fc.jsonValue(),
  )
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small', maxDepth: 5 },
      leaf,
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(names, tie('tree'), { maxKeys: 5 }),
    ),
  }))
  const body = fc
    .dictionary(names, tree, { maxKeys: 6 })
    .map((value) => JSON.parse(JSON.stringify(value)) as JsonObject)
  const orGatewayError = (action: () => unknown) => {
    try {
      action()
    } catch (error) {
      assert.ok(error instanceof GatewayError, String((error as Error).stack))
    }
  }
  fc.assert(
    fc.property(body, (value) => {
      orGatewayError(() => client.readRequest({ model: 'm', ...value }))
      orGatewayError(() => upstream.readBody(value))
      orGatewayError(() => upstream.streamReader().read(JSON.stringify(value)))
      upstream.factsOf(value)
      upstream.readError(value)
      watchStream(openaiChat, [streamOf([JSON.stringify(value)])])
    }),
    { numRuns: 500 },
  )
})

test('the watcher parses no ordinary frame, and counts its text by probes alone', (t) => {
  const text = 'words with "quotes", a \\ and "usage": null'
  const chunk = (fields: JsonObject) =>
    JSON.stringify({ ...delta(fields), model: 'm', object: 'chat.completion.chunk', usage: null })
  const frames = Array.from({ length: 1_000 }, (_, i) =>
    chunk(i % 2 ? { content: text } : { content: null, reasoning_content: text, tool_calls: null }),
  )
  const bytes = streamOf([chunk({ role: 'assistant', content: '' }), ...frames])
  const parse = t.mock.method(JSON, 'parse')
  const { facts, marks } = watchStream(openaiChat, [bytes])
  assert.equal(parse.mock.callCount(), 1)
  assert.equal(facts.textBytes, frames.length * (JSON.stringify(text).length - 2))
  assert.deepEqual(marks, [0, ...frames.map(() => MARK.content)])
  assert.deepEqual([facts.id, facts.model], ['x', 'm'])
})

test('spaces between keys and values, and lines ended by CRLF, are probed as well', () => {
  const spaced =
    '{"id": "x", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": null}], "usage" : null}'
  const finish = '{"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason" : "stop"}]}'
  const usage = '{"id": "x", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}'
  const bytes = Buffer.from([spaced, spaced, finish, usage, '[DONE]'].map((data) => `data: ${data}\r\n\r\n`).join(''))
  const { facts, marks } = watchStream(openaiChat, [bytes])
  assert.deepEqual(marks, [
    MARK.content,
    MARK.content,
    MARK.final,
    MARK.final | MARK.withhold,
    MARK.final | MARK.terminal,
  ])
  assert.deepEqual(facts.usage, { source: 'provider', input: 1, output: 2 })
})

test('comments and pings are neither content nor an end', () => {
  const { marks, facts } = watchStream(openaiChat, [Buffer.from(`: ping\n\n\n\n: ${'x'.repeat(100)}\n\n`)])
  assert.deepEqual(marks, [0, 0, 0, 0])
  assert.equal(facts.error, undefined)
})

test('relayed streams ask for usage and keep their other options', () => {
  const edits = (body: JsonObject) => upstream.relayEdits?.(body)
  assert.deepEqual(edits({ stream: true }), { stream_options: { include_usage: true } })
  assert.deepEqual(edits({ stream: true, stream_options: { include_usage: false, x: 1 } }), {
    stream_options: { include_usage: true, x: 1 },
  })
  assert.deepEqual(edits({ stream: true, stream_options: { include_usage: true } }), {})
  assert.deepEqual(edits({ stream: false }), {})
})

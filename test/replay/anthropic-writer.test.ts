/** Events → Anthropic's streams and bodies: random replies, and the cases that other gateways got wrong. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { failure } from '../../src/core/errors.ts'
import type { ReplyEvent } from '../../src/core/reply.ts'
import type { JsonObject } from '../../src/core/request.ts'
import dialect from '../../src/dialects/anthropic-messages/index.ts'
import { messageOf } from './anthropic-stream.ts'
import { collect, readBody, readStream, replayContext, streamOf, writtenBody, writtenStream } from './replay.ts'

const ID = 'anthropic-messages'
type Event<T extends ReplyEvent['type']> = Extract<ReplyEvent, { type: T }>

/** Cuts a text into pieces at random places, some of them empty. */
const cutUp = (text: fc.Arbitrary<string>) =>
  fc.tuple(text, fc.array(fc.nat(40), { maxLength: 5 })).map(([whole, at]) => {
    const cuts = [0, ...at.map((cut) => Math.min(cut, whole.length)).sort((a, b) => a - b), whole.length]
    return cuts.slice(1).map((cut, n) => whole.slice(cuts[n], cut))
  })

const words = fc.string({ unit: 'grapheme', maxLength: 30 })
const said = words.filter((text) => text.trim() !== '')
const input = fc.dictionary(fc.string({ maxLength: 6 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
const args = fc.oneof(
  input.map((value) => JSON.stringify(value)),
  input.map((value) => JSON.stringify(value, null, 2)),
  fc.constant('{}'),
)

const text = cutUp(said).map((pieces) => (part: number): ReplyEvent[] => [
  { type: 'text-start', part },
  ...pieces.map((piece): Event<'text-delta'> => ({ type: 'text-delta', part, text: piece })),
  { type: 'text-end', part },
])
const thinking = fc
  .tuple(cutUp(words), fc.base64String({ minLength: 4 }))
  .map(([pieces, signature]) => (part: number): ReplyEvent[] => [
    { type: 'reasoning-start', part },
    ...pieces.map((piece): Event<'reasoning-delta'> => ({ type: 'reasoning-delta', part, text: piece })),
    { type: 'reasoning-end', part, signature },
  ])
const redacted = fc.base64String({ minLength: 4 }).map((data) => (part: number): ReplyEvent[] => [
  { type: 'reasoning-start', part, redacted: data },
  { type: 'reasoning-end', part },
])
const call = fc.tuple(said, cutUp(args)).map(([name, pieces]) => (part: number): ReplyEvent[] => [
  { type: 'tool-call-start', part, id: `toolu_${part}`, name },
  ...pieces.map((json): Event<'tool-call-delta'> => ({ type: 'tool-call-delta', part, json })),
  { type: 'tool-call-end', part },
])
const opaque = input.map((value) => (part: number): ReplyEvent[] => [
  { type: 'opaque', part, dialect: ID, value: { ...(value as JsonObject), type: 'web_search_tool_result' } },
])

const usage = fc.record({
  source: fc.constant('provider' as const),
  input: fc.integer({ min: 1, max: 1e6 }),
  output: fc.nat(1e6),
  cacheRead: fc.nat(99),
})
const reply = (parts: fc.Arbitrary<ReplyEvent[]>) =>
  fc.tuple(parts, usage, fc.constantFrom('stop', 'length', 'pause', 'refusal')).map(([content, counted, reason]) => {
    const hasCalls = content.some(({ type }) => type === 'tool-call-start')
    return [
      { type: 'reply-start', id: 'msg_1', model: 'm' },
      ...content,
      { type: 'finish', reason: reason === 'stop' && hasCalls ? 'tool-calls' : reason },
      { type: 'usage-report', usage: counted },
      { type: 'reply-end' },
    ] as ReplyEvent[]
  })

const oneAfterAnother = fc
  .array(fc.oneof(text, thinking, redacted, call, opaque), { maxLength: 6 })
  .map((made) => made.flatMap((part, number) => part(number)))

/** Texts and parallel calls whose pieces come in any order between each other. */
const mixed = fc
  .tuple(fc.array(fc.oneof(text, call), { minLength: 2, maxLength: 5 }), fc.infiniteStream(fc.nat(9)))
  .map(([made, turns]) => {
    const queues = made.map((part, number) => part(number))
    const events: ReplyEvent[] = []
    for (const turn of turns) {
      const open = queues.filter((queue) => queue.length > 0)
      const next = open[turn % open.length]?.shift()
      if (!next) return events
      events.push(next)
    }
    return events
  })

suite('random replies', () => {
  test('A53, A56, A57: what is streamed is proper, reads the same, and equals the body', () => {
    fc.assert(
      fc.property(reply(oneAfterAnother), (events) => {
        const stream = writtenStream(dialect, events)
        const built = messageOf(stream)
        const body = writtenBody(dialect, events)
        assert.deepEqual(collect(readStream(dialect, [Buffer.from(stream)])), collect(events))
        assert.deepEqual(collect(readBody(dialect, JSON.stringify(body))), collect(events))
        assert.deepEqual(built.content, body.content)
        assert.deepEqual([built.stop_reason, built.usage], [body.stop_reason, body.usage])
      }),
    )
  })

  test('A56: parts that interleave become blocks one after another, and nothing is lost', () => {
    fc.assert(
      fc.property(reply(mixed), (events) => {
        const stream = writtenStream(dialect, events)
        messageOf(stream)
        const again = collect(readStream(dialect, [Buffer.from(stream)]))
        const meant = collect(events)
        assert.equal(again.text.length, meant.text.length)
        assert.deepEqual([...again.text].sort(), [...meant.text].sort())
        const sorted = (calls: typeof meant.toolCalls) => calls.map((c) => JSON.stringify(c)).sort()
        assert.deepEqual(sorted(again.toolCalls), sorted(meant.toolCalls))
        assert.deepEqual([again.finish, again.usage], [meant.finish, meant.usage])
      }),
    )
  })
})

const START: ReplyEvent = { type: 'reply-start', id: 'msg_1', model: 'm' }
const END: ReplyEvent = { type: 'reply-end' }
const asked: JsonObject = { messages: [{ role: 'user', content: 'x'.repeat(400) }] }
const finish = (reason: Event<'finish'>['reason'], more: Partial<Event<'finish'>> = {}): ReplyEvent => ({
  type: 'finish',
  reason,
  ...more,
})
const callOf = (part: number): ReplyEvent[] => [
  { type: 'tool-call-start', part, id: `t${part}`, name: 'f' },
  { type: 'tool-call-end', part },
]

suite('the stop reason', () => {
  const cases: readonly (readonly [ReplyEvent[], string])[] = [
    [[finish('stop')], 'end_turn'],
    [[finish('stop', { stopSequence: 'END' })], 'stop_sequence'],
    [[...callOf(0), finish('stop')], 'tool_use'],
    [[...callOf(0), finish('tool-calls')], 'tool_use'],
    [[finish('tool-calls')], 'end_turn'],
    [[...callOf(0), finish('length')], 'max_tokens'],
    [[finish('content-filter')], 'refusal'],
    [[finish('refusal')], 'refusal'],
    [[finish('pause')], 'pause_turn'],
    [[finish('other')], 'end_turn'],
    [
      [finish('length', { rest: { [ID]: { stop_reason: 'model_context_window_exceeded' } } })],
      'model_context_window_exceeded',
    ],
  ]
  for (const [events, reason] of cases) {
    test(`A57: ${events.map((event) => ('reason' in event ? event.reason : event.type)).join(', ')} is ${reason}`, () => {
      const all = [START, ...events, END]
      assert.equal(messageOf(writtenStream(dialect, all)).stop_reason, reason)
      assert.equal(writtenBody(dialect, all).stop_reason, reason)
    })
  }
})

const startOf = (stream: string) => JSON.parse((stream.split('\n')[1] as string).slice('data: '.length)).message

suite('usage', () => {
  test('known only at the end, it is exact there, and the start has an estimate above nothing', () => {
    const report: ReplyEvent = {
      type: 'usage-report',
      usage: { source: 'provider', input: 7, cacheWrite1h: 5, output: 2, reasoning: 3, calls: { web_search: 1 } },
    }
    const stream = writtenStream(dialect, [START, finish('stop'), report, END], asked)
    assert.equal(startOf(stream).usage.input_tokens, 100)
    assert.deepEqual(messageOf(stream).usage, {
      input_tokens: 7,
      cache_creation_input_tokens: 5,
      cache_read_input_tokens: 0,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 5 },
      output_tokens: 5,
      output_tokens_details: { thinking_tokens: 3 },
      server_tool_use: { web_search_requests: 1 },
    })
  })

  test('known from the start, it is said at the start', () => {
    const start: ReplyEvent = { ...START, type: 'reply-start', usage: { source: 'provider', input: 42 } }
    const stream = writtenStream(dialect, [start, finish('stop'), END])
    assert.equal(startOf(stream).usage.input_tokens, 42)
  })
})

suite('streams', () => {
  test('other choices than the first cannot be said and are left out', () => {
    const other: ReplyEvent[] = [
      { type: 'text-start', part: 1, choice: 1 },
      { type: 'text-delta', part: 1, choice: 1, text: 'two' },
      { type: 'text-end', part: 1, choice: 1 },
    ]
    const { content } = messageOf(writtenStream(dialect, [START, ...other, finish('stop'), END]))
    assert.deepEqual(content, [])
  })

  test('a refusal is the text of a reply that stops with refusal', () => {
    const refusal: ReplyEvent = { type: 'refusal-delta', part: 0, text: 'I cannot.' }
    const events = [START, refusal, finish('refusal'), END]
    const built = messageOf(writtenStream(dialect, events))
    assert.deepEqual([built.content, built.stop_reason], [[{ type: 'text', text: 'I cannot.' }], 'refusal'])
    assert.deepEqual(writtenBody(dialect, events).content, built.content)
  })

  test('reasoning of another vendor is thinking without a signature', () => {
    const events: ReplyEvent[] = [
      START,
      { type: 'reasoning-start', part: 0 },
      { type: 'reasoning-delta', part: 0, text: 'hm' },
      { type: 'text-start', part: 1 },
      { type: 'text-delta', part: 1, text: 'Yes' },
      { type: 'reasoning-end', part: 0 },
      { type: 'text-end', part: 1 },
      finish('stop'),
      END,
    ]
    const content = [
      { type: 'thinking', thinking: 'hm', signature: '' },
      { type: 'text', text: 'Yes' },
    ]
    assert.deepEqual(messageOf(writtenStream(dialect, events)).content, content)
    assert.deepEqual(writtenBody(dialect, events).content, content)
  })

  test('a call is streamed as it comes while nothing else is open', () => {
    const writer = dialect.client?.streamWriter(replayContext())
    writer?.write(START)
    assert.match(writer?.write({ type: 'tool-call-start', part: 0, id: 't', name: 'f' }) ?? '', /content_block_start/)
    assert.match(writer?.write({ type: 'tool-call-delta', part: 0, json: '{"a"' }) ?? '', /"partial_json":"\{\\"a\\""/)
  })

  test('A44, T42: a stream that fails ends in an error event, never in message_stop, and says nothing after it', () => {
    const writer = dialect.client?.streamWriter(replayContext())
    assert.ok(writer)
    const before = writer.write(START) + writer.write({ type: 'text-start', part: 0 })
    const error = writer.fail(failure('upstream_incomplete', { upstream: 'anthropic' }))
    assert.equal(
      error,
      `event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Upstream \\"anthropic\\" ended its answer before it was complete."},"request_id":"req_replay"}\n\n`,
    )
    assert.equal(writer.write(finish('stop')) + writer.write(END), '')
    assert.throws(() => readStream(dialect, [Buffer.from(before + error)]), { code: 'upstream_error' })
    assert.throws(() => messageOf(before + error))
  })

  test('a ping may stand anywhere, also before the message', () => {
    const stream = writtenStream(dialect, [START, finish('stop'), END])
    const ping = dialect.client?.ping as string
    assert.equal(collect(readStream(dialect, [Buffer.from(ping + stream)])).finish, 'stop')
  })
})

test('errors are in the shape that the official SDKs read', () => {
  const shown = (code: Parameters<typeof failure>[0]) => {
    const body = dialect.client?.writeError(failure(code), 'req_1') as { error: { type: string }; request_id: string }
    assert.equal(body.request_id, 'req_1')
    return body.error.type
  }
  assert.equal(shown('invalid_request'), 'invalid_request_error')
  assert.equal(shown('conflict'), 'invalid_request_error')
  assert.equal(shown('invalid_api_key'), 'authentication_error')
  assert.equal(shown('permission_denied'), 'permission_error')
  assert.equal(shown('model_not_found'), 'not_found_error')
  assert.equal(shown('request_too_large'), 'request_too_large')
  assert.equal(shown('upstream_rate_limited'), 'rate_limit_error')
  assert.equal(shown('upstream_overloaded'), 'overloaded_error')
  assert.equal(shown('upstream_timeout'), 'timeout_error')
  assert.equal(shown('internal_error'), 'api_error')
  assert.equal(shown('upstream_error'), 'api_error')
})

test('an error body tells type and message, whatever surrounds them', () => {
  const read = (body: unknown) => dialect.upstream?.readError(body as JsonObject)
  const error = { type: 'invalid_request_error', message: 'Your credit balance is too low to access the API.' }
  const said = { code: 'invalid_request_error', type: error.type, message: error.message }
  assert.deepEqual(read({ type: 'error', error, request_id: 'req_1' }), said)
  assert.deepEqual(read({ error }), said)
  assert.deepEqual(read({ error: 'Not here' }), { message: 'Not here' })
  assert.deepEqual(read({ message: 'Forbidden' }), { message: 'Forbidden' })
  for (const body of [null, '<html>', [], {}]) assert.deepEqual(read(body), {})
})

test('A46: events that other gateways put in between are passed over', () => {
  const payloads = ['{"type":"message_start","message":{"id":"a"}}', '{"type":"vertex_event"}', '{"type":"ping"}']
  const stream = streamOf([
    ...payloads,
    '{"type":"message_delta","delta":{"stop_reason":"end_turn"}}',
    '{"type":"message_stop"}',
  ])
  assert.equal(collect(readStream(dialect, [stream])).finish, 'stop')
})

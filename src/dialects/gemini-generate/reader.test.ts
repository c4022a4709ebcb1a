import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { GatewayError } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { ReplyReader } from './reader.ts'

function read(chunks: readonly JsonValue[]): ReplyEvent[] {
  const reader = new ReplyReader()
  return [...chunks.flatMap((chunk) => reader.read(JSON.stringify(chunk))), ...reader.end()]
}

const chunk = (parts: readonly JsonObject[], more: JsonObject = {}, index?: number): JsonObject => ({
  candidates: [{ content: { role: 'model', parts }, ...(index === undefined ? {} : { index }), ...more }],
  responseId: 'r1',
  modelVersion: 'gemini-x',
})
const STOP = { finishReason: 'STOP' }
const START: ReplyEvent = { type: 'reply-start', id: 'r1', model: 'gemini-x' }
const bare = (events: readonly ReplyEvent[]) =>
  events.filter(({ type }) => type !== 'reply-start' && type !== 'reply-end')

/** The calls of a reply: name and the arguments' text. */
function calls(events: readonly ReplyEvent[]): { name: string; id: string; json: string; signature?: string }[] {
  const found = new Map<number, { name: string; id: string; json: string; signature?: string }>()
  for (const event of events) {
    if (event.type === 'tool-call-start') {
      const { name, id, signature } = event
      found.set(event.part, { name, id, json: '', ...(signature === undefined ? {} : { signature }) })
    }
    if (event.type === 'tool-call-delta') (found.get(event.part) as { json: string }).json += event.json
  }
  return [...found.values()]
}

describe('parts', () => {
  test('text goes on over chunks, thoughts are reasoning, and a part ends when another kind comes', () => {
    assert.deepEqual(
      read([chunk([{ text: 'Hm', thought: true }]), chunk([{ text: 'a' }]), chunk([{ text: 'b' }], STOP)]),
      [
        START,
        { type: 'reasoning-start', part: 0 },
        { type: 'reasoning-delta', part: 0, text: 'Hm' },
        { type: 'reasoning-end', part: 0 },
        { type: 'text-start', part: 1 },
        { type: 'text-delta', part: 1, text: 'a' },
        { type: 'text-delta', part: 1, text: 'b' },
        { type: 'text-end', part: 1 },
        { type: 'finish', reason: 'stop' },
        { type: 'reply-end' },
      ],
    )
  })

  test('A54: a signature on an empty part belongs to the text before it; without one it is a part of its own', () => {
    const rest = { 'gemini-generate': { thoughtSignature: 'U0lH' } }
    assert.deepEqual(bare(read([chunk([{ text: 'a' }]), chunk([{ text: '', thoughtSignature: 'U0lH' }], STOP)])), [
      { type: 'text-start', part: 0 },
      { type: 'text-delta', part: 0, text: 'a' },
      { type: 'text-end', part: 0, rest },
      { type: 'finish', reason: 'stop' },
    ])
    const after = bare(
      read([chunk([{ functionCall: { name: 'f', args: {} } }, { text: '', thoughtSignature: 'U0lH' }], STOP)]),
    )
    assert.deepEqual(after.slice(3, 5), [
      { type: 'text-start', part: 1 },
      { type: 'text-end', part: 1, rest },
    ])
  })

  test('images, code and unknown parts are kept whole', () => {
    const parts: JsonObject[] = [
      { inlineData: { mimeType: 'image/png', data: 'aaaa' }, thoughtSignature: 'U0lH' },
      { executableCode: { language: 'PYTHON', code: '1' } },
      { codeExecutionResult: { outcome: 'OUTCOME_OK', output: '1' } },
      { somethingNew: { a: 1 } },
    ]
    assert.deepEqual(
      bare(read([chunk(parts, STOP)])).slice(0, 4),
      parts.map((value, part) => ({ type: 'opaque', part, dialect: 'gemini-generate', value })),
    )
  })

  test('what a candidate and the response tell beside the content are annotations for the same vendor', () => {
    const groundingMetadata = { webSearchQueries: ['q'] }
    const events = read([
      { ...chunk([{ text: 'a' }], { groundingMetadata }), createTime: '2026-05-04T20:01:02.264968Z' },
      { ...chunk([{ text: '' }], STOP), modelStatus: { modelStage: 'STABLE' } },
    ])
    assert.deepEqual(events[0], {
      type: 'reply-start',
      id: 'r1',
      model: 'gemini-x',
      created: 1777924862,
      rest: { 'gemini-generate': { response: { createTime: '2026-05-04T20:01:02.264968Z' } } },
    })
    assert.deepEqual(
      events.filter(({ type }) => type === 'annotation'),
      [
        { type: 'annotation', rest: { 'gemini-generate': { candidate: { groundingMetadata } } } },
        { type: 'annotation', rest: { 'gemini-generate': { response: { modelStatus: { modelStage: 'STABLE' } } } } },
      ],
    )
  })

  test('candidates interleave under numbers of their own', () => {
    const events = read([
      chunk([{ text: 'a' }], {}, 0),
      chunk([{ text: 'b' }], {}, 1),
      chunk([{ text: 'c' }], STOP, 1),
      chunk([{ text: 'd' }], { finishReason: 'MAX_TOKENS' }, 0),
    ])
    const texts = events.flatMap((e) => (e.type === 'text-delta' ? [[e.choice ?? 0, e.part, e.text]] : []))
    assert.deepEqual(texts, [
      [0, 0, 'a'],
      [1, 1, 'b'],
      [1, 1, 'c'],
      [0, 0, 'd'],
    ])
    assert.deepEqual(
      events.filter(({ type }) => type === 'finish'),
      [
        { type: 'finish', reason: 'length' },
        { type: 'finish', choice: 1, reason: 'stop' },
      ],
    )
  })
})

describe('function calls', () => {
  test('whole calls keep their ids and signatures; those without an id get one of the reply', () => {
    const events = read([
      chunk(
        [
          { functionCall: { id: 'abc', name: 'f', args: { a: 1 } }, thoughtSignature: 'U0lH' },
          { functionCall: { name: 'g' } },
          { functionCall: { name: 'g', args: {} } },
        ],
        STOP,
      ),
    ])
    assert.deepEqual(calls(events), [
      { name: 'f', id: 'abc', json: '{"a":1}', signature: 'U0lH' },
      { name: 'g', id: 'call_gemini_r1_0', json: '{}' },
      { name: 'g', id: 'call_gemini_r1_1', json: '{}' },
    ])
    assert.deepEqual(events.at(-2), { type: 'finish', reason: 'tool-calls' })
  })

  const partial = (partialArgs: readonly JsonObject[], willContinue = true): JsonObject =>
    chunk([{ functionCall: { partialArgs, ...(willContinue ? { willContinue } : {}) } }])
  const begin = chunk([{ functionCall: { name: 'f', willContinue: true } }])

  test('A56: pieces of a call become pieces of its JSON', () => {
    const events = read([
      begin,
      partial([{ jsonPath: '$.s', stringValue: 'a"\ud83d', willContinue: true }]),
      partial([{ jsonPath: '$.s', stringValue: '\ude00' }]),
      partial([
        { jsonPath: '$.n', numberValue: 1.5 },
        { jsonPath: "$['x y'].b", boolValue: true },
      ]),
      partial([{ jsonPath: '$["x y"].z', nullValue: 'NULL_VALUE' }]),
      partial([{ jsonPath: '$.l[0][2]', stringValue: '' }]),
      chunk([{ functionCall: {} }]),
      chunk([{ text: '' }], STOP),
    ])
    const [call] = calls(events)
    assert.deepEqual(JSON.parse(call?.json ?? ''), {
      s: 'a"😀',
      n: 1.5,
      'x y': { b: true, z: null },
      l: [[null, null, '']],
    })
    assert.ok(events.filter(({ type }) => type === 'tool-call-delta').length >= 5, 'in pieces, as they came')
  })

  test('A56: any arguments streamed as values under paths are the same arguments', () => {
    const name = fc.oneof(fc.constantFrom('a', 'b', '__proto__', 'x y', 'a.b', "q'", '[0]', 'ü'), fc.string())
    const { json } = fc.letrec<{ json: JsonValue }>((tie) => ({
      json: fc.oneof(
        { depthSize: 'small' },
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.boolean(),
          fc.constant(null),
        ),
        fc.array(tie('json'), { minLength: 1, maxLength: 3 }),
        fc.dictionary(name, tie('json'), { minKeys: 1, maxKeys: 3 }) as fc.Arbitrary<JsonObject>,
      ),
    }))
    const args = fc.dictionary(name, json, { maxKeys: 4 }) as fc.Arbitrary<JsonObject>
    fc.assert(
      fc.property(args, fc.integer({ min: 1, max: 5 }), (value, size) => {
        const wanted = JSON.parse(JSON.stringify(value))
        const events = read([
          begin,
          ...streamed(wanted, size).map((p) => partial([p])),
          chunk([{ functionCall: {} }]),
          chunk([], STOP),
        ])
        assert.deepEqual(JSON.parse(calls(events)[0]?.json ?? ''), wanted)
      }),
      { numRuns: 500 },
    )
  })

  /** As Google streams them: leaves in document order, strings in pieces with a last one that ends them. */
  function streamed(value: JsonValue, size: number, path = '$'): JsonObject[] {
    if (Array.isArray(value)) return value.flatMap((item, i) => streamed(item, size, `${path}[${i}]`))
    if (typeof value === 'object' && value !== null) {
      return Object.entries(value).flatMap(([key, item]) => {
        const step = /^[A-Za-z_]\w*$/.test(key) ? `.${key}` : `['${key.replace(/[\\']/g, '\\$&')}']`
        return streamed(item as JsonValue, size, path + step)
      })
    }
    if (typeof value === 'number') return [{ jsonPath: path, numberValue: value }]
    if (typeof value === 'boolean') return [{ jsonPath: path, boolValue: value }]
    if (typeof value !== 'string') return [{ jsonPath: path, nullValue: 'NULL_VALUE' }]
    const pieces: JsonObject[] = []
    for (let at = 0; at < value.length; at += size) {
      pieces.push({ jsonPath: path, stringValue: value.slice(at, at + size), willContinue: true })
    }
    return [...pieces, { jsonPath: path, stringValue: '' }]
  }

  test('a call that ends with the stream is closed; one that was cut off stays open JSON', () => {
    const pieces = [begin, partial([{ jsonPath: '$.a.b', stringValue: 'x', willContinue: true }])]
    assert.equal(calls(read([...pieces, chunk([], STOP)]))[0]?.json, '{"a":{"b":"x"}}')
    const cut = read([...pieces, chunk([], { finishReason: 'MAX_TOKENS' })])
    assert.equal(calls(cut)[0]?.json, '{"a":{"b":"x')
    assert.deepEqual(cut.at(-2), { type: 'finish', reason: 'length' })
  })

  test('whole arguments at the end of an empty stream of pieces are taken', () => {
    const events = read([begin, chunk([{ functionCall: { args: { a: 1 } } }]), chunk([], STOP)])
    assert.equal(calls(events)[0]?.json, '{"a":1}')
  })

  for (const [what, paths] of Object.entries({
    'back into a closed object': ['$.a.b', '$.c', '$.a.d'],
    'twice the same': ['$.a', '$.a'],
    'into a value': ['$.a', '$.a.b'],
    'backwards in a list': ['$.a[1]', '$.a[0]'],
    'far ahead in a list': ['$.a[999999999]'],
    'a list as an object': ['$.a[0]', '$.a.b'],
    'no path': ['a.b'],
    nonsense: ['$.a['],
  })) {
    test(`paths that do not fit together are the upstream's mistake: ${what}`, () => {
      assert.throws(
        () => read([begin, ...paths.map((jsonPath) => partial([{ jsonPath, numberValue: 1 }]))]),
        (error) => error instanceof GatewayError && error.code === 'upstream_invalid',
      )
    })
  }
})

describe('ends', () => {
  for (const [finishReason, reason] of Object.entries({
    STOP: 'stop',
    MAX_TOKENS: 'length',
    SAFETY: 'content-filter',
    RECITATION: 'content-filter',
    BLOCKLIST: 'content-filter',
    PROHIBITED_CONTENT: 'content-filter',
    SPII: 'content-filter',
    IMAGE_SAFETY: 'content-filter',
    LANGUAGE: 'other',
    MALFORMED_FUNCTION_CALL: 'other',
    SOMETHING_NEW: 'other',
    constructor: 'other',
  })) {
    test(`A57: ${finishReason} is ${reason}`, () => {
      const finish = read([chunk([{ text: 'a' }], { finishReason, finishMessage: 'why' })]).at(-2)
      const isPlain = finishReason === 'STOP' || finishReason === 'MAX_TOKENS'
      assert.deepEqual(finish, {
        type: 'finish',
        reason,
        rest: { 'gemini-generate': { ...(isPlain ? {} : { finishReason }), finishMessage: 'why' } },
      })
    })
  }

  test('A57: a malformed call is no tool call', () => {
    const events = read([
      chunk([{ functionCall: { name: 'f', args: {} } }], { finishReason: 'MALFORMED_FUNCTION_CALL' }),
    ])
    assert.equal(events.find((e) => e.type === 'finish')?.reason, 'other')
  })

  test('A51: STOP on every chunk, as older models send it, ends nothing before the end', () => {
    const events = read([chunk([{ text: 'a' }], STOP), chunk([{ text: 'b' }], STOP)])
    assert.equal(events.filter(({ type }) => type === 'finish').length, 1)
    assert.equal(events.filter(({ type }) => type === 'text-start').length, 1)
  })

  test('a blocked prompt is a finish without content', () => {
    const promptFeedback = { blockReason: 'SAFETY' }
    assert.deepEqual(read([{ promptFeedback, responseId: 'r1' }]), [
      { type: 'reply-start', id: 'r1', rest: { 'gemini-generate': { response: { promptFeedback } } } },
      { type: 'finish', reason: 'content-filter' },
      { type: 'reply-end' },
    ])
  })

  test('A52: a chunk with feedback alone is no end', () => {
    assert.throws(() => read([{ promptFeedback: { safetyRatings: [] } }]), /before it was complete/)
  })

  for (const [what, chunks] of Object.entries({
    nothing: [],
    'text without a finish reason': [chunk([{ text: 'a' }])],
    'one of two candidates unfinished': [chunk([{ text: 'a' }], STOP, 0), chunk([{ text: 'b' }], {}, 1)],
  })) {
    test(`a stream that dies never looks finished: ${what}`, () => {
      assert.throws(
        () => read(chunks),
        (error) => error instanceof GatewayError && error.code === 'upstream_incomplete',
      )
    })
  }

  test('an error inside the stream keeps its status and words', () => {
    const reader = new ReplyReader()
    assert.throws(
      () => reader.read('{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}'),
      (error) =>
        error instanceof GatewayError &&
        error.kind.status === 503 &&
        error.details.upstreamCode === 'UNAVAILABLE' &&
        error.details.upstreamMessage === 'The model is overloaded.',
    )
  })

  test("garbage is the upstream's mistake", () => {
    for (const data of ['{"a":', 'true', '"x"']) {
      assert.throws(
        () => new ReplyReader().read(data),
        (error) => error instanceof GatewayError && error.code === 'upstream_invalid',
      )
    }
  })

  test('the pieces of a JSON array are events too', () => {
    const [a, b] = [JSON.stringify(chunk([{ text: 'a' }])), JSON.stringify(chunk([{ text: 'b' }], STOP))]
    const expected = read([chunk([{ text: 'a' }]), chunk([{ text: 'b' }], STOP)])
    for (const pieces of [[`[${a}`, `,\r\n${b}`, ']'], [`[${a},${b}]`], [a, `,${b}]`], ['[', a, ',', b, ']']]) {
      const reader = new ReplyReader()
      assert.deepEqual([...pieces.flatMap((piece) => reader.read(piece)), ...reader.end()], expected)
    }
  })
})

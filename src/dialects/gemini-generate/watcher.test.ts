import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Frame, MARK } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { formatSse } from '../../wire/sse.ts'
import { factsOf, GeminiWatcher } from './watcher.ts'

const frame = (value: JsonValue): Frame => ({ bytes: Buffer.from(formatSse(JSON.stringify(value))), marks: 0 })
const chunk = (part: JsonObject, more: JsonObject = {}, outputTokens = 0): JsonObject => ({
  candidates: [{ content: { role: 'model', parts: [part] }, ...more }],
  usageMetadata: { promptTokenCount: 5, candidatesTokenCount: outputTokens, totalTokenCount: 5 + outputTokens },
  responseId: 'r1',
  modelVersion: 'gemini-x',
})

function watch(values: readonly JsonValue[], asked: JsonObject = {}) {
  const watcher = new GeminiWatcher(asked)
  const frames = values.map(frame)
  for (const one of frames) watcher.look(one)
  return { facts: watcher.facts, marks: frames.map(({ marks }) => marks) }
}

function parses(run: () => void): number {
  const original = JSON.parse
  let count = 0
  JSON.parse = (...args) => {
    count++
    return original(...args)
  }
  try {
    run()
  } finally {
    JSON.parse = original
  }
  return count
}

test('frames of text are not parsed, though each carries usage', () => {
  const watcher = new GeminiWatcher({})
  watcher.look(frame(chunk({ text: 'first' })))
  const texts = Array.from({ length: 100 }, (_, i) => frame(chunk({ text: `"error" "finishReason" ${i}` }, {}, i)))
  assert.equal(
    parses(() => texts.forEach((one) => void watcher.look(one))),
    0,
  )
  const last = frame(chunk({ text: '' }, { finishReason: 'STOP' }, 200))
  assert.equal(
    parses(() => watcher.look(last)),
    1,
  )
  assert.deepEqual(watcher.facts.usage, { source: 'provider', input: 5, output: 200 })
})

test('A1: after an early end the last usage that passed is known, and read once', () => {
  const { facts } = watch([chunk({ text: 'a' }, {}, 1), chunk({ text: 'b' }, {}, 2), chunk({ text: 'c' }, {}, 3)])
  assert.equal(facts.complete, false)
  assert.equal(
    parses(() => assert.deepEqual(facts.usage, { source: 'provider', input: 5, output: 3 })),
    1,
  )
  assert.equal(
    parses(() => assert.equal(facts.usage?.output, 3)),
    0,
  )
})

test('usage that comes in a chunk after the finish wins', () => {
  const { facts } = watch([
    chunk({ text: 'a' }, { finishReason: 'STOP' }, 1),
    { usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 9 } },
  ])
  assert.deepEqual(facts.usage, { source: 'provider', input: 5, output: 9 })
})

test('without any usage there is none', () => {
  assert.equal(watch([{ candidates: [{ content: { parts: [{ text: 'a' }] } }] }]).facts.usage, undefined)
})

test('content is marked, empty text is not, and the frame that finishes is final', () => {
  const { marks, facts } = watch([
    chunk({ text: '' }),
    chunk({ text: '' }),
    chunk({ text: 'a' }),
    chunk({ text: 'hm', thought: true }),
    chunk({ functionCall: { name: 'f', args: {} } }),
    chunk({ inlineData: { mimeType: 'image/png', data: 'aaaa' } }),
    chunk({ text: '' }, { finishReason: 'STOP' }),
  ])
  assert.deepEqual(marks, [0, 0, MARK.content, MARK.content, MARK.content, MARK.content, MARK.final])
  assert.equal(facts.finish, 'tool-calls')
  assert.equal(facts.complete, true)
})

test('text is counted in bytes, over several parts and escapes', () => {
  const one = { candidates: [{ content: { parts: [{ text: 'äö' }, { text: 'a\\"b' }, { text: '' }] } }] }
  assert.equal(watch([chunk({ text: '' }), one]).facts.textBytes, 4 + Buffer.byteLength('a\\\\\\"b'))
})

test('it is complete when all candidates asked for have finished', () => {
  const asked = { generationConfig: { candidateCount: 2 } }
  const done = (index: number) => chunk({ text: 'a' }, { finishReason: 'STOP', index })
  assert.equal(watch([done(0)], asked).facts.complete, false)
  assert.equal(watch([done(0), done(1)], asked).facts.complete, true)
  assert.equal(watch([done(0)], { generation_config: { candidate_count: 2 } }).facts.complete, false)
})

test('a blocked prompt is a complete refusal', () => {
  const { facts, marks } = watch([{ promptFeedback: { blockReason: 'SAFETY' }, responseId: 'r' }])
  assert.deepEqual([facts.finish, facts.complete, facts.id, marks], ['content-filter', true, 'r', [MARK.final]])
})

test('an error event is known with its status', () => {
  const { facts } = watch([
    chunk({ text: 'a' }),
    { error: { code: 429, message: 'slow', status: 'RESOURCE_EXHAUSTED' } },
  ])
  assert.equal(facts.error?.kind.status, 429)
  assert.equal(facts.error?.details.upstreamCode, 'RESOURCE_EXHAUSTED')
  assert.equal(facts.complete, false)
})

test('an event over several data lines, comments and garbage do no harm', () => {
  const watcher = new GeminiWatcher({})
  const text = JSON.stringify(chunk({ text: 'a' }, { finishReason: 'STOP' }), null, 1)
  for (const bytes of [': ping\n\n', 'data: {"finishReason": nonsense}\n\n', formatSse(text)]) {
    watcher.look({ bytes: Buffer.from(bytes), marks: 0 })
  }
  assert.equal(watcher.facts.complete, true)
})

describe('unstreamed', () => {
  test('a body, and a stream that came as one array, have the same facts', () => {
    const [a, b] = [chunk({ text: 'ab' }, {}, 1), chunk({ text: 'c' }, { finishReason: 'STOP' }, 2)]
    const facts = factsOf([a, b])
    assert.deepEqual(facts, {
      id: 'r1',
      model: 'gemini-x',
      textBytes: 3,
      finish: 'stop',
      complete: true,
      usage: { source: 'provider', input: 5, output: 2 },
    })
    assert.deepEqual(factsOf(chunk({ text: 'abc' }, { finishReason: 'STOP' }, 2)), facts)
  })
  test('a 200 that carries an error, or nothing, is an error', () => {
    assert.equal(factsOf({ error: { code: 400, message: 'no' } }).error?.kind.status, 400)
    assert.equal(factsOf([{ error: { code: 503, message: 'no' } }]).error?.kind.status, 503)
    assert.equal(factsOf({}).error?.code, 'upstream_incomplete')
    assert.equal(factsOf(null).error?.code, 'upstream_invalid')
  })
})

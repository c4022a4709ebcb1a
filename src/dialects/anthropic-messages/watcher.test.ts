import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Frame, MARK, type ReplyFacts } from '../../core/reply.ts'
import type { JsonObject } from '../../core/request.ts'
import { MessageWatcher } from './watcher.ts'

function watch(...frames: readonly string[]): { facts: ReplyFacts; marks: number[] } {
  const watcher = new MessageWatcher({})
  const marks = frames.map((text) => {
    const frame: Frame = { bytes: Buffer.from(text), marks: 0 }
    watcher.look(frame)
    return frame.marks
  })
  return { facts: watcher.facts, marks }
}
const named = (value: JsonObject): string => `event: ${String(value.type)}\ndata: ${JSON.stringify(value)}\n\n`
const text = (said: string): JsonObject => ({
  type: 'content_block_delta',
  index: 0,
  delta: { type: 'text_delta', text: said },
})
const DONE = { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 3 } }

test('words of the protocol inside a text are text', () => {
  for (const said of [
    '"message_stop"',
    '{"type":"error","error":{"type":"overloaded_error"}}',
    'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    '"text":"abc"',
    '"usage": {"output_tokens": 1e9}',
    'text',
    '\\',
    '\\"',
  ]) {
    const { facts, marks } = watch(named(text(said)))
    assert.deepEqual(facts, { textBytes: Buffer.byteLength(said), complete: false }, said)
    assert.deepEqual(marks, [MARK.content])
  }
})

test('text is measured as what it stands for, however it is escaped', () => {
  const said = 'é€😀\n"\\\t/'
  const escaped = String.raw`\u00e9\u20ac\ud83d\ude00\n\"\\\t\/`
  const frame = `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"${escaped}"}}\n\n`
  assert.equal(watch(frame).facts.textBytes, Buffer.byteLength(said))
  assert.equal(watch(named(text(said))).facts.textBytes, Buffer.byteLength(said))
})

test('thinking and arguments are measured, signatures and citations are not', () => {
  const delta = (value: JsonObject) => named({ type: 'content_block_delta', index: 0, delta: value })
  const { facts } = watch(
    delta({ type: 'thinking_delta', thinking: 'hm' }),
    delta({ type: 'input_json_delta', partial_json: '{"a":1' }),
    delta({ type: 'signature_delta', signature: 'EqQB' }),
    delta({ type: 'citations_delta', citation: { cited_text: 'abc' } }),
  )
  assert.equal(facts.textBytes, 2 + 6)
})

test('the order of keys, spaces and missing event names do not matter', () => {
  const { facts, marks } = watch(
    'data:{ "index": 0, "delta": {"text" : "four", "type": "text_delta"}, "type": "content_block_delta" }\n\n',
    'data: {"usage":{"output_tokens":3},"delta":{"stop_reason":"end_turn"},"type":"message_delta"}\n\n',
    'data: {"type"\ndata: :"message_stop"}\n\n',
  )
  assert.deepEqual(marks, [MARK.content, MARK.final, MARK.final | MARK.terminal])
  assert.deepEqual(facts, {
    textBytes: 4,
    complete: true,
    finish: 'stop',
    usage: { source: 'provider', output: 3 },
  })
})

test('the start of a call is content, the start of a text is not', () => {
  const start = (content_block: JsonObject) => named({ type: 'content_block_start', index: 0, content_block })
  const { marks } = watch(
    named({ type: 'message_start', message: { id: 'msg_1', content: [] } }),
    start({ type: 'text', text: '' }),
    start({ type: 'thinking', thinking: '', signature: '' }),
    'event: ping\ndata: {"type": "ping"}\n\n',
    start({ type: 'tool_use', id: 't', name: 'f', input: {} }),
    start({ type: 'web_search_tool_result', content: [] }),
    named({ type: 'content_block_stop', index: 0 }),
  )
  assert.deepEqual(marks, [0, 0, 0, 0, MARK.content, MARK.content, 0])
})

test('an error event is known, and nothing is complete', () => {
  const { facts } = watch(named(text('a')), named({ type: 'error', error: { type: 'api_error', message: 'Oops' } }))
  assert.equal(facts.error?.kind.status, 500)
  assert.equal(facts.error?.details.upstreamMessage, 'Oops')
  assert.equal(facts.complete, false)
})

test('A44: an error that copies of this API send bare is known too', () => {
  assert.equal(watch('data: {"error":{"message":"upstream reset"}}\n\n').facts.error?.code, 'upstream_error')
})

test('A44: an event that is cut off is no event: the upstream did not answer', () => {
  for (const broken of ['data: {"type":\n\n', 'data: {"type":"content_block_delta","delta":{"text":"abc\n\n']) {
    const { facts, marks } = watch(broken)
    assert.deepEqual(marks, [MARK.final])
    assert.equal(facts.error?.code, 'upstream_invalid')
  }
})

test('comments and further data lines are passed over', () => {
  const { facts, marks } = watch(': hello\n\n', 'data: [DONE]\n\n', 'data: 7\n\n', named(DONE))
  assert.deepEqual(marks, [0, 0, 0, MARK.final])
  assert.equal(facts.finish, 'stop')
  assert.equal(facts.complete, false)
})

test('T19: hostile usage is bounded here as well', () => {
  const { facts } = watch(
    'data: {"type":"message_start","message":{"usage":{"input_tokens":-4,"cache_read_input_tokens":"x"}}}\n\n',
    'data: {"type":"message_delta","delta":{},"usage":{"output_tokens":1e400}}\n\n',
  )
  assert.deepEqual(facts.usage, { source: 'provider', output: 1_000_000_000 })
})

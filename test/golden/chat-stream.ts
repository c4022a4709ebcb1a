/**
 * A state machine over an emitted OpenAI Chat stream: what every client may rely on. One id, model and time; per choice
 * a role first and once, then deltas, then one finish; tool calls that open with index, id, type and name and then only
 * grow; after the last finish at most one chunk of usage; `[DONE]` last.
 */
import assert from 'node:assert/strict'
import type { JsonObject, JsonValue } from '../../src/core/request.ts'

interface Choice {
  readonly calls: Set<number>
  isFinished: boolean
}
type Json = Record<string, JsonValue | undefined>

const objectsOf = (value: JsonValue | undefined): readonly Json[] => (Array.isArray(value) ? (value as Json[]) : [])

/** The payloads of a stream as it is sent: one `data:` line and one blank line an event. */
export function payloadsOf(stream: string): string[] {
  assert.ok(stream.endsWith('\n\n'), 'the last event is ended')
  return stream
    .slice(0, -2)
    .split('\n\n')
    .map((event) => {
      assert.ok(event.startsWith('data: ') && !event.includes('\n'), `one data line: ${event}`)
      return event.slice('data: '.length)
    })
}

/** Throws at the first violation. `usage` says whether the client asked for it, `failed` that the stream must fail. */
export function validateChatStream(stream: string, expected: { usage?: boolean; failed?: boolean } = {}): JsonObject[] {
  const payloads = payloadsOf(stream)
  const choices = new Map<number, Choice>()
  const chunks: JsonObject[] = []
  let first: Json | undefined
  let usages = 0
  if (expected.failed) {
    const { error } = JSON.parse(payloads.pop() ?? '') as { error: Json }
    assert.equal(typeof error.message, 'string')
    assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type'])
  } else assert.equal(payloads.pop(), '[DONE]', '[DONE] is last')
  for (const data of payloads) {
    const chunk = JSON.parse(data) as Json
    chunks.push(chunk as JsonObject)
    assert.equal(chunk.object, 'chat.completion.chunk')
    first ??= chunk
    for (const name of ['id', 'created', 'model']) assert.equal(chunk[name], first[name], `${name} stays`)
    assert.equal(usages, 0, 'nothing comes after usage')
    const listed = objectsOf(chunk.choices)
    if (listed.length === 0) {
      assert.ok(chunk.usage, 'only usage has no choices')
      usages++
    } else if (expected.usage) assert.equal(chunk.usage, null, 'usage is null until it is known')
    for (const choice of listed) {
      const index = choice.index as number
      const delta = choice.delta as Json
      let state = choices.get(index)
      if (!state) {
        state = { calls: new Set(), isFinished: false }
        choices.set(index, state)
        assert.equal(delta.role, 'assistant', 'the role comes first')
      } else assert.equal(delta.role, undefined, 'the role comes once')
      assert.ok(!state.isFinished, `choice ${index} goes on after its finish`)
      for (const call of objectsOf(delta.tool_calls)) checkCall(call, state)
      assert.ok('finish_reason' in choice)
      if (choice.finish_reason !== null) state.isFinished = true
    }
  }
  const finished = [...choices.values()].filter((choice) => choice.isFinished)
  if (expected.failed) assert.ok(finished.length < Math.max(1, choices.size), 'what failed looks unfinished')
  else {
    assert.ok(choices.size > 0 && finished.length === choices.size, 'every choice has its finish')
    assert.equal(usages, expected.usage ? 1 : 0, 'usage comes if it was asked for')
  }
  return chunks
}

function checkCall(call: Json, state: Choice): void {
  const index = call.index as number
  const fn = (call.function ?? call.custom) as Json
  if (state.calls.has(index)) {
    assert.deepEqual([call.id, call.type, fn.name], [undefined, undefined, undefined], 'a call is named once')
    assert.equal(typeof fn.arguments, 'string')
    return
  }
  assert.equal(index, state.calls.size, 'calls are numbered in order')
  state.calls.add(index)
  assert.ok(typeof call.id === 'string' && call.id !== '', 'a call opens with its id')
  assert.ok(call.type === 'function' || call.type === 'custom')
  assert.ok(typeof fn.name === 'string' && fn.name !== '', 'and its name')
}

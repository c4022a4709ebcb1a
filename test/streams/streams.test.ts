/** The rules themselves: a good stream has no problem, and each broken one is caught by name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReplyEvent } from '../../src/core/reply.ts'
import { dialects } from '../../src/dialects/index.ts'
import { writtenStream } from '../replay/replay.ts'
import { assertStream, problemsIn } from './index.ts'

const events: ReplyEvent[] = [
  { type: 'reply-start', id: 'r1', model: 'm' },
  { type: 'reasoning-start', part: 0 },
  { type: 'reasoning-delta', part: 0, text: 'hm' },
  { type: 'reasoning-end', part: 0, signature: 's' },
  { type: 'text-start', part: 1 },
  { type: 'text-delta', part: 1, text: 'Well, ' },
  { type: 'text-delta', part: 1, text: 'look' },
  { type: 'text-end', part: 1 },
  { type: 'tool-call-start', part: 2, id: 'c1', name: 'f' },
  { type: 'tool-call-delta', part: 2, json: '{"a":' },
  { type: 'tool-call-delta', part: 2, json: '1}' },
  { type: 'tool-call-end', part: 2 },
  { type: 'usage-report', usage: { source: 'provider', input: 3, output: 4 } },
  { type: 'finish', reason: 'tool-calls' },
  { type: 'reply-end' },
]
const stream = (id: string): string => {
  const dialect = dialects.find((each) => each.id === id)
  assert.ok(dialect)
  return writtenStream(dialect, events)
}
const blocks = (text: string): string[] => text.split('\n\n').filter((block) => block !== '')
const joined = (list: readonly string[]): string => list.map((block) => `${block}\n\n`).join('')

for (const id of ['openai-chat', 'openai-responses', 'anthropic-messages', 'gemini-generate']) {
  test(`${id}: a good stream breaks no rule, and without its end it breaks one`, () => {
    const good = stream(id)
    assertStream(id, good)
    assert.notDeepEqual(problemsIn(id, joined(blocks(good).slice(0, -2))), [])
  })

  test(`${id}: what comes twice is caught`, () => {
    const list = blocks(stream(id))
    for (const at of [0, list.length - 1]) {
      const twice = [...list.slice(0, at + 1), ...list.slice(at)]
      // Gemini has no start, and may say the same piece twice.
      if (id === 'gemini-generate' && at === 0) continue
      assert.notDeepEqual(problemsIn(id, joined(twice)), [], `block ${at}`)
    }
  })
}

test('a wrong stop reason and a block left open are caught', () => {
  const good = stream('anthropic-messages')
  assert.match(
    problemsIn(
      'anthropic-messages',
      good.replace('"tool_use"}', '"x"}').replace(/"stop_reason":"tool_use"/, '"stop_reason":"end_turn"'),
    ).join(),
    /end_turn after a call/,
  )
  const open = blocks(good).filter((block) => !/content_block_stop.*"index":1/s.test(block))
  assert.match(problemsIn('anthropic-messages', joined(open)).join(), /opens inside block 1/)
  const chat = stream('openai-chat').replace('"finish_reason":"tool_calls"', '"finish_reason":"stop"')
  assert.match(problemsIn('openai-chat', chat).join(), /stop after a call/)
  const responses = stream('openai-responses').replace('"delta":"1}"', '"delta":"2}"')
  assert.match(problemsIn('openai-responses', responses).join(), /not the sum/)
})

/** What is kept of a model's thinking: for its owner, for its dialect, and not without bound. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReplyEvent } from './reply.ts'
import type { ChatRequest } from './request.ts'
import { createThoughts } from './thoughts.ts'

const reply = (call: string, text = 'hm'): readonly ReplyEvent[] => [
  { type: 'reasoning-start', part: 0 },
  { type: 'reasoning-delta', part: 0, text },
  { type: 'reasoning-end', part: 0, signature: `seal of ${call}` },
  { type: 'tool-call-start', part: 1, id: call, name: 'f', signature: `sign of ${call}` },
]
const history = (call: string): ChatRequest => ({
  operation: 'chat',
  model: 'm',
  stream: false,
  messages: [{ role: 'assistant', parts: [{ type: 'tool-call', id: call, name: 'f', arguments: '{}' }] }],
})

test('A53, A54: thoughts come back before their call, and its signature on it', () => {
  const thoughts = createThoughts()
  const listen = thoughts.listener('me', 'a')
  for (const event of reply('c1')) listen(event)
  assert.deepEqual(thoughts.restored(history('c1'), 'me', 'a').messages[0]?.parts, [
    { type: 'reasoning', text: 'hm', signature: 'seal of c1' },
    { type: 'tool-call', id: 'c1', name: 'f', arguments: '{}', signature: 'sign of c1' },
  ])
})

test('nobody else gets them, and no other dialect', () => {
  const thoughts = createThoughts()
  const listen = thoughts.listener('me', 'a')
  for (const event of reply('c1')) listen(event)
  const asked = history('c1')
  assert.equal(thoughts.restored(asked, 'you', 'a'), asked)
  assert.equal(thoughts.restored(asked, 'me', 'b'), asked)
})

test('what the client kept itself is left as it is', () => {
  const thoughts = createThoughts()
  const listen = thoughts.listener('me', 'a')
  for (const event of reply('c1')) listen(event)
  const own = { type: 'reasoning' as const, text: 'hm', signature: 'own' }
  const call = { type: 'tool-call' as const, id: 'c1', name: 'f', arguments: '{}', signature: 'own' }
  const asked = { ...history('c1'), messages: [{ role: 'assistant' as const, parts: [own, call] }] }
  assert.equal(thoughts.restored(asked, 'me', 'a'), asked)
})

test('the oldest go first: neither their number nor their size may fill the memory', () => {
  const thoughts = createThoughts()
  const listen = thoughts.listener('me', 'a')
  const long = 'x'.repeat(1_000_000)
  for (let i = 0; i < 100; i++) for (const event of reply(`c${i}`, long)) listen(event)
  const first = history('c0')
  assert.equal(thoughts.restored(first, 'me', 'a'), first)
  const last = history('c99')
  assert.notEqual(thoughts.restored(last, 'me', 'a'), last)
  for (const event of reply('huge', 'x'.repeat(1_100_000))) listen(event)
  const huge = history('huge')
  assert.equal(thoughts.restored(huge, 'me', 'a'), huge)
})

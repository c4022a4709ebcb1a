import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChatRequest, JsonObject, Message } from '../../core/request.ts'
import dialect from './index.ts'

const side = dialect.upstream
assert.ok(side)

function write(request: Partial<ChatRequest>): { body: JsonObject; lost: string[] } {
  const lost: string[] = []
  const asked: ChatRequest = { operation: 'chat', model: 'm', stream: false, messages: [user('Hi')], ...request }
  const body = side?.writeRequest(asked, { model: 'command-a', provider: 'p', report: (what) => void lost.push(what) })
  return { body: JSON.parse(JSON.stringify(body)), lost }
}
const user = (text: string): Message => ({ role: 'user', parts: [{ type: 'text', text }] })

test('a turn with a plan and calls goes back as it came, and each result is a message of its own', () => {
  const reply = {
    id: 'c',
    message: {
      tool_plan: 'I will look.',
      tool_calls: [{ id: 'look_1', type: 'function', function: { name: 'look', arguments: '{"at":"sea"}' } }],
    },
    finish_reason: 'TOOL_CALL',
  }
  const events = side?.readBody(reply) ?? []
  const plan = events.find((event) => event.type === 'reasoning-start')
  const parts: Message['parts'] = [
    { type: 'reasoning', text: 'I will look.', ...(plan && 'rest' in plan && plan.rest ? { rest: plan.rest } : {}) },
    { type: 'tool-call', id: 'look_1', name: 'look', arguments: '{"at":"sea"}' },
  ]
  const result = (id: string): Message['parts'][number] => ({
    type: 'tool-result',
    id,
    content: [{ type: 'text', text: 'blue' }],
  })
  const messages: Message[] = [
    user('Hi'),
    { role: 'assistant', parts },
    { role: 'tool', parts: [result('look_1'), result('look_2')] },
  ]
  assert.deepEqual(write({ messages }).body.messages, [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', tool_plan: reply.message.tool_plan, tool_calls: reply.message.tool_calls },
    { role: 'tool', tool_call_id: 'look_1', content: 'blue' },
    { role: 'tool', tool_call_id: 'look_2', content: 'blue' },
  ])
})

test('parameters by their own names; what there is no name for is told', () => {
  const { body, lost } = write({
    maxOutputTokens: 9,
    topP: 0.5,
    topK: 3,
    stop: ['a', 'b', 'c', 'd', 'e', 'f'],
    seed: 1,
    reasoning: { budgetTokens: 700 },
    responseFormat: { type: 'schema', name: 's', schema: { type: 'object' } },
    endUser: 'u',
    choices: 2,
  })
  const { model, messages, ...rest } = body
  assert.ok(model && messages)
  assert.deepEqual(rest, {
    response_format: { type: 'json_object', json_schema: { type: 'object' } },
    max_tokens: 9,
    p: 0.5,
    k: 3,
    stop_sequences: ['a', 'b', 'c', 'd', 'e'],
    seed: 1,
    thinking: { type: 'enabled', token_budget: 700 },
  })
  assert.deepEqual(lost.sort(), ['n', 'stop', 'user'])
  const tools = [{ name: 'f' }, { name: 'g' }]
  assert.deepEqual(
    [write({ tools, toolChoice: { type: 'none' } }).body.tool_choice, write({ tools }).body.tool_choice],
    ['NONE', undefined],
  )
  assert.deepEqual(write({ tools, toolChoice: { type: 'tool', name: 'f' } }).lost, ['tool_choice'])
})

test('A66: images by data or address, and documents as a 400', () => {
  const image = { type: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' } } as const
  const [message] = write({ messages: [{ role: 'user', parts: [image] }] }).body.messages as { content: unknown }[]
  assert.deepEqual(message?.content, [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }])
  const file = { type: 'file', source: { kind: 'data', mediaType: 'application/pdf', base64: 'BBBB' } } as const
  assert.throws(() => write({ messages: [{ role: 'user', parts: [file] }] }), /takes no documents/)
})

test('arguments that may still turn out to be nothing wait; a failed generation is an error, not an end', () => {
  const reader = side?.streamReader()
  const read = (event: object) => reader?.read(JSON.stringify(event)) ?? []
  const call = (args: string, type = 'tool-call-delta') => ({
    type,
    index: 0,
    delta: { message: { tool_calls: { id: 'x', function: { name: 'f', arguments: args } } } },
  })
  const events = [
    ...read(call('', 'tool-call-start')),
    ...read(call('nu')),
    ...read(call('ll')),
    ...read({ type: 'tool-call-end', index: 0 }),
  ]
  assert.deepEqual(
    events.flatMap((event) => (event.type === 'tool-call-delta' ? [event.json] : [])),
    ['{}'],
  )
  assert.throws(() => read({ type: 'message-end', delta: { finish_reason: 'ERROR', error: 'it broke' } }), /it broke/)
})

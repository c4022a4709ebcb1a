import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChatRequest, JsonObject, Message } from '../../core/request.ts'
import dialect from './index.ts'

const side = dialect.upstream
assert.ok(side)
const CLAUDE = 'arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc'
const NOVA = 'amazon.nova-pro-v1:0'

function write(request: Partial<ChatRequest>, model = NOVA): { body: JsonObject; lost: string[] } {
  const lost: string[] = []
  const asked: ChatRequest = { operation: 'chat', model: 'm', stream: false, messages: [user('Hi')], ...request }
  const body = side?.writeRequest(asked, { model, provider: 'p', report: (what) => void lost.push(what) })
  return { body: JSON.parse(JSON.stringify(body)), lost }
}
const user = (text: string): Message => ({ role: 'user', parts: [{ type: 'text', text }] })

test('A55: markers become points behind what they keep, on system, text, results and tools, where the model caches', () => {
  const cache = { ttl: '1h' } as const
  const messages: Message[] = [
    { role: 'system', parts: [{ type: 'text', text: 'Rules', cache }] },
    { role: 'user', parts: [{ type: 'text', text: 'Hi', cache: {} }] },
    { role: 'assistant', parts: [{ type: 'tool-call', id: 'c1', name: 'f', arguments: '{}' }] },
    { role: 'tool', parts: [{ type: 'tool-result', id: 'c1', content: [{ type: 'text', text: '21' }], cache: {} }] },
  ]
  const tools = [{ name: 'f', parameters: { type: 'object' }, cache: {} }]
  const { body, lost } = write({ messages, tools }, CLAUDE)
  const point = { cachePoint: { type: 'default' } }
  assert.deepEqual(body.system, [{ text: 'Rules' }, { cachePoint: { type: 'default', ttl: '1h' } }])
  assert.deepEqual(body.messages, [
    { role: 'user', content: [{ text: 'Hi' }, point] },
    { role: 'assistant', content: [{ toolUse: { toolUseId: 'c1', name: 'f', input: {} } }] },
    { role: 'user', content: [{ toolResult: { toolUseId: 'c1', content: [{ text: '21' }] } }, point] },
  ])
  assert.deepEqual((body.toolConfig as { tools: unknown[] }).tools.at(-1), point)
  assert.deepEqual(lost, [])
  const none = write({ messages, tools }, 'meta.llama3-1-8b-instruct-v1:0')
  assert.ok(!JSON.stringify(none.body).includes('cachePoint'))
  assert.deepEqual(none.lost, ['cache'])
})

test('turns alternate, results come first, and nothing blank is sent', () => {
  const messages: Message[] = [
    { role: 'assistant', parts: [{ type: 'text', text: 'Hello' }] },
    user('   '),
    {
      role: 'user',
      parts: [
        { type: 'text', text: 'And?' },
        { type: 'tool-result', id: 'c1', isError: true, content: [] },
      ],
    },
    { role: 'system', parts: [{ type: 'text', text: 'Be brief.' }] },
    { role: 'assistant', parts: [{ type: 'text', text: 'Well, ' }] },
  ]
  const { messages: turns } = write({ messages }).body as { messages: { role: string; content: JsonObject[] }[] }
  assert.deepEqual(
    turns.map(({ role }) => role),
    ['user', 'assistant', 'user', 'assistant'],
  )
  const [, , third, last] = turns
  assert.deepEqual(third?.content, [
    { toolResult: { toolUseId: 'c1', content: [{ text: '(no output)' }], status: 'error' } },
    { text: 'And?' },
    { text: '<system>\nBe brief.\n</system>' },
  ])
  assert.deepEqual(last?.content, [{ text: 'Well,' }])
})

test('A63: names and ids over the limit are replaced, the same each time, and named back', () => {
  const long = `mcp__${'a'.repeat(80)}`
  const asked: Partial<ChatRequest> = {
    tools: [{ name: long, parameters: { type: 'object' } }],
    toolChoice: { type: 'tool', name: long },
    messages: [
      user('Hi'),
      {
        role: 'assistant',
        parts: [{ type: 'tool-call', id: `id.${'b'.repeat(90)}`, name: long, arguments: '{"a":1}' }],
      },
      {
        role: 'tool',
        parts: [{ type: 'tool-result', id: `id.${'b'.repeat(90)}`, content: [{ type: 'text', text: 'x' }] }],
      },
    ],
  }
  const { body } = write(asked)
  const { tools, toolChoice } = body.toolConfig as {
    tools: { toolSpec: { name: string } }[]
    toolChoice: { tool: { name: string } }
  }
  const name = tools[0]?.toolSpec.name ?? ''
  assert.match(name, /^[a-zA-Z0-9_-]{1,64}$/)
  assert.equal(toolChoice.tool.name, name)
  const ids = [...JSON.stringify(body.messages).matchAll(/"toolUseId":"([^"]*)"/g)].map((match) => match[1])
  assert.equal(new Set(ids).size, 1)
  assert.match(ids[0] ?? '', /^[a-zA-Z0-9_-]{1,64}$/)
  const request = { operation: 'chat', model: 'm', stream: false, messages: [], ...asked } as ChatRequest
  const reply = {
    output: { message: { content: [{ toolUse: { toolUseId: 't', name, input: { a: 1 } } }] } },
    stopReason: 'tool_use',
  }
  const start = side?.readBody(reply, request).find((event) => event.type === 'tool-call-start')
  assert.equal(start?.name, long)
})

test('A66: images and documents are carried by data; what would have to be fetched is a 400, before anything is sent', () => {
  const png = { type: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' } } as const
  const pdf = {
    type: 'file',
    name: 'a.b:c.pdf',
    source: { kind: 'data', mediaType: 'application/pdf', base64: 'BBBB' },
  } as const
  const { body } = write({ messages: [{ role: 'user', parts: [png, pdf] }] })
  assert.deepEqual((body.messages as { content: unknown }[])[0]?.content, [
    { image: { format: 'png', source: { bytes: 'AAAA' } } },
    { document: { format: 'pdf', name: 'a b c pdf 2', source: { bytes: 'BBBB' } } },
    { text: '(See the document.)' },
  ])
  const result = write({ messages: [{ role: 'tool', parts: [{ type: 'tool-result', id: 'c', content: [png] }] }] })
  assert.match(JSON.stringify(result.body), /"toolResult":\{"toolUseId":"c","content":\[\{"image"/)
  const remote = { type: 'image', source: { kind: 'url', url: 'https://example.test/a.png' } } as const
  assert.throws(
    () => write({ messages: [{ role: 'user', parts: [remote] }] }),
    /cannot take image content given as an address/,
  )
})

test('A53: signed thinking goes back as it came, unsigned thinking does not', () => {
  const parts: Message['parts'] = [
    { type: 'reasoning', text: 'hm', signature: 'sig' },
    { type: 'reasoning', text: '', redacted: 'cmVk' },
    { type: 'reasoning', text: 'of another' },
    { type: 'text', text: 'ok' },
  ]
  const { body, lost } = write({ messages: [user('Hi'), { role: 'assistant', parts }, user('Go on')] }, CLAUDE)
  assert.deepEqual((body.messages as { content: unknown }[])[1]?.content, [
    { reasoningContent: { reasoningText: { text: 'hm', signature: 'sig' } } },
    { reasoningContent: { redactedContent: 'cmVk' } },
    { text: 'ok' },
  ])
  assert.deepEqual(lost, ['messages.reasoning'])
})

test('parameters, thinking by maker, and JSON by a forced tool whose input is the text', () => {
  const sampling = { maxOutputTokens: 5_000, temperature: 1.5, topP: 0.5, topK: 3, stop: ['END', ' '], seed: 1 }
  const { body, lost } = write(sampling)
  assert.deepEqual(body.inferenceConfig, { maxTokens: 5_000, temperature: 1, topP: 0.5, stopSequences: ['END'] })
  assert.deepEqual(body.additionalModelRequestFields, { inferenceConfig: { topK: 3 } })
  assert.deepEqual(lost.sort(), ['seed', 'stop', 'temperature'])
  const thought = (model: string) => write({ reasoning: { effort: 'medium' } }, model)
  assert.deepEqual(thought('openai.gpt-oss-120b-1:0').body.additionalModelRequestFields, { reasoning_effort: 'medium' })
  assert.deepEqual(thought('us.amazon.nova-2-lite-v1:0').body.additionalModelRequestFields, {
    reasoningConfig: { type: 'enabled', maxReasoningEffort: 'medium' },
  })
  assert.deepEqual(thought('meta.llama3-1-8b-instruct-v1:0').lost, ['reasoning'])

  const schema = { type: 'object', properties: { age: { type: 'integer' } } }
  const json = write({ responseFormat: { type: 'schema', name: 'p', schema } }).body.toolConfig as JsonObject
  assert.deepEqual(json.toolChoice, { tool: { name: 'stockyard_json_output' } })
  const use = { toolUse: { toolUseId: 't', name: 'stockyard_json_output', input: { age: 3 } } }
  const events = side?.readBody({ output: { message: { content: [use] } }, stopReason: 'tool_use' }) ?? []
  assert.equal(events.find((event) => event.type === 'text-delta')?.text, '{"age":3}')
  assert.equal(events.find((event) => event.type === 'finish')?.reason, 'stop')
})

test('a conversation with calls in it is sent with their tools, though the client offers none', () => {
  const messages: Message[] = [
    user('Hi'),
    { role: 'assistant', parts: [{ type: 'tool-call', id: 'c', name: 'f', arguments: '' }] },
    { role: 'tool', parts: [{ type: 'tool-result', id: 'c', content: [{ type: 'text', text: 'x' }] }] },
  ]
  assert.deepEqual(write({ messages }).body.toolConfig, {
    tools: [{ toolSpec: { name: 'f', inputSchema: { json: { type: 'object' } } } }],
  })
})

/** The dialect against a server that is as strict as Anthropic's: what it writes is taken, what comes back is read. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { ReplyEvent } from '../../src/core/reply.ts'
import type { ChatRequest, Message } from '../../src/core/request.ts'
import dialect from '../../src/dialects/anthropic-messages/index.ts'
import { SseFramer, sseData } from '../../src/wire/sse.ts'
import { startUpstream } from '../upstream/index.ts'
import { collect, type Meaning } from './replay.ts'

const upstream = await startUpstream()
after(() => upstream.close())
const side = dialect.upstream
assert.ok(side)

async function ask(request: Partial<ChatRequest>, model: string, stream: boolean): Promise<Meaning> {
  const asked: ChatRequest = { operation: 'chat', model: 'public', messages: [], ...request, stream }
  const body = side?.writeRequest(asked, { model, provider: 'p', report: (what) => assert.fail(`dropped ${what}`) })
  const answer = await fetch(`${upstream.url}/v1/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': 'k', 'anthropic-version': '2023-06-01' },
    body: JSON.stringify(body),
  })
  const bytes = Buffer.from(await answer.arrayBuffer())
  assert.equal(answer.status, 200, bytes.toString())
  if (!stream) return collect(side?.readBody(JSON.parse(bytes.toString()), asked) ?? [])
  const reader = side?.streamReader(asked)
  const watcher = side?.watcher({})
  const events: ReplyEvent[] = []
  for (const frame of new SseFramer().push(bytes)) {
    const { data, event } = sseData(frame.bytes)
    watcher?.look(frame)
    events.push(...(reader?.read(data, event) ?? []))
  }
  events.push(...(reader?.end() ?? []))
  const said = collect(events)
  assert.deepEqual([watcher?.facts.finish, watcher?.facts.complete], [said.finish, true])
  return said
}

const user = (text: string): Message => ({ role: 'user', parts: [{ type: 'text', text }] })
const system: Message = { role: 'system', parts: [{ type: 'text', text: 'Be brief.' }] }
const weather = {
  name: 'get.weather',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}
const person = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
}

for (const stream of [false, true]) {
  const how = stream ? 'streamed' : 'unstreamed'

  test(`${how}: text, with a later system message, a stop sequence and the end user`, async () => {
    const messages = [system, user('Hi'), system, user('there, END of it')]
    const said = await ask({ messages, stop: ['END'], endUser: 'u' }, 'claude-sonnet-4-6', stream)
    assert.deepEqual(
      [said.text, said.finish, said.usage?.source],
      ['echo: Hi<system>\nBe brief.\n</system>there, ', 'stop', 'provider'],
    )
  })

  test(`${how}: parallel calls of a tool whose name had to be replaced, and their results`, async () => {
    const asked = { messages: [user('Weather?')], tools: [weather], toolChoice: { type: 'required' as const } }
    const { toolCalls, finish } = await ask(asked, 'claude-sonnet-4-6', stream)
    assert.deepEqual([toolCalls.map(({ name }) => name), finish], [['get.weather'], 'tool-calls'])
    const call = { type: 'tool-call' as const, name: 'get.weather', arguments: '{"city":"Rome"}' }
    const messages: Message[] = [
      user('Weather?'),
      {
        role: 'assistant',
        parts: [
          { ...call, id: 'functions.f:0' },
          { ...call, id: 'functions.f:1' },
        ],
      },
      { role: 'tool', parts: [{ type: 'tool-result', id: 'functions.f:1', content: [] }] },
      { role: 'tool', parts: [{ type: 'tool-result', id: 'functions.f:0', content: [{ type: 'text', text: '21' }] }] },
    ]
    assert.equal((await ask({ messages, tools: [weather] }, 'claude-sonnet-4-6', stream)).finish, 'stop')
  })

  test(`${how}: thinking comes back signed and is taken again`, async () => {
    for (const model of ['claude-opus-4-5', 'claude-opus-4-7']) {
      const first = await ask({ messages: [user('Hi')], reasoning: { effort: 'low' } }, model, stream)
      assert.equal(first.reasoning, 'thinking about: Hi')
      const [signature = ''] = first.signatures
      assert.ok(signature)
      const reasoning = { type: 'reasoning' as const, text: first.reasoning, signature }
      const answer: Message = { role: 'assistant', parts: [reasoning, { type: 'text', text: first.text }] }
      const again = await ask({ messages: [user('Hi'), answer, user('Go on')] }, model, stream)
      assert.equal(again.text, 'echo: Go on')
    }
  })

  test(`${how}: JSON by schema, enforced or by a forced tool, is the reply's text`, async () => {
    const responseFormat = { type: 'schema' as const, name: 'person', schema: person }
    for (const model of ['claude-sonnet-4-6', 'claude-sonnet-4-20250514']) {
      const said = await ask({ messages: [user('Ann')], responseFormat }, model, stream)
      assert.deepEqual(Object.keys(JSON.parse(said.text)), ['name', 'age'], model)
      assert.deepEqual([said.toolCalls, said.finish], [[], 'stop'])
    }
  })

  test(`${how}: A55: what a marker keeps is written first and read the second time`, async () => {
    const messages: Message[] = [
      { role: 'system', parts: [{ type: 'text', text: `${how} ${'rules '.repeat(50)}`, cache: { ttl: '1h' } }] },
      user('Hi'),
    ]
    const first = await ask({ messages }, 'claude-sonnet-4-6', stream)
    const second = await ask({ messages }, 'claude-sonnet-4-6', stream)
    assert.ok((first.usage?.cacheWrite1h ?? 0) > 50)
    assert.equal(second.usage?.cacheRead, first.usage?.cacheWrite1h)
  })
}

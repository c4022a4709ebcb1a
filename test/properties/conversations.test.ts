/**
 * Random conversations survive every dialect: written as the body of a request, read again by the side towards clients,
 * and written in any other dialect in between. What a dialect has no place for is named in its report.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ChatRequest, Message, Part, ToolCallPart } from '../../src/core/request.ts'
import { dialects } from '../../src/dialects/index.ts'

const IDS = ['openai-chat', 'openai-responses', 'anthropic-messages', 'gemini-generate'] as const
type Id = (typeof IDS)[number]
/** A name by which each dialect knows what the model can do. */
const MODELS: Readonly<Record<Id, string>> = {
  'openai-chat': 'gpt-5',
  'openai-responses': 'gpt-5',
  'anthropic-messages': 'claude-sonnet-4-5',
  'gemini-generate': 'gemini-3-pro',
}

const word = fc
  .string({ minLength: 1, maxLength: 30, unit: 'grapheme' })
  // White space alone says nothing, and at the end of an answer that is to be continued it is refused.
  .map((text) => text.trim())
  .filter((text) => text !== '' && !text.startsWith('<system>'))
const image = fc
  .uint8Array({ minLength: 1, maxLength: 12 })
  .map((bytes) => ({ kind: 'data' as const, mediaType: 'image/png', base64: Buffer.from(bytes).toString('base64') }))
const args = fc
  .dictionary(
    fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom(...'abc_XYZ') }),
    fc.jsonValue({ maxDepth: 1 }),
    { maxKeys: 3 },
  )
  .map((value) => JSON.stringify(value))
const name = fc
  .string({ minLength: 1, maxLength: 20, unit: fc.constantFrom(...'abcdefXYZ_') })
  .filter((n) => /^[a-z_]/i.test(n))

/** The user asks; the assistant says something or calls tools, whose results follow. */
const round = fc.record({
  asked: word,
  picture: fc.option(image, { nil: undefined }),
  said: fc.option(word, { nil: undefined }),
  calls: fc.array(fc.record({ name, args, result: word }), { maxLength: 3 }),
})

const conversation: fc.Arbitrary<ChatRequest> = fc
  .record({
    system: fc.option(word, { nil: undefined }),
    rounds: fc.array(round, { minLength: 1, maxLength: 4 }),
    last: word,
  })
  .map(({ system, rounds, last }) => {
    const messages: Message[] =
      system === undefined ? [] : [{ role: 'system', parts: [{ type: 'text', text: system }] }]
    const names = new Set<string>()
    let called = 0
    for (const { asked, picture, said, calls } of rounds) {
      const shown: Part[] = picture ? [{ type: 'image', source: picture }] : []
      messages.push({ role: 'user', parts: [{ type: 'text', text: asked }, ...shown] })
      const made = calls.map((call): ToolCallPart => {
        names.add(call.name)
        return { type: 'tool-call', id: `call_${called++}`, name: call.name, arguments: call.args }
      })
      const answer: Part[] = [
        ...(said === undefined && made.length > 0 ? [] : [{ type: 'text' as const, text: said ?? 'Yes' }]),
        ...made,
      ]
      messages.push({ role: 'assistant', parts: answer })
      if (made.length === 0) continue
      messages.push({
        role: 'tool',
        parts: made.map((call, i) => ({
          type: 'tool-result',
          id: call.id,
          name: call.name,
          content: [{ type: 'text', text: calls[i]?.result ?? '' }],
        })),
      })
    }
    messages.push({ role: 'user', parts: [{ type: 'text', text: last }] })
    const tools = [...names].map((each) => ({ name: each, parameters: { type: 'object', properties: {} } }))
    return { operation: 'chat', model: 'm', stream: false, messages, ...(tools.length > 0 ? { tools } : {}) }
  })

/** Who said what, in order; neighboring texts of one speaker as one, and calls by what they were and not by their ids. */
function told(request: ChatRequest): unknown[] {
  const order = new Map<string, number>()
  const lines: unknown[][] = []
  for (const { role, parts } of request.messages) {
    for (const part of parts) {
      switch (part.type) {
        case 'text': {
          lines.push([role, 'says', part.text])
          break
        }
        case 'image':
          lines.push([role, 'shows', part.source])
          break
        case 'tool-call':
          order.set(part.id, order.size)
          lines.push([role, 'calls', order.get(part.id), part.name, JSON.parse(part.arguments)])
          break
        case 'tool-result':
          lines.push([
            'tool',
            order.get(part.id),
            part.content.map((item) => (item.type === 'text' ? item.text : item.type)).join(''),
          ])
          break
        default:
          lines.push([role, part.type])
      }
    }
  }
  return lines
}

function through(id: Id, request: ChatRequest): ChatRequest {
  const dialect = dialects.find((each) => each.id === id)
  const lost: string[] = []
  const report = (what: string): void => void lost.push(what)
  const body = dialect?.upstream?.writeRequest(request, {
    model: MODELS[id],
    provider: 'p',
    report,
    maxOutputTokens: 64,
  })
  // What no API but OpenAI's is asked for by other names is not looked at here.
  assert.deepEqual(
    lost.filter((what) => !/^(thought_signature|store|hints)/.test(what)),
    [],
    `${id} drops ${lost.join()}`,
  )
  const read = dialect?.client?.readRequest({ ...JSON.parse(JSON.stringify(body)), model: 'm' })
  assert.equal(read?.operation, 'chat')
  return read as ChatRequest
}

for (const id of IDS) {
  test(`a random conversation survives ${id}`, () => {
    fc.assert(
      fc.property(conversation, (request) => {
        const read = through(id, request)
        assert.deepEqual(told(read), told(request))
        assert.deepEqual(
          read.tools?.map((tool) => tool.name),
          request.tools?.map((tool) => tool.name),
        )
      }),
      { numRuns: 150 },
    )
  })
  for (const other of IDS) {
    if (other === id) continue
    test(`a random conversation survives ${id} → ${other} → ${id}`, () => {
      fc.assert(
        fc.property(conversation, (request) => {
          assert.deepEqual(told(through(id, through(other, through(id, request)))), told(request))
        }),
        { numRuns: 60 },
      )
    })
  }
}

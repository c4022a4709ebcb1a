/** A64: counting asks the vendor where it counts, in that vendor's own words, and estimates where it does not answer. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createTokenCounter } from '../../src/catalog/token-counter.ts'
import { countInput } from '../../src/core/counting.ts'
import type { Dialect } from '../../src/core/dialect.ts'
import type { Exchange, Target } from '../../src/core/exchange.ts'
import type { AttemptPorts } from '../../src/core/outgoing.ts'
import type { Provider } from '../../src/core/provider.ts'
import type { JsonObject } from '../../src/core/request.ts'
import { dialects as all } from '../../src/dialects/index.ts'
import { providers } from '../../src/providers/index.ts'
import { createWire } from '../../src/wire/index.ts'
import { parseJsonObject } from '../../src/wire/json.ts'
import { signerParts } from '../upstream/signing.ts'

const counter = createTokenCounter(new URL('../../src/catalog/token-worker.ts', import.meta.url))
after(() => counter.close())
const dialects = new Map<string, Dialect>(all.map((dialect) => [dialect.id, dialect]))

const ASKED = {
  'openai-chat': {
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello there' },
    ],
  },
  'anthropic-messages': { max_tokens: 5, system: 'Be brief.', messages: [{ role: 'user', content: 'Hello there' }] },
} as const

async function counted(
  id: string,
  model: string,
  dialect: keyof typeof ASKED,
  answers: readonly unknown[],
  secret?: string,
) {
  const provider = (providers as readonly Provider[]).find((each) => each.id === id)
  assert.ok(provider)
  const options: JsonObject = id === 'vertex' ? { project: 'p', location: 'global' } : {}
  const { given, calls } = signerParts({ answers, options })
  const signer = provider.signer?.(given)
  const target = {
    model,
    weight: 1,
    upstream: {
      id: 'up',
      provider,
      baseUrl: 'https://example.test',
      credentials: [],
      headers: {},
      options,
      callerKeys: false,
      owner: 'database',
      ...(signer ? { signer } : {}),
    },
  } as unknown as Target
  const body = Buffer.from(JSON.stringify({ model: 'public', ...ASKED[dialect] }))
  const { json, scan } = parseJsonObject(body)
  const read = dialects.get(dialect)?.client?.readRequest
  const x = {
    operation: 'chat',
    dialect,
    model: 'public',
    stream: false,
    headers: {},
    body,
    json,
    scan,
    signal: new AbortController().signal,
    unsupported: new Set(),
    plan: { unsupported: 'drop' },
    request: () => read?.(json),
  } as unknown as Exchange
  const ports = {
    wire: createWire(given.egress),
    dialects,
    outputLimitOf: () => undefined,
    isSignIn: () => false,
    now: Date.now,
    version: '0',
    counter,
  }
  const answer = await countInput(x, target, secret, ports as unknown as AttemptPorts & { counter: typeof counter })
  return {
    ...answer,
    calls,
    sent: calls.map(({ body: bytes }) => (bytes === undefined ? {} : JSON.parse(String(bytes)))),
  }
}

test("Anthropic counts a client's own request, without what its counter refuses", async () => {
  const { tokens, by, calls, sent } = await counted(
    'anthropic',
    'claude-sonnet-5',
    'anthropic-messages',
    [{ input_tokens: 17 }],
    'k',
  )
  assert.deepEqual([tokens, by], [17, 'vendor'])
  assert.equal(calls[0]?.url, 'https://example.test/v1/messages/count_tokens')
  assert.equal(calls[0]?.headers['x-api-key'], 'k')
  assert.deepEqual(sent[0], {
    model: 'claude-sonnet-5',
    system: 'Be brief.',
    messages: [{ role: 'user', content: 'Hello there' }],
  })
})

test('Gemini, Vertex and Bedrock count in their own words, also for clients of another dialect', async () => {
  const gemini = await counted('gemini', 'gemini-3-pro', 'openai-chat', [{ totalTokens: 9 }], 'k')
  assert.deepEqual([gemini.tokens, gemini.by], [9, 'vendor'])
  assert.equal(gemini.calls[0]?.url, 'https://example.test/v1beta/models/gemini-3-pro:countTokens')
  assert.equal(gemini.sent[0].generateContentRequest.model, 'models/gemini-3-pro')
  assert.equal(gemini.sent[0].generateContentRequest.contents[0].parts[0].text, 'Hello there')

  const token = { access_token: 't', expires_in: 900 }
  const vertex = await counted('vertex', 'claude-sonnet-4-5', 'openai-chat', [token, { input_tokens: 11 }])
  assert.deepEqual([vertex.tokens, vertex.by], [11, 'vendor'])
  assert.match(vertex.calls[1]?.url ?? '', /\/publishers\/anthropic\/models\/count-tokens:rawPredict$/)
  assert.equal(JSON.parse(String(vertex.calls[1]?.body)).model, 'claude-sonnet-4-5')

  const bedrock = await counted('bedrock', 'amazon.nova-pro-v1:0', 'openai-chat', [{ inputTokens: 13 }], 'bearer-key')
  assert.deepEqual([bedrock.tokens, bedrock.by], [13, 'vendor'])
  assert.match(bedrock.calls[0]?.url ?? '', /\/model\/amazon.nova-pro-v1%3A0\/count-tokens$/)
  assert.deepEqual(bedrock.sent[0].input.converse.system, [{ text: 'Be brief.' }])
})

test('where a vendor has no counter, or it fails, the answer is an estimate', async () => {
  const none = await counted('openai', 'gpt-4o', 'anthropic-messages', [])
  assert.deepEqual([none.by, none.calls.length], ['estimate', 0])
  // Two messages and a request of OpenAI's frame, and five tokens of text: "Be brief." is three, "Hello there" two.
  assert.equal(none.tokens, 3 + 2 * 3 + 5)
  for (const answer of [{ status: 404, body: {} }, { status: 500, body: 'oops' }, 'no json', { input_tokens: -1 }]) {
    const failed = await counted('anthropic', 'claude-sonnet-5', 'openai-chat', [answer], 'k')
    assert.equal(failed.by, 'estimate', JSON.stringify(answer))
    assert.ok(failed.tokens > 5)
  }
})

/** What a module may ask of others while an exchange runs: a chat of its own, a call to an upstream, a word before the end. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Type } from 'typebox'
import type { Hooks, Host, Module } from '../../src/core/module.ts'
import type { ChatRequest } from '../../src/core/request.ts'
import { type Answer, type Running, runGateway, streamedText } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'
const asking = (model: string, text: string): ChatRequest => ({
  operation: 'chat',
  model,
  stream: false,
  messages: [{ role: 'user', parts: [{ type: 'text', text }] }],
})

function probed(t: TestContext, hooks: (host: Host) => Partial<Hooks>): Promise<Running> {
  const module: Module = {
    id: 'probe',
    summary: 'For tests.',
    layer: 'content',
    default: 'enforce',
    fault: 'closed',
    settings: Type.Object({}, { additionalProperties: false }),
    start: hooks,
  }
  return runGateway(t, { extraModules: [module], upstreams: { openai: 'openai', anthropic: 'anthropic' } })
}
const textOf = (answer: Answer): string => (answer.json ? answer.json.choices[0].message.content : streamedText(answer))

test('a chat inside an exchange is answered, booked under the module, logged, and does not come back to the module', async (t) => {
  let asked = 0
  const gateway = await probed(t, (host) => ({
    async transform(x, request) {
      asked++
      const said = await host.exchange(x, { request: asking(`anthropic/claude-haiku-4-5`, 'inside'), timeoutMs: 5_000 })
      assert.equal(said, 'echo: inside')
      return request
    },
  }))
  await gateway.admin('PUT', 'modules/logs', { mode: 'enforce' })
  for (const stream of [false, true]) {
    assert.equal(textOf(await gateway.chat(MODEL, 'outside', { stream })), 'echo: outside')
  }
  assert.equal(asked, 2)
  const rows = (await gateway.usage('principal,upstream')) as readonly {
    group: Record<string, string>
    attempts: number
    costUsd: string
  }[]
  const inside = rows.find((row) => row.group.principal === 'module:probe')
  assert.equal(inside?.group.upstream, 'anthropic')
  assert.equal(Number(inside?.attempts), 2)
  assert.ok(Number(inside?.costUsd) > 0, 'it has a price')
  const { entries } = await gateway.admin('GET', 'logs?limit=10')
  const ids = (entries as { requestId: string }[]).map(({ requestId }) => requestId)
  assert.equal(ids.filter((id) => ids.includes(`${id}-probe-1`)).length, 2, ids.join())
})

test('a chat inside that is refused, is late or is asked from within another one fails, and nothing waits for ever', async (t) => {
  const problems: string[] = []
  const gateway = await probed(t, (host) => ({
    async transform(x, request) {
      for (const model of [`${MODEL}+status=400`, `${MODEL}+hang-headers`, 'nobody-knows-this']) {
        await host
          .exchange(x, { request: asking(model, 'inside'), timeoutMs: 300 })
          .then(assert.fail, (error) => problems.push(error.code))
      }
      const inside = { ...x, inner: { of: x.id, by: 'other' } }
      await assert.rejects(host.exchange(inside, { request: asking(MODEL, 'x'), timeoutMs: 300 }), /itself asked/)
      return request
    },
  }))
  assert.equal(textOf(await gateway.chat(MODEL, 'outside')), 'echo: outside')
  assert.deepEqual(problems, ['upstream_rejected', 'upstream_timeout', 'model_not_found'])
})

test('a call to an upstream goes to its base URL with its credential', async (t) => {
  const gateway = await probed(t, (host) => ({
    async transform(_, request) {
      const headers = { 'content-type': 'application/json' }
      const body = Buffer.from(JSON.stringify({ model: 'm', input: 'words' }))
      const limits = { timeoutMs: 5_000, maxAnswerBytes: 1_000_000 }
      const answer = await host.call({ upstream: 'openai', url: '/moderations', headers, body, ...limits })
      assert.equal(answer.status, 200)
      await assert.rejects(host.call({ upstream: 'none', url: '/x', headers, body, ...limits }), /no upstream "none"/)
      return request
    },
  }))
  assert.equal((await gateway.chat(MODEL, 'hello')).status, 200)
  const [call] = gateway.upstream.ledger.rows
  assert.equal(call?.path, '/v1/moderations')
  assert.equal(call?.headers.authorization, 'Bearer sk-test-secret-openai')
})

test('what a stage says at last goes out before the end, in every dialect', async (t) => {
  const gateway = await probed(t, () => ({
    stream: () => ({
      push: (event) => (event.type.startsWith('text-') ? [] : [event]),
      last: async () => [
        { type: 'text-start', part: 0 },
        { type: 'text-delta', part: 0, text: 'said at last' },
        { type: 'text-end', part: 0 },
      ],
    }),
  }))
  const messages = [{ role: 'user', content: 'hello' }]
  for (const stream of [false, true]) {
    for (const [path, body] of [
      ['/v1/chat/completions', { model: MODEL, messages }],
      ['/v1/responses', { model: MODEL, input: 'hello' }],
      ['/v1/messages', { model: 'anthropic/claude-haiku-4-5', messages, max_tokens: 9 }],
      [
        `/v1beta/models/${MODEL}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
        { contents: [{ parts: [{ text: 'hello' }] }] },
      ],
    ] as const) {
      const answer = await gateway.send(path, path.startsWith('/v1beta') ? body : { ...body, stream })
      assert.equal(answer.status, 200, answer.text)
      if (stream)
        assert.match(answer.text, /said at last[\s\S]*(?:finish_reason|completed|stop_reason|finishReason)/, path)
      assert.match(answer.text, /said at last/, path)
      assert.doesNotMatch(answer.text, /echo: hello/)
    }
  }
})

/** A stream that breaks off after content: by default it says so; where the route allows it, it goes on elsewhere. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Running, runGateway, streamedText } from '../running/index.ts'

const two = { upstreams: { one: 'openai', two: 'openai', three: 'anthropic' } }
const MODEL = 'gpt-4o-mini'
const BEGINNING = 'Once%20upon%20a%20time%20there%20was'
const REST = 'a%20fox.'
const broken = { upstream: 'one', model: `${MODEL}+text=${BEGINNING}+chunks=6+truncate=6` }

const route = (gateway: Running, more: object, second: object = { upstream: 'two', model: `${MODEL}+text=${REST}` }) =>
  gateway.admin('PUT', 'routes/r', { targets: [broken, { ...second, continues: true }], ...more })
const ask = (gateway: Running, more: object = {}, headers = {}) =>
  gateway.chat('r', 'Tell me a story.', { stream: true, ...more }, headers)

test('A72: by default nothing is continued: a typed error ends the stream, and nobody else is called', async (t) => {
  const gateway = await runGateway(t, two)
  await route(gateway, {})
  const answer = await ask(gateway)
  assert.match(answer.text, /upstream_incomplete/)
  assert.ok(!answer.text.includes('[DONE]'))
  assert.equal(gateway.upstream.ledger.rows.length, 1)
})

for (const [second, model] of [
  ['two', `${MODEL}+text=${REST}`],
  ['three', `claude-sonnet-4-5+text=${REST}`],
] as const) {
  test(`A72: with continuations the answer goes on at ${second}, whole and once, each leg booked`, async (t) => {
    const gateway = await runGateway(t, two)
    await route(gateway, { continuations: 1 }, { upstream: second, model })
    const answer = await ask(gateway, { stream_options: { include_usage: true } })
    assert.equal(answer.status, 200)
    assert.equal(answer.data.at(-1), '[DONE]', answer.text)
    const text = streamedText(answer)
    assert.match(text, /^Once upon a? ?.*a fox\.$/)
    assert.equal(text.split('Once').length, 2, 'nothing comes twice')
    const chunks = answer.data.filter((d) => d !== '[DONE]').map((d) => JSON.parse(d))
    assert.equal(chunks.filter((c) => c.choices?.[0]?.finish_reason).length, 1)
    assert.equal(chunks.filter((c) => c.choices?.[0]?.delta?.role).length, 1, 'it begins once')
    assert.equal(new Set(chunks.map((c) => c.id)).size, 1, 'it is one answer')
    const [, later] = gateway.upstream.ledger.rows
    const body = JSON.parse(later?.rawBody ?? '{}') as { messages: { role: string; content: unknown }[] }
    const last = body.messages.at(-1)
    assert.equal(last?.role, 'assistant')
    assert.match(JSON.stringify(last?.content), /Once upon/)
    const rows = (await gateway.usage('upstream')) as readonly Record<string, unknown>[]
    assert.equal(rows.length, 2)
    assert.ok(rows.every((row) => Number(row.attempts) === 1))
    const sum = rows.reduce((n, row) => n + Number((row.tokens as { output: number }).output), 0)
    const told = chunks
      .map((c) => c.usage)
      .filter(Boolean)
      .at(-1)
    assert.equal(told.completion_tokens, sum, 'the client is told of both legs')
  })
}

test('A72: disabling fallbacks wins, and so does a target that does not continue', async (t) => {
  const gateway = await runGateway(t, two)
  await route(gateway, { continuations: 3 })
  for (const [more, headers] of [
    [{}, { 'x-no-fallback': '1' }],
    [{ disable_fallbacks: true }, {}],
  ] as const) {
    gateway.upstream.ledger.reset()
    const answer = await ask(gateway, more, headers)
    assert.match(answer.text, /upstream_incomplete/)
    assert.equal(gateway.upstream.ledger.rows.length, 1)
  }
  await gateway.admin('PUT', 'routes/r', { targets: [broken, { upstream: 'two', model: MODEL }], continuations: 3 })
  gateway.upstream.ledger.reset()
  assert.match((await ask(gateway)).text, /upstream_incomplete/)
  assert.equal(gateway.upstream.ledger.rows.length, 1)
})

test('A72: when the next one breaks, too, or cannot be reached, the stream ends with the error', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: { firstBackoffMs: 1 } })
  for (const behaviour of ['status=500', 'chunks=9+truncate=5']) {
    await route(gateway, { continuations: 1 }, { upstream: 'two', model: `${MODEL}+${behaviour}` })
    const answer = await ask(gateway)
    assert.ok(!answer.text.includes('[DONE]'))
    assert.match(answer.text, /"error"/)
    assert.match(
      streamedText(
        answer.data.some((d) => d.includes('"error"')) ? { ...answer, data: answer.data.slice(0, -1) } : answer,
      ),
      /^Once/,
    )
  }
})

test('A72: a whole answer of such a route is as ever', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'routes/r', {
    targets: [{ upstream: 'one', model: MODEL, continues: true }],
    continuations: 2,
  })
  const answer = await ask(gateway)
  assert.equal(answer.data.at(-1), '[DONE]')
  assert.ok(streamedText(answer).length > 0)
  assert.equal((await gateway.chat('r', 'unstreamed')).status, 200)
})

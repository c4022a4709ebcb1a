/** A67: what a model is known to refuse never reaches it: it is told in a header, or a 400 where the route wants that. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runGateway } from '../running/index.ts'

/** The body that arrived last. */
const sentTo = (upstream: { readonly ledger: { readonly rows: readonly { readonly rawBody?: Buffer | string }[] } }) =>
  JSON.parse(String(upstream.ledger.rows.at(-1)?.rawBody)) as Record<string, unknown>

test('A67: a reasoning model gets no sampling, and its limit by the name that it takes', async (t) => {
  const gateway = await runGateway(t)
  const answer = await gateway.chat('openai/gpt-5', 'Hi', {
    temperature: 0.3,
    top_p: 1,
    max_tokens: 77,
    unknown_field: 'kept',
  })
  assert.equal(answer.status, 200, answer.text)
  const body = sentTo(gateway.upstream)
  assert.deepEqual(
    [body.temperature, body.top_p, body.max_tokens, body.max_completion_tokens, body.unknown_field],
    [undefined, undefined, undefined, 77, 'kept'],
  )
  // A default that is left out is not lost, and neither is what only has another name.
  assert.equal(answer.headers['x-stockyard-unsupported'], 'temperature')

  const plain = await gateway.chat('openai/gpt-4o-mini', 'Hi', { temperature: 0.3, max_tokens: 77 })
  assert.equal(plain.headers['x-stockyard-unsupported'], undefined)
  assert.deepEqual([sentTo(gateway.upstream).temperature, sentTo(gateway.upstream).max_tokens], [0.3, 77])
})

test('A67: a client of another format is told the same', async (t) => {
  const gateway = await runGateway(t)
  const answer = await gateway.send(
    '/v1/messages',
    { model: 'openai/o3', max_tokens: 50, temperature: 0.3, messages: [{ role: 'user', content: 'Hi' }] },
    { 'anthropic-version': '2023-06-01' },
  )
  assert.equal(answer.status, 200, answer.text)
  assert.equal(sentTo(gateway.upstream).temperature, undefined)
  assert.equal(sentTo(gateway.upstream).max_completion_tokens, 50)
  assert.match(String(answer.headers['x-stockyard-unsupported']), /temperature/)
})

test("A67: a strict route refuses, and an administrator's word stands above the table's", async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'routes/strict', {
    targets: [{ upstream: 'openai', model: 'gpt-5' }],
    unsupported: 'reject',
  })
  const before = gateway.upstream.ledger.rows.length
  const refused = await gateway.chat('strict', 'Hi', { temperature: 0.3 })
  assert.equal(refused.status, 400, refused.text)
  assert.match(refused.json.error.message, /temperature/)
  assert.equal(gateway.upstream.ledger.rows.length, before, 'nothing was sent')
  assert.equal((await gateway.chat('strict', 'Hi', { temperature: 1 })).status, 200)

  await gateway.admin('PUT', 'routes/known-better', {
    targets: [{ upstream: 'openai', model: 'gpt-5', capabilities: { refuses: [] } }],
  })
  await gateway.chat('known-better', 'Hi', { temperature: 0.3 })
  assert.equal(sentTo(gateway.upstream).temperature, 0.3)
  await gateway.admin('PUT', 'routes/insists', {
    targets: [{ upstream: 'openai', model: 'gpt-5', overrides: { temperature: 0.7 } }],
  })
  await gateway.chat('insists', 'Hi')
  assert.equal(sentTo(gateway.upstream).temperature, 0.7)
})

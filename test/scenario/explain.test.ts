/** `POST /api/explain`: what would become of a request, rule by rule, without calling anybody. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runGateway } from '../running/index.ts'

const two = { upstreams: { one: 'openai', two: 'openai' } }

test('explain: the plan, the rule that made it and the price; nobody is called and nothing is booked', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'routes/r', {
    strategy: 'round-robin',
    targets: [
      { upstream: 'one', model: 'gpt-4o-mini', tags: ['small'] },
      { upstream: 'two', model: 'gpt-4o-mini', tags: ['gold'], maxPrice: { input: '0.01' } },
      { upstream: 'two', model: 'gpt-4o', tags: ['gold'] },
    ],
    rules: [
      { name: 'gold customers', when: [{ field: 'metadata.tier', operator: 'eq', value: 'gold' }], use: ['gold'] },
    ],
  })
  const body = { model: 'r', messages: [{ role: 'user', content: 'hi' }], metadata: { tier: 'gold' }, max_tokens: 100 }
  const told = await gateway.admin('POST', 'explain', { body })
  assert.deepEqual(told.principal, { kind: 'local', id: 'local' })
  assert.deepEqual(
    told.plan.targets.map((each: { upstream: string; model: string }) => `${each.upstream}/${each.model}`),
    ['two/gpt-4o'],
  )
  assert.equal(told.plan.via, 'route')
  assert.match(told.plan.targets[0].price.version, /gpt-4o/)
  assert.match(told.plan.targets[0].price.atMostUsd, /^0\.00\d+$/)
  const trace = told.trace.map((d: { decision: string; reason: string }) => `${d.decision}: ${d.reason}`).join('\n')
  assert.match(trace, /gold customers: two\/gpt-4o-mini, two\/gpt-4o/)
  assert.match(trace, /left out: two\/gpt-4o-mini costs more than is allowed/)
  assert.match(trace, /round-robin: two\/gpt-4o/)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
  assert.deepEqual(await gateway.usage(), [])
})

test('explain: asking takes no turn, and says what a request really gets', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'routes/r', {
    strategy: 'round-robin',
    targets: ['one', 'two'].map((upstream) => ({ upstream, model: 'gpt-4o-mini' })),
  })
  const body = { model: 'r', messages: [{ role: 'user', content: 'hi' }] }
  for (let i = 0; i < 4; i++) {
    const first = (await gateway.admin('POST', 'explain', { body })).plan.targets[0].upstream
    assert.equal((await gateway.admin('POST', 'explain', { body })).plan.targets[0].upstream, first)
    assert.equal((await gateway.chat('r', 'hi')).headers['x-stockyard-upstream'], first)
  }
})

test('explain: other dialects, headers, resting targets, refusals and unknown keys', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'modules/breakers', { mode: 'enforce', settings: { minimumCalls: 1 } })
  await gateway.admin('PUT', 'routes/r', { targets: [{ upstream: 'one', model: 'gpt-4o-mini' }] })
  gateway.upstream.script({ behaviour: 'status=503' })
  assert.equal((await gateway.chat('r', 'hi')).status, 503)
  const messages = [{ role: 'user', content: 'hi' }]
  const anthropic = await gateway.admin('POST', 'explain', {
    path: '/v1/messages',
    body: { model: 'r', max_tokens: 5, messages },
  })
  assert.match(anthropic.plan.targets[0].rests.reason, /upstream_overloaded/)
  const gemini = await gateway.admin('POST', 'explain', {
    path: '/v1beta/models/r:generateContent',
    body: { contents: [{ role: 'user', parts: [{ text: 'hi' }] }] },
  })
  assert.equal(gemini.plan.targets.length, 1)
  const narrowed = await gateway.admin('POST', 'explain', {
    body: { model: 'r', messages },
    headers: { 'X-Stockyard-Require-Tags': 'eu', 'x-stockyard-timeout-ms': '500' },
  })
  assert.deepEqual([narrowed.refused.status, narrowed.refused.code], [400, 'invalid_request'])
  const unknown = await gateway.admin('POST', 'explain', { body: { model: 'nobody', messages } })
  assert.equal(unknown.refused.code, 'model_not_found')
  const stranger = await gateway.admin('POST', 'explain', { body: { model: 'r', messages }, key: 'sk-unknown' })
  assert.equal(stranger.refused.status, 401)
  await assert.rejects(gateway.admin('POST', 'explain', { body: { messages } }), /: 400 .*model/)
})

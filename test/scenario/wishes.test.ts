/** What a client may say about where its request goes, and where a request goes that its targets cannot serve. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, type Running, runGateway } from '../running/index.ts'

const three = { upstreams: { one: 'openai', two: 'openai', three: 'anthropic' } }
const target = (upstream: string, more: object = {}) => ({ upstream, model: 'gpt-4o-mini', ...more })
const servedBy = (answer: Answer): string => {
  assert.equal(answer.status, 200, answer.text)
  return String(answer.headers['x-stockyard-upstream'])
}
const route = (gateway: Running, more: object = {}, name = 'r') =>
  gateway.admin('PUT', `routes/${name}`, { targets: [target('one'), target('two'), target('three')], ...more })
const bodies = (gateway: Running): string[] => gateway.upstream.ledger.rows.map(({ rawBody }) => rawBody)

test('provider{order, only, ignore, sort} change the order or narrow the choice; none of it goes upstream', async (t) => {
  const gateway = await runGateway(t, three)
  await route(gateway)
  const ask = (provider: object, more: object = {}) => gateway.chat('r', 'hi', { provider, ...more })
  assert.equal(servedBy(await ask({ order: ['two'] })), 'two')
  assert.equal(servedBy(await ask({ order: ['anthropic', 'two'] })), 'three', 'by the name of the vendor')
  assert.equal(servedBy(await ask({ only: ['two', 'nowhere'] }, { stream: true })), 'two')
  assert.equal(servedBy(await ask({ ignore: ['one', 'anthropic'] })), 'two')
  for (const [id, input] of [
    ['one', '3'],
    ['two', '1'],
    ['three', '2'],
  ] as const) {
    await gateway.admin('PUT', `prices/${id}/gpt-4o-mini`, { prices: [{ rates: { input, output: input } }] })
  }
  assert.equal(servedBy(await ask({ sort: 'price' })), 'two')
  assert.equal(servedBy(await ask({ max_price: { prompt: 2.5 } })), 'two')
  assert.equal(servedBy(await ask({ max_price: { prompt: '2.5' }, order: ['three'] })), 'three')
  for (const body of bodies(gateway)) assert.ok(!body.includes('"provider"'), body)
  const none = await ask({ only: ['nowhere'] })
  assert.equal(none.status, 400)
  assert.match(none.json.error.message, /one\/gpt-4o-mini is not among those you named/)
})

test('tags: zdr, data_collection and x-stockyard-require-tags leave out what does not have them', async (t) => {
  const gateway = await runGateway(t, three)
  await route(gateway, { targets: [target('one'), target('two', { tags: ['zdr', 'eu'] })] })
  assert.equal(servedBy(await gateway.chat('r', 'hi')), 'one')
  assert.equal(servedBy(await gateway.chat('r', 'hi', { provider: { zdr: true } })), 'two')
  assert.equal(servedBy(await gateway.chat('r', 'hi', { provider: { data_collection: 'deny' } })), 'two')
  assert.equal(servedBy(await gateway.chat('r', 'hi', {}, { 'x-stockyard-require-tags': 'eu, zdr' })), 'two')
  const none = await gateway.chat('r', 'hi', {}, { 'x-stockyard-require-tags': 'mars' })
  assert.equal(none.status, 400)
})

test('models[] and fallbacks[] are other names to fall back to; disabling fallbacks wins over all', async (t) => {
  const gateway = await runGateway(t, three)
  await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: { attemptsPerTarget: 1 } })
  await route(gateway, { targets: [{ upstream: 'one', model: 'gpt-4o-mini+status=500' }, target('two')] })
  await gateway.admin('PUT', 'routes/broken', { targets: [{ upstream: 'one', model: 'gpt-4o-mini+status=503' }] })
  for (const stream of [false, true]) {
    assert.equal(servedBy(await gateway.chat('broken', 'hi', { models: ['broken', 'two/gpt-4o'], stream })), 'two')
    assert.equal(servedBy(await gateway.chat('broken', 'hi', { fallbacks: ['two/gpt-4o'], stream })), 'two')
    for (const [more, headers] of [
      [{}, { 'x-no-fallback': 'true' }],
      [{ disable_fallbacks: true }, {}],
      [{ provider: { allow_fallbacks: false } }, {}],
    ] as const) {
      gateway.upstream.ledger.reset()
      assert.equal((await gateway.chat('r', 'hi', { ...more, stream, models: ['two/gpt-4o'] }, headers)).status, 500)
      assert.equal(gateway.upstream.ledger.rows.length, 1)
    }
  }
  for (const body of bodies(gateway)) assert.ok(!/"models"|"fallbacks"/.test(body), body)
})

test('a wish that makes no sense is refused in the dialect of the client, and nothing is called', async (t) => {
  const gateway = await runGateway(t, three)
  await route(gateway)
  for (const wrong of [
    { models: 'two' },
    { models: [1] },
    { provider: 'openai' },
    { provider: { order: 'one' } },
    { provider: { sort: 'beauty' } },
    { provider: { max_price: { prompt: -1 } } },
    { provider: { data_collection: 'perhaps' } },
    { fallbacks: Array(21).fill('x') },
    { disable_fallbacks: 'yes' },
  ]) {
    const answer = await gateway.chat('r', 'hi', wrong)
    assert.equal(answer.status, 400, JSON.stringify(wrong))
    assert.equal(answer.json.error.type, 'invalid_request_error')
  }
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

const TOO_LONG = 'status=400+error-code=context_length_exceeded+error-message=maximum%20context%20length'
const FILTERED = 'status=400+error-code=content_policy_violation+error-message=flagged'

for (const stream of [false, true]) {
  const how = stream ? 'streamed: ' : ''
  test(`A71: ${how}what is too long goes to the larger model, by the route's own targets or its fallback`, async (t) => {
    const gateway = await runGateway(t, three)
    await route(gateway, { targets: [{ upstream: 'one', model: `gpt-4o-mini+${TOO_LONG}` }, target('two')] })
    const refused = await gateway.chat('r', 'hi', { stream })
    assert.equal(refused.status, 400, 'another one of the same size is not asked')
    assert.match(refused.json.error.message, /maximum context length/)
    assert.equal(gateway.upstream.ledger.rows.length, 1)
    await route(gateway, {
      targets: [
        { upstream: 'one', model: `gpt-4o-mini+${TOO_LONG}`, capabilities: { contextTokens: 1_000 } },
        target('three', { capabilities: { contextTokens: 500 } }),
        target('two', { capabilities: { contextTokens: 100_000 } }),
      ],
    })
    assert.equal(servedBy(await gateway.chat('r', 'hi', { stream })), 'two')
    await route(gateway, {
      targets: [{ upstream: 'one', model: `gpt-4o-mini+${TOO_LONG}` }],
      fallbacks: { contextWindow: ['three/claude-sonnet-4-5'], general: ['two/gpt-4o'] },
    })
    assert.equal(servedBy(await gateway.chat('r', 'hi', { stream })), 'three')
  })

  test(`A71: ${how}a refusal of the content is final, unless the route names where it may go`, async (t) => {
    const gateway = await runGateway(t, three)
    await route(gateway, {
      targets: [{ upstream: 'one', model: `gpt-4o-mini+${FILTERED}` }, target('two')],
      fallbacks: { general: ['three/claude-sonnet-4-5'] },
    })
    const refused = await gateway.chat('r', 'hi', { stream })
    assert.equal(refused.status, 400)
    assert.equal(gateway.upstream.ledger.rows.length, 1, 'not routed around')
    await route(gateway, {
      targets: [{ upstream: 'one', model: `gpt-4o-mini+${FILTERED}` }, target('two')],
      fallbacks: { contentPolicy: ['three/claude-sonnet-4-5'] },
    })
    assert.equal(servedBy(await gateway.chat('r', 'hi', { stream })), 'three')
  })

  test(`A71: ${how}the general fallback is asked last, and only when the others have failed`, async (t) => {
    const gateway = await runGateway(t, three)
    await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: { firstBackoffMs: 1 } })
    await route(gateway, {
      targets: [
        { upstream: 'one', model: 'gpt-4o-mini+status=500' },
        { upstream: 'two', model: 'gpt-4o-mini+status=503' },
      ],
      fallbacks: { general: ['three/claude-sonnet-4-5'] },
    })
    assert.equal(servedBy(await gateway.chat('r', 'hi', { stream })), 'three')
    await route(gateway, {
      targets: [{ upstream: 'one', model: 'gpt-4o-mini+status=400' }],
      fallbacks: { general: ['three/claude-sonnet-4-5'] },
    })
    assert.equal((await gateway.chat('r', 'hi', { stream })).status, 400, "a client's own mistake is not asked twice")
  })
}

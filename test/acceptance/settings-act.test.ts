/**
 * Every field that docs/configuration.md documents acts: with it, something is different than without. A field that is
 * added without a line here fails the last test.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { TObject, TSchema } from 'typebox'
import { Alias, Price, Route, Upstream } from '../../src/http/admin/schemas.ts'
import { exchange, type Running, runGateway, until } from '../running/index.ts'

interface Probe {
  /** As the schemas have it: `Route.timeouts.idleMs`. */
  readonly field: string
  act(gateway: Running): Promise<void>
}

const upstream = (gateway: Running, id: string, more: object = {}) =>
  gateway.admin('PUT', `upstreams/${id}`, {
    provider: 'openai',
    baseUrl: `${gateway.upstream.url}/v1`,
    credentials: [{ id: 'main', secret: `sk-test-secret-${id}` }],
    ...more,
  })
const route = (gateway: Running, more: object, model = 'gpt-4o-mini', target: object = {}) =>
  gateway.admin('PUT', 'routes/probe', { targets: [{ upstream: 'openai', model, ...target }], ...more })
const last = (gateway: Running) => {
  const row = gateway.upstream.ledger.rows.at(-1)
  assert.ok(row, 'something went upstream')
  return row
}
const costOf = async (gateway: Running, prices: object): Promise<string | undefined> => {
  await gateway.admin('PUT', 'prices/gpt-4o-mini', { prices: [prices] })
  const answer = await gateway.chat('openai/gpt-4o-mini', 'hello')
  return answer.headers['x-stockyard-cost-usd'] as string | undefined
}

const timeout = (name: string, ms: number, behaviour: string, stream: boolean): Probe => ({
  field: `Route.timeouts.${name}`,
  async act(gateway) {
    await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
    const model = `gpt-4o-mini+${behaviour}`
    await route(gateway, { timeouts: { [name]: ms } }, model)
    const answer = await gateway.chat('probe', 'hello', { stream })
    // After content it is the stream that ends in an error.
    assert.ok(answer.status === 504 || /"error"/.test(answer.text), answer.text)
    assert.match(answer.text, new RegExp(`${ms} ms|within ${ms}`), answer.text)
  },
})

const PROBES: readonly Probe[] = [
  {
    field: 'Upstream.credentials.limits.tokensPerMinute',
    async act(gateway) {
      const credentials = (limits: object) => [{ id: 'main', secret: 'sk-test-secret-probe', limits }]
      await upstream(gateway, 'probe', { credentials: credentials({ tokensPerMinute: 1 }) })
      // Minutes are those of the clock, so the two calls may fall into two of them, but not twice in a row.
      const both = async (): Promise<number[]> => [
        (await gateway.chat('probe/gpt-4o-mini', 'hello')).status,
        (await gateway.chat('probe/gpt-4o-mini', 'hello again')).status,
      ]
      const first = await both()
      assert.ok((first[1] === 200 ? await both() : first).includes(429))
    },
  },
  {
    field: 'Upstream.credentials.limits.concurrent',
    async act(gateway) {
      const credentials = [{ id: 'main', secret: 'sk-test-secret-probe', limits: { concurrent: 1 } }]
      await upstream(gateway, 'probe', { credentials })
      const first = gateway.chat('probe/gpt-4o-mini+delay=1500', 'slow')
      await until(() => gateway.upstream.ledger.rows.length === 1, 'the first is under way')
      assert.equal((await gateway.chat('probe/gpt-4o-mini', 'beside it')).status, 429)
      assert.equal((await first).status, 200)
    },
  },
  {
    field: 'Upstream.provider',
    async act(gateway) {
      await upstream(gateway, 'probe', { provider: 'anthropic', baseUrl: gateway.upstream.url })
      await gateway.chat('probe/claude-haiku-4-5', 'hello')
      assert.equal(last(gateway).path, '/v1/messages')
    },
  },
  {
    field: 'Upstream.baseUrl',
    async act(gateway) {
      await upstream(gateway, 'probe', { baseUrl: `${gateway.upstream.url}/deep/v1/` })
      await gateway.chat('probe/gpt-4o-mini', 'hello')
      assert.equal(last(gateway).path, '/deep/v1/chat/completions')
    },
  },
  {
    field: 'Upstream.credentials.secret',
    async act(gateway) {
      await upstream(gateway, 'probe')
      await gateway.chat('probe/gpt-4o-mini', 'hello')
      assert.equal(last(gateway).headers.authorization, 'Bearer sk-test-secret-probe')
    },
  },
  {
    field: 'Upstream.credentials.id',
    async act(gateway) {
      await upstream(gateway, 'probe', { credentials: [{ id: 'by-name', secret: 'sk-test-secret' }] })
      const id = (await gateway.chat('probe/gpt-4o-mini', 'hello')).headers['x-stockyard-request-id']
      const logged = () => gateway.admin('GET', `logs/${id}`).catch(() => undefined)
      await until(async () => (await logged()) !== undefined, 'it is logged')
      assert.equal((await logged()).attemptList[0].credential, 'by-name')
    },
  },
  {
    field: 'Upstream.headers',
    async act(gateway) {
      await upstream(gateway, 'probe', { headers: { 'x-own': 'one' } })
      await gateway.chat('probe/gpt-4o-mini', 'hello')
      assert.equal(last(gateway).headers['x-own'], 'one')
    },
  },
  {
    field: 'Upstream.models',
    async act(gateway) {
      await upstream(gateway, 'probe', { models: ['gpt-4o'] })
      assert.equal((await gateway.chat('probe/gpt-4o', 'hello')).status, 200)
      assert.equal((await gateway.chat('probe/gpt-4o-mini', 'hello')).status, 404)
    },
  },
  {
    field: 'Upstream.callerKeys',
    async act(gateway) {
      const headers = { authorization: 'Bearer sk-of-the-caller' }
      await upstream(gateway, 'probe')
      await gateway.chat('probe/gpt-4o-mini', 'hello', {}, headers)
      assert.equal(last(gateway).headers.authorization, 'Bearer sk-test-secret-probe')
      await upstream(gateway, 'probe', { callerKeys: true })
      await gateway.chat('probe/gpt-4o-mini', 'hello', {}, headers)
      assert.equal(last(gateway).headers.authorization, 'Bearer sk-of-the-caller')
    },
  },
  {
    field: 'Upstream.allowHosts',
    async act(gateway) {
      const said = async (allowHosts: readonly string[]): Promise<string> => {
        await upstream(gateway, 'probe', { baseUrl: 'http://0.0.0.0:1/v1', allowHosts })
        return (await gateway.chat('probe/gpt-4o-mini', 'hello')).text
      }
      assert.match(await said([]), /reserved/)
      assert.match(await said(['0.0.0.0']), /nothing listens/)
    },
  },
  {
    field: 'Upstream.healthCheck.everyMs',
    async act(gateway) {
      await gateway.admin('PUT', 'modules/breakers', { mode: 'enforce', settings: { minimumCalls: 1 } })
      const looks = () => gateway.upstream.ledger.rows.filter(({ method }) => method === 'GET').length
      await upstream(gateway, 'probe')
      await gateway.chat('probe/gpt-4o-mini+status=500', 'hello')
      await upstream(gateway, 'other', { healthCheck: { everyMs: 100 } })
      await gateway.chat('other/gpt-4o-mini+status=500', 'hello')
      await until(() => looks() > 0, 'it is looked at')
      assert.equal(
        gateway.upstream.ledger.rows.find((row) => row.method === 'GET')?.headers.authorization?.slice(-5),
        'other',
      )
    },
  },
  {
    field: 'Upstream.healthCheck.path',
    async act(gateway) {
      await gateway.admin('PUT', 'modules/breakers', { mode: 'enforce', settings: { minimumCalls: 1 } })
      await upstream(gateway, 'probe', { healthCheck: { everyMs: 100, path: '/models/gpt-4o' } })
      await gateway.chat('probe/gpt-4o-mini+status=500', 'hello')
      const looks = () => gateway.upstream.ledger.rows.filter(({ method }) => method === 'GET')
      await until(() => looks().length > 0, 'it is looked at')
      assert.equal(looks()[0]?.path, '/v1/models/gpt-4o')
    },
  },
  {
    field: 'Route.unsupported',
    async act(gateway) {
      await upstream(gateway, 'probe', { provider: 'anthropic', baseUrl: gateway.upstream.url })
      const target = { upstream: 'probe' }
      await route(gateway, { unsupported: 'drop' }, 'claude-haiku-4-5', target)
      const more = { logit_bias: { '1': 1 } }
      const dropped = await gateway.chat('probe', 'hello', more)
      assert.equal(dropped.status, 200, dropped.text)
      assert.match(String(dropped.headers['x-stockyard-unsupported']), /logit_bias/)
      await route(gateway, { unsupported: 'reject' }, 'claude-haiku-4-5', target)
      assert.equal((await gateway.chat('probe', 'hello', more)).status, 400)
    },
  },
  {
    field: 'Route.targets.upstream',
    async act(gateway) {
      await upstream(gateway, 'probe')
      await route(gateway, {}, 'gpt-4o-mini', { upstream: 'probe' })
      assert.equal((await gateway.chat('probe', 'hello')).headers['x-stockyard-upstream'], 'probe')
    },
  },
  {
    field: 'Route.targets.model',
    async act(gateway) {
      await route(gateway, {}, 'gpt-4o')
      await gateway.chat('probe', 'hello')
      assert.equal(last(gateway).model, 'gpt-4o')
    },
  },
  ...(['Route.targets', 'Alias'] as const).map(
    (where): Probe => ({
      field: `${where}.defaults`,
      async act(gateway) {
        const defaults = { temperature: 0.1 }
        if (where === 'Alias') await gateway.admin('PUT', 'aliases/probe', { model: 'openai/gpt-4o', defaults })
        else await route(gateway, {}, 'gpt-4o', { defaults })
        await gateway.chat('probe', 'hello')
        assert.equal(JSON.parse(last(gateway).rawBody).temperature, 0.1)
        await gateway.chat('probe', 'hello', { temperature: 0.9 })
        assert.equal(JSON.parse(last(gateway).rawBody).temperature, 0.9)
      },
    }),
  ),
  ...(['Route.targets', 'Alias'] as const).map(
    (where): Probe => ({
      field: `${where}.overrides`,
      async act(gateway) {
        const overrides = { temperature: 0.1 }
        if (where === 'Alias') await gateway.admin('PUT', 'aliases/probe', { model: 'openai/gpt-4o', overrides })
        else await route(gateway, {}, 'gpt-4o', { overrides })
        await gateway.chat('probe', 'hello', { temperature: 0.9 })
        assert.equal(JSON.parse(last(gateway).rawBody).temperature, 0.1)
      },
    }),
  ),
  {
    field: 'Alias.model',
    async act(gateway) {
      await gateway.admin('PUT', 'aliases/probe', { model: 'openai/gpt-4o' })
      await gateway.chat('probe', 'hello')
      assert.equal(last(gateway).model, 'gpt-4o')
    },
  },
  timeout('headersUnstreamedMs', 60, 'hang-headers', false),
  timeout('headersStreamedMs', 70, 'hang-headers', true),
  timeout('firstContentMs', 80, 'first=5000', true),
  timeout('idleMs', 90, 'chunks=20+stall=5', true),
  timeout('totalMs', 300, 'chunks=500+pace=20', true),
  {
    field: 'Price.from',
    async act(gateway) {
      const rates = { input: '1000', output: '1000' }
      const listed = await costOf(gateway, { rates, from: '2999-01-01' })
      assert.notEqual(await costOf(gateway, { rates, from: '2020-01-01' }), listed)
    },
  },
  {
    field: 'Price.perRequest',
    act: async (gateway) =>
      assert.equal(await costOf(gateway, { rates: { input: '0', output: '0' }, perRequest: '0.25' }), '0.25'),
  },
]

for (const { field, act } of PROBES) {
  test(`A106: ${field} acts`, async (t) => act(await runGateway(t)))
}

/** Not probed here: the test that does, which must name the field. A name stands for all fields below it. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'Upstream.options': 'test/scenario/clouds.test.ts',
  'Upstream.credentials.weight': 'test/scenario/health.test.ts',
  'Upstream.credentials.limits.requestsPerMinute': 'test/scenario/health.test.ts',
  'Route.targets.weight': 'test/scenario/routing.test.ts',
  'Route.targets.order': 'test/scenario/routing.test.ts',
  'Route.targets.tags': 'test/scenario/routing.test.ts',
  'Route.targets.timeouts': 'test/scenario/time.test.ts',
  'Route.targets.capabilities': 'test/scenario/routing.test.ts',
  'Route.targets.maxPrice': 'test/scenario/routing.test.ts',
  'Route.targets.continues': 'test/scenario/continuation.test.ts',
  'Upstream.callerPays': 'test/acceptance/sign-ins.test.ts',
  'Upstream.network.proxy': 'test/acceptance/upstream-network.test.ts',
  'Upstream.network.ca': 'test/acceptance/upstream-network.test.ts',
  'Upstream.network.certificate': 'test/acceptance/upstream-network.test.ts',
  'Upstream.network.certificateKey': 'test/acceptance/upstream-network.test.ts',
  'Upstream.network.proxyCredentials': 'test/acceptance/upstream-network.test.ts',
  'Route.strategy': 'test/scenario/routing.test.ts',
  'Route.rules': 'test/scenario/routing.test.ts',
  'Route.splits': 'test/scenario/routing.test.ts',
  'Route.sticky': 'test/scenario/routing.test.ts',
  'Route.mirror': 'test/scenario/hedging.test.ts',
  'Route.maxPrice': 'test/scenario/routing.test.ts',
  'Route.requireParameters': 'test/scenario/routing.test.ts',
  'Route.fallbacks': 'test/scenario/wishes.test.ts',
  'Route.continuations': 'test/scenario/continuation.test.ts',
  'Price.organization': 'test/acceptance/usage.test.ts',
  'Price.key': 'test/acceptance/usage.test.ts',
  'Price.serviceTiers': 'test/acceptance/prices.test.ts',
  'Price.tiers': 'test/acceptance/prices.test.ts',
  'Price.rates': 'test/acceptance/cached-input.test.ts',
}
/** Nothing here can show that they act. */
const UNSEEN: Readonly<Record<string, string>> = {
  'Route.timeouts.connectMs': 'needs an address that swallows packets; src/wire tests it',
  'Price.perCall': 'src/catalog tests it against recorded invoices',
}

function fieldsOf(schema: TSchema, path: string): string[] {
  const { properties, items } = schema as { properties?: Readonly<Record<string, TSchema>>; items?: TSchema }
  if (items) return fieldsOf(items, path)
  if (properties === undefined || path === 'Price.rates') return [path]
  return Object.entries(properties).flatMap(([name, field]) => fieldsOf(field, `${path}.${name}`))
}

test('A106: no field is without a probe or a reason', () => {
  const schemas: Readonly<Record<string, TObject>> = { Upstream, Route, Alias, Price }
  const fields = Object.entries(schemas).flatMap(([name, schema]) => fieldsOf(schema, name))
  const known = [...PROBES.map(({ field }) => field), ...Object.keys(ELSEWHERE), ...Object.keys(UNSEEN)]
  const covers = (name: string, field: string): boolean => field === name || field.startsWith(`${name}.`)
  assert.deepEqual(
    fields.filter((field) => !known.some((name) => covers(name, field))),
    [],
    'fields that nothing tests',
  )
  assert.deepEqual(
    known.filter((name) => !fields.some((field) => covers(name, field))),
    [],
    'names that are no fields any more',
  )
  for (const [name, file] of Object.entries(ELSEWHERE)) {
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
    assert.match(text, new RegExp(`\\b${name.split('.').at(-1)}\\b`), `${file} says nothing of ${name}`)
  }
  const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
  assert.doesNotMatch(page, /no effect yet/)
})

test('A106: a field that does not exist is refused by name, so that nothing documented wrongly is taken in silence', async (t) => {
  const gateway = await runGateway(t)
  const headers = { authorization: `Bearer ${gateway.adminKey}` }
  for (const path of ['upstreams/probe', 'routes/probe', 'aliases/probe', 'prices/probe', 'modules/cache']) {
    const answer = await exchange(`${gateway.url}/api/${path}`, 'PUT', { surelyUnknown: 1 }, headers)
    assert.equal(answer.status, 400, path)
  }
})

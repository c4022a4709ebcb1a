/**
 * What `explain` says of a request is what becomes of it: for any route and any wish of a client the targets of its plan are
 * called in its order, and what it says is refused is refused.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { runGateway } from '../running/index.ts'

const UPSTREAMS = ['one', 'two', 'three', 'four']
const MODELS = ['gpt-4o-mini', 'gpt-4o']
const TAGS = ['eu', 'gold', 'zdr']
/** Those whose order is not left to chance. */
const CERTAIN = ['priority', 'round-robin', 'cost'] as const
const CHANCE = ['weighted', 'least-busy', 'latency', 'usage'] as const

/** Now and then, or nearly everything would be refused. */
const rarely = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })
const tags = fc.uniqueArray(fc.constantFrom(...TAGS), { maxLength: 3 })
const dollars = fc.constantFrom('0.1', '0.5', '1', '5', '50')
const cap = fc.oneof(
  dollars.map((input) => ({ input })),
  dollars.map((output) => ({ output })),
)
const target = fc.record(
  {
    upstream: fc.constantFrom(...UPSTREAMS),
    model: fc.constantFrom(...MODELS),
    weight: fc.integer({ min: 0, max: 3 }),
    order: fc.integer({ min: 0, max: 2 }),
    tags,
    maxPrice: rarely(cap),
    capabilities: fc.constantFrom({ contextTokens: 10 }, { contextTokens: 100_000 }, { refuses: ['seed'] }),
  },
  { requiredKeys: ['upstream', 'model'] },
)
type Made = { readonly upstream: string; readonly model: string; readonly tags?: readonly string[] }
const nameOf = ({ upstream, model }: Made): string => `${upstream}/${model}`

/** Rules and splits may only name tags that some target has. */
const routeOf = (targets: readonly Made[], strategies: readonly string[]) => {
  const known = [...new Set(targets.flatMap((each) => each.tags ?? []))]
  const use = known.length > 0 ? fc.constantFrom(...known).map((tag) => [tag]) : undefined
  return fc.record(
    {
      targets: fc.constant(targets),
      strategy: fc.constantFrom(...strategies),
      sticky: fc.constant({}),
      requireParameters: fc.boolean(),
      maxPrice: rarely(cap),
      fallbacks: fc.constant({ general: ['four/gpt-4o'] }),
      ...(use
        ? {
            rules: use.map((chosen) => [
              { when: [{ field: 'metadata.tier', operator: 'eq', value: 'gold' }], use: chosen },
            ]),
            splits: use.chain((chosen) =>
              fc.integer({ min: 0, max: 100 }).map((percent) => [{ percent, use: chosen }]),
            ),
          }
        : {}),
    },
    { requiredKeys: ['targets', 'strategy'] },
  )
}
const names = fc.uniqueArray(fc.constantFrom(...UPSTREAMS, 'openai', 'nobody'), { maxLength: 3 })
const asked = fc.record({
  seed: rarely(fc.constant(7)),
  metadata: fc.constantFrom({ tier: 'gold' }, { tier: 'none' }),
  models: rarely(fc.uniqueArray(fc.constantFrom('r', 'two/gpt-4o', 'nobody/knows', 'nothing'), { maxLength: 3 })),
  provider: fc.record({
    order: fc.oneof(fc.constant(undefined), names),
    only: rarely(names),
    ignore: rarely(names),
    sort: rarely(fc.constant('price')),
    max_price: rarely(fc.constantFrom({ prompt: 1 }, { completion: '2' })),
    allow_fallbacks: rarely(fc.boolean()),
    require_parameters: rarely(fc.boolean()),
    zdr: rarely(fc.boolean()),
  }),
  user: fc.constantFrom('ada', 'bob', 'cy', 'dee'),
  text: fc.constantFrom('hi', 'a longer question than fits into ten tokens, is it not?'),
})
const sent = rarely(
  fc.constantFrom<Record<string, string>>({ 'x-no-fallback': '1' }, { 'x-stockyard-require-tags': 'gold' }),
)

for (const [how, strategies, runs] of [
  ['in its order', CERTAIN, 60],
  ['each once,', CHANCE, 30],
] as const) {
  test(`explain: for any route and any wish its plan is what is called, ${how} and its refusals are refusals`, async (t) => {
    const gateway = await runGateway(t, { upstreams: Object.fromEntries(UPSTREAMS.map((name) => [name, 'openai'])) })
    await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
    const settings = { attempts: 10, attemptsPerTarget: 1, firstBackoffMs: 1, maxBackoffMs: 1 }
    await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings })
    for (const [name, input] of [
      ['one/gpt-4o-mini', '3'],
      ['two/gpt-4o-mini', '0.2'],
      ['three/gpt-4o', '0.3'],
    ]) {
      await gateway.admin('PUT', `prices/${name}`, { prices: [{ rates: { input, output: '1' } }] })
    }
    const { rows } = gateway.upstream.ledger
    // Who never answers is left for the next one, so that every target of a plan is seen.
    gateway.upstream.script({ behaviour: 'status=503', times: Number.POSITIVE_INFINITY })
    const called = (from: number): string[] =>
      rows.slice(from).map(({ headers, rawBody }) => {
        const upstream = /secret-(\w+)$/.exec(headers.authorization ?? '')?.[1]
        return `${upstream}/${(JSON.parse(rawBody) as { model: string }).model}`
      })
    const routes = fc.uniqueArray(target, { minLength: 1, maxLength: 5, selector: nameOf })
    await fc.assert(
      fc.asyncProperty(
        routes.chain((targets) => routeOf(targets, strategies)),
        asked,
        sent,
        async (route, { text, ...more }, headers = {}) => {
          await gateway.admin('PUT', 'routes/r', route)
          const body = { model: 'r', messages: [{ role: 'user', content: text }], ...more }
          const told = await gateway.admin('POST', 'explain', { body, headers })
          const from = rows.length
          const answer = await gateway.send('/v1/chat/completions', body, headers as Record<string, string>)
          const actual = called(from)
          if (told.refused) {
            assert.deepEqual(actual, [], told.refused.message)
            assert.equal(answer.status, told.refused.status, answer.text)
            assert.equal(answer.json.error.message, told.refused.message)
            return
          }
          const plan = told.plan.targets.map(nameOf) as string[]
          if (strategies === CERTAIN) assert.deepEqual(actual, plan)
          else if (more.provider.allow_fallbacks === false || headers['x-no-fallback']) assert.equal(actual.length, 1)
          else assert.deepEqual([...actual].sort(), [...plan].sort())
          assert.equal(answer.status, 503, answer.text)
        },
      ),
      { numRuns: runs },
    )
  })
}

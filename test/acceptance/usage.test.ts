/** One set of numbers: what the API sums, what it exports and what SQL finds in the ledger are the same. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import fc from 'fast-check'
import { nanoUsdOf, parseDollars } from '../../src/core/money.ts'
import type { LedgerRow } from '../../src/core/store.ts'
import { addBudget, addLimit, as, whoever } from '../running/identity.ts'
import { exchange, runGateway } from '../running/index.ts'

const HOUR = 3_600_000
const BEGIN = Date.parse('2026-03-01T00:00:00Z')
const name = (prefix: string, most: number) => fc.nat(most).map((n) => `${prefix}${n}`)
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const facts = fc.record({
  at: fc.nat(40 * 24).map((hours) => BEGIN + hours * HOUR + ((hours * 7_919) % HOUR)),
  kind: fc.constantFrom('closed' as const, 'closed' as const, 'closed' as const, 'hit' as const, 'adjustment' as const),
  principal: name('k', 6),
  organization: maybe(name('o', 2)),
  team: maybe(name('t', 3)),
  user: maybe(name('u', 3)),
  endUser: maybe(fc.constantFrom("o'hara", '=1+1', 'ü,"x"', '')),
  tags: maybe(fc.uniqueArray(fc.constantFrom('red', 'green', 'it’s'), { maxLength: 3 })),
  model: name('m', 4),
  upstream: name('up', 2),
  input: fc.nat(10_000),
  output: fc.nat(10_000),
  cost: fc.bigInt({ min: 0n, max: 10n ** 15n }),
})
type Facts = typeof facts extends fc.Arbitrary<infer T> ? T : never

function rowOf(
  { kind, at, input, output, cost, ...f }: Omit<Facts, 'endUser'> & { endUser?: string | undefined },
  attempt: number,
): LedgerRow {
  const given = Object.fromEntries(Object.entries(f).filter(([, value]) => value !== undefined))
  const scope = {
    ...given,
    exchange: `x${attempt}`,
    revision: 1,
    provider: 'p',
    upstreamModel: 'um',
  } as unknown as Pick<
    LedgerRow,
    'exchange' | 'revision' | 'principal' | 'model' | 'upstream' | 'provider' | 'upstreamModel'
  >
  const usage = { source: 'provider' as const, input, output }
  if (kind === 'hit') return { kind, attempt, at, ...scope, usage }
  if (kind === 'adjustment') {
    return { kind, attempt, at, ...scope, cost: nanoUsdOf(-cost / 2n), priceVersion: 'v', reason: 'r', writtenAt: at }
  }
  return { kind, attempt, at, ...scope, usage, cost: nanoUsdOf(cost), priceVersion: 'v', outcome: 'done' }
}

const COLUMN: Readonly<Record<string, string>> = {
  key: 'principal',
  endUser: 'end_user',
  upstreamModel: 'upstream_model',
}
const KEYS = ['organization', 'team', 'user', 'key', 'endUser', 'model', 'upstream', 'tag', 'day', 'hour'] as const
const VALUES: Readonly<Record<string, readonly string[]>> = {
  organization: ['o0', 'o1', 'nobody'],
  team: ['t0', 't3'],
  user: ['u1'],
  key: ['k0', 'k5', "k' OR 1=1 --"],
  endUser: ["o'hara", '=1+1', 'ü,"x"'],
  model: ['m0', 'm4'],
  upstream: ['up1'],
  tag: ['red', 'it’s'],
}
const question = fc.record({
  from: fc.nat(40 * 24).map((h) => BEGIN + h * HOUR),
  hours: fc.integer({ min: 1, max: 40 * 24 }),
  groupBy: fc.uniqueArray(fc.constantFrom(...KEYS), { minLength: 1, maxLength: 3 }),
  filters: fc
    .uniqueArray(fc.constantFrom(...Object.keys(VALUES)), { maxLength: 2 })
    .chain((names) => fc.record(Object.fromEntries(names.map((n) => [n, fc.constantFrom(...(VALUES[n] ?? ['']))])))),
})

test('A34: for random times, filters and groups, the API’s totals, the export’s and SQL’s are one', async (t) => {
  const gateway = await runGateway(t)
  const { ledger } = gateway.served.gateway.store
  const rows = fc.sample(facts, { numRuns: 1_500, seed: 34 })
  await Promise.all(rows.map((row) => ledger.append(rowOf(row, ledger.nextId()))))
  const db = new DatabaseSync(join(gateway.dataDir, 'ledger.db'), { readOnly: true, readBigInts: true })
  t.after(() => db.close())

  await fc.assert(
    fc.asyncProperty(question, async ({ from, hours, groupBy, filters }) => {
      const to = from + hours * HOUR
      const asked = new URLSearchParams({
        from: new Date(from).toISOString(),
        to: new Date(to).toISOString(),
        ...filters,
      })
      const conditions = Object.keys(filters).map((key) =>
        key === 'tag'
          ? 'EXISTS (SELECT 1 FROM json_each(l.tags) AS j WHERE j.value = :tag)'
          : `l.${COLUMN[key] ?? key} = :${key}`,
      )
      const where = ["l.kind <> 'opened'", 'l.at >= :from', 'l.at < :to', ...conditions].join(' AND ')
      const sums = 'coalesce(sum(l.cost), 0) AS cost, coalesce(sum(l.input), 0) AS input'
      const total = db
        .prepare(`SELECT ${sums}, count(*) AS n FROM ledger AS l WHERE ${where}`)
        .get({ from, to, ...filters })
      const groups = groupBy.map((key) =>
        key === 'tag'
          ? 't.value'
          : key === 'day'
            ? `l.at / ${24 * HOUR}`
            : key === 'hour'
              ? `l.at / ${HOUR}`
              : `l.${COLUMN[key] ?? key}`,
      )
      const joined = groupBy.includes('tag') ? 'LEFT JOIN json_each(l.tags) AS t' : ''
      const grouped = db
        .prepare(`SELECT ${sums} FROM ledger AS l ${joined} WHERE ${where} GROUP BY ${groups.join(', ')}`)
        .all({ from, to, ...filters })
        .map(({ cost, input }) => `${cost} ${input}`)
      const answer = await gateway.admin('GET', `usage?${asked}&groupBy=${groupBy.join(',')}`)
      const told = (answer.rows as { costUsd: string; tokens: { input: number } }[]).map(
        ({ costUsd, tokens }) => `${parseDollars(costUsd)} ${tokens.input}`,
      )
      assert.deepEqual(told.sort(), grouped.sort())
      const { json } = await exported(gateway.url, gateway.adminKey, `format=jsonl&${asked}`)
      assert.equal(json.length, Number(total?.n))
      assert.equal(
        json.reduce((sum, row) => sum + parseDollars(row.costUsd ?? ''), 0n),
        total?.cost,
      )
    }),
    { numRuns: 60 },
  )
})

async function exported(url: string, adminKey: string, query: string) {
  const answer = await exchange(`${url}/api/usage/export?${query}`, 'GET', undefined, {
    authorization: `Bearer ${adminKey}`,
  })
  assert.equal(answer.status, 200, answer.text)
  const lines = answer.text.split(/\r?\n/).filter(Boolean)
  const json = query.includes('jsonl')
    ? lines.map((line) => JSON.parse(line) as { costUsd: string; tags: string[] })
    : []
  return { answer, lines, json }
}

test('exports carry every field, are safe to open in a spreadsheet, and have the columns of FOCUS', async (t) => {
  const gateway = await runGateway(t)
  const { ledger } = gateway.served.gateway.store
  const [fact] = fc.sample(facts, { numRuns: 1, seed: 1 })
  const odd = {
    ...(fact as Facts),
    kind: 'closed' as const,
    endUser: '=HYPERLINK("x")',
    tags: ['red' as const],
    cost: 123n,
  }
  await ledger.append(rowOf(odd, ledger.nextId()))
  const csv = await exported(gateway.url, gateway.adminKey, 'format=csv')
  assert.match(String(csv.answer.headers['content-type']), /text\/csv/)
  assert.match(String(csv.answer.headers['content-disposition']), /usage\.csv/)
  assert.ok(csv.lines[1]?.includes(`"'=HYPERLINK(""x"")"`), csv.lines[1] ?? '')
  assert.equal(csv.lines.length, 2)
  const focus = await exported(gateway.url, gateway.adminKey, 'format=focus')
  const columns = focus.lines[0]?.split(',') ?? []
  for (const column of [
    'BilledCost',
    'BillingCurrency',
    'ChargeCategory',
    'ChargePeriodStart',
    'ProviderName',
    'ServiceName',
    'Tags',
  ])
    assert.ok(columns.includes(column), column)
  assert.ok(focus.lines[1]?.startsWith('0.000000123,'), focus.lines[1] ?? '')
  const { json } = await exported(gateway.url, gateway.adminKey, 'format=jsonl')
  assert.deepEqual(json[0]?.tags, ['red'])
})

test('GET /v1/key tells callers what they spent and what is left, of themselves alone', async (t) => {
  const gateway = await runGateway(t, { extraModules: [whoever as never] })
  await gateway.admin('PUT', 'prices/openai%2Fpriced', { prices: [{ rates: {}, perRequest: '0.25' }] })
  await gateway.admin('PUT', 'modules/budgets', { mode: 'enforce' })
  await gateway.admin('PUT', 'modules/rate-limits', { mode: 'enforce' })
  addBudget(gateway, { scope: { key: 'k1' }, amountUsd: '1', window: { kind: 'calendar', unit: 'month' } })
  addBudget(gateway, { scope: { key: 'k2' }, amountUsd: '7', window: { kind: 'lifetime' } })
  addLimit(gateway, { scope: { team: 'a' }, counts: 'requests', per: 'hour', amount: 10 })
  for (let i = 0; i < 2; i++) await gateway.chat('openai/priced', 'x', {}, as('k1', { team: 'a' }))
  const answer = await exchange(`${gateway.url}/v1/key`, 'GET', undefined, as('k1', { team: 'a' }))
  assert.equal(answer.status, 200, answer.text)
  const { data } = answer.json
  assert.deepEqual(
    [data.id, data.team, data.usageUsd, data.usageDailyUsd, data.usageMonthlyUsd],
    ['k1', 'a', '0.5', '0.5', '0.5'],
  )
  assert.equal(data.budgets.length, 1)
  assert.equal(data.budgets[0].remainingUsd, '0.5')
  assert.deepEqual([data.limits[0].counts, data.limits[0].amount, data.limits[0].remaining], ['requests', 10, 8])
  const other = await exchange(`${gateway.url}/v1/key`, 'GET', undefined, as('k9'))
  assert.equal(other.json.data.usageUsd, '0')
  assert.deepEqual(other.json.data.budgets, [])
})

test('prices of an organization or a key go before those for everybody, each with a version of its own', async (t) => {
  const gateway = await runGateway(t, { extraModules: [whoever as never] })
  await gateway.admin('PUT', 'prices/openai%2Fpriced', {
    prices: [
      { rates: {}, perRequest: '1' },
      { organization: 'o', rates: {}, perRequest: '2' },
      { key: 'k1', from: '2020-01-01', rates: {}, perRequest: '3' },
      { key: 'k1', from: '2999-01-01', rates: {}, perRequest: '9' },
    ],
  })
  const cost = async (key: string, more: object = {}) =>
    (await gateway.chat('openai/priced', 'x', {}, as(key, more))).headers['x-stockyard-cost-usd']
  assert.equal(await cost('k0'), '1')
  assert.equal(await cost('k2', { organization: 'o' }), '2')
  assert.equal(await cost('k1', { organization: 'o' }), '3')
  const { json } = await exported(gateway.url, gateway.adminKey, 'format=jsonl')
  assert.equal(new Set((json as unknown as { priceVersion: string }[]).map((row) => row.priceVersion)).size, 3)
})

/**
 * Money when everything goes wrong at once: kills at each moment of a call, with budgets on, and a mixed load of faults and
 * clients that leave, compared with what the provider itself counted.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { parseDollars } from '../../src/core/money.ts'
import { until } from '../running/index.ts'
import type { Upstream } from '../upstream/index.ts'
import { openStream, type Spawned, scratch, spawnGateway, upstreamFor } from './spawned.ts'

const ROUNDS = process.env.STOCKYARD_LONG ? 20 : 1
const REQUESTS = process.env.STOCKYARD_LONG ? 10_000 : 400
const MODEL = 'openai/priced'

async function budgeted(t: TestContext, dataDir: string, upstream: Upstream, amountUsd: string): Promise<Spawned> {
  const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
  await gateway.admin('PUT', 'prices/openai%2Fpriced', { prices: [{ rates: { input: '1', output: '100' } }] })
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  await gateway.admin('PUT', 'modules/budgets', { mode: 'enforce' })
  await gateway.admin('POST', 'budgets', {
    id: 'all',
    scope: {},
    amountUsd,
    window: { kind: 'calendar', unit: 'year' },
  })
  return gateway
}

interface Row {
  readonly exchange: string
  readonly cost: bigint
  readonly held: bigint
  readonly outcome: string | null
  readonly source: string | null
  readonly input: bigint | null
  readonly output: bigint | null
}

function ledgerOf(dataDir: string): Row[] {
  const db = new DatabaseSync(join(dataDir, 'ledger.db'), { readOnly: true, readBigInts: true })
  try {
    return db
      .prepare(
        `SELECT o.exchange, coalesce(c.cost, 0) AS cost, o.held, c.outcome, c.usage_source AS source, c.input, c.output
         FROM ledger AS o LEFT JOIN ledger AS c ON c.attempt = o.attempt AND c.kind = 'closed' WHERE o.kind = 'opened'`,
      )
      .all() as unknown as Row[]
  } finally {
    db.close()
  }
}
const total = (rows: readonly Row[]): bigint => rows.reduce((sum, { cost }) => sum + cost, 0n)

/** What the gateway says of the one budget, once the ledger has been asked. */
async function account(gateway: Spawned): Promise<{ heldUsd: string; spentUsd: string }> {
  await gateway.chat(MODEL, 'look', { max_tokens: 1 })
  let found: { heldUsd: string; spentUsd: string } | undefined
  await until(async () => {
    const answer = await gateway.admin('GET', 'budget-accounts')
    found = answer.accounts.find((a: { budget: string }) => a.budget === 'all')
    return found !== undefined
  }, 'the account is known')
  return found as { heldUsd: string; spentUsd: string }
}

const PHASES: Readonly<Record<string, string>> = {
  sent: 'hang-headers',
  'first byte': 'stall=0',
  'mid-stream': 'chunks=5, stall=3',
}

test(`T02, T25, A4: killed ${ROUNDS} times at each moment of a call: nothing stays held, and the budget is what the ledger says`, async (t) => {
  const dataDir = join(scratch(t), 'data')
  const upstream = await upstreamFor(t)
  let gateway = await budgeted(t, dataDir, upstream, '1000')
  let inDoubt = 0
  for (const [phase, behaviour] of Object.entries(PHASES)) {
    for (let round = 0; round < ROUNDS; round++) {
      const text = `${phase} ${round}`
      upstream.script({ match: (row) => row.rawBody.includes(`"${text}"`), behaviour, times: 100 })
      const before = upstream.ledger.rows.length
      const lost = Promise.allSettled(
        [1, 2, 3].map(async () => {
          const stream = await openStream(gateway.url, MODEL, text)
          await stream.over
        }),
      )
      await until(() => upstream.ledger.rows.length === before + 3, `three are ${phase}`, 10_000)
      const seen = upstream.ledger.rows.slice(before)
      if (phase !== 'sent') await until(() => seen.every(({ status }) => status === 200), 'heads have come', 10_000)
      const { heldUsd } = await gateway.admin('GET', 'budget-accounts')
      assert.notEqual(heldUsd, '0', 'running calls hold money')
      gateway.process.kill('SIGKILL')
      await gateway.ended
      await lost
      inDoubt += 3
      gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
      const { heldUsd: held, spentUsd } = await account(gateway)
      assert.equal(held, '0', 'nothing is held after a start')
      const rows = ledgerOf(dataDir)
      assert.equal(parseDollars(spentUsd), total(rows), 'the account is the ledger')
      assert.equal(rows.filter((row) => row.outcome === 'in-doubt').length, inDoubt)
      assert.ok(rows.every((row) => row.outcome !== 'in-doubt' || (row.held > 0n && row.cost === row.held)))
      assert.equal(new Set(rows.map((row) => row.exchange)).size, rows.length, 'nothing is settled twice')
    }
  }
})

/** What a call is told to do, and how its client behaves. */
const MIX = [
  ['', 'read'],
  ['', 'stream'],
  ['chunks=6', 'stream'],
  ['size=400', 'read'],
  ['chunks=40, pace=2', 'leave'],
  ['endless, pace=1', 'leave'],
  ['status=500', 'read'],
  ['status=429', 'stream'],
  ['reset', 'read'],
  ['inband-error=0', 'stream'],
  ['dup-usage', 'stream'],
  ['html', 'read'],
] as const

test(`T22, A1, A2: after ${REQUESTS} mixed requests the ledger is the provider’s own count to the nano-dollar`, async (t) => {
  const dataDir = join(scratch(t), 'data')
  const upstream = await upstreamFor(t)
  for (const [behaviour] of MIX)
    if (behaviour)
      upstream.script({ match: (row) => row.rawBody.includes(`do ${behaviour}.`), behaviour, times: 1_000_000 })
  const gateway = await budgeted(t, dataDir, upstream, '100000')
  let next = 0
  const worker = async (): Promise<void> => {
    for (let n = next++; n < REQUESTS; n = next++) {
      const [behaviour, client] = MIX[(n * 7) % MIX.length] as (typeof MIX)[number]
      const text = `${n}: do ${behaviour}.`
      try {
        if (client === 'read') await gateway.chat(MODEL, text, { max_tokens: 200 })
        else {
          const stream = await openStream(gateway.url, MODEL, text)
          if (client === 'leave') setTimeout(stream.leave, 5 + (n % 40))
          await stream.over
        }
      } catch {
        // The upstream's reset, or our own leaving.
      }
    }
  }
  await Promise.all(Array.from({ length: 12 }, worker))
  await until(async () => (await gateway.admin('GET', 'budget-accounts')).heldUsd === '0', 'all is settled', 20_000)

  const rows = ledgerOf(dataDir)
  assert.equal(rows.length, REQUESTS, 'one row for each call')
  assert.ok(rows.every(({ outcome }) => outcome !== null && outcome !== 'in-doubt'))
  // What the provider says it counted of calls that it served whole, at the same price.
  const whole = upstream.ledger.rows.filter((row) => row.finished && row.status === 200 && isCounted(row.rawBody))
  const theirs = whole.reduce(
    (sum, row) => sum + BigInt(row.inputTokens) * 1_000n + BigInt(row.outputTokens) * 100_000n,
    0n,
  )
  const reported = rows.filter(({ source }) => source === 'provider')
  assert.equal(total(reported), theirs)
  assert.equal(reported.length, whole.length)
  // Calls that failed cost nothing; those that were left cost what had come, never more than was served.
  const estimated = rows.filter(({ source }) => source === 'estimated')
  assert.ok(estimated.length > REQUESTS / 10)
  const served = upstream.ledger.rows.filter((row) => !row.finished && row.status === 200)
  assert.ok(
    estimated.reduce((sum, { output }) => sum + Number(output ?? 0n), 0) <=
      served.reduce((sum, row) => sum + row.tokensServed, 0) + estimated.length,
  )
  assert.ok(rows.filter(({ source }) => source === 'none').every(({ cost }) => cost === 0n))
  const { spentUsd } = await account(gateway)
  const probe = ledgerOf(dataDir)
  assert.equal(parseDollars(spentUsd), total(probe), 'and the budget is the ledger')
})

/** Error pages and errors inside a stream are no answers, whatever status they have. */
const isCounted = (body: string): boolean => !body.includes('do html.') && !body.includes('do inband-error')

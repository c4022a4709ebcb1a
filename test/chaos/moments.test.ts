/**
 * Killed at each named moment of a call, with budgets and prepaid credit on: nothing is lost, settled twice or held for ever,
 * nobody is charged for what is in doubt, and what memory says after the start is what the ledger says.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { formatDollars, nanoUsdOf } from '../../src/core/money.ts'
import { as } from '../running/identity.ts'
import { exchange, until } from '../running/index.ts'
import { chatBody, type Spawned, scratch, spawnGateway, upstreamFor } from './spawned.ts'

const ROUNDS = process.env.STOCKYARD_LONG ? 20 : 1
const PROGRAM = new URL('moments-child.ts', import.meta.url).pathname
const DIME = 100_000_000n
/** Each with what the reply must do for it to come, and whether only a stream has it. */
const MOMENTS = {
  accepted: 'size=4000',
  reserved: 'size=4000',
  opened: 'size=4000',
  sent: 'hang-headers',
  'first byte': 'size=4000',
  'mid-stream': 'size=4000, chunks=40, pace=2',
  'usage seen': 'size=4000',
  closed: 'size=4000',
  settled: 'size=4000',
  answered: 'size=4000',
} as const
const NOTHING_BOOKED = ['accepted', 'reserved']
const OVER = ['closed', 'settled', 'answered']

interface Booked {
  readonly attempt: bigint
  readonly held: bigint
  readonly outcome: string | null
  readonly cost: bigint | null
  readonly charge: bigint | null
  readonly settled: bigint
}
function booked(dataDir: string): Booked[] {
  const db = new DatabaseSync(join(dataDir, 'ledger.db'), { readOnly: true, readBigInts: true })
  try {
    return db
      .prepare(
        `SELECT o.attempt, o.held, c.outcome, c.cost, c.charge,
           (SELECT count(*) FROM ledger AS s WHERE s.attempt = o.attempt AND s.kind IN ('closed', 'hit')) AS settled
         FROM ledger AS o LEFT JOIN ledger AS c ON c.attempt = o.attempt AND c.kind = 'closed'
         WHERE o.kind = 'opened' ORDER BY o.attempt`,
      )
      .all() as unknown as Booked[]
  } finally {
    db.close()
  }
}
const sum = (rows: readonly Booked[], of: 'cost' | 'charge'): bigint =>
  rows.reduce((total, row) => total + (row[of] ?? 0n), 0n)

test(`T02, T25, A4: killed ${ROUNDS} times at each of ${Object.keys(MOMENTS).length} moments, the books are whole and nothing is held`, async (t) => {
  const dataDir = join(scratch(t), 'data')
  const upstream = await upstreamFor(t)
  const start = () => spawnGateway(t, { dataDir, upstream: upstream.url, program: PROGRAM })
  let gateway: Spawned = await start()
  await gateway.admin('PUT', 'prices/openai%2Fdime', { prices: [{ rates: { input: '0', output: '100' } }] })
  for (const module of ['breakers', 'failover']) await gateway.admin('PUT', `modules/${module}`, { mode: 'off' })
  for (const module of ['budgets', 'billing']) await gateway.admin('PUT', `modules/${module}`, { mode: 'enforce' })
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  await gateway.admin('POST', 'terms', { scope: { organization: 'acme' }, payment: 'prepaid', markup: '50' })
  await gateway.admin('POST', 'grants', { scope: { organization: 'acme' }, amountUsd: '100000' })
  const window = { kind: 'lifetime' }
  await gateway.admin('POST', 'budgets', { id: 'all', scope: {}, amountUsd: '100000', window })
  const who = as('k1', { organization: 'acme' })

  let rows: readonly Booked[] = []
  for (const [moment, behaviour] of Object.entries(MOMENTS)) {
    for (let round = 0; round < ROUNDS; round++) {
      const text = `${moment} ${round}`
      upstream.script({ match: (row) => row.rawBody.includes(`"${text}"`), behaviour, times: 100 })
      const before = rows.length
      const sent = upstream.ledger.totals.requests
      const headers = { ...who, 'x-moment': moment }
      const ask = (n: number) => {
        const stream = moment === 'mid-stream' || (round + n) % 2 === 0
        const body = chatBody('openai/dime', text, { max_tokens: 1_000, stream })
        return exchange(`${gateway.url}/v1/chat/completions`, 'POST', body, headers)
      }
      const answers = Promise.allSettled([0, 1, 2].map(ask))
      if (moment === 'sent') {
        await until(() => upstream.ledger.totals.requests > sent, 'it is upstream', 20_000)
        gateway.process.kill('SIGKILL')
      }
      assert.equal(await gateway.ended, 'SIGKILL', `${text}: ${gateway.output()}`)
      const whole = (await answers).filter(
        (a) => a.status === 'fulfilled' && a.value.status === 200 && /"completion_tokens"|\[DONE\]/.test(a.value.text),
      ).length
      gateway = await start()
      rows = booked(dataDir)
      const own = rows.slice(before)
      const done = own.filter(({ outcome }) => outcome === 'done')
      assert.ok(
        own.every(({ settled }) => settled === 1n),
        `${text}: each attempt is settled once`,
      )
      for (const { outcome, cost, held, charge } of own) {
        assert.ok(outcome === 'done' || outcome === 'in-doubt', `${text}: ${outcome}`)
        if (outcome === 'done') assert.deepEqual([cost, charge], [DIME, (DIME * 3n) / 2n])
        else assert.deepEqual([cost, charge], [held, null], 'in doubt at what it held, and charged to nobody')
        assert.ok(held >= DIME)
      }
      assert.ok(done.length >= whole, `${text}: whoever has the end of an answer has it in the books`)
      if (NOTHING_BOOKED.includes(moment)) assert.equal(own.length, 0, text)
      else assert.ok(own.length > 0, text)
      if (moment === 'opened') assert.equal(upstream.ledger.totals.requests, sent, 'no byte went upstream')
      if (moment === 'usage seen' || moment === 'first byte') assert.ok(own.length > done.length, `${text} is in doubt`)
      if (OVER.includes(moment)) assert.ok(done.length > 0, `${text} is over`)

      const [credit] = (await gateway.admin('GET', 'billing/balances?account=organization:acme')).balances
      const left = nanoUsdOf(100_000n * 1_000_000_000n - sum(rows, 'charge'))
      assert.deepEqual([credit.creditUsd, credit.heldUsd, credit.debtUsd], [formatDollars(left), '0', '0'], text)
      const spent = (await exchange(`${gateway.url}/v1/key`, 'GET', undefined, who)).json.data.budgets
      assert.equal(spent[0].spentUsd, formatDollars(nanoUsdOf(sum(rows, 'cost'))), text)
      assert.equal((await gateway.admin('GET', 'budget-accounts')).heldUsd, '0', text)
    }
  }
  t.diagnostic(`${rows.length} attempts, ${rows.filter(({ outcome }) => outcome === 'in-doubt').length} in doubt`)
})

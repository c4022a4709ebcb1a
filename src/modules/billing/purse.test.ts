/** Credit against a second way of computing it, which moves one nano-dollar at a time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Grant } from '../../core/directory.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import { Purse } from './purse.ts'

const grant = (id: string, from: number, nanos: number, expiresAt?: number): Grant => ({
  id,
  version: 1,
  createdAt: from,
  updatedAt: from,
  scope: { organization: 'acme' },
  amountUsd: formatDollars(nanoUsdOf(nanos)),
  ...(expiresAt === undefined ? {} : { expiresAt }),
})

test('what ends soonest is spent first, and what has ended pays nothing any more', () => {
  const purse = new Purse([grant('forever', 0, 10), grant('long', 1, 10, 200), grant('short', 2, 10, 100)])
  purse.advance(50)
  purse.spend(12n)
  assert.deepEqual(
    purse.pots.map(({ id, left }) => [id, left]),
    [
      ['short', 0n],
      ['long', 8n],
      ['forever', 10n],
    ],
  )
  purse.advance(200)
  assert.equal(purse.balance, 10n)
  purse.spend(13n)
  assert.deepEqual([purse.balance, purse.debt], [-3n, 3n])
})

test('what was charged beyond all credit is paid by the next grant first', () => {
  const purse = new Purse([grant('a', 0, 5), grant('b', 10, 8)])
  purse.advance(0)
  purse.spend(7n)
  purse.advance(10)
  assert.deepEqual([purse.balance, purse.debt], [6n, 0n])
})

interface Event {
  readonly at: number
  readonly charge: number
}
/** One nano-dollar after the other, each looking for its payer among all grants. */
function reference(grants: readonly Grant[], charges: readonly Event[], now: number): bigint {
  const left = new Map(grants.map((one) => [one.id, Number(one.amountUsd) * 1e9]))
  let owed = 0
  const settle = (at: number): void => {
    for (;;) {
      const payer = grants
        .filter((one) => one.createdAt <= at && (one.expiresAt ?? Infinity) > at && (left.get(one.id) as number) > 0.5)
        .sort(
          (a, b) =>
            (a.expiresAt ?? Infinity) - (b.expiresAt ?? Infinity) ||
            a.createdAt - b.createdAt ||
            (a.id < b.id ? -1 : 1),
        )[0]
      if (owed === 0 || !payer) return
      left.set(payer.id, (left.get(payer.id) as number) - 1)
      owed--
    }
  }
  const borders = grants.flatMap(({ createdAt, expiresAt }) => [createdAt, expiresAt ?? 0])
  const times = [...new Set([...borders, ...charges.map(({ at }) => at)])]
    .filter((at) => at <= now)
    .sort((a, b) => a - b)
  for (const at of times) {
    settle(at)
    for (const charge of charges) {
      if (charge.at !== at) continue
      owed += charge.charge
      settle(at)
    }
  }
  const live = grants.filter((one) => one.createdAt <= now && (one.expiresAt ?? Infinity) > now)
  return BigInt(Math.round(live.reduce((sum, one) => sum + (left.get(one.id) as number), 0) - owed))
}

test('any grants and charges leave what paying them one by one leaves', () => {
  const time = fc.integer({ min: 0, max: 40 })
  const grants = fc.array(
    fc.record({
      from: time,
      nanos: fc.integer({ min: 1, max: 30 }),
      lasts: fc.option(fc.integer({ min: 1, max: 30 })),
    }),
    { maxLength: 6 },
  )
  const charges = fc.array(fc.record({ at: time, charge: fc.integer({ min: 0, max: 20 }) }), { maxLength: 15 })
  fc.assert(
    fc.property(grants, charges, (drawn, spent) => {
      const rows = drawn.map(({ from, nanos, lasts }, i) =>
        grant(`g${i}`, from, nanos, lasts === null ? undefined : from + lasts),
      )
      const purse = new Purse(rows)
      for (const { at, charge } of [...spent].sort((a, b) => a.at - b.at)) {
        purse.advance(at)
        purse.spend(BigInt(charge))
      }
      purse.advance(40)
      assert.equal(purse.balance, reference(rows, spent, 40))
    }),
    { numRuns: 300 },
  )
})

/** An account against an exact log of what was spent when, under clocks that pass borders and jump. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Budget, Window } from '../../core/directory.ts'
import type { Host } from '../../core/module.ts'
import { nanoUsdOf } from '../../core/money.ts'
import type { SumsQuestion } from '../../core/store.ts'
import { spanOf } from '../../core/windows.ts'
import { Account } from './account.ts'

interface Spent {
  readonly at: number
  readonly cost: bigint
}

/** A ledger in memory: answers a turn later, with what was committed when it was asked. */
function ledgerOf(log: Spent[]): Pick<Host, 'ledger'> {
  return {
    ledger: {
      watch: () => () => {},
      lastSeq: 0,
      charges: () => Promise.resolve([]),
      charge: () => () => {},
      async sums({ from, to = Infinity, slotMs }: SumsQuestion) {
        const rows = log.filter(({ at }) => at >= from && at < to)
        await new Promise((resolve) => setImmediate(resolve))
        const slots = new Map<number, bigint>()
        for (const { at, cost } of rows) {
          const slot = slotMs === undefined ? 0 : Math.floor(at / slotMs)
          slots.set(slot, (slots.get(slot) ?? 0n) + cost)
        }
        return [...slots].map(([slot, cost]) => ({
          slot,
          cost: nanoUsdOf(cost),
          requests: 1,
          usage: { source: 'provider' as const },
        }))
      },
    },
  }
}

const budget = (window: Window): Budget => ({
  id: 'b',
  version: 1,
  createdAt: 0,
  updatedAt: 0,
  scope: {},
  amountUsd: '1',
  window,
})

const HOUR = 3_600_000
const step = fc.record({
  wait: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: HOUR }) },
    { weight: 2, arbitrary: fc.integer({ min: 0, max: 40 * HOUR }) },
    { weight: 1, arbitrary: fc.integer({ min: -30 * HOUR, max: -1 }) },
    { weight: 1, arbitrary: fc.constantFrom(-1, 0, 1, HOUR, 23 * HOUR, 24 * HOUR, 25 * HOUR) },
  ),
  cost: fc.bigInt({ min: -3n, max: 100n }),
  /** Spend while the ledger is being asked, and look only now and then. */
  look: fc.boolean(),
})

const WINDOWS: readonly Window[] = [
  { kind: 'calendar', unit: 'hour' },
  { kind: 'calendar', unit: 'day', timeZone: 'Europe/Berlin' },
  { kind: 'calendar', unit: 'month', timeZone: 'America/New_York' },
  { kind: 'lifetime' },
  { kind: 'rolling', seconds: 18_000 },
]

test('T24, A32: over borders, daylight saving and clocks that jump, an account holds what the ledger holds', async () => {
  const begins = ['2026-03-28T12:00Z', '2026-10-24T12:00Z', '2026-01-31T20:00Z', '2026-12-31T20:00Z'].map(Date.parse)
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...WINDOWS),
      fc.constantFrom(...begins),
      fc.array(step, { maxLength: 60 }),
      async (window, begin, steps) => {
        const log: Spent[] = []
        const account = new Account('b ', budget(window), ledgerOf(log) as Host)
        let now = begin
        for (const { wait, cost, look } of steps) {
          now += wait
          const loading = account.ready(account.budget, now)
          const row = { at: now, cost }
          log.push(row)
          account.booked(row.at, nanoUsdOf(row.cost))
          if (loading) await loading
          if (!look) continue
          await account.ready(account.budget, now)
          const within = (from: number, to = Infinity) =>
            log.reduce((sum, r) => (r.at >= from && r.at < to ? sum + r.cost : sum), 0n)
          if (window.kind === 'rolling') {
            const slot = (window.seconds * 1_000) / 60
            const exact = within((Math.floor(now / slot) - 60) * slot)
            assert.equal(account.spent(now), exact)
          } else {
            const span = window.kind === 'calendar' ? spanOf(window, now) : { from: 0, to: Infinity }
            assert.equal(account.spent(now), within(span.from, span.to))
          }
        }
      },
    ),
    { numRuns: 400 },
  )
})

test('A32: a hundred calls that end around midnight belong to the day in which they ended, and none is lost', async () => {
  const log: Spent[] = []
  const window = { kind: 'calendar', unit: 'day', timeZone: 'Asia/Shanghai' } as const
  const account = new Account('b ', budget(window), ledgerOf(log) as Host)
  const midnight = Date.parse('2026-11-24T16:00:00Z')
  await account.ready(account.budget, midnight - 1_000)
  for (let i = -50; i < 50; i++) {
    log.push({ at: midnight + i, cost: 1n })
    account.booked(midnight + i, nanoUsdOf(1))
  }
  assert.equal(account.spent(midnight - 1), 50n)
  await account.ready(account.budget, midnight + 60)
  assert.equal(account.spent(midnight + 60), 50n)
  assert.equal(account.resetAt(midnight + 60), midnight + 24 * HOUR)
})

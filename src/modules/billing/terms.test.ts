/** Markups are exact, whatever their decimals, and a correction makes a charge what the corrected cost comes to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Directory, Terms } from '../../core/directory.ts'
import { nanoUsdOf } from '../../core/money.ts'
import type { AdjustmentRow, ClosedRow } from '../../core/store.ts'
import { inCurrency } from './statements.ts'
import { chargeOf, marked, shareOf, TermsBook } from './terms.ts'

function bookOf(...rows: Partial<Terms>[]): TermsBook {
  const all = rows.map((row, i) => ({ id: `t${i}`, from: 0, payment: 'statements', ...row }) as Terms)
  const byAnchor = new Map<string, Terms[]>()
  for (const row of all) {
    const anchor = row.scope.team === undefined ? `organization:${row.scope.organization}` : `team:${row.scope.team}`
    byAnchor.set(anchor, [...(byAnchor.get(anchor) ?? []), row])
  }
  const none: Terms[] = []
  const directory = {
    figures: (_: string, anchor: string) => byAnchor.get(anchor) ?? none,
    get: (_: string, id: string) => all.find((row) => row.id === id),
  }
  return new TermsBook(directory as unknown as Directory)
}
const closedRow = (more: Partial<ClosedRow> = {}): ClosedRow =>
  ({
    kind: 'closed',
    at: 10,
    organization: 'acme',
    model: 'fast',
    upstream: 'openai',
    upstreamModel: 'gpt',
    usage: { source: 'provider', input: 1_000_000, output: 10 },
    cost: nanoUsdOf(1_000),
    outcome: 'done',
    ...more,
  }) as ClosedRow

test('a markup is exact: against fractions over random costs and percentages', () => {
  const percent = fc.tuple(fc.integer({ min: -100, max: 5_000 }), fc.integer({ min: 0, max: 999_999 }))
  fc.assert(
    fc.property(percent, fc.bigInt({ min: 0n, max: 10n ** 15n }), ([whole, millionths], cost) => {
      fc.pre(whole > -100 || millionths === 0)
      const text = `${whole}.${String(millionths).padStart(6, '0')}`
      const charge = marked(cost, shareOf(text))
      // The charge is at most half a nano-dollar away from cost × (100 + percent) / 100, in millionths of a percent.
      const exact = cost * (100_000_000n + BigInt(whole) * 1_000_000n + (whole < 0 ? -1n : 1n) * BigInt(millionths))
      const distance = 2n * (charge * 100_000_000n - exact)
      assert.ok(distance <= 100_000_000n && distance >= -100_000_000n, text)
    }),
    { numRuns: 2_000 },
  )
  assert.equal(marked(3n, shareOf('50')), 5n, 'half away from zero')
  assert.equal(marked(1_000n, shareOf('-12.5')), 875n)
  assert.equal(marked(1_000n, shareOf()), 1_000n)
})

test('terms hold from their time on, a team’s go before its organization’s, and none means nobody is charged', () => {
  const book = bookOf(
    { scope: { organization: 'acme' }, markup: '10' },
    { scope: { organization: 'acme' }, markup: '20', from: 20 },
    { scope: { team: 'ml' }, markup: '50' },
    { scope: { team: 'free' }, payment: 'none' },
  )
  assert.deepEqual(chargeOf(closedRow(), book), { charge: 1_100n, terms: 't0' })
  assert.deepEqual(chargeOf(closedRow({ at: 19 }), book), { charge: 1_100n, terms: 't0' })
  assert.deepEqual(chargeOf(closedRow({ at: 20 }), book), { charge: 1_200n, terms: 't1' })
  assert.deepEqual(chargeOf(closedRow({ team: 'ml' }), book), { charge: 1_500n, terms: 't2' })
  assert.equal(chargeOf(closedRow({ team: 'free' }), book), undefined)
  assert.equal(chargeOf(closedRow({ organization: 'globex' }), book), undefined)
})

test('a price list of one’s own is no multiple of the cost; other models are marked up', () => {
  const prices = { fast: { rates: { input: '3', output: '0' } } }
  const book = bookOf({ scope: { organization: 'acme' }, markup: '100', prices })
  assert.equal(chargeOf(closedRow(), book)?.charge, 3_000_000_000n)
  assert.equal(chargeOf(closedRow({ model: 'other', upstreamModel: 'other' }), book)?.charge, 2_000n)
})

test('A2, T23: only what reached somebody is charged for, unless the terms say otherwise', () => {
  const book = bookOf({ scope: { organization: 'acme' } }, { scope: { team: 'all' }, failed: true })
  assert.equal(chargeOf(closedRow({ outcome: 'failed' }), book)?.charge, 0n)
  assert.equal(chargeOf(closedRow({ outcome: 'cancelled', reason: 'superseded' }), book)?.charge, 0n)
  assert.equal(chargeOf(closedRow({ outcome: 'client_cancel' }), book)?.charge, 1_000n)
  assert.equal(chargeOf(closedRow({ outcome: 'partial' }), book)?.charge, 1_000n)
  assert.equal(chargeOf(closedRow({ outcome: 'failed', team: 'all' }), book)?.charge, 1_000n)
  assert.equal(chargeOf(closedRow({ outcome: 'in-doubt' }), book), undefined)
})

test('T26: charge and correction together are the charge of the corrected cost, to the nano-dollar', () => {
  const cost = fc.integer({ min: 0, max: 1_000_000 })
  fc.assert(
    fc.property(
      cost,
      fc.array(cost, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 0, max: 9_999 }),
      (first, then, n) => {
        const book = bookOf({ scope: { organization: 'acme' }, markup: `${n / 100}` })
        let charged: bigint = chargeOf(closedRow({ cost: nanoUsdOf(first) }), book)?.charge as bigint
        let before = first
        for (const next of then) {
          const row = { ...closedRow(), kind: 'adjustment', cost: nanoUsdOf(next - before) } as unknown as AdjustmentRow
          const corrects = { terms: 't0', outcome: 'done' as const, cost: nanoUsdOf(before) }
          charged += chargeOf({ ...row, corrects }, book)?.charge as bigint
          before = next
        }
        assert.equal(charged, chargeOf(closedRow({ cost: nanoUsdOf(before) }), book)?.charge)
      },
    ),
  )
})

test('a total in another currency is rounded once, to what can be paid', () => {
  assert.equal(inCurrency(12_345_000_000n, 921_500_000n, 2), '11.38')
  assert.equal(inCurrency(1_000_000_000n, 149_500_000_000n, 0), '150')
  assert.equal(inCurrency(-1_000_000_000n, 500_000_000n, 2), '-0.50')
  assert.equal(inCurrency(5_000_000n, 1_000_000_000n, 2), '0.01')
  assert.equal(inCurrency(4_999_999n, 1_000_000_000n, 2), '0.00')
})

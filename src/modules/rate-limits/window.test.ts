/** The sliding window against an exact log of what was taken when. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SLOTS, SlidingWindow } from './window.ts'

const WINDOW = 60_000
const SLOT = WINDOW / SLOTS

/** Steps of a simulated clock, each with an amount that is taken if it fits. */
const steps = fc.array(
  fc.record({
    wait: fc.oneof(
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 0, max: 3 * SLOT }),
      fc.integer({ min: WINDOW - 2 * SLOT, max: WINDOW + 2 * SLOT }),
      fc.constantFrom(0, SLOT - 1, SLOT, SLOT + 1, WINDOW - 1, WINDOW, WINDOW + SLOT, 10 * WINDOW),
    ),
    amount: fc.integer({ min: 0, max: 40 }),
  }),
  { maxLength: 200 },
)

test('A39: no span of the window exceeds the limit, and a refusal is at most one slot early', () => {
  const limit = 100
  fc.assert(
    fc.property(steps, fc.integer({ min: 0, max: 2 * SLOT }), (sequence, begin) => {
      const window = new SlidingWindow(WINDOW)
      const log: { at: number; amount: number }[] = []
      const within = (now: number, span: number) =>
        log.reduce((sum, entry) => (entry.at > now - span ? sum + entry.amount : sum), 0)
      let now = begin
      for (const { wait, amount } of sequence) {
        now += wait
        if (window.used(now) + amount <= limit) {
          window.take(now, amount)
          log.push({ at: now, amount })
          assert.ok(within(now, WINDOW) <= limit, `${within(now, WINDOW)} within a window at ${now}`)
        } else {
          assert.ok(
            within(now, WINDOW + SLOT) + amount > limit,
            `refused at ${now} although ${within(now, WINDOW + SLOT)} + ${amount} fits in a window and a slot`,
          )
        }
      }
    }),
    { numRuns: 2_000 },
  )
})

test('A39: after the wait that a refusal names, what was refused fits; a moment earlier it did not', () => {
  const limit = 100
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 100 }), (sequence, wanted) => {
      const window = new SlidingWindow(WINDOW)
      let now = 5
      for (const { wait, amount } of sequence) {
        now += wait
        if (window.used(now) + amount <= limit) window.take(now, amount)
      }
      const wait = window.waitFor(wanted, limit, now)
      if (wait > 1) assert.ok(window.used(now + wait - 1) + wanted > limit)
      assert.ok(window.used(now + wait) + wanted <= limit)
    }),
    { numRuns: 1_000 },
  )
})

test('giving back puts the window as if less had been taken, and never below nothing', () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      const all = new SlidingWindow(WINDOW)
      const half = new SlidingWindow(WINDOW)
      const taken: { slot: number; amount: number }[] = []
      let now = 0
      for (const { wait, amount } of sequence) {
        now += wait
        taken.push({ slot: all.take(now, 2 * amount), amount })
        half.take(now, amount)
        const settled = taken.length % 3 === 0 ? taken.splice(0) : []
        for (const each of settled) all.giveBack(each.slot, each.amount)
        const open = taken.reduce((sum, each) => sum + (each.slot > Math.floor(now / SLOT) - 61 ? each.amount : 0), 0)
        assert.equal(all.used(now), half.used(now) + open)
      }
    }),
    { numRuns: 500 },
  )
})

test('a clock that is read out of order counts as the latest reading', () => {
  const window = new SlidingWindow(WINDOW)
  window.take(10 * WINDOW, 5)
  assert.equal(window.used(9 * WINDOW), 5)
  assert.equal(window.take(9 * WINDOW, 1), Math.floor((10 * WINDOW) / SLOT))
  assert.equal(window.used(11 * WINDOW), 6)
  assert.equal(window.used(11 * WINDOW + SLOT), 0)
})

test('what happened before a restart counts from when it happened', () => {
  const window = new SlidingWindow(WINDOW)
  const now = 100_500
  window.recall(now - 30_000, 7, now)
  window.recall(now - WINDOW - 2 * SLOT, 100, now)
  assert.equal(window.used(now), 7)
  assert.equal(window.used(now - 30_000 + WINDOW), 7)
  assert.equal(window.used(now - 30_000 + WINDOW + SLOT), 0)
})

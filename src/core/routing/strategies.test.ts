/** What each strategy prefers, with a clock of its own; that routes obey them is shown in test/scenario/routing.test.ts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exchange, Target } from '../exchange.ts'
import type { StrategyName } from '../store.ts'
import { TargetHealth } from './health.ts'
import { STRATEGIES } from './strategies.ts'

const NOW = Date.parse('2026-11-24T12:00:00Z')

const target = (model: string, weight = 1): Target =>
  ({ model, weight, health: new TargetHealth('acme', model) }) as unknown as Target

const order = (strategy: StrategyName, targets: readonly Target[], now = NOW): string =>
  STRATEGIES[strategy](targets, { x: {} as Exchange, now, turn: 0 })
    .map(({ model }) => model)
    .join(' ')

/** How often each comes first. */
function firsts(strategy: StrategyName, targets: readonly Target[], times: number, now = NOW): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries(targets.map(({ model }) => [model, 0]))
  for (let i = 0; i < times; i++) {
    const [first] = order(strategy, targets, now).split(' ') as [string]
    counts[first] = (counts[first] ?? 0) + 1
  }
  return counts
}

/** Ten standard deviations to each side: to miss it by chance takes longer than there is time. */
function assertShare(count: number, times: number, share: number): void {
  const tolerance = 10 * Math.sqrt(times * share * (1 - share))
  assert.ok(Math.abs(count - times * share) < tolerance, `${count} of ${times}, not ${share}`)
}

test('weighted: shares are those of the weights, and a weight of 0 comes last', () => {
  const targets = [target('zero', 0), target('nine', 9), target('one', 1)]
  const counts = firsts('weighted', targets, 20_000)
  assertShare(counts.nine ?? 0, 20_000, 0.9)
  assertShare(counts.one ?? 0, 20_000, 0.1)
  for (let i = 0; i < 100; i++) assert.match(order('weighted', targets), / zero$/)
})

test('least-busy: fewer calls in flight by weight come first, and equals share', () => {
  const [free, busy, broad] = [target('free'), target('busy'), target('broad', 4)] as const
  busy.health.inFlight = 1
  broad.health.inFlight = 3
  for (let i = 0; i < 100; i++) assert.equal(order('least-busy', [busy, broad, free]), 'free broad busy')
  const counts = firsts('least-busy', [target('a'), target('b')], 10_000)
  assertShare(counts.a ?? 0, 10_000, 0.5)
})

test('usage: fewer tokens in this minute by weight come first, and a new minute starts anew', () => {
  const [little, much, broad] = [target('little'), target('much'), target('broad', 100)] as const
  little.health.minute.use(NOW, 50)
  much.health.minute.use(NOW, 4_000)
  broad.health.minute.use(NOW, 9_000)
  for (let i = 0; i < 100; i++) assert.equal(order('usage', [much, broad, little]), 'little broad much')
  const counts = firsts('usage', [little, much], 10_000, NOW + 60_000)
  assertShare(counts.much ?? 0, 10_000, 0.5)
})

test('least-busy, usage: a weight of 0 is for when nothing else is left; several of them share', () => {
  for (const strategy of ['least-busy', 'usage'] as const) {
    const busy = target('busy')
    busy.health.inFlight = 500
    busy.health.minute.use(NOW, 9_000_000)
    for (let i = 0; i < 50; i++) assert.equal(order(strategy, [target('zero', 0), busy]), 'busy zero')
    const counts = firsts(strategy, [target('a', 0), target('b', 0)], 10_000)
    assertShare(counts.a ?? 0, 10_000, 0.5)
  }
})

test('latency: the slowest of all is never drawn, the others share; one that is not known is tried once at a time', () => {
  const [fast, even, slow] = [target('fast'), target('even'), target('slow')] as const
  for (const [{ health }, ms] of [
    [fast, 20],
    [even, 20],
    [slow, 600],
  ] as const)
    health.answered(NOW, ms, undefined, {})
  const counts = firsts('latency', [slow, fast, even], 9_000)
  assert.equal(counts.slow, 0)
  // Equal ones win over each other by the order of the draw, and each of the three pairs is drawn alike.
  assertShare(counts.fast ?? 0, 9_000, 0.5)
  fast.health.inFlight = 40
  assert.equal(firsts('latency', [slow, fast], 100).slow, 100, 'forty calls at 20 ms take longer than one at 600')
  const unknown = target('unknown')
  assert.equal(order('latency', [slow, unknown]), 'unknown slow')
  unknown.health.inFlight = 1
  assert.equal(order('latency', [slow, unknown]), 'slow unknown')
})

test('latency: a slow sample fades, a failure weighs five seconds', () => {
  const [once, steady] = [target('once'), target('steady')] as const
  once.health.answered(NOW, 600, undefined, {})
  assert.ok(once.health.firstTokenMs(NOW + 10_000) < 600 / 2)
  steady.health.answered(NOW + 60_000, 20, undefined, {})
  assert.equal(order('latency', [steady, once], NOW + 60_000), 'once steady')
  once.health.failed(NOW + 60_000, 3)
  assert.equal(order('latency', [steady, once], NOW + 60_000), 'steady once')
})

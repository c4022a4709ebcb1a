/**
 * The ways to put a route's targets in order for one exchange. A strategy only sorts: which targets may be used at all was
 * settled before, and trying them one after the other is the engine's.
 */
import type { Exchange, Target } from '../exchange.ts'
import type { StrategyName } from '../store.ts'
import { costOf } from '../usage.ts'

export interface StrategyContext {
  readonly x: Exchange
  readonly now: number
  /** Moves on with each exchange of the route; for those that take turns. */
  readonly turn: number
}
export type Strategy = (targets: readonly Target[], context: StrategyContext) => readonly Target[]

const sortedBy = (targets: readonly Target[], score: (target: Target) => number): Target[] =>
  targets
    .map((target) => ({ target, score: score(target) }))
    .sort((a, b) => a.score - b.score)
    .map((e) => e.target)

/** By chance in proportion to the weights, without putting back. A weight of 0 is for when nothing else is left. */
function weighted(targets: readonly Target[]): readonly Target[] {
  // Exponential keys: the smallest of -ln(u)/weight is a draw by weight, and so is each next one among the rest.
  return sortedBy(targets, ({ weight }) => (weight > 0 ? -Math.log(1 - Math.random()) / weight : Number.MAX_VALUE))
}

function roundRobin(targets: readonly Target[], { turn }: StrategyContext): readonly Target[] {
  const first = turn % targets.length
  return first === 0 ? targets : [...targets.slice(first), ...targets.slice(0, first)]
}

/** What a target costs in time: its first-token time × those before it. One that is not known yet is tried, but once. */
function latencyScore({ health }: Target, now: number): number {
  const ms = health.firstTokenMs(now)
  return ms > 0 ? ms * (health.inFlight + 1) : health.inFlight === 0 ? 0 : 60_000 * health.inFlight
}

/** Power of two choices: the better of two drawn at random, so that the best one is not stampeded. */
function latency(targets: readonly Target[], { now }: StrategyContext): readonly Target[] {
  if (targets.length < 2) return targets
  const a = Math.floor(Math.random() * targets.length)
  const b = (a + 1 + Math.floor(Math.random() * (targets.length - 1))) % targets.length
  const [one, two] = [targets[a] as Target, targets[b] as Target]
  const first = latencyScore(one, now) <= latencyScore(two, now) ? one : two
  return [
    first,
    ...sortedBy(
      targets.filter((t) => t !== first),
      (t) => latencyScore(t, now),
    ),
  ]
}

/** Behind whatever any target bears. */
const LAST = 1e12
/** What a target bears for its weight; those without any come last, and share among themselves. */
const borne = (load: number, weight: number): number => (weight > 0 ? load / weight : LAST + load)

/** Equals are taken in random order, or the first of them would get everything. */
function leastBusy(targets: readonly Target[]): readonly Target[] {
  return sortedBy(targets, ({ health, weight }) => borne(health.inFlight + Math.random() * 0.5, weight))
}

function usage(targets: readonly Target[], { now }: StrategyContext): readonly Target[] {
  return sortedBy(targets, ({ health, weight }) => borne(health.minute.tokens(now) + Math.random(), weight))
}

/** For this very request: its input as estimated, and the output it allows. Unknown prices come last. */
function cost(targets: readonly Target[], { x, now }: StrategyContext): readonly Target[] {
  const output = Math.floor(Math.min(Math.max(x.outputLimit ?? 1_000, 1), 1_000_000))
  return sortedBy(targets, (target) => {
    const price = x.prices.of(target, now, x.principal)
    if (!price) return Number.MAX_VALUE
    return Number(costOf({ source: 'estimated', input: x.inputEstimate, output }, price))
  })
}

export const byThroughput: Strategy = (targets) => sortedBy(targets, ({ health }) => -health.throughput)

export const STRATEGIES: Readonly<Record<StrategyName, Strategy>> = {
  priority: (targets) => targets,
  weighted,
  'round-robin': roundRobin,
  'least-busy': leastBusy,
  latency,
  cost,
  usage,
}

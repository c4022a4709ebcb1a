/**
 * Asks a second target when the first is slower to begin than it usually is. Costs what the loser had used by then, so it is
 * kept to a share of the traffic; a route needs a second target for it.
 */
import { Type } from 'typebox'
import type { Plan } from '../../core/exchange.ts'
import { defineModule } from '../../core/module.ts'
import type { HedgePolicy } from '../../core/routing/hedge.ts'

/** So many hedges may be saved up for a bad minute. */
const MOST_SAVED = 5

export default defineModule({
  id: 'hedging',
  summary: 'Asks a second target when the first is slower to begin than usual.',
  layer: 'routing',
  after: ['breakers'],
  default: 'off',
  fault: 'open',
  settings: Type.Object(
    {
      percentile: Type.Number({
        default: 95,
        minimum: 50,
        maximum: 99.9,
        description: "Of the first target's recent first-token times: the second is asked when this one has passed.",
      }),
      minDelayMs: Type.Integer({
        default: 100,
        minimum: 1,
        maximum: 600_000,
        description: 'Never sooner than this.',
      }),
      maxShare: Type.Number({
        default: 0.05,
        minimum: 0,
        maximum: 1,
        description: 'Second calls for each request, at most.',
      }),
    },
    { additionalProperties: false },
  ),
  start(host, { percentile, minDelayMs, maxShare }) {
    let saved = (host.memory.get('saved') as number | undefined) ?? 1
    const hedges = host.metrics.counter(
      'stockyard_hedges_total',
      'Second calls that were made because a first was slow.',
    )
    const hedge: HedgePolicy = {
      delayMs(first) {
        const usual = first.firstTokenPercentile(percentile / 100)
        return usual === undefined ? undefined : Math.max(minDelayMs, usual)
      },
      seen() {
        saved = Math.min(MOST_SAVED, saved + maxShare)
      },
      take() {
        if (saved < 1) return false
        saved--
        hedges.add()
        return true
      },
    }
    const known = new WeakMap<Plan, Plan>()
    return {
      route(_, plan) {
        if (plan.targets.length < 2) return plan
        let found = known.get(plan)
        if (!found) {
          found = { ...plan, hedge }
          known.set(plan, found)
        }
        return found
      },
      stop: () => void host.memory.set('saved', saved),
    }
  },
})

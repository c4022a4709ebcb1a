/**
 * Goes on to a route's next target when one fails, and tries a target again when that may help. There is no other retry
 * layer: core follows the policy that this module puts into the plan, for streams until their first content.
 */
import { Type } from 'typebox'
import type { Plan } from '../../core/exchange.ts'
import { defineModule } from '../../core/module.ts'

const lower = { stricter: 'lower' } as const
const milliseconds = (value: number, maximum: number) => Type.Integer({ default: value, minimum: 0, maximum })

export default defineModule({
  id: 'failover',
  summary: "Survives a failing upstream: tries again where that helps, then a route's next target.",
  layer: 'routing',
  after: ['aliases'],
  overridable: true,
  default: 'enforce',
  fault: 'open',
  settings: Type.Object(
    {
      attempts: Type.Integer({
        ...lower,
        default: 4,
        minimum: 1,
        maximum: 20,
        description: 'Calls in all, over all targets.',
      }),
      attemptsPerTarget: Type.Integer({ ...lower, default: 2, minimum: 1, maximum: 10 }),
      firstBackoffMs: milliseconds(250, 60_000),
      maxBackoffMs: milliseconds(4_000, 60_000),
      maxRetryAfterMs: Type.Integer({
        ...lower,
        default: 5_000,
        minimum: 0,
        maximum: 60_000,
        description: 'A Retry-After up to this is waited for; a longer one sends the request elsewhere.',
      }),
      totalMs: Type.Integer({
        ...lower,
        default: 120_000,
        minimum: 1_000,
        maximum: 3_600_000,
        description: 'No new attempt starts later than this after the request arrived.',
      }),
    },
    { additionalProperties: false },
  ),
  check: (s) => (s.firstBackoffMs > s.maxBackoffMs ? ['firstBackoffMs must not exceed maxBackoffMs.'] : []),
  start(_, retry) {
    // Plans are as many as names; each is extended once.
    const known = new WeakMap<Plan, Plan>()
    return {
      route(_, plan) {
        let found = known.get(plan)
        if (!found) {
          found = { ...plan, retry }
          known.set(plan, found)
        }
        return found
      },
    }
  },
})

/**
 * Leaves a target or a key alone when it fails, and finds out by itself when it is back. Core keeps the state and follows
 * the policy that this module puts into the plan: before a call, so that one that is not made costs no ledger rows.
 */
import { Type } from 'typebox'
import type { Plan } from '../../core/exchange.ts'
import { defineModule } from '../../core/module.ts'

const seconds = (value: number, description: string) =>
  Type.Integer({ default: value * 1_000, minimum: 100, maximum: 3_600_000, description })

export default defineModule({
  id: 'breakers',
  summary: 'Leaves failing targets and keys alone until they are back.',
  layer: 'routing',
  after: ['failover'],
  default: 'enforce',
  fault: 'open',
  settings: Type.Object(
    {
      failureRatio: Type.Number({
        default: 0.5,
        exclusiveMinimum: 0,
        maximum: 1,
        description: 'The share of failed calls from which a target is left alone.',
      }),
      minimumCalls: Type.Integer({
        default: 10,
        minimum: 1,
        maximum: 100_000,
        description: 'Fewer calls in the window say nothing.',
      }),
      windowMs: seconds(30, 'Over which calls are counted.'),
      cooldownMs: seconds(10, 'Until one call finds out whether a target is back.'),
      credentialCooldownMs: seconds(60, 'The same for a key that was refused or has no quota left.'),
      maxRetryAfterMs: seconds(600, 'A Retry-After beyond this is not believed to its end.'),
      pacing: Type.Boolean({
        default: true,
        description: 'Rests a key when the headers of its last answer say that its rate limit is used up.',
      }),
    },
    { additionalProperties: false },
  ),
  start(_, breaker) {
    // Plans are as many as names; each is extended once.
    const known = new WeakMap<Plan, Plan>()
    return {
      route(_, plan) {
        let found = known.get(plan)
        if (!found) {
          found = { ...plan, breaker }
          known.set(plan, found)
        }
        return found
      },
    }
  },
})

/**
 * What would become of a request, and why: the same phases up to the call, with every decision written down. Nobody is
 * called, and what admission takes is given back at once.
 */
import { asGatewayError } from './deliver.ts'
import { type EnginePorts, narrowed, planFor } from './engine.ts'
import type { GatewayError, Refusal } from './errors.ts'
import { worstCase } from './estimate.ts'
import type { Exchange, Principal, Target } from './exchange.ts'
import type { Awaitable, Hold } from './module.ts'
import { formatDollars, type NanoUsd } from './money.ts'
import * as phases from './pipeline.ts'
import { isUsable, recoveryOf } from './routing/pool.ts'
import type { Snapshot } from './snapshot.ts'

export async function explain(
  x: Exchange,
  identify: (doubt: Refusal | undefined) => Awaitable<Principal>,
  snapshot: Snapshot,
  ports: EnginePorts,
): Promise<object> {
  const holds: Hold[] = []
  let refused: GatewayError | undefined
  const say = (phase: string, decision: string, reason: string): void =>
    void x.trace.push({ phase, module: '', decision, reason })
  try {
    x.principal = await phases.whoAsks(snapshot.pipeline, x, identify)
    if (snapshot.pipelineFor) x.pipeline = await snapshot.pipelineFor(x.principal)
    say('authenticate', x.principal.kind, x.principal.id)
    x.plan = await planFor(x, snapshot, ports, true)
    say('route', `found as ${x.plan.via}`, x.plan.targets.map(phases.describeTarget).join(', '))
    await phases.admit({ ...(x.pipeline ?? snapshot.pipeline), wait: undefined }, x, holds, (by) => {
      if (x.plan) x.plan = narrowed(x, x.plan, by, ports)
    })
    if (x.plan.targets.length === 0) throw phases.noTarget('every target was ruled out by a policy')
  } catch (error) {
    refused = asGatewayError(error, x)
  } finally {
    for (const hold of holds.reverse()) await hold.release()
  }
  const now = ports.now()
  const { plan, principal } = x
  return {
    revision: x.revision,
    model: x.model,
    operation: x.operation,
    estimatedInputTokens: x.inputEstimate,
    ...(principal ? { principal: { kind: principal.kind, id: principal.id } } : {}),
    ...(refused ? { refused: { code: refused.code, status: refused.kind.status, message: refused.message } } : {}),
    ...(plan
      ? {
          plan: {
            via: plan.via,
            targets: plan.targets.map((target) => described(x, target, plan.breaker !== undefined, now)),
            retry: plan.retry,
            timeouts: plan.timeouts,
            ...(x.deadline === undefined ? {} : { deadlineMs: Math.round(x.deadline - x.started) }),
          },
        }
      : {}),
    trace: x.trace,
  }
}

function described(x: Exchange, target: Target, judged: boolean, now: number): object {
  const price = x.prices.of(target, now, x.principal)
  const atMost = worstCase(x, target, now)
  const rests = judged && !isUsable(target, now) ? recoveryOf(target, now) : undefined
  return {
    upstream: target.upstream.id,
    model: target.model,
    ...(target.fallback ? { fallback: target.fallback } : {}),
    ...(target.overrides ? { overrides: target.overrides } : {}),
    ...(rests ? { rests: { reason: rests.reason, until: new Date(rests.at).toISOString() } } : {}),
    ...(price
      ? {
          price: {
            version: price.version,
            dollarsPerMillionTokens: Object.fromEntries(
              Object.entries(price.rates).map(([bucket, rate]) => [bucket, formatDollars(rate as NanoUsd)]),
            ),
            ...(atMost === undefined ? {} : { atMostUsd: formatDollars(atMost) }),
          },
        }
      : { price: null }),
  }
}

/**
 * A copy of an exchange that goes to a second target in the background: logged and booked as its own, under a principal
 * of its own so that it counts against nobody's limits, and never returned to anybody. It carries what the modules made
 * of the request, and it is not tried twice.
 */
import { callTarget } from './attempt.ts'
import { Books, type BooksPorts, outcomeOf } from './books.ts'
import { asGatewayError } from './deliver.ts'
import type { EnginePorts } from './engine.ts'
import { type Exchange, ONE_ATTEMPT, type Plan, type Target } from './exchange.ts'
import { withoutKeys } from './keys.ts'
import type { Snapshot } from './snapshot.ts'
import { tryEach } from './tries.ts'

/** A slow mirror must not become a queue of its own. */
const MOST_RUNNING = 200
const MIRROR = { kind: 'local', id: 'mirror', scope: 'mirror' } as const

export function mirror(
  x: Exchange,
  plan: Plan,
  target: Target,
  snapshot: Snapshot,
  books: BooksPorts,
  ports: EnginePorts,
): void {
  if (ports.background.size >= MOST_RUNNING) {
    x.trace.push({
      phase: 'route',
      module: '',
      decision: 'not mirrored',
      reason: `${MOST_RUNNING} mirrors are running`,
    })
    return
  }
  x.trace.push({
    phase: 'route',
    module: '',
    decision: 'mirrored',
    reason: `${target.upstream.id}/${target.model} as ${x.id}-mirror`,
  })
  const { answerHeaders, allowance, affinity, scopes, cache, cacheAgeSeconds, ended, owned, deadline, ...asked } = x
  const controller = new AbortController()
  const { breaker, rules, ...how } = plan
  const shadow: Exchange = {
    ...asked,
    // A copy is the gateway's own doing: nobody's key pays for it.
    headers: withoutKeys(x.headers),
    id: `${x.id}-mirror`,
    arrivedAt: ports.now(),
    started: performance.now(),
    signal: controller.signal,
    principal: MIRROR,
    plan: { ...how, targets: [target], retry: ONE_ATTEMPT, ...(breaker ? { breaker } : {}) },
    request: () => x.request(),
    attempts: [],
    trace: [],
    unsupported: new Set(),
    keepReplyBytes: 0,
    replyBody: [],
  }
  const running = { x: shadow, controller, place: -1 }
  ports.background.add(running)
  const leave = snapshot.enter()
  void carried(shadow, new Books(shadow, books), ports).finally(() => {
    ports.background.delete(running)
    leave()
  })
}

async function carried(x: Exchange, books: Books, ports: EnginePorts): Promise<void> {
  try {
    const reply = await tryEach(
      x,
      {
        pins: ports.pins,
        now: ports.now,
        bringsKey: () => false,
        known: (error) => asGatewayError(error, x),
        call: (seat, signal) => callTarget(x, seat, books, ports, signal, (_, core) => core()),
      },
      x.signal,
    )
    if (reply.batches) for await (const _ of reply.batches);
    await books.finish('done', reply.status)
  } catch (error) {
    const known = asGatewayError(error, x)
    await books.finish(outcomeOf(known), known.kind.status, known).catch((reason) => ports.fault('mirror', reason))
  }
}

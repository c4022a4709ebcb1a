/**
 * Carries one exchange through the compiled pipeline: authenticate → route → admit → transform → call (attempts) →
 * delivery. Every way out of here has closed the books, or handed the duty to the delivery.
 */
import { callTarget } from './attempt.ts'
import { Books, type BooksPorts, outcomeOf } from './books.ts'
import type { Resume } from './continuation.ts'
import type { TokenCounter } from './counting.ts'
import { type Answer, asGatewayError, type DeliveryPorts, deliver } from './deliver.ts'
import { failure, leftBy, type Refusal } from './errors.ts'
import { type Exchange, ONE_ATTEMPT, type Plan, type Principal, type Target } from './exchange.ts'
import { isPromise } from './faults.ts'
import { mirror } from './mirror.ts'
import type { Awaitable, Narrowed } from './module.ts'
import { claimed, pinned } from './objects.ts'
import { type AttemptPorts, bringsKey, dialectFor, paidFor } from './outgoing.ts'
import * as phases from './pipeline.ts'
import { relayPlan } from './relay.ts'
import type { Reply } from './reply.ts'
import { clientTimeoutMs } from './routing/deadline.ts'
import type { Pins } from './routing/health.ts'
import { arrange } from './routing/rules.ts'
import { wishesOf } from './routing/wishes.ts'
import { nearSeals, sealsIn } from './seals.ts'
import type { Snapshot } from './snapshot.ts'
import type { Ledger } from './store.ts'
import { type TryPorts, tryEach } from './tries.ts'
import type { RunningExchange, Underway } from './underway.ts'
import { addUsage, NO_USAGE, type Usage } from './usage.ts'

export interface EnginePorts extends AttemptPorts, DeliveryPorts {
  readonly ledger: Ledger
  readonly pins: Pins
  readonly counter: TokenCounter
  /** Copies that run in the background, so that a stop can end them. */
  readonly background: Underway<RunningExchange>
  over(x: Exchange, snapshot: Snapshot): void
  fault(what: string, error: unknown): void
}

/** The door's part of an exchange. */
export interface Arriving {
  /** Core's own answer to who asks, after the identity modules: the proxy key, or (without doubt) a local caller. Throws a 401 else. */
  identify(doubt: Refusal | undefined): Awaitable<Principal>
  /** Reads what the exchange lacks so far, its body. Throws what is wrong with it. */
  receive(): Promise<void>
}

/** Made once a snapshot, not once an exchange. */
const booksPorts = new WeakMap<Snapshot, BooksPorts>()

function booksPortsOf(snapshot: Snapshot, ports: EnginePorts): BooksPorts {
  let made = booksPorts.get(snapshot)
  if (!made) {
    const { pipeline } = snapshot
    made = {
      ledger: ports.ledger,
      now: ports.now,
      settle: (x) => {
        const own = x.pipeline ?? pipeline
        return own.settle.length === 0 ? undefined : phases.settle(own, x, ports.fault)
      },
      over: (x) => ports.over(x, snapshot),
      fault: ports.fault,
    }
    booksPorts.set(snapshot, made)
  }
  return made
}

/** `signal` of the exchange ends it. Rejects with a GatewayError, after the books are closed. */
export async function run(x: Exchange, arriving: Arriving, snapshot: Snapshot, ports: EnginePorts): Promise<Answer> {
  let pipeline = x.pipeline ?? snapshot.pipeline
  const books = new Books(x, booksPortsOf(snapshot, ports))
  // What is there already is not awaited: each wait is a turn of the queue, on every request.
  try {
    const who = phases.whoAsks(pipeline, x, arriving.identify)
    x.principal = isPromise(who) ? await who : who
    if (snapshot.pipelineFor && !x.inner) pipeline = x.pipeline = await snapshot.pipelineFor(x.principal)
    await arriving.receive()
    const owned = claimed(x, ports.objects)
    if (owned) x.owned = owned
    const seals = ports.dialects.get(x.dialect)?.seals
    const sealed = seals && sealsIn(x.json, seals, ports.objects)
    if (sealed) x.sealed = sealed
    const plan = planFor(x, snapshot, ports)
    x.plan = isPromise(plan) ? await plan : plan
    const narrow = (by: Narrowed): void => {
      x.plan = narrowed(x, x.plan as Plan, by, ports)
    }
    if (ports.ledger.trouble) throw failure(ports.ledger.trouble, { problem: 'see /health/ready' })
    if (pipeline.admit.length > 0) await phases.admit(pipeline, x, books.holds, narrow)
    if (x.plan.targets.length === 0) throw phases.noTarget('every target was ruled out by a policy')
    if (pipeline.transform.length > 0) {
      const transformed = await phases.transform(pipeline, x)
      if (transformed) x.transformed = transformed
    }
    const copies = x.relay?.rest ? undefined : x.plan.rules?.mirror
    if (copies && Math.random() * 100 < copies.percent) {
      mirror(x, x.plan, copies.target, snapshot, booksPortsOf(snapshot, ports), ports)
    }
    const tries: TryPorts = {
      pins: ports.pins,
      now: ports.now,
      bringsKey: (target) => bringsKey(x, target, ports),
      known: (error) => asGatewayError(error, x),
      call: (seat, signal) =>
        callTarget(x, seat, books, ports, signal, (attempt, core) =>
          phases.aroundAttempt(pipeline.attempt, x, attempt, core),
        ),
    }
    const reply = await phases.around(pipeline.call, x, (shared) => tryEach(x, tries, shared ?? x.signal))
    return await deliver(x, reply, pipeline, books, ports, resumeFor(x, reply, tries))
  } catch (error) {
    const known = x.signal.aborted ? leftBy(x.signal) : asGatewayError(error, x)
    if (known.code === 'internal_error') ports.fault('exchange', known.cause ?? known)
    await books.finish(outcomeOf(known), known.kind.status, known)
    throw known
  }
}

/** How a broken stream goes on, where its route says that it may. */
function resumeFor(x: Exchange, first: Reply, tries: TryPorts): Resume | undefined {
  const plan = x.plan as Plan
  let left = plan.rules?.continuations ?? 0
  if (left === 0 || !x.stream || x.operation !== 'chat' || plan.retry === ONE_ATTEMPT) return undefined
  const request = x.transformed ?? x.request()
  if (request.operation !== 'chat') return undefined
  let leg = first
  return async (partial, error) => {
    const known = asGatewayError(error, x)
    const targets = plan.targets.filter((target) => target.continues && target !== leg.target)
    if (left-- === 0 || x.signal.aborted || known.kind.blame !== 'upstream' || targets.length === 0) return undefined
    let before: Usage = NO_USAGE
    for (const { usage } of x.attempts) if (usage) before = addUsage(before, usage)
    const part = { type: 'text', text: partial.trimEnd() } as const
    x.transformed = { ...request, messages: [...request.messages, { role: 'assistant', parts: [part] }] }
    x.plan = { ...plan, targets }
    x.trace.push({ phase: 'attempt', module: '', decision: 'goes on', reason: known.message })
    try {
      leg = await tryEach(x, tries, x.signal)
      return { reply: leg, before }
    } catch {
      return undefined
    }
  }
}

/** The route phase; also what `explain` asks. Throws `model_not_found` or, where no target does this work, a 400. */
export function planFor(x: Exchange, snapshot: Snapshot, ports: PlanPorts, dry = false): Awaitable<Plan> {
  const start = x.relay || x.upstream !== undefined ? relayPlan(x, snapshot) : snapshot.names.resolve(x.model)
  const routed = phases.route(x.pipeline ?? snapshot.pipeline, x, start)
  return isPromise(routed)
    ? routed.then((plan) => arrangedFor(x, plan, snapshot, ports, dry))
    : arrangedFor(x, routed, snapshot, ports, dry)
}
type PlanPorts = Pick<EnginePorts, 'dialects' | 'pins' | 'now' | 'isSignIn'>

/** Of the targets that routing found, those that can do it, in the order in which they are to be asked. */
function arrangedFor(x: Exchange, routed: Plan, snapshot: Snapshot, ports: PlanPorts, dry: boolean): Plan {
  const known = pinned(x, routed)
  const targets = paidFor(x, known, ports)
  const plan = targets === known.targets ? known : { ...known, targets }
  if (plan.targets.length === 0 && x.model === '') throw phases.noTarget(`no upstream offers ${x.operation}`)
  if (plan.targets.length === 0) {
    const may = x.principal?.mayAsk
    const near = snapshot.names.nearest(x.model).filter((name) => may?.(name) ?? true)
    const nearest = near.length > 0 ? ` Did you mean ${near.map((n) => `"${n}"`).join(' or ')}?` : ''
    throw failure('model_not_found', { model: x.model.slice(0, 200), nearest, param: 'model' })
  }
  const able = plan.targets.filter((target) => dialectFor(x, target, ports.dialects))
  if (able.length === 0) {
    const [first] = plan.targets
    const bound = ports.dialects.get(x.dialect)?.client?.boundTo?.(x.json)
    if (bound !== undefined) {
      throw failure('invalid_request', {
        problem: `"${bound}" refers to what an upstream of this API keeps, and upstream "${first?.upstream.id}" does not speak it. Send the whole conversation in the request, or choose another model.`,
        param: bound,
      })
    }
    throw failure('invalid_request', {
      problem: `Upstream "${first?.upstream.id}" offers no ${x.operation}; choose another model.`,
      param: 'model',
    })
  }
  const found = able.length === plan.targets.length ? plan : { ...plan, targets: able }
  // A vendor that routes by itself gets these wishes as they are.
  const wishes = x.relay || able.every(({ upstream }) => upstream.provider.quirks?.routes) ? undefined : wishesOf(x)
  if (wishes && wishes.fields.length > 0) x.ownFields = wishes.fields
  const arranged = nearSeals(x, found.rules || wishes ? arrange(x, found, wishes, ports, dry) : found)
  const patienceMs = clientTimeoutMs(x)
  if (patienceMs !== undefined) x.deadline = x.started + Math.min(patienceMs, arranged.timeouts.totalMs)
  // What was sent of a body that is still coming cannot be sent again.
  if (x.relay?.rest) return { ...arranged, targets: arranged.targets.slice(0, 1), retry: ONE_ATTEMPT }
  // Without a module that says how to go on, the first target is the only one.
  if (arranged.retry !== ONE_ATTEMPT || arranged.targets.length === 1) return arranged
  return { ...arranged, targets: arranged.targets.slice(0, 1) }
}

export function narrowed(x: Exchange, plan: Plan, by: Narrowed, ports: Pick<EnginePorts, 'dialects'>): Plan {
  let { targets } = plan
  if (by.dropTargets) targets = targets.filter((t) => !by.dropTargets?.includes(t))
  const most = by.maxOutputTokens
  const client = ports.dialects.get(x.dialect)?.client
  if (most !== undefined && client?.limitOutput) {
    const limit = client.limitOutput(x.json, Math.min(x.outputLimit ?? most, most))
    targets = targets.map((t): Target => ({ ...t, overrides: { ...t.overrides, ...limit } }))
  }
  return targets === plan.targets ? plan : { ...plan, targets }
}

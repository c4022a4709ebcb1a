/**
 * Compiles the hooks of all modules that are on into one array per phase, and runs each phase. The only place that
 * knows layers, order and what a phase does with its hooks; carrying an exchange through all of it is engine.ts.
 */
import { failure, GatewayError, Refusal } from './errors.ts'
import type { Attempt, Caller, Exchange, Plan, Principal, Target } from './exchange.ts'
import { type Bound, guarded, type HookCounts, hookCounts, isPromise, judge, unavailable } from './faults.ts'
import {
  type Awaitable,
  type Hold,
  type Hooks,
  LAYERS,
  type Module,
  type Narrowed,
  PHASES,
  type Phase,
  type Stage,
  type Turn,
  type Wait,
} from './module.ts'
import type { Reply } from './reply.ts'
import type { ModelRequest } from './request.ts'

/** A started module, as a snapshot holds it. */
export interface Live {
  readonly module: Module
  readonly mode: 'observe' | 'enforce'
  readonly hooks: Partial<Hooks>
  readonly wantsCall?: (x: Exchange) => boolean
  readonly wait?: Wait
  readonly counts: Readonly<Record<Phase, HookCounts>>
}
export const liveCounts = (): Record<Phase, HookCounts> =>
  Object.fromEntries(PHASES.map((phase) => [phase, hookCounts()])) as Record<Phase, HookCounts>

export type Pipeline = { readonly [P in Phase]: readonly Bound<P>[] } & {
  /** How a request waits that a limit refused; absent: it does not. */
  readonly wait?: Wait | undefined
}

/** By layer, then by `after`, then by name. Throws on a circle, naming it. */
export function inOrder<M extends { readonly module: Module }>(modules: readonly M[]): M[] {
  const sorted = [...modules].sort(
    (a, b) => LAYERS.indexOf(a.module.layer) - LAYERS.indexOf(b.module.layer) || (a.module.id < b.module.id ? -1 : 1),
  )
  const out: M[] = []
  const visit = (m: M, path: readonly string[]): void => {
    if (out.includes(m)) return
    if (path.includes(m.module.id))
      throw new Error(`modules wait for each other: ${[...path, m.module.id].join(' → ')}`)
    for (const id of m.module.after ?? []) {
      const other = sorted.find((o) => o.module.id === id && o.module.layer === m.module.layer)
      if (other) visit(other, [...path, m.module.id])
    }
    out.push(m)
  }
  for (const m of sorted) visit(m, [])
  return out
}

export function compile(modules: readonly Live[]): Pipeline {
  const ordered = inOrder(modules)
  const pick = <P extends Phase>(phase: P): Bound<P>[] =>
    ordered.flatMap(({ module, mode, hooks, wantsCall, counts }) => {
      const run = hooks[phase]
      if (!run) return []
      return [
        {
          id: module.id,
          phase,
          fault: phase === 'authenticate' ? 'closed' : module.fault,
          patienceMs: module.patienceMs ?? 1_000,
          observe: mode === 'observe',
          counts: counts[phase],
          run: run as Hooks[P],
          ...(phase === 'call' && wantsCall ? { wants: wantsCall } : {}),
        },
      ]
    })
  const wait = ordered.find((live) => live.mode === 'enforce' && live.wait)?.wait
  const phases = PHASES.map((phase) => [phase, pick(phase)] as const)
  return Object.fromEntries(wait ? [...phases, ['wait', wait]] : phases) as unknown as Pipeline
}

/** The first module that knows the caller ends the search. A broken identity module never lets anybody in. */
export async function authenticate(p: Pipeline, x: Caller): Promise<Principal | Refusal | undefined> {
  let doubt: Refusal | undefined
  for (const hook of p.authenticate) {
    const found = guarded<Principal | Refusal | undefined>(hook, x, undefined, () => hook.run(x))
    const answer = isPromise(found) ? await found : found
    if (answer instanceof Refusal) doubt ??= answer
    else if (answer) {
      x.trace.push({ phase: 'authenticate', module: hook.id, decision: 'known', reason: answer.id })
      return answer
    }
  }
  return doubt
}

/** The modules' answer, else core's own. */
export function whoAsks(
  p: Pipeline,
  x: Caller,
  identify: (doubt: Refusal | undefined) => Awaitable<Principal>,
): Awaitable<Principal> {
  return p.authenticate.length === 0 ? identify(undefined) : askModules(p, x, identify)
}

async function askModules(
  p: Pipeline,
  x: Caller,
  identify: (doubt: Refusal | undefined) => Awaitable<Principal>,
): Promise<Principal> {
  const known = await authenticate(p, x)
  return known === undefined || known instanceof Refusal ? identify(known) : known
}

/** Answers at once unless a hook does not. */
export function route(p: Pipeline, x: Exchange, start: Plan, from = 0): Awaitable<Plan> {
  let plan = start
  for (let i = from; i < p.route.length; i++) {
    const hook = p.route[i] as Bound<'route'>
    const before = plan
    const answer = guarded(hook, x, before, () => hook.run(x, before))
    if (isPromise(answer)) return answer.then((late) => route(p, x, refined(hook, x, before, late), i + 1))
    plan = refined(hook, x, before, answer)
  }
  return plan
}

function refined(hook: Bound<'route'>, x: Exchange, before: Plan, next: Plan): Plan {
  if (next === before) return before
  // Where only how to go on was changed: that is the same for every exchange, and in the settings.
  if (next.targets === before.targets && !hook.observe) return next
  const targets = next.targets.map((t) => `${t.upstream.id}/${t.model}`).join(', ')
  const decision = { phase: 'route', module: hook.id, decision: 'plan', reason: `${next.via}: ${targets}` }
  x.trace.push(hook.observe ? { ...decision, observed: true } : decision)
  return hook.observe ? before : next
}

/** All must agree. What was taken is pushed to `holds` at once, so that whoever ends the exchange gives it back. */
export async function admit(p: Pipeline, x: Exchange, holds: Hold[], narrow: (by: Narrowed) => void): Promise<void> {
  const giveBack = (late: Hold | Narrowed | undefined): unknown => holdOf(late)?.release()
  for (const hook of p.admit) {
    let taken: Hold | Narrowed | undefined
    try {
      const answer = guarded<Hold | Narrowed | undefined>(hook, x, undefined, () => hook.run(x), giveBack)
      if (isPromise(answer) && hook.observe) {
        // What an observer takes is on counters of its own; nobody waits for it.
        void answer.then((late) => {
          const hold = holdOf(late)
          if (!hold) return
          if (x.ended) void hold.settle(x.ended.cost, x.ended.usage)
          else holds.push(hold)
        })
        continue
      }
      taken = isPromise(answer) ? await answer : answer
    } catch (error) {
      taken = await waited(p, hook, x, error)
    }
    const hold = holdOf(taken)
    if (hold) holds.push(hold)
    if (taken && !('settle' in taken) && !hook.observe) narrow(taken)
  }
}

/** Asks again when it is the exchange's turn, as often as that takes; the one that lets it wait ends it. */
async function waited(p: Pipeline, hook: Bound<'admit'>, x: Exchange, error: unknown) {
  let turn: Turn | undefined
  let refused = error
  try {
    for (;;) {
      if (!p.wait || !(refused instanceof Refusal) || !refused.details.scarce) throw refused
      turn = await p.wait(x, refused, turn)
      const started = performance.now()
      try {
        return await hook.run(x)
      } catch (again) {
        if (!(again instanceof Refusal)) return judge<undefined>(hook, x, started, undefined, again)
        refused = again
      }
    }
  } finally {
    turn?.over()
  }
}
const holdOf = (taken: Hold | Narrowed | undefined): Hold | undefined =>
  taken === undefined ? undefined : 'settle' in taken ? taken : taken.hold

export async function transform(p: Pipeline, x: Exchange): Promise<ModelRequest | undefined> {
  let request: ModelRequest | undefined
  for (const hook of p.transform) {
    const before = request ?? x.request()
    const answer = guarded(hook, x, before, () => hook.run(x, before))
    if (hook.observe) {
      if (isPromise(answer)) void answer.catch(() => {})
      continue
    }
    const next = isPromise(answer) ? await answer : answer
    if (next !== before) {
      request = next
      x.trace.push({ phase: 'transform', module: hook.id, decision: 'changed' })
    }
  }
  return request
}

/** The onion around all attempts. A broken open layer is peeled off, but never after it has already called inwards. */
export function around(
  hooks: readonly Bound<'call'>[],
  x: Exchange,
  core: (signal?: AbortSignal) => Promise<Reply>,
): Promise<Reply> {
  if (!hooks.some((hook) => hook.wants?.(x) ?? true)) return core()
  const step = (i: number, signal: AbortSignal | undefined): Promise<Reply> => {
    const hook = hooks[i]
    if (hook?.wants?.(x) === false) return step(i + 1, signal)
    if (!hook) return core(signal)
    return layer(
      hook,
      x,
      (next) => hook.run(x, next),
      (own) => step(i + 1, own ?? signal),
    )
  }
  return step(0, undefined)
}

export function aroundAttempt(
  hooks: readonly Bound<'attempt'>[],
  x: Exchange,
  attempt: Attempt,
  core: () => Promise<Reply>,
): Promise<Reply> {
  if (hooks.length === 0) return core()
  const step = (i: number): Promise<Reply> => {
    const hook = hooks[i]
    if (!hook) return core()
    return layer(
      hook,
      x,
      (next) => hook.run(x, attempt, next),
      () => step(i + 1),
    )
  }
  return step(0)
}

async function layer(
  hook: Bound<Phase>,
  x: Exchange,
  run: (next: (signal?: AbortSignal) => Promise<Reply>) => Reply | Promise<Reply>,
  inwards: (signal?: AbortSignal) => Promise<Reply>,
): Promise<Reply> {
  const started = performance.now()
  let inner: Promise<Reply> | undefined
  const next = (signal?: AbortSignal): Promise<Reply> => {
    inner ??= inwards(signal)
    return inner
  }
  try {
    const reply = await run(next)
    hook.counts.calls++
    return reply
  } catch (error) {
    if (error instanceof GatewayError && !(error instanceof Refusal)) throw error
    judge(hook, x, started, undefined, error)
    return next()
  }
}

/** Told after each batch; a refusal ends the reply. */
export function meter(p: Pipeline, x: Exchange, bytes: number, estimatedOutputTokens: number): void {
  for (const hook of p.meter) {
    void guarded<void>(hook, x, undefined, () => hook.run(x, { bytes, estimatedOutputTokens }))
  }
}

/** One module's stage of one reply, with its fault mode: taken out when broken and open. */
export interface BoundStage {
  readonly hook: Bound<'stream'>
  readonly stage: Stage
  broken: boolean
}

/** The deepest module sees an event first. */
export function stagesOf(p: Pipeline, x: Exchange): BoundStage[] {
  const stages: BoundStage[] = []
  for (const hook of [...p.stream].reverse()) {
    const stage = guarded<Stage | undefined>(hook, x, undefined, () => hook.run(x))
    if (isPromise(stage)) throw unavailable(hook.id, new Error('a stream hook must answer at once'))
    if (stage) stages.push({ hook, stage, broken: false })
  }
  return stages
}

export async function settle(p: Pipeline, x: Exchange, log: (hook: string, error: unknown) => void): Promise<void> {
  for (const hook of [...p.settle].reverse()) {
    try {
      const answer = hook.run(x)
      if (isPromise(answer)) await answer
      hook.counts.calls++
    } catch (error) {
      hook.counts.faults++
      log(hook.id, error)
    }
  }
}

export async function record(p: Pipeline, ended: readonly Exchange[], dropped: (hook: string, error: unknown) => void) {
  for (const hook of p.record) {
    try {
      const answer = hook.run(ended)
      if (isPromise(answer)) await answer
      hook.counts.calls += ended.length
    } catch (error) {
      hook.counts.faults++
      dropped(hook.id, error)
    }
  }
}

export const noTarget = (problem: string): GatewayError => failure('no_target', { problem })
export const describeTarget = (t: Target): string => `${t.upstream.id}/${t.model}`

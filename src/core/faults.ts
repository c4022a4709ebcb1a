/**
 * The one place where a module's hook is run, timed, and where its crash or lateness becomes either nothing (fault mode
 * open) or an answer (closed). A refusal is a decision and passes through. A hook that returns a plain value is not
 * awaited and starts no timer.
 */
import { failure, type GatewayError, Refusal } from './errors.ts'
import type { Caller, Exchange } from './exchange.ts'
import type { Awaitable, FaultMode, Hooks, Phase } from './module.ts'

/** What a module did since it was started; read by the admin API. */
export interface HookCounts {
  calls: number
  refusals: number
  wouldRefuse: number
  faults: number
  /** Calls by duration: slot n holds those of at most 2^n microseconds. */
  readonly durations: Uint32Array
}
export const hookCounts = (): HookCounts => ({
  calls: 0,
  refusals: 0,
  wouldRefuse: 0,
  faults: 0,
  durations: new Uint32Array(32),
})

/** The upper bound, in microseconds, of the slot in which the given share of calls was done. */
export function percentile(counts: HookCounts, share: number): number {
  let left = Math.ceil(counts.calls * share)
  for (let slot = 0; slot < counts.durations.length; slot++) {
    left -= counts.durations[slot] ?? 0
    if (left <= 0) return 2 ** slot
  }
  return 0
}

export interface Bound<P extends Phase> {
  readonly id: string
  readonly phase: P
  readonly fault: FaultMode
  readonly patienceMs: number
  readonly observe: boolean
  readonly counts: HookCounts
  readonly run: Hooks[P]
  /** Of a `call` hook: whether it has anything to do with the exchange; absent: always. */
  readonly wants?: (x: Exchange) => boolean
}

export const isPromise = <T>(value: Awaitable<T>): value is Promise<T> =>
  typeof (value as { then?: unknown } | undefined)?.then === 'function'

/** Runs a hook. `neutral` is the outcome of a broken open (or merely observed) hook; `undo` takes back what came late. */
export function guarded<T>(
  hook: Bound<Phase>,
  x: Caller | undefined,
  neutral: T,
  work: () => Awaitable<T>,
  undo?: (value: T) => unknown,
): Awaitable<T> {
  const started = performance.now()
  let value: Awaitable<T>
  try {
    value = work()
  } catch (error) {
    return judge(hook, x, started, neutral, error)
  }
  if (!isPromise(value)) {
    count(hook, started)
    return value
  }
  return raced(hook, x, started, neutral, value, undo)
}

async function raced<T>(
  hook: Bound<Phase>,
  x: Caller | undefined,
  started: number,
  neutral: T,
  working: Promise<T>,
  undo?: (value: T) => unknown,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  let late = false
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      late = true
      reject(new Error(`no answer within ${hook.patienceMs} ms`))
    }, hook.patienceMs)
  })
  working.then(
    (value) => {
      if (late) undo?.(value)
    },
    () => {},
  )
  try {
    const value = await Promise.race([working, tooLate])
    count(hook, started)
    return value
  } catch (error) {
    return judge(hook, x, started, neutral, error)
  } finally {
    clearTimeout(timer)
  }
}

export function count(hook: Bound<Phase>, started: number): number {
  const microseconds = Math.round((performance.now() - started) * 1_000)
  hook.counts.calls++
  const slot = microseconds <= 1 ? 0 : Math.min(31, 32 - Math.clz32(microseconds - 1))
  hook.counts.durations[slot] = (hook.counts.durations[slot] ?? 0) + 1
  return microseconds
}

/** A thrown thing: refusal → thrown on (or noted, when only observing); anything else → the fault mode decides. */
export function judge<T>(hook: Bound<Phase>, x: Caller | undefined, started: number, neutral: T, error: unknown): T {
  const microseconds = count(hook, started)
  const note = (decision: string, reason: string) =>
    x?.trace.push({
      phase: hook.phase,
      module: hook.id,
      decision,
      reason,
      microseconds,
      ...(hook.observe ? { observed: true as const } : {}),
    })
  if (error instanceof Refusal) {
    note('refuse', error.message)
    if (hook.observe) {
      hook.counts.wouldRefuse++
      return neutral
    }
    hook.counts.refusals++
    throw error
  }
  hook.counts.faults++
  note('fault', error instanceof Error ? error.message : String(error))
  if (hook.fault === 'open' || hook.observe) return neutral
  throw unavailable(hook.id, error)
}

export const unavailable = (module: string, cause: unknown): GatewayError =>
  failure('module_unavailable', { module }, cause)

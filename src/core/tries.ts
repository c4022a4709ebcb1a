/**
 * The one retry layer: goes through a plan's targets until one has begun to answer, and decides after each failure whether
 * to ask again here, with another key, at the next target, or not at all. Total calls and total time are bounded.
 */
import { failure, type GatewayError, leftBy, Refusal } from './errors.ts'
import type { Credential, Exchange, FallbackReason, Plan, Target, Timeouts } from './exchange.ts'
import { describeTarget, noTarget } from './pipeline.ts'
import type { Reply } from './reply.ts'
import { isRoomier } from './routing/filters.ts'
import type { Pins } from './routing/health.ts'
import { hedged, type Start } from './routing/hedge.ts'
import { enter, isUsable, keyFor, recoveryOf } from './routing/pool.ts'
import { lacksModel, letGo } from './routing/verdict.ts'
import { sealedBy } from './seals.ts'

/** A target, the key to use there, and how long it may take: what one call needs to know. */
export interface Seat {
  readonly target: Target
  readonly key: Credential | undefined
  readonly timeouts: Timeouts
  /** Set once the attempt is booked, which from then on gives back what was taken for it. */
  taken: boolean
}

export interface TryPorts {
  readonly pins: Pins
  now(): number
  /** Rejects with whatever went wrong before content came. */
  call(seat: Seat, signal: AbortSignal): Promise<Reply>
  /** The client pays with a key of its own here, so the pool has no say. */
  bringsKey(target: Target): boolean
  known(error: unknown): GatewayError
}

interface Progress {
  made: number
  last?: GatewayError
  /** Why what was asked so far could not serve; decides who may be asked next. */
  reason: FallbackReason
  tooSmall?: Target
}

/** Ends with the reply's first content in hand, or with the error that says most. */
export async function tryEach(x: Exchange, ports: TryPorts, signal: AbortSignal): Promise<Reply> {
  const plan = x.plan as Plan
  const progress: Progress = { made: 0, reason: 'general' }
  let queue = plan.targets
  for (let round = 0; ; round++) {
    const resting: Target[] = []
    for (let i = 0; i < queue.length; i++) {
      const target = queue[i] as Target
      if (!mayFollow(target, progress)) continue
      const others = queue.length - i - 1
      const reply = await tryTarget(x, plan, target, others, progress, resting, ports, signal)
      if (reply) return reply
      if (progress.made >= plan.retry.attempts) break
    }
    const now = ports.now()
    const soonest = Math.min(...resting.map((target) => recoveryOf(target, now).at))
    const waitMs = Math.max(0, soonest - now) + Math.random() * 100
    const mayWait =
      round === 0 &&
      resting.length > 0 &&
      progress.made < plan.retry.attempts &&
      waitMs <= plan.retry.maxRetryAfterMs &&
      !isLate(x, plan, waitMs)
    if (!mayWait) throw progress.last ?? allResting(resting, now)
    await pause(waitMs, signal)
    queue = resting
  }
}

function mayFollow(target: Target, { reason, tooSmall }: Progress): boolean {
  const { fallback } = target
  if (reason === 'content-policy') return fallback === 'content-policy'
  if (reason === 'general') return fallback === undefined || fallback === 'general'
  return fallback === 'context-window' || (fallback !== 'content-policy' && isRoomier(target, tooSmall))
}

async function tryTarget(
  x: Exchange,
  plan: Plan,
  target: Target,
  others: number,
  progress: Progress,
  resting: Target[],
  ports: TryPorts,
  signal: AbortSignal,
): Promise<Reply | undefined> {
  const { retry } = plan
  let spent: Set<Credential> | undefined
  let repeats = 0
  for (;;) {
    if (progress.made > 0 && isLate(x, plan, 0)) throw progress.last ?? noTarget('time is up')
    const seat = seatAt(x, plan, target, others, spent, progress.made > 0, ports)
    if (!seat) {
      if (!spent) {
        resting.push(target)
        x.trace.push({ phase: 'attempt', module: '', decision: 'passed over', reason: whyResting(target, ports.now()) })
      }
      return undefined
    }
    progress.made++
    let known: GatewayError
    try {
      const reply = await begin(x, plan, seat, others, progress, ports, signal)
      note(x, reply.target, 'answered', undefined)
      if (x.affinity) ports.pins.set(x.affinity.name, describeTarget(target), ports.now() + x.affinity.ttlMs)
      return reply
    } catch (error) {
      if (!seat.taken) letGo(target, seat.key?.health, seat)
      known = ports.known(error)
    }
    note(x, target, 'failed', known.message)
    progress.last = known
    if (known instanceof Refusal || signal.aborted) throw known
    if (known.code === 'upstream_context_too_long') {
      progress.reason = 'context-window'
      progress.tooSmall = target
      return undefined
    }
    if (known.code === 'upstream_content_filtered') {
      progress.reason = 'content-policy'
      return undefined
    }
    if (known.kind.retry === 'never') throw known
    if (progress.made >= retry.attempts) return undefined
    const isKeys = KEY_ERRORS.has(known.code) || lacksModel(known)
    if (seat.key && !x.owned?.length && isKeys && target.upstream.credentials.length > 1) {
      spent ??= new Set()
      spent.add(seat.key)
      if (keyFor(target, ports.now(), spent, undefined, plan.breaker !== undefined)) {
        if (known.code === 'upstream_rate_limited') await pause(jitter(retry, 1), signal)
        continue
      }
    }
    if (known.kind.retry === 'elsewhere') return undefined
    const asked = known.details.retryAfterMs ?? 0
    repeats++
    // A repetition here never uses up the call of a target that was not asked yet.
    const mayRepeat =
      repeats < retry.attemptsPerTarget &&
      retry.attempts - progress.made > others &&
      asked <= retry.maxRetryAfterMs &&
      !isLate(x, plan, asked)
    if (!mayRepeat || !target.health.mayRepeat()) return undefined
    spent = undefined
    // Never a moment too early, and not all at the same one.
    await pause(Math.max(asked === 0 ? 0 : asked + 5 + Math.random() * 50, jitter(retry, repeats)), signal)
  }
}

/** One call; or two, where the plan hedges and the first is slow to begin. */
function begin(
  x: Exchange,
  plan: Plan,
  seat: Seat,
  others: number,
  progress: Progress,
  ports: TryPorts,
  signal: AbortSignal,
): Promise<Reply> {
  const { hedge } = plan
  if (!hedge || others === 0 || progress.made > 1) return ports.call(seat, signal)
  hedge.seen()
  const delayMs = hedge.delayMs(seat.target.health)
  if (delayMs === undefined) return ports.call(seat, signal)
  const second = (): Start | undefined => {
    for (const target of plan.targets) {
      if (target === seat.target || target.fallback || progress.made >= plan.retry.attempts) continue
      const other = seatAt(x, plan, target, 0, undefined, true, ports)
      if (!other) continue
      if (!hedge.take()) {
        letGo(target, other.key?.health, other)
        return undefined
      }
      progress.made++
      x.trace.push({ phase: 'attempt', module: 'hedging', decision: 'second call', reason: describeTarget(target) })
      return async (own: AbortSignal) => {
        try {
          return await ports.call(other, own)
        } finally {
          if (!other.taken) letGo(target, other.key?.health, other)
        }
      }
    }
    return undefined
  }
  return hedged(
    (own) => ports.call(seat, own),
    second,
    delayMs,
    signal,
    (error) => isFinal(ports.known(error)),
  )
}

/** No other target may be asked what this one was. */
const isFinal = (known: GatewayError): boolean => known instanceof Refusal || known.kind.retry === 'never'

const KEY_ERRORS: ReadonlySet<string> = new Set(['upstream_credentials', 'upstream_quota', 'upstream_rate_limited'])

function seatAt(
  x: Exchange,
  plan: Plan,
  target: Target,
  others: number,
  spent: ReadonlySet<Credential> | undefined,
  again: boolean,
  ports: TryPorts,
): Seat | undefined {
  const judged = plan.breaker !== undefined
  const now = ports.now()
  const pooled = target.upstream.credentials.length > 0 && !ports.bringsKey(target)
  // What an account made, only the same account knows.
  const account = (x.owned?.[0] ?? sealedBy(x.sealed, target.upstream.id))?.credential
  const own = account === undefined ? undefined : target.upstream.credentials.find(({ id }) => id === account)
  const key = pooled ? (own ?? keyFor(target, now, spent, x.affinity?.name, judged)) : undefined
  if (pooled && !key) return undefined
  const seat = { target, key, timeouts: timeoutsOf(x, plan, target, others, again), taken: false }
  return judged && !enter(target, key, now, seat) ? undefined : seat
}

/** A first call without a deadline gets its limits as they stand; any other what is left, and its share of it. */
function timeoutsOf(x: Exchange, plan: Plan, target: Target, others: number, again: boolean): Timeouts {
  const all = target.timeouts ?? plan.timeouts
  if (!again && x.deadline === undefined) return all
  const end = x.deadline ?? x.started + all.totalMs
  const left = Math.max(1, Math.round(end - performance.now()))
  const share = x.deadline === undefined || plan.retry.attempts === 1 ? left : Math.ceil(left / (others + 1))
  return {
    ...all,
    connectMs: Math.min(all.connectMs, share),
    headersStreamedMs: Math.min(all.headersStreamedMs, share),
    headersUnstreamedMs: Math.min(all.headersUnstreamedMs, share),
    firstContentMs: Math.min(all.firstContentMs, share),
    totalMs: Math.min(all.totalMs, left),
  }
}

function isLate(x: Exchange, plan: Plan, inMs: number): boolean {
  const then = performance.now() + inMs
  return then - x.started > plan.retry.totalMs || (x.deadline !== undefined && then >= x.deadline)
}

const whyResting = (target: Target, now: number): string => {
  const { at, reason } = isUsable(target, now) ? { at: now, reason: 'a probe is running' } : recoveryOf(target, now)
  return `${describeTarget(target)}: ${reason}, for ${Math.max(0, at - now)} ms`
}

/** A76: what the client gets is when to come back, and why. */
function allResting(targets: readonly Target[], now: number): GatewayError {
  if (targets.length === 0) return noTarget('no attempt was made')
  const recoveries = targets.map((target) => recoveryOf(target, now))
  const retryAfterMs = Math.max(0, Math.min(...recoveries.map(({ at }) => at)) - now)
  const limited = recoveries.every(({ reason }) => reason === 'rate limited' || reason.includes('limits'))
  const problem = targets.map((target) => whyResting(target, now)).join('; ')
  return failure('targets_resting', { problem, retryAfterMs }, undefined, limited ? { status: 429 } : undefined)
}

function note(x: Exchange, target: Target, decision: string, reason: string | undefined): void {
  const attempt = x.attempts.findLast((each) => each.target === target)
  const where = `${describeTarget(target)}${attempt?.status === undefined ? '' : ` (${attempt.status})`}`
  x.trace.push({
    phase: 'attempt',
    module: '',
    decision,
    reason: reason === undefined ? where : `${where}: ${reason}`,
    ...(attempt?.totalMs === undefined ? {} : { microseconds: Math.round(attempt.totalMs * 1_000) }),
  })
}

/** Exponential, with full jitter. */
const jitter = (retry: Plan['retry'], repeats: number): number =>
  Math.random() * Math.min(retry.maxBackoffMs, retry.firstBackoffMs * 2 ** (repeats - 1))

function pause(waitMs: number, signal: AbortSignal): Promise<void> {
  if (waitMs <= 0) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const left = (): void => {
      clearTimeout(timer)
      reject(leftBy(signal))
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', left)
      resolve()
    }, waitMs)
    if (signal.aborted) left()
    else signal.addEventListener('abort', left, { once: true })
  })
}

/**
 * Requests, tokens and parallel calls per minute, hour or day, for whoever and whatever a limit's scope names. All limits
 * of an exchange are checked and then taken in one step of the event loop, so that a refused one leaves no trace.
 */
import { type Static, Type } from 'typebox'
import type { Limit } from '../../core/directory.ts'
import { GatewayError, Refusal } from '../../core/errors.ts'
import { outputLimit } from '../../core/estimate.ts'
import type { Allowance, Attempt, Exchange, Left, Principal } from '../../core/exchange.ts'
import { type Applied, Figures } from '../../core/figures.ts'
import { defineModule, type Hold, type Host } from '../../core/module.ts'
import type { Reply } from '../../core/reply.ts'
import { BUCKETS, type Bucket, INPUT_BUCKETS, NO_USAGE, OUTPUT_BUCKETS, type Usage } from '../../core/usage.ts'
import { type Counted, type Counter, Counters } from './counters.ts'

const settings = Type.Object(
  {
    count: Type.Array(Type.Enum([...BUCKETS]), {
      default: BUCKETS.filter((bucket) => bucket !== 'cacheRead'),
      uniqueItems: true,
      description:
        'Which tokens count, where a limit itself does not say. Those read from a provider’s cache do not, unless they are named.',
    }),
  },
  { additionalProperties: false },
)
type Settings = Static<typeof settings>

const TIDY_MS = 60_000

export default defineModule({
  id: 'rate-limits',
  summary:
    'Limits requests, tokens and parallel calls per organization, team, user, key, end user, model, upstream or tag.',
  layer: 'limits',
  default: 'off',
  fault: 'closed',
  patienceMs: 30_000,
  settings,
  errors: {
    rate_limit_exceeded: {
      status: 429,
      blame: 'client',
      retry: 'never',
      message: 'Rate limit reached: {limit}. {used} of {amount} are used; try again in {wait}.',
    },
    rate_limit_too_small: {
      status: 429,
      blame: 'client',
      retry: 'never',
      final: true,
      message:
        'This request needs {needed} {counts}, more than {limit} ever allows. Ask for less, or for a higher limit.',
    },
  },
  aboutCaller(host, principal) {
    const limiter = createLimiter(host, { count: [...BUCKETS] }, remembered(host))
    return { limits: limiter.about(principal) }
  },
  start(host, chosen) {
    const counters = remembered(host)
    const limiter = createLimiter(host, chosen, counters)
    host.jobs.every(TIDY_MS, () => counters.forgetIdle())
    if (host.mode === 'observe') return { admit: limiter.admit }
    return { admit: limiter.admit, attempt: limiter.attempt, settle: limiter.ended }
  },
})

function remembered(host: Host): Counters {
  let counters = host.memory.get('counters') as Counters | undefined
  if (!counters) {
    counters = new Counters(host)
    host.memory.set('counters', counters)
  }
  return counters
}

/** Which tokens count. */
interface Buckets {
  readonly input: readonly Bucket[]
  readonly output: readonly Bucket[]
}
const compiled = (count: readonly Bucket[]): Buckets => ({
  input: INPUT_BUCKETS.filter((bucket) => count.includes(bucket)),
  output: OUTPUT_BUCKETS.filter((bucket) => count.includes(bucket)),
})

/** One counter that an exchange falls into, and how much of it the exchange takes. */
interface Claim {
  readonly limit: Limit
  readonly counter: Counter
  readonly amount: number
  slot: number
}

function createLimiter(host: Host, chosen: Settings, counters: Counters) {
  const figures = new Figures(host.directory, 'limit')
  const usual = compiled(chosen.count)
  const own = new WeakMap<Limit, Buckets>()
  function bucketsOf(limit: Limit): Buckets {
    if (limit.count === undefined) return usual
    let found = own.get(limit)
    if (!found) {
      found = compiled(limit.count)
      own.set(limit, found)
    }
    return found
  }
  const sum = (buckets: readonly (keyof Usage)[], usage: Usage): number => {
    let tokens = 0
    for (const bucket of buckets) tokens += (usage[bucket] as number | undefined) ?? 0
    return tokens
  }
  const counted: Counted = (limit, usage) => {
    const { input, output } = bucketsOf(limit)
    return limit.counts === 'input_tokens'
      ? sum(input, usage)
      : limit.counts === 'output_tokens'
        ? sum(output, usage)
        : limit.counts === 'tokens'
          ? sum(input, usage) + sum(output, usage)
          : 1
  }

  /** What will be used at most, as far as the request says. */
  function reserve(limit: Limit, x: Exchange, target = x.plan?.targets[0]): number {
    if (limit.counts === 'requests' || limit.counts === 'parallel') return 1
    const { input, output } = bucketsOf(limit)
    const asked = input.includes('input') ? x.inputEstimate : 0
    if (limit.counts === 'input_tokens') return asked
    const answered = target && output.includes('output') ? outputLimit(x, target) : 0
    return limit.counts === 'output_tokens' ? answered : asked + answered
  }

  function claimsOf(x: Exchange, applied: readonly Applied<Limit>[], target = x.plan?.targets[0]): Claim[] {
    const claims: Claim[] = []
    for (const one of applied) {
      const limit = one.figure
      claims.push({ limit, counter: counters.of(one, counted), amount: reserve(limit, x, target), slot: 0 })
    }
    return claims
  }

  /** Throws a refusal that names the limit; takes nothing unless all fit. */
  function take(claims: readonly Claim[], x: Exchange, now: number): void {
    for (const { limit, counter, amount } of claims) {
      const used = counter.window ? counter.window.used(now) : counter.running
      const isOthers = counter.turn !== undefined && counter.turn !== x
      if (isOthers || used + amount > limit.amount) refuse(limit, counter, used, amount, now)
    }
    for (const claim of claims) {
      if (claim.counter.window) claim.slot = claim.counter.window.take(now, claim.amount)
      else claim.counter.running++
      if (claim.limit.counts !== 'requests') claim.counter.lent++
    }
  }

  function refuse(limit: Limit, counter: Counter, used: number, amount: number, now: number): never {
    const { window } = counter
    const what = describe(limit)
    const facts = {
      limit: limit.id,
      scope: { ...limit.scope },
      counts: limit.counts,
      ...(limit.per ? { per: limit.per } : {}),
    }
    if (amount > limit.amount) {
      host.refuse('rate_limit_too_small', { limit: what, needed: amount, counts: NAMES[limit.counts], facts })
    }
    // Nobody knows when a call will end.
    const free = window ? Math.max(1, window.waitFor(amount, limit.amount, now)) : 1_000
    // A minute is what clients wait at most; the second that a slot is longer is not worth telling.
    const waitMs = limit.per === 'minute' ? Math.min(free, 60_000) : free
    host.refuse('rate_limit_exceeded', {
      limit: what,
      used,
      amount: limit.amount,
      wait: waitMs < 1_000 ? `${Math.ceil(waitMs)} ms` : `${Math.ceil(waitMs / 1_000)} s`,
      retryAfterMs: waitMs,
      scarce: counter,
      facts: { ...facts, reset_at: new Date(host.now() + waitMs).toISOString() },
    })
  }

  function settle(claims: readonly Claim[], usage: Usage): void {
    const now = performance.now()
    for (const { limit, counter, amount, slot } of claims) {
      if (!counter.window) counter.running--
      else if (limit.counts !== 'requests') {
        const used = counted(limit, usage)
        if (used < amount) counter.window.giveBack(slot, amount - used)
        // More than was reserved counts from now: the slot it was reserved in may be gone.
        else if (used > amount) counter.window.take(now, used - amount)
      }
      cameBack(limit, counter)
    }
  }

  function giveBack(claims: readonly Claim[], x: Exchange): void {
    for (const { limit, counter, amount, slot } of claims) {
      if (!counter.window) counter.running--
      // A reply from the cache was a request all the same.
      else if (limit.counts !== 'requests' || x.cache !== 'hit') counter.window.giveBack(slot, amount)
      cameBack(limit, counter)
    }
  }

  function admitted(x: Exchange, claims: Claim[]): Hold {
    const now = performance.now()
    take(claims, x, now)
    if (host.mode === 'enforce') x.allowance = allowanceOf(claims, now)
    return {
      settle: (_, usage) => settle(claims, usage),
      release: () => giveBack(claims, x),
    }
  }

  /** What calls to upstreams took, until their exchange ends. Not a Map: see core/underway.ts. */
  const calls = new WeakMap<Exchange, { readonly attempt: Attempt; readonly claims: readonly Claim[] }[]>()

  async function call(x: Exchange, attempt: Attempt, claims: Claim[], next: () => Promise<Reply>): Promise<Reply> {
    for (const { counter } of claims) if (counter.loading) await counter.loading
    try {
      take(claims, x, performance.now())
    } catch (error) {
      // Not the end of the exchange: another upstream may have room.
      if (!(error instanceof Refusal)) throw error
      throw new GatewayError(error.code, { ...error.kind, retry: 'elsewhere' }, error.details)
    }
    const made = calls.get(x)
    if (made) made.push({ attempt, claims })
    else calls.set(x, [{ attempt, claims }])
    return next()
  }

  return {
    /** What a caller has left of the limits that hold for it whatever it asks for. */
    about(principal: Principal) {
      const now = performance.now()
      return figures.about(principal).map((applied) => {
        const { figure: limit } = applied
        const { window, running } = counters.of(applied, counted)
        const used = window ? window.used(now) : running
        const { scope, counts, per = null, amount } = limit
        return { scope: { ...scope }, counts, per, amount, remaining: Math.max(0, amount - used) }
      })
    },
    attempt(x: Exchange, attempt: Attempt, next: () => Promise<Reply>): Promise<Reply> {
      const applied = figures.to(x, attempt.target.upstream.id)
      return applied.length === 0 ? next() : call(x, attempt, claimsOf(x, applied, attempt.target), next)
    },
    ended(x: Exchange): void {
      const made = calls.get(x)
      if (!made) return
      calls.delete(x)
      for (const { attempt, claims } of made) settle(claims, attempt.usage ?? NO_USAGE)
    },
    admit(x: Exchange): Hold | undefined | Promise<Hold | undefined> {
      const applied = figures.of(x)
      if (applied.length === 0) return undefined
      const claims = claimsOf(x, applied)
      for (const { counter } of claims) {
        if (counter.loading) return Promise.all(claims.map((c) => c.counter.loading)).then(() => admitted(x, claims))
      }
      return admitted(x, claims)
    },
  }
}

function cameBack({ counts }: Limit, counter: Counter): void {
  if (counts !== 'requests') counter.lent--
  counter.freed?.()
}

/** The tightest limit of each kind, for the headers. */
function allowanceOf(claims: readonly Claim[], now: number): Allowance {
  const allowance: { requests?: Left; tokens?: Left; inputTokens?: Left; outputTokens?: Left } = {}
  for (const { limit, counter } of claims) {
    if (!counter.window || limit.counts === 'parallel') continue
    const kind = KINDS[limit.counts]
    const remaining = Math.max(0, limit.amount - counter.window.used(now))
    const known = allowance[kind]
    if (known && known.remaining <= remaining) continue
    allowance[kind] = { limit: limit.amount, remaining, resetMs: counter.window.emptyAfter(now) }
  }
  return allowance
}
const KINDS = {
  requests: 'requests',
  tokens: 'tokens',
  input_tokens: 'inputTokens',
  output_tokens: 'outputTokens',
} as const

const NAMES = {
  requests: 'requests',
  input_tokens: 'input tokens',
  output_tokens: 'output tokens',
  tokens: 'tokens',
  parallel: 'parallel requests',
} as const

/** `10 requests per minute for team=search`. */
function describe({ counts, per, amount, scope }: Limit): string {
  const where = Object.entries(scope).map(([dimension, value]) => `${dimension}=${value}`)
  const time = per === undefined ? '' : ` per ${per}`
  return `${amount} ${NAMES[counts]}${time} for ${where.length === 0 ? 'everybody together' : where.join(', ')}`
}

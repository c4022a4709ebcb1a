/**
 * What an attempt's end says about the target and the key it used. Runs where the attempt is booked, so it happens exactly
 * once; without a breaker only figures are learnt, and nothing is ever taken out.
 */
import type { GatewayError } from '../errors.ts'
import type { Attempt, Target } from '../exchange.ts'
import { inputTokens, outputTokens } from '../usage.ts'
import type { BreakerPolicy } from './circuit.ts'
import type { KeyHealth } from './health.ts'
import { restMs } from './pacing.ts'

/** Mistakes of the client and of the gateway say nothing about the other side. */
const TARGET_FAILS: ReadonlySet<string> = new Set([
  'upstream_error',
  'upstream_unreachable',
  'upstream_invalid',
  'upstream_incomplete',
  'upstream_overloaded',
  'upstream_timeout',
  'upstream_model_missing',
  'upstream_misdirected',
])
/** A rate limit without a time to wait rests the key this long. */
const SHORT_REST_MS = 1_000

export function began(attempt: Attempt, now: number): void {
  attempt.target.health.inFlight++
  if (attempt.key) {
    attempt.key.inFlight++
    attempt.key.minute.count(now)
  }
}

/** The attempt never left: nothing is learnt. */
export function withdrawn({ target, key }: Attempt): void {
  target.health.inFlight--
  if (key) key.inFlight--
  letGo(target, key)
}

/** Gives back the probes that were taken for a call that said nothing, or was never made. */
export function letGo(target: Target, key: KeyHealth | undefined): void {
  target.health.circuit.leave()
  if (!key) return
  key.circuit.leave()
  key.models.get(target.model)?.leave()
}

export function ended(
  attempt: Attempt,
  error: GatewayError | undefined,
  policy: BreakerPolicy | undefined,
  now: number,
) {
  const { target, key, usage } = attempt
  const { health } = target
  health.inFlight--
  if (key) key.inFlight--
  if (usage && usage.source !== 'none') {
    const tokens = inputTokens(usage) + outputTokens(usage)
    health.minute.use(now, tokens)
    key?.minute.use(now, tokens)
    health.spoke(outputTokens(usage), (attempt.totalMs ?? 0) - (attempt.firstContentMs ?? 0))
  }
  const given = attempt.outcome === 'client_cancel' || attempt.outcome === 'cancelled'
  if (!given && (attempt.outcome === 'done' || error === undefined || !isTrouble(error))) {
    // Also a request that was rejected for its own mistake shows that somebody is there.
    health.answered(now, attempt.firstContentMs ?? attempt.totalMs ?? 0, policy)
    if (key) {
      key.circuit.succeeded(now, policy?.windowMs ?? 30_000)
      key.models.get(target.model)?.succeeded(now, policy?.windowMs ?? 30_000)
    }
    return
  }
  if (!given && error !== undefined) {
    if (TARGET_FAILS.has(error.code)) health.failed(now, attempt.totalMs ?? 0)
    if (policy) judge(attempt, error, policy, now)
  }
  letGo(target, key)
}

const KEY_TROUBLE: ReadonlySet<string> = new Set(['upstream_credentials', 'upstream_quota', 'upstream_rate_limited'])
const isTrouble = ({ code }: GatewayError): boolean => TARGET_FAILS.has(code) || KEY_TROUBLE.has(code)

function judge({ target, key, status }: Attempt, error: GatewayError, policy: BreakerPolicy, now: number): void {
  const { circuit } = target.health
  const asked = error.details.retryAfterMs
  const told = asked === undefined ? undefined : now + Math.min(asked, policy.maxRetryAfterMs)
  if (KEY_TROUBLE.has(error.code)) {
    if (error.code === 'upstream_rate_limited') {
      const rests = key ? key.ofModel(target.model) : circuit
      // Limits end at the moment that was named, for everybody.
      rests.open(told ?? now + SHORT_REST_MS, 'rate limited', false)
    } else if (key) {
      // A 403 may be about this model alone; the other two are about the key.
      const rests = status === 403 ? key.ofModel(target.model) : key.circuit
      const reason = error.code === 'upstream_quota' ? 'its account has no quota left' : 'its key was refused'
      rests.open(Math.max(now + policy.credentialCooldownMs, told ?? 0), reason)
    } else circuit.failed(now, policy, error.code)
    return
  }
  if (told !== undefined && asked !== undefined && asked > 0) circuit.open(told, `${error.code}, and it said when`)
  else circuit.failed(now, policy, error.code)
}

/** What the head of an answer says about its key's rate limit. */
export function pace(
  { key, target }: Attempt,
  headers: Readonly<Record<string, string>>,
  policy: BreakerPolicy,
  tokens: number,
  now: number,
): void {
  const ms = restMs(headers, now, tokens)
  if (ms) key?.ofModel(target.model).open(now + Math.min(ms, policy.maxRetryAfterMs), 'rate limited', false)
}

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
export function withdrawn({ target, key, seat }: Attempt): void {
  target.health.inFlight--
  if (key) key.inFlight--
  letGo(target, key, seat)
}

/** Gives back the probes that were taken for a call that said nothing, or was never made. */
export function letGo(target: Target, key: KeyHealth | undefined, seat: object): void {
  target.health.circuit.leave(seat)
  if (!key) return
  key.circuit.leave(seat)
  key.models.get(target.model)?.leave(seat)
}

export function ended(
  attempt: Attempt,
  error: GatewayError | undefined,
  policy: BreakerPolicy | undefined,
  now: number,
) {
  const { target, key, usage, seat } = attempt
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
    health.answered(now, attempt.firstContentMs ?? attempt.totalMs ?? 0, policy, seat)
    if (key) {
      key.circuit.succeeded(now, policy?.windowMs ?? 30_000, seat)
      key.models.get(target.model)?.succeeded(now, policy?.windowMs ?? 30_000, seat)
    }
    return
  }
  if (!given && error !== undefined) {
    if (TARGET_FAILS.has(error.code)) health.failed(now, attempt.totalMs ?? 0)
    if (policy) judge(attempt, error, policy, now)
  }
  letGo(target, key, seat)
}

const KEY_TROUBLE: ReadonlySet<string> = new Set(['upstream_credentials', 'upstream_quota', 'upstream_rate_limited'])
const isTrouble = ({ code }: GatewayError): boolean => TARGET_FAILS.has(code) || KEY_TROUBLE.has(code)

function judge({ target, key, seat }: Attempt, error: GatewayError, policy: BreakerPolicy, now: number): void {
  const { circuit } = target.health
  const asked = error.details.retryAfterMs
  const told = asked === undefined ? undefined : now + Math.min(asked, policy.maxRetryAfterMs)
  if (KEY_TROUBLE.has(error.code)) {
    if (error.code === 'upstream_rate_limited') {
      const rests = key ? key.ofModel(target.model) : circuit
      // Limits end at the moment that was named, for everybody.
      rests.open(told ?? now + SHORT_REST_MS, 'rate limited', 'named')
    } else if (key) {
      const until = Math.max(now + policy.credentialCooldownMs, told ?? 0)
      if (error.code === 'upstream_quota') key.retire(until, 'its account has no quota left', 'told')
      else key.retire(until, 'its key was refused', told === undefined ? 'doubt' : 'told')
    } else circuit.failed(now, policy, error.code, seat)
    return
  }
  if (key && lacksModel(error)) {
    key.ofModel(target.model).open(now + policy.credentialCooldownMs, 'its key may not use this model')
    return
  }
  if (told !== undefined && asked !== undefined && asked > 0)
    circuit.open(told, `${error.code}, and it said when`, 'told')
  else circuit.failed(now, policy, error.code, seat)
}

/** The model is there, and not for this key: another key may have it, and this one is good for all others. */
export const lacksModel = ({ code, details }: GatewayError): boolean =>
  code === 'upstream_model_missing' && details.upstreamStatus === 403

/** What the head of an answer says about its key's rate limit. */
export function pace(
  { key, target }: Attempt,
  headers: Readonly<Record<string, string>>,
  policy: BreakerPolicy,
  tokens: number,
  now: number,
): void {
  const ms = restMs(headers, now, tokens)
  if (ms) key?.ofModel(target.model).open(now + Math.min(ms, policy.maxRetryAfterMs), 'rate limited', 'named')
}

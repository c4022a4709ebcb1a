/**
 * Everything that must happen exactly once, however an exchange ends: each attempt's two ledger rows, the holds, the
 * settle hooks, the final facts. The end of an answer leaves only after `finish` has resolved.
 */
import type { GatewayError } from './errors.ts'
import { Refusal } from './errors.ts'
import { worstCase } from './estimate.ts'
import type { Attempt, AttemptOutcome, Ended, Exchange, Outcome, Target } from './exchange.ts'
import type { Hold } from './module.ts'
import { nanoUsdOf, ZERO } from './money.ts'
import type { ReplyFacts } from './reply.ts'
import { began, ended as learn, withdrawn } from './routing/verdict.ts'
import { scopesOf } from './scopes.ts'
import type { Ledger, LedgerScope } from './store.ts'
import type { Seat } from './tries.ts'
import { addUsage, costOf, estimateTokens, NO_USAGE, type Usage } from './usage.ts'

export interface BooksPorts {
  readonly ledger: Ledger
  now(): number
  settle(x: Exchange): Promise<void>
  /** The exchange is over and booked: may be recorded. */
  over(x: Exchange): void
  fault(what: string, error: unknown): void
}

export interface Books {
  readonly holds: Hold[]
  /** Resolves when the `opened` row is durable: only then may bytes go upstream. */
  open(seat: Seat, credential: string | undefined): Promise<Attempt>
  /** How to let go of an attempt that is still running when the exchange is over. It must close the attempt. */
  onEnd(attempt: Attempt, letGo: (outcome: AttemptOutcome) => void): void
  /** Books what the attempt used. Later calls for the same attempt do nothing. */
  close(attempt: Attempt, outcome: AttemptOutcome, facts: ReplyFacts | undefined, error?: GatewayError): void
  /** A reply that was served from what was kept. */
  hit(target: Target, usage: Usage): void
  /** Resolves when all of it is durable and every hold is closed. Later calls wait for the first. */
  finish(outcome: Outcome, status: number, error?: GatewayError): Promise<Ended>
}

export function openBooks(x: Exchange, ports: BooksPorts): Books {
  const { ledger } = ports
  const holds: Hold[] = []
  const pending: Promise<void>[] = []
  const letGo = new Map<Attempt, (outcome: AttemptOutcome) => void>()
  let running = 0
  let allClosed: (() => void) | undefined
  let finishing: Promise<Ended> | undefined
  let unpriced = false

  const scope = (target: Target): LedgerScope => {
    const { organization, team, user, endUser, tags } = scopesOf(x)
    return {
      exchange: x.id,
      revision: x.revision,
      principal: x.principal?.id ?? 'unknown',
      ...(organization === undefined ? {} : { organization }),
      ...(team === undefined ? {} : { team }),
      ...(user === undefined ? {} : { user }),
      ...(endUser === undefined ? {} : { endUser }),
      ...(tags.length === 0 ? {} : { tags }),
      model: x.model,
      upstream: target.upstream.id,
      provider: target.upstream.provider.id,
      upstreamModel: target.model,
    }
  }

  async function open(seat: Seat, credential: string | undefined): Promise<Attempt> {
    const { target, key } = seat
    const at = ports.now()
    const attempt: Attempt = {
      id: ledger.nextId(),
      number: x.attempts.length + 1,
      target,
      credential,
      ...(key ? { key: key.health } : {}),
      startedAt: at,
      held: worstCase(x, target, at) ?? ZERO,
    }
    x.attempts.push(attempt)
    running++
    seat.taken = true
    began(attempt, at)
    try {
      await ledger.append({ kind: 'opened', attempt: attempt.id, at, held: attempt.held, ...scope(target) })
    } catch (error) {
      attempt.outcome = 'cancelled'
      withdrawn(attempt)
      done(attempt)
      throw error
    }
    return attempt
  }

  function close(attempt: Attempt, outcome: AttemptOutcome, facts: ReplyFacts | undefined, error?: GatewayError): void {
    if (attempt.outcome) return
    const at = ports.now()
    attempt.outcome = outcome
    if (error) attempt.error = error
    if (facts?.finish) attempt.finish = facts.finish
    if (facts?.model) attempt.servedModel = facts.model
    attempt.totalMs ??= at - attempt.startedAt
    const usage = usageOf(x, outcome, facts)
    const price = x.prices.of(attempt.target, attempt.startedAt)
    attempt.usage = usage
    attempt.cost = price && usage.source !== 'none' ? costOf(usage, price) : ZERO
    if (!price && usage.source !== 'none') unpriced = true
    learn(attempt, error, x.plan?.breaker, at)
    const row = ledger.append({
      kind: 'closed',
      attempt: attempt.id,
      at,
      ...scope(attempt.target),
      usage,
      cost: attempt.cost,
      ...(price ? { priceVersion: price.version } : {}),
      outcome,
      ...(attempt.status === undefined ? {} : { status: attempt.status }),
      ...(error ? { reason: error.code } : {}),
      ...(attempt.servedModel === undefined ? {} : { servedModel: attempt.servedModel }),
      ...(attempt.upstreamRequestId === undefined ? {} : { upstreamRequestId: attempt.upstreamRequestId }),
    })
    row.catch((reason) => ports.fault('ledger', reason))
    pending.push(row)
    done(attempt)
  }

  function done(attempt: Attempt): void {
    letGo.delete(attempt)
    running--
    if (running === 0) allClosed?.()
  }

  function hit(target: Target, usage: Usage): void {
    const row = ledger.append({ kind: 'hit', attempt: ledger.nextId(), at: ports.now(), usage, ...scope(target) })
    row.catch((reason) => ports.fault('ledger', reason))
    pending.push(row)
  }

  async function conclude(outcome: Outcome, status: number, error?: GatewayError): Promise<Ended> {
    for (const end of [...letGo.values()]) end(outcome === 'client_cancel' ? 'client_cancel' : 'cancelled')
    // An attempt that outlives its client (a shared one) is still booked to whoever started it.
    if (running > 0) await new Promise<void>((resolve) => (allClosed = resolve))
    let usage: Usage = NO_USAGE
    let cost = 0n
    let waited = 0
    for (const attempt of x.attempts) {
      if (attempt.usage) usage = addUsage(usage, attempt.usage)
      cost += attempt.cost ?? 0n
      waited += attempt.totalMs ?? 0
    }
    if (pending.length > 0) await Promise.all(pending)
    const totalMs = performance.now() - x.started
    const firstContentMs = x.attempts.at(-1)?.firstContentMs
    const ended: Ended = {
      outcome,
      status,
      ...(error ? { error } : {}),
      usage,
      cost: nanoUsdOf(cost),
      unpriced,
      totalMs,
      ...(firstContentMs === undefined ? {} : { firstContentMs }),
      overheadMs: Math.max(0, totalMs - waited),
    }
    x.ended = ended
    for (const hold of holds.reverse()) {
      try {
        const closing = x.attempts.length === 0 ? hold.release() : hold.settle(ended.cost, usage)
        if (closing) await closing
      } catch (reason) {
        ports.fault('hold', reason)
      }
    }
    holds.length = 0
    await ports.settle(x)
    ports.over(x)
    return ended
  }

  return {
    holds,
    open,
    onEnd: (attempt, end) => void letGo.set(attempt, end),
    close,
    hit,
    finish: (outcome, status, error) => {
      finishing ??= conclude(outcome, status, error)
      return finishing
    },
  }
}

/**
 * What is charged (A1, A2). The provider's own figures always win. Without them: nothing for a call that failed before
 * any content; the estimated input, and the text that came, for one that was cut off; both for one that ended well.
 */
function usageOf(x: Exchange, outcome: AttemptOutcome, facts: ReplyFacts | undefined): Usage {
  const text = facts?.textBytes ?? 0
  if (facts?.usage && (outcome === 'done' || facts.usage.source === 'provider')) {
    if (outcome === 'done' || facts.complete || facts.usage.output !== undefined) return facts.usage
    return { ...facts.usage, output: estimateTokens(text), source: 'estimated' }
  }
  if (
    outcome === 'done' ||
    outcome === 'client_cancel' ||
    outcome === 'cancelled' ||
    (outcome === 'partial' && text > 0)
  ) {
    return { source: 'estimated', input: x.inputEstimate, output: estimateTokens(text) }
  }
  return NO_USAGE
}

export const outcomeOf = (error: GatewayError): Outcome =>
  error instanceof Refusal || error.kind.blame === 'client'
    ? error.code === 'client_closed'
      ? 'client_cancel'
      : 'refused'
    : 'failed'

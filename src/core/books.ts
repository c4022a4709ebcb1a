/**
 * Everything that must happen exactly once, however an exchange ends: each attempt's two ledger rows, the holds, the
 * settle hooks, the final facts. The end of an answer leaves only after `finish` has resolved.
 */
import type { GatewayError } from './errors.ts'
import { Refusal } from './errors.ts'
import { worstCase } from './estimate.ts'
import type { Attempt, AttemptOutcome, Ended, Exchange, Outcome, Target } from './exchange.ts'
import type { Awaitable, Hold } from './module.ts'
import { nanoUsdOf, ZERO } from './money.ts'
import type { ReplyFacts } from './reply.ts'
import { began, ended as learn, withdrawn } from './routing/verdict.ts'
import { writtenScopes } from './scopes.ts'
import type { Ledger, LedgerRow, LedgerScope } from './store.ts'
import type { Seat } from './tries.ts'
import { addUsage, costOf, estimateTokens, NO_USAGE, type Usage } from './usage.ts'

/** Of one snapshot: what all exchanges under it share. */
export interface BooksPorts {
  readonly ledger: Ledger
  now(): number
  settle(x: Exchange): Awaitable<void>
  /** The exchange is over and booked: may be recorded. */
  over(x: Exchange): void
  fault(what: string, error: unknown): void
}

/** How to let go of an attempt that is still running when the exchange is over. It must close the attempt. */
type LetGo = (outcome: AttemptOutcome) => void

export class Books {
  readonly holds: Hold[] = []
  readonly #x: Exchange
  readonly #ports: BooksPorts
  /** Rows that the end of the answer waits for. */
  #pending: Promise<void>[] = []
  #letGo: Map<Attempt, LetGo> | undefined
  #running = 0
  #allClosed: (() => void) | undefined
  #finishing: Promise<Ended> | undefined
  #unpriced = false

  constructor(x: Exchange, ports: BooksPorts) {
    this.#x = x
    this.#ports = ports
  }

  open(seat: Seat, credential: string | undefined): Attempt {
    const { target, key } = seat
    const at = this.#ports.now()
    const attempt: Attempt = {
      id: this.#ports.ledger.nextId(),
      number: this.#x.attempts.length + 1,
      target,
      credential,
      ...(key ? { key: key.health } : {}),
      seat,
      startedAt: at,
      held: worstCase(this.#x, target, at) ?? ZERO,
    }
    this.#x.attempts.push(attempt)
    this.#running++
    seat.taken = true
    began(attempt, at)
    return attempt
  }

  /** Resolves when the `opened` row is durable: only then may bytes go upstream. */
  async opened(attempt: Attempt): Promise<void> {
    const { id, startedAt: at, held, target } = attempt
    try {
      await this.#ports.ledger.append({ kind: 'opened', attempt: id, at, held, ...scopeOf(this.#x, target) })
      attempt.opened = true
    } catch (error) {
      attempt.outcome = 'cancelled'
      withdrawn(attempt)
      this.#done(attempt)
      throw error
    }
  }

  onEnd(attempt: Attempt, letGo: LetGo): void {
    this.#letGo ??= new Map()
    this.#letGo.set(attempt, letGo)
  }

  /** Books what the attempt used; nothing if it was stopped before it was made. Later calls for the same attempt do nothing. */
  close(attempt: Attempt, outcome: AttemptOutcome, facts: ReplyFacts | undefined, error?: GatewayError): void {
    if (attempt.outcome) return
    const x = this.#x
    const at = this.#ports.now()
    attempt.outcome = outcome
    if (error) attempt.error = error
    if (facts?.finish) attempt.finish = facts.finish
    if (facts?.model) attempt.servedModel = facts.model
    attempt.totalMs ??= at - attempt.startedAt
    if (!attempt.opened) {
      withdrawn(attempt)
      this.#done(attempt)
      return
    }
    const usage = usageOf(x, outcome, facts)
    const price = x.prices.of(attempt.target, attempt.startedAt, x.principal)
    attempt.usage = usage
    attempt.cost = price && usage.source !== 'none' ? costOf(usage, price) : ZERO
    if (!price && usage.source !== 'none') this.#unpriced = true
    learn(attempt, error, x.plan?.breaker, at)
    this.#write({
      kind: 'closed',
      attempt: attempt.id,
      at,
      ...scopeOf(x, attempt.target),
      usage,
      cost: attempt.cost,
      ...(price ? { priceVersion: price.version } : {}),
      outcome,
      ...(attempt.status === undefined ? {} : { status: attempt.status }),
      ...(error ? { reason: error.code } : {}),
      ...(attempt.servedModel === undefined ? {} : { servedModel: attempt.servedModel }),
      ...(attempt.upstreamRequestId === undefined ? {} : { upstreamRequestId: attempt.upstreamRequestId }),
    })
    this.#done(attempt)
  }

  /** A reply that was served from what was kept. */
  hit(target: Target, usage: Usage): void {
    const { ledger, now } = this.#ports
    this.#write({ kind: 'hit', attempt: ledger.nextId(), at: now(), usage, ...scopeOf(this.#x, target) })
  }

  /** Resolves when all of it is durable and every hold is closed. Later calls wait for the first. */
  finish(outcome: Outcome, status: number, error?: GatewayError): Promise<Ended> {
    this.#finishing ??= this.#conclude(outcome, status, error)
    return this.#finishing
  }

  #write(row: LedgerRow): void {
    this.#pending.push(this.#ports.ledger.append(row))
  }

  #done(attempt: Attempt): void {
    this.#letGo?.delete(attempt)
    this.#running--
    if (this.#running === 0) this.#allClosed?.()
  }

  async #conclude(outcome: Outcome, status: number, error?: GatewayError): Promise<Ended> {
    const x = this.#x
    if (this.#letGo) {
      for (const end of [...this.#letGo.values()]) end(outcome === 'client_cancel' ? 'client_cancel' : 'cancelled')
    }
    // An attempt that outlives its client (a shared one) is still booked to whoever started it.
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#allClosed = resolve))
    let usage: Usage = NO_USAGE
    let cost = 0n
    let waited = 0
    let wasMade = false
    for (const attempt of x.attempts) {
      if (attempt.opened) wasMade = true
      if (attempt.usage) usage = addUsage(usage, attempt.usage)
      cost += attempt.cost ?? 0n
      waited += attempt.totalMs ?? 0
    }
    try {
      for (const row of this.#pending) await row
    } catch (reason) {
      this.#ports.fault('ledger', reason)
      throw reason
    }
    const totalMs = performance.now() - x.started
    const served = x.attempts.findLast((attempt) => attempt.outcome === 'done') ?? x.attempts.at(-1)
    const firstContentMs = served?.firstContentMs
    const ended: Ended = {
      outcome,
      status,
      ...(error ? { error } : {}),
      usage,
      cost: nanoUsdOf(cost),
      unpriced: this.#unpriced,
      totalMs,
      ...(firstContentMs === undefined ? {} : { firstContentMs }),
      overheadMs: Math.max(0, totalMs - waited),
    }
    x.ended = ended
    for (const hold of this.holds.reverse()) {
      try {
        const closing = wasMade ? hold.settle(ended.cost, usage) : hold.release()
        if (closing) await closing
      } catch (reason) {
        this.#ports.fault('hold', reason)
      }
    }
    this.holds.length = 0
    const settling = this.#ports.settle(x)
    if (settling) await settling
    this.#ports.over(x)
    return ended
  }
}

function scopeOf(x: Exchange, target: Target): LedgerScope {
  const { organization, team, user, endUser, tags } = writtenScopes(x)
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

/**
 * What is charged (A1, A2). The provider's own figures always win. Without them: nothing for a call that failed before
 * any content; the estimated input, and the text that came, for one that was cut off; both for one that ended well.
 */
function usageOf(x: Exchange, outcome: AttemptOutcome, facts: ReplyFacts | undefined): Usage {
  // A kept answer that is read again was booked when it was made.
  const { relay } = x
  if (relay?.deed.free) return (relay.method === 'POST' && !relay.deed.settles && facts?.usage) || NO_USAGE
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

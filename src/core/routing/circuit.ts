/**
 * A circuit breaker: the share of failures over a sliding window opens it, a refused credential or a `Retry-After` at
 * once. After its time one probe goes through; a success closes it, a failure opens it again. It heals by itself.
 */

/** What opens a circuit, and for how long; module `breakers` puts it into the plan. */
export interface BreakerPolicy {
  readonly failureRatio: number
  readonly minimumCalls: number
  readonly windowMs: number
  readonly cooldownMs: number
  readonly credentialCooldownMs: number
  /** A `Retry-After` beyond this is not believed to its end. */
  readonly maxRetryAfterMs: number
  /** Whether a spent rate limit in an answer's headers rests the key until the reset it names. */
  readonly pacing: boolean
}

const SLOTS = 10

/**
 * How a rest ends. `doubt`: one call finds out, or a free look before that. `told`: one call finds out, at a moment that was
 * named or that nothing else can tell. `named`: whoever comes after that moment may call, because the other side named it.
 */
export type Rest = 'doubt' | 'told' | 'named'
export type CircuitState = 'closed' | 'open' | 'half-open'

export class Circuit {
  /** Milliseconds since 1970; 0: closed. */
  #until = 0
  #rest: Rest = 'doubt'
  /** A free look went well in this rest already. */
  #looked = false
  /** Whose the call is that finds out; only its end is the answer, however long older calls take. */
  #probe: object | undefined
  #reason: string | undefined
  readonly #good = new Uint32Array(SLOTS)
  readonly #bad = new Uint32Array(SLOTS)
  readonly #slots = new Float64Array(SLOTS)

  state(now: number): CircuitState {
    if (this.#until === 0) return 'closed'
    if (now < this.#until) return 'open'
    return this.#rest === 'named' ? 'closed' : 'half-open'
  }

  /** Whether `enter` would let a call through. */
  admits(now: number): boolean {
    return this.#until === 0 || (now >= this.#until && this.#probe === undefined)
  }

  /** Lets a call through or not; in the half-open state only one, which must report back or `leave` as the same `caller`. */
  enter(now: number, caller: object): boolean {
    if (this.#until === 0) return true
    if (now < this.#until || this.#probe !== undefined) return false
    if (this.#rest === 'named') this.#close()
    else this.#probe = caller
    return true
  }

  /** A call ended without saying anything about the other side: its client left. */
  leave(caller: object): void {
    if (this.#probe === caller) this.#probe = undefined
  }

  /** When a call may be made again, and why not now. */
  get recovery(): { readonly at: number; readonly reason: string } {
    return { at: this.#until, reason: this.#reason ?? 'a probe is running' }
  }

  succeeded(now: number, windowMs: number, caller: object): void {
    if (this.#until !== 0 && now >= this.#until && this.#decides(caller)) this.#close()
    const slot = this.#slot(now, windowMs)
    this.#good[slot] = (this.#good[slot] as number) + 1
  }

  failed(now: number, policy: BreakerPolicy, reason: string, caller: object): void {
    if (this.state(now) === 'half-open') {
      if (this.#decides(caller)) this.open(now + policy.cooldownMs, reason)
      return
    }
    const slot = this.#slot(now, policy.windowMs)
    this.#bad[slot] = (this.#bad[slot] as number) + 1
    const { good, bad } = this.counts(now, policy.windowMs)
    if (bad + good >= policy.minimumCalls && bad / (bad + good) >= policy.failureRatio) {
      this.open(now + policy.cooldownMs, reason)
    }
  }

  /** Never shortens. */
  open(until: number, reason: string, rest: Rest = 'doubt'): void {
    if (until < this.#until) return
    this.#probe = undefined
    this.#until = until
    this.#rest = rest
    this.#reason = reason
  }

  mayBeLookedAt(now: number): boolean {
    return now < this.#until && this.#rest === 'doubt' && !this.#looked
  }

  /** The other side was seen to be there: the next call may find out now. Once, or a rest would have no length. */
  looked(now: number): void {
    if (!this.mayBeLookedAt(now)) return
    this.#looked = true
    this.#until = now
  }

  #decides(caller: object): boolean {
    return this.#probe === undefined || this.#probe === caller
  }

  #close(): void {
    this.#until = 0
    this.#probe = undefined
    this.#looked = false
    this.#reason = undefined
    this.#good.fill(0)
    this.#bad.fill(0)
  }

  reset(): void {
    this.#close()
  }

  counts(now: number, windowMs: number): { readonly good: number; readonly bad: number } {
    const oldest = Math.floor((now * SLOTS) / windowMs) - SLOTS + 1
    let good = 0
    let bad = 0
    for (let i = 0; i < SLOTS; i++) {
      if ((this.#slots[i] as number) < oldest) continue
      good += this.#good[i] as number
      bad += this.#bad[i] as number
    }
    return { good, bad }
  }

  #slot(now: number, windowMs: number): number {
    const number = Math.floor((now * SLOTS) / windowMs)
    const i = number % SLOTS
    if (this.#slots[i] !== number) {
      this.#slots[i] = number
      this.#good[i] = 0
      this.#bad[i] = 0
    }
    return i
  }
}

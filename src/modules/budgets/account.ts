/**
 * What was spent of one budget by one of those it is about: what the ledger holds of the present window, and what running
 * calls may still cost. Rows are told as they are committed; whatever memory cannot know is asked of the ledger.
 */
import type { Budget } from '../../core/directory.ts'
import { whereOf } from '../../core/figures.ts'
import type { Host } from '../../core/module.ts'
import { type NanoUsd, parseDollars } from '../../core/money.ts'
import { type Span, spanOf } from '../../core/windows.ts'

/** A rolling window has 60 slots and the one being filled, as a rate limit has: spending counts at most one slot longer. */
const SLOTS = 60

export class Account {
  readonly name: string
  budget: Budget
  /** Not in the registry any more: rows pass it by. */
  gone = false
  /** May still be spent by calls that run. */
  held = 0n
  /** The window whose thresholds `told` is about, and the highest that was told. */
  toldFor = Number.NaN
  told = 0
  loading: Promise<void> | undefined
  readonly #host: Host
  #amount: bigint
  #span: Span = { from: 0, to: 0 }
  #spent = 0n
  /** Of a rolling window: slot → what was spent in it. */
  readonly #slots = new Map<number, bigint>()
  /** Rows that were told while the ledger was being asked. */
  #meanwhile: { at: number; cost: bigint }[] = []
  /** Up to when slots were let go: a clock that goes back wants them again. */
  #slidTo = 0
  /** The latest time of a row that this account was told of. */
  #latest = 0

  constructor(name: string, budget: Budget, host: Host) {
    this.name = name
    this.budget = budget
    this.#host = host
    this.#amount = parseDollars(budget.amountUsd)
  }

  /** Undefined when what was spent by now is known; else resolves when it is. */
  ready(budget: Budget, now: number): Promise<void> | undefined {
    if (budget !== this.budget) this.#become(budget)
    if (this.loading) return this.loading
    if (now >= this.#span.from && now < this.#span.to && now >= this.#slidTo - this.#slotMs) return undefined
    const next = this.#spanAt(now)
    // Nothing was booked in the new window yet: it begins empty. If clocks went back, or then forward again, it may not.
    const known = this.#span.to > 0 && next.from >= this.#span.to && this.#latest < next.from && next.to !== Infinity
    this.#span = next
    if (known) {
      this.#spent = 0n
      return undefined
    }
    return this.load(now)
  }

  /** What is in the window. Only after `ready`. */
  spent(now: number): bigint {
    if (this.budget.window.kind === 'rolling') this.#slide(now)
    return this.#spent
  }

  /** Whose account it is: the values that its rows have. */
  get counter(): string {
    return this.name.slice(this.name.indexOf(' ') + 1)
  }

  /** The amount, with what it was raised by for a while. */
  limit(now: number): bigint {
    let limit = this.#amount
    for (const raise of this.budget.raises ?? []) if (raise.until > now) limit += parseDollars(raise.amountUsd)
    return limit
  }

  /** When everything of the present window is over; undefined for a lifetime. */
  resetAt(now: number): number | undefined {
    const { window } = this.budget
    if (window.kind === 'calendar') return this.#span.to
    return window.kind === 'rolling' ? now + window.seconds * 1_000 : undefined
  }

  /** What names the present window in an alert. */
  get windowFrom(): number {
    return this.budget.window.kind === 'rolling' ? Math.floor(this.#latest / (this.#slotMs * SLOTS)) : this.#span.from
  }

  booked(at: number, cost: NanoUsd): void {
    if (this.loading) this.#meanwhile.push({ at, cost })
    else this.#add(at, cost)
  }

  /** Asks the ledger for everything in the window. */
  load(now: number): Promise<void> {
    this.#span = this.#spanAt(now)
    this.#slidTo = now
    this.#meanwhile = []
    const rolling = this.budget.window.kind === 'rolling'
    const { from, to } = rolling ? { from: now - this.#slotMs * (SLOTS + 1), to: Infinity } : this.#span
    this.loading = this.#host.ledger
      .sums({
        from: Math.max(0, Math.floor(from)),
        ...(to === Infinity ? {} : { to }),
        where: whereOf(this.name),
        ...(rolling ? { slotMs: this.#slotMs } : {}),
      })
      .then(
        (sums) => {
          this.#slots.clear()
          this.#spent = 0n
          for (const { slot, cost } of sums) {
            this.#spent += cost
            if (rolling) this.#slots.set(slot, cost)
          }
          this.loading = undefined
          for (const { at, cost } of this.#meanwhile) this.#add(at, cost)
          this.#meanwhile = []
        },
        (error) => {
          this.loading = undefined
          this.#span = { from: 0, to: 0 }
          throw error
        },
      )
    return this.loading
  }

  /** What is known may be wrong: it is asked for anew before it is used again. */
  doubt(): void {
    const again = (): void => {
      this.#span = { from: 0, to: 0 }
    }
    if (this.loading) void this.loading.then(again, again)
    else again()
  }

  #become(budget: Budget): void {
    const sameWindow = JSON.stringify(budget.window) === JSON.stringify(this.budget.window)
    this.budget = budget
    this.#amount = parseDollars(budget.amountUsd)
    this.toldFor = Number.NaN
    if (!sameWindow) this.#span = { from: 0, to: 0 }
  }

  #add(at: number, cost: bigint): void {
    if (at > this.#latest) this.#latest = at
    if (this.budget.window.kind === 'rolling') {
      const slot = Math.floor(at / this.#slotMs)
      this.#slots.set(slot, (this.#slots.get(slot) ?? 0n) + cost)
      this.#spent += cost
    } else if (at >= this.#span.from && at < this.#span.to) this.#spent += cost
  }

  get #slotMs(): number {
    const { window } = this.budget
    return window.kind === 'rolling' ? Math.max(1, Math.floor((window.seconds * 1_000) / SLOTS)) : 0
  }

  #slide(now: number): void {
    if (now > this.#slidTo) this.#slidTo = now
    const oldest = Math.floor(now / this.#slotMs) - SLOTS
    for (const [slot, cost] of this.#slots) {
      if (slot >= oldest) continue
      this.#spent -= cost
      this.#slots.delete(slot)
    }
  }

  #spanAt(now: number): Span {
    const { window } = this.budget
    if (window.kind === 'calendar') return spanOf(window, now)
    // A rolling window slides by itself, until clocks go far back.
    if (window.kind === 'rolling') return { from: now - this.#slotMs, to: Infinity }
    return { from: 0, to: Infinity }
  }
}

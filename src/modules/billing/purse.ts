/**
 * Prepaid credit as arithmetic: grants begin and end, and what is charged is taken from the one that ends soonest. What is
 * charged beyond them is a debt that the next grant pays first. Told of everything in the order of time, it is a function of
 * grants and charges alone.
 */
import type { Grant } from '../../core/directory.ts'
import { parseDollars } from '../../core/money.ts'

export interface Pot {
  readonly id: string
  readonly from: number
  /** Infinity: never. */
  readonly expiresAt: number
  readonly amount: bigint
  left: bigint
}

export class Purse {
  /** The one that ends soonest first. */
  #pots: readonly Pot[] = []
  /** Charged, and not paid by anything. */
  debt = 0n
  /** Up to when grants have begun and ended. */
  at = Number.NEGATIVE_INFINITY
  /** What is still to begin or to end. */
  #events: readonly { readonly at: number; readonly pot: Pot; readonly begins: boolean }[] = []

  constructor(grants: readonly Grant[]) {
    this.join(grants)
  }

  get pots(): readonly Pot[] {
    return this.#pots
  }

  /** Takes in those that are new. False if one of them began before what has been told already. */
  join(grants: readonly Grant[]): boolean {
    const known = new Set(this.#pots.map(({ id }) => id))
    const added = grants
      .filter(({ id }) => !known.has(id))
      .map(({ id, createdAt, expiresAt = Number.POSITIVE_INFINITY, amountUsd }) => ({
        id,
        from: createdAt,
        expiresAt,
        amount: parseDollars(amountUsd),
        left: 0n,
      }))
    if (added.some(({ from }) => from < this.at)) return false
    this.#pots = [...this.#pots, ...added].sort(
      (a, b) => a.expiresAt - b.expiresAt || a.from - b.from || (a.id < b.id ? -1 : 1),
    )
    const events = added.flatMap((pot) => [
      { at: pot.from, pot, begins: true },
      ...(pot.expiresAt === Number.POSITIVE_INFINITY ? [] : [{ at: pot.expiresAt, pot, begins: false }]),
    ])
    this.#events = [...this.#events, ...events].sort(
      (a, b) => a.at - b.at || Number(a.begins) - Number(b.begins) || a.pot.expiresAt - b.pot.expiresAt || 0,
    )
    return true
  }

  /** The instants at which a grant begins or ends, in order, each once. */
  get borders(): number[] {
    return [...new Set(this.#events.map(({ at }) => at))]
  }

  /** When something of it ends next, and how much that is. */
  get nextToExpire(): Pot | undefined {
    return this.pots.find(({ left, expiresAt }) => left > 0n && expiresAt !== Number.POSITIVE_INFINITY)
  }

  get balance(): bigint {
    let left = -this.debt
    for (const pot of this.pots) left += pot.left
    return left
  }

  /** What begins and ends up to and at an instant does so. */
  advance(to: number): void {
    const until = this.#events.findIndex(({ at }) => at > to)
    if (until === 0) return
    const due = until < 0 ? this.#events : this.#events.slice(0, until)
    this.#events = until < 0 ? [] : this.#events.slice(until)
    for (const { at, pot, begins } of due) {
      this.at = at
      if (!begins) {
        pot.left = 0n
        continue
      }
      const paid = this.debt < pot.amount ? this.debt : pot.amount
      this.debt -= paid
      pot.left = pot.amount - paid
    }
  }

  /** After `advance` to when it was charged. A negative amount is given back. */
  spend(amount: bigint): void {
    let rest = amount
    for (const pot of this.pots) {
      if (rest <= 0n) break
      const taken = pot.left < rest ? pot.left : rest
      pot.left -= taken
      rest -= taken
    }
    this.debt += rest
  }
}

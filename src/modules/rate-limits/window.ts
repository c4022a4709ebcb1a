/**
 * How much was taken within the last minute, hour or day: a ring of 60 slots and the one being filled. What was taken
 * counts for at least the window and at most one slot longer, so that no span of the window's length ever holds more
 * than the limit, and a refusal comes at most one slot (a 60th of the window) early.
 */
export const SLOTS = 60
/** The slot being filled covers only a part of its time yet, so the oldest one still reaches into the window. */
const RING = SLOTS + 1

export class SlidingWindow {
  readonly slotMs: number
  readonly #ring = new Float64Array(RING)
  #slot = 0
  #sum = 0

  constructor(windowMs: number) {
    this.slotMs = windowMs / SLOTS
  }

  /** What counts now. `now` is a clock that never goes back; an earlier reading counts as the latest one. */
  used(now: number): number {
    this.#advance(now)
    return this.#sum
  }

  /** Returns the slot that took it, to give back from. */
  take(now: number, amount: number): number {
    this.#advance(now)
    return this.#add(this.#slot, amount)
  }

  /** What was taken before this began: counts from when it happened, unless that is too long ago. */
  recall(then: number, amount: number, now: number): void {
    this.#advance(now)
    const slot = Math.min(this.#slot, Math.floor(then / this.slotMs))
    if (slot > this.#slot - RING) this.#add(slot, amount)
  }

  /** Corrects what `take` took; nothing is left to correct once its slot has gone. */
  giveBack(slot: number, amount: number): void {
    if (slot > this.#slot - RING) this.#add(slot, -amount)
  }

  /** Milliseconds until `amount` fits below `limit`, if nobody takes anything meanwhile; Infinity if it never does. */
  waitFor(amount: number, limit: number, now: number): number {
    this.#advance(now)
    if (amount > limit) return Number.POSITIVE_INFINITY
    let left = this.#sum
    if (left + amount <= limit) return 0
    for (let slot = this.#slot - SLOTS; slot <= this.#slot; slot++) {
      left -= this.#ring[place(slot)] as number
      if (left + amount <= limit) return Math.max(0, (slot + RING) * this.slotMs - now)
    }
    return 0
  }

  /** Milliseconds until what is taken now counts no more. */
  emptyAfter(now: number): number {
    return Math.max(0, (this.#slot + RING) * this.slotMs - now)
  }

  #add(slot: number, amount: number): number {
    const at = place(slot)
    this.#ring[at] = (this.#ring[at] as number) + amount
    this.#sum += amount
    return slot
  }

  #advance(now: number): void {
    const slot = Math.floor(now / this.slotMs)
    if (slot <= this.#slot) return
    if (slot - this.#slot >= RING) {
      this.#ring.fill(0)
      this.#sum = 0
      this.#slot = slot
      return
    }
    while (this.#slot < slot) {
      this.#slot++
      const at = place(this.#slot)
      this.#sum -= this.#ring[at] as number
      this.#ring[at] = 0
    }
  }
}

const place = (slot: number): number => ((slot % RING) + RING) % RING

/**
 * One clock for all running calls. A call has several time limits and they move with every byte, so a timer each would
 * cost more than the work it guards; instead a sweep has each look at plain numbers, and stops when nothing runs. It also
 * notices whoever left: a listener on each call's signal would keep finished calls in memory until a full collection.
 */
import { type Member, Underway } from '../core/underway.ts'

const SWEEP_MS = 20

export interface Watched extends Member {
  /** Ends it if it must not go on. `now` is on the clock of performance.now(). */
  look(now: number): void
}

export class Deadlines {
  readonly #watched = new Underway<Watched>()
  #timer: NodeJS.Timeout | undefined
  /** performance.now(), at most a sweep old while anything is watched: good enough for limits that move all the time. */
  now = 0

  watch(call: Watched): void {
    this.#watched.add(call)
    if (this.#timer) return
    this.now = performance.now()
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS)
    this.#timer.unref()
  }

  unwatch(call: Watched): void {
    this.#watched.delete(call)
  }

  #sweep(): void {
    if (this.#watched.size === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    const now = performance.now()
    this.now = now
    this.#watched.each((call) => call.look(now))
  }
}

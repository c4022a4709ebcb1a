/**
 * The counters of all limits, in memory: a sliding window for what is counted over time, a number for what runs at once.
 * The first exchange that falls into a counter asks the ledger what was used before this start; what came after it and
 * before the limit was there does not count.
 */
import type { Limit } from '../../core/directory.ts'
import { type Applied, whereOf } from '../../core/figures.ts'
import type { Host, Scarce } from '../../core/module.ts'
import type { Sums } from '../../core/store.ts'
import type { Usage } from '../../core/usage.ts'
import { SlidingWindow } from './window.ts'

export const WINDOW_MS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const

export interface Counter extends Scarce {
  /** Absent for what runs at once. */
  readonly window: SlidingWindow | undefined
  running: number
  /** The ledger is being asked. */
  loading: Promise<void> | undefined
  /** Not among the counters any more: what is counted here is counted for nobody. */
  gone: boolean
}

/** What a limit counts of some usage. */
export type Counted = (limit: Limit, usage: Usage) => number

/** Client-made values (end users, tags) make counters at will; beyond this many, idle ones go, then the oldest. */
const MOST_COUNTERS = 100_000

export class Counters {
  readonly #host: Host
  readonly #counters = new Map<string, Counter>()
  /** What is applied to a caller is the same object until the directory changes: no name is put together on its way. */
  readonly #found = new WeakMap<Applied<Limit>, Counter>()

  constructor(host: Host) {
    this.#host = host
  }

  get size(): number {
    return this.#counters.size
  }

  of(applied: Applied<Limit>, counted: Counted): Counter {
    const found = applied.lasting ? this.#found.get(applied) : undefined
    if (found && !found.gone) return found
    const counter = this.#named(applied.figure, applied.name, counted)
    if (applied.lasting) this.#found.set(applied, counter)
    return counter
  }

  #named(limit: Limit, name: string, counted: Counted): Counter {
    const id = limit.counts === 'parallel' ? name : `${name} ${limit.counts} ${limit.per}`
    const known = this.#counters.get(id)
    if (known) return known
    if (this.#counters.size >= MOST_COUNTERS) this.#makeRoom()
    const counter: Counter = {
      window: limit.counts === 'parallel' ? undefined : new SlidingWindow(WINDOW_MS[limit.per ?? 'minute']),
      running: 0,
      lent: 0,
      loading: undefined,
      gone: false,
    }
    this.#counters.set(id, counter)
    if (counter.window) counter.loading = this.#recall(counter, counter.window, limit, name, counted)
    return counter
  }

  /** Those in which nothing counts any more. */
  forgetIdle(): void {
    const now = performance.now()
    for (const [id, counter] of this.#counters) {
      if (counter.running === 0 && !counter.loading && !counter.turn && (counter.window?.used(now) ?? 0) === 0)
        this.#forget(id, counter)
    }
  }

  #makeRoom(): void {
    this.forgetIdle()
    for (const [id, counter] of this.#counters) {
      if (this.#counters.size < MOST_COUNTERS) return
      if (counter.running === 0 && !counter.loading) this.#forget(id, counter)
    }
  }

  #forget(id: string, counter: Counter): void {
    counter.gone = true
    this.#counters.delete(id)
  }

  /** Undefined if the window began after the gateway did. */
  #recall(
    counter: Counter,
    window: SlidingWindow,
    limit: Limit,
    name: string,
    counted: Counted,
  ): Promise<void> | undefined {
    const now = this.#host.now()
    const from = now - WINDOW_MS[limit.per ?? 'minute'] - window.slotMs
    if (from > this.#host.startedAt) return undefined
    return this.#host.ledger
      .sums({ from: Math.floor(from), to: this.#host.startedAt, where: whereOf(name), slotMs: window.slotMs })
      .then((sums) => {
        for (const sum of sums) {
          // The end of its stretch of time: an earlier moment would let it go too soon.
          const ago = Math.max(0, now - (sum.slot + 1) * window.slotMs)
          const present = performance.now()
          window.recall(
            present - ago,
            limit.counts === 'requests' ? sum.requests : counted(limit, usageIn(sum)),
            present,
          )
        }
      })
      .finally(() => {
        counter.loading = undefined
      })
  }
}

const usageIn = ({ usage }: Sums): Usage => usage

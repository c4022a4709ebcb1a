/**
 * A second call when the first is slow to begin: whichever has its first content first is the answer, and the other one is
 * let go of. What it used is booked, like any call.
 */
import { failure } from '../errors.ts'
import type { Reply } from '../reply.ts'
import type { TargetHealth } from './health.ts'

/** Put into the plan by module `hedging`. */
export interface HedgePolicy {
  /** How long the first call may take until the second starts; undefined: not known well enough yet. */
  delayMs(first: TargetHealth): number | undefined
  /** Counts a request, so that hedges stay a share of them. */
  seen(): void
  /** Takes one hedge out of what the traffic allows. */
  take(): boolean
}

export type Start = (signal: AbortSignal) => Promise<Reply>

/**
 * `second` is asked when the time has come; undefined: there is nobody to ask. An error that is `final` ends both: what one
 * vendor refused is not asked of another.
 */
export function hedged(
  first: Start,
  second: () => Start | undefined,
  delayMs: number,
  signal: AbortSignal,
  isFinal: (error: unknown) => boolean,
) {
  return new Promise<Reply>((resolve, reject) => {
    const running = new Set<AbortController>()
    let decided = false
    let waiting: NodeJS.Timeout | undefined
    const decide = (): void => {
      decided = true
      clearTimeout(waiting)
      for (const other of running) other.abort(failure('superseded'))
    }
    const begin = (start: Start): void => {
      const own = new AbortController()
      running.add(own)
      start(AbortSignal.any([signal, own.signal])).then(
        (reply) => {
          running.delete(own)
          if (decided) return dropped(reply)
          decide()
          resolve(reply)
        },
        (error) => {
          running.delete(own)
          if (decided || (running.size > 0 && !isFinal(error))) return
          decide()
          reject(error)
        },
      )
    }
    begin(first)
    waiting = setTimeout(() => {
      if (decided || signal.aborted) return
      const start = second()
      if (start) begin(start)
    }, delayMs)
  })
}

/** Nobody reads it: what it stands on is let go of, and its call is closed. */
function dropped({ batches, bytes }: Reply): void {
  void batches?.[Symbol.asyncIterator]().return?.()
  void bytes?.[Symbol.asyncIterator]().return?.()
}

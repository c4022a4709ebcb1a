/**
 * Who waits for a limit that is used up: one line for each limit, in which the first asks again when it may have room, and
 * the others follow it. As in the line for places, tenants take turns, however many requests each of them sends.
 */
import { leftBy, type Refusal } from '../../core/errors.ts'
import type { Exchange } from '../../core/exchange.ts'
import type { Scarce, Turn } from '../../core/module.ts'
import { Line, type Waiter } from './line.ts'

export interface Patience {
  readonly maxWaiting: number
  /** How long this exchange may wait from now. */
  leftMs(x: Exchange): number
  full(waiting: number): Refusal
  as(x: Exchange, refusal: Refusal): Pick<Waiter, 'tenant' | 'priority'>
  /** It stands in the line, behind so many. */
  stands(x: Exchange, behind: number): void
  waited(x: Exchange, ms: number): void
}

interface Place extends Turn {
  readonly until: number
}

export type Lines = Map<Scarce, Line>

export async function waitFor(
  lines: Lines,
  patience: Patience,
  x: Exchange,
  refusal: Refusal,
  before: Turn | undefined,
): Promise<Turn> {
  const { scarce, retryAfterMs = 0 } = refusal.details
  if (!scarce) throw refusal
  const now = performance.now()
  const last = before as Place | undefined
  const until = last?.until ?? now + patience.leftMs(x)
  // Nobody waits for what will not be there in time. What is lent may be: calls that end give back what they did not use.
  if (now + retryAfterMs > until && (scarce.lent === 0 || now >= until)) throw refusal
  if (last?.scarce === scarce) {
    await room(scarce, Math.min(retryAfterMs, until - now), x.signal)
    return last
  }
  last?.over()
  const line = lines.get(scarce) ?? new Line()
  lines.set(scarce, line)
  const isFirst = line.running === 0
  if (!isFirst && line.waiting >= patience.maxWaiting) throw patience.full(line.waiting)
  const place = placeIn(lines, line, scarce, x, until, (ms) => patience.waited(x, ms))
  if (!isFirst) {
    await turnOf(line, scarce, patience, x, refusal, until)
    return place
  }
  line.running = 1
  scarce.turn = x
  patience.stands(x, 0)
  try {
    await room(scarce, Math.min(retryAfterMs, until - now), x.signal)
  } catch (error) {
    place.over()
    throw error
  }
  return place
}

function placeIn(lines: Lines, line: Line, scarce: Scarce, x: Exchange, until: number, waited: (ms: number) => void) {
  const began = performance.now()
  let isOver = false
  return {
    scarce,
    until,
    over(): void {
      if (isOver) return
      isOver = true
      waited(performance.now() - began)
      if (scarce.turn === x) scarce.turn = undefined
      line.running = 0
      line.advance(1)
      if (line.running === 0) lines.delete(scarce)
    },
  }
}

/** Resolves when all who stood before it have had their turn. */
function turnOf(
  line: Line,
  scarce: Scarce,
  patience: Patience,
  x: Exchange,
  refusal: Refusal,
  until: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (): void => {
      clearTimeout(timer)
      x.signal.removeEventListener('abort', left)
    }
    const waiter: Waiter = {
      ...patience.as(x, refusal),
      go() {
        over()
        scarce.turn = x
        resolve()
      },
    }
    const left = (): void => {
      over()
      line.leave(waiter)
      reject(leftBy(x.signal))
    }
    const timer = setTimeout(() => {
      over()
      line.leave(waiter)
      reject(refusal)
    }, until - performance.now())
    x.signal.addEventListener('abort', left, { once: true })
    patience.stands(x, line.join(waiter) + 1)
    if (x.signal.aborted) left()
  })
}

/** Resolves when there may be room: something came back, or the time that was named is over. */
function room(scarce: Scarce, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (): void => {
      clearTimeout(timer)
      scarce.freed = undefined
      signal.removeEventListener('abort', left)
    }
    const left = (): void => {
      over()
      reject(leftBy(signal))
    }
    const free = (): void => {
      over()
      resolve()
    }
    const timer = setTimeout(free, ms)
    scarce.freed = free
    if (signal.aborted) left()
    else signal.addEventListener('abort', left, { once: true })
  })
}

/**
 * Single-flight: the first of several identical requests calls the upstream, the others read what it reads. The call ends
 * early only when the last of them has left, so nobody's answer depends on somebody else's patience.
 */
import { failure } from './errors.ts'
import type { Exchange } from './exchange.ts'
import type { Replay } from './kept.ts'
import type { Frame, Reply } from './reply.ts'

export interface Flight {
  readonly reply: Promise<Reply>
  readonly controller: AbortController
  waiters: number
  /** Set once there is a stream: what came so far, for those who join late. */
  shared?: SharedBatches
  open: boolean
}

/** More than this is not kept for late joiners. */
const MOST_SHARED_BYTES = 8 * 1024 * 1024

export async function fly(
  flights: Map<string, Flight>,
  key: string,
  x: Exchange,
  replay: Replay,
  call: (signal: AbortSignal) => Promise<Reply>,
  joined: () => void,
): Promise<Reply> {
  const running = flights.get(key)
  const leads = !running?.open
  const flight = leads ? takeOff(flights, key, call) : running
  flight.waiters++
  const leave = once(() => {
    flight.waiters--
    if (flight.waiters === 0) {
      flight.open = false
      if (flights.get(key) === flight) flights.delete(key)
      flight.controller.abort()
      flight.shared?.end()
    }
  })
  let reply: Reply
  try {
    reply = await orLeft(flight.reply, x.signal)
  } catch (error) {
    leave()
    throw error
  }
  if (!leads) joined()
  const { dialect, status, headers, target } = reply
  if (reply.body) {
    leave()
    return leads ? reply : replay(x, { dialect, status, headers, target, body: reply.body })
  }
  if (reply.bytes) {
    if (leads) return { ...reply, bytes: untilLeft(reply.bytes, leave, x.signal) }
    leave()
    throw failure('conflict', {
      problem: 'The same request is being answered at the moment. Try again when it is over.',
    })
  }
  const frames = (flight.shared as SharedBatches).reader(leave, x.signal)
  return leads ? { ...reply, batches: frames } : replay(x, { dialect, status, headers, target, frames })
}

function takeOff(flights: Map<string, Flight>, key: string, call: (signal: AbortSignal) => Promise<Reply>): Flight {
  const controller = new AbortController()
  const close = (): void => {
    flight.open = false
    if (flights.get(key) === flight) flights.delete(key)
  }
  const reply = call(controller.signal).then(
    (r) => {
      if (r.batches) flight.shared = new SharedBatches(r.batches, close)
      // Bytes have one reader; until it has them all, nobody makes the same call again.
      else if (!r.bytes) close()
      if (flight.waiters === 0) flight.shared?.end()
      return r
    },
    (error) => {
      close()
      throw error
    },
  )
  reply.catch(() => {})
  const flight: Flight = { reply, controller, waiters: 0, open: true }
  flights.set(key, flight)
  return flight
}

async function* untilLeft(
  bytes: AsyncIterable<Buffer>,
  leave: () => void,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const source = bytes[Symbol.asyncIterator]()
  try {
    for (;;) {
      const { value, done } = await orLeft(source.next(), signal)
      if (done) return
      yield value
    }
  } finally {
    leave()
    void source.return?.()
  }
}

/** One source read by many, each at its own pace; the fastest pulls. */
class SharedBatches {
  readonly #source: AsyncIterator<readonly Frame[]>
  readonly #closed: () => void
  #batches: (readonly Frame[])[] = []
  /** How many batches were dropped from the front, once nobody can join any more. */
  #dropped = 0
  #bytes = 0
  #pulling: Promise<void> | undefined
  #over = false
  #error: unknown
  readonly #positions = new Set<{ at: number }>()

  constructor(batches: AsyncIterable<readonly Frame[]>, closed: () => void) {
    this.#source = batches[Symbol.asyncIterator]()
    this.#closed = closed
  }

  /** Nobody reads any more. */
  end(): void {
    void this.#source.return?.()
  }

  reader(leave: () => void, signal: AbortSignal): AsyncIterable<readonly Frame[]> {
    const position = { at: 0 }
    this.#positions.add(position)
    const done = (): void => {
      this.#positions.delete(position)
      leave()
    }
    const next = async (): Promise<IteratorResult<readonly Frame[]>> => {
      for (;;) {
        const batch = this.#batches[position.at - this.#dropped]
        if (batch) {
          position.at++
          this.#forget()
          return { value: batch, done: false }
        }
        if (this.#error !== undefined) {
          done()
          throw this.#error
        }
        if (this.#over) {
          done()
          return { value: undefined, done: true }
        }
        try {
          await orLeft(this.#pull(), signal)
        } catch (error) {
          done()
          throw error
        }
      }
    }
    return {
      [Symbol.asyncIterator]: () => ({
        next,
        return: async () => {
          done()
          return { value: undefined, done: true }
        },
      }),
    }
  }

  #pull(): Promise<void> {
    this.#pulling ??= this.#source
      .next()
      .then(
        ({ value, done }) => {
          if (done) {
            this.#over = true
            this.#closed()
            return
          }
          this.#batches.push(value)
          for (const frame of value) this.#bytes += frame.bytes.length
          if (this.#bytes > MOST_SHARED_BYTES) this.#closed()
        },
        (error) => {
          this.#error = error
          this.#closed()
        },
      )
      .finally(() => {
        this.#pulling = undefined
      })
    return this.#pulling
  }

  #forget(): void {
    if (this.#bytes <= MOST_SHARED_BYTES) return
    const slowest = Math.min(...[...this.#positions].map((p) => p.at))
    const drop = slowest - this.#dropped
    if (drop <= 0) return
    this.#batches.splice(0, drop)
    this.#dropped = slowest
  }
}

const once = (work: () => void): (() => void) => {
  let open = true
  return () => {
    if (open) work()
    open = false
  }
}

function orLeft<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(failure('client_closed'))
  return new Promise((resolve, reject) => {
    const left = (): void => reject(failure('client_closed'))
    signal.addEventListener('abort', left, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', left))
  })
}

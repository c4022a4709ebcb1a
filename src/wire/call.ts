/**
 * One call on its way: what its connection drives, the reply that the caller reads, and every limit on it. All in one
 * object, because this runs for each request and each chunk.
 */
import type { IncomingReply, OutgoingCall } from '../core/egress.ts'
import { failure, GatewayError } from '../core/errors.ts'
import { type Connection, type Exchanging, type Outgoing, outgoing } from './connection.ts'
import { proxyProblem } from './connector.ts'
import type { Deadlines, Watched } from './deadlines.ts'
import type { Lane } from './lane.ts'
import { isDisconnect, type Stage, transportFailure } from './transport-errors.ts'

/**
 * What may wait for the reader of a reply, in bytes. From there on reading stops, so that with what the two sockets hold
 * on their own account (a chunk of 64 KiB in the one, what was made of a chunk in the other) it is less than 256 KiB a stream.
 */
const PAUSE_ABOVE = 16 * 1024

/**
 * A server that closes an idle connection while a request is on its way answers with a reset within one round trip.
 * Later than this, a connection that dies without an answer may well have carried out the request.
 */
const STALE_WITHIN_MS = 2_000

/** What is awaited of a body whose rest nobody wants, so that its connection can serve again. */
const DISCARD_MS = 500
const DISCARD_BYTES = 64 * 1024

/** Of one connection, or rebuilt by whoever sends the reply on. */
const DROPPED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'content-encoding',
  '__proto__',
])

interface Waiter {
  resolve(result: IteratorResult<Buffer, undefined>): void
  reject(error: Error): void
}

/** Why a call was given up from above. */
export const leftBy = (signal: AbortSignal): GatewayError =>
  signal.reason instanceof GatewayError ? signal.reason : failure('client_closed')

const DONE: IteratorResult<Buffer, undefined> = { value: undefined, done: true }

export class Call implements IncomingReply, Watched, Exchanging, AsyncIterableIterator<Buffer> {
  status = 0
  headers: Readonly<Record<string, string>> = {}
  /** The body's codings as the server names them; empty if there are none. */
  encoding = ''
  place = -1

  readonly #call: OutgoingCall
  readonly #request: Outgoing
  readonly #host: string
  readonly #lane: Lane
  readonly #deadlines: Deadlines
  readonly #totalAt: number
  /** On the clock of performance.now(). */
  #dueAt = 0

  #connection: Connection
  #stage: Stage = 'connect'
  #stageAt = 0
  #reused = false
  #retried = false
  /** No more bytes will come: the body is whole, or `#error` says why not. */
  #over = false
  #error: GatewayError | undefined

  #answered: ((call: Call) => void) | undefined
  #refused: ((error: GatewayError) => void) | undefined
  #waiter: Waiter | undefined
  #collector: { resolve(body: Buffer): void; reject(error: Error): void; limit: number } | undefined
  #queue: Buffer[] = []
  #queued = 0
  #paused = false
  #discarding = false

  /** Throws a GatewayError if the request cannot be written; no connection is made for such a one. */
  constructor(call: OutgoingCall, path: string, host: string, lane: Lane, deadlines: Deadlines) {
    try {
      this.#request = requestOf(call, path, lane)
    } catch (error) {
      throw transportFailure(error as Error, 'connect', call.upstream, host)
    }
    this.#call = call
    this.#host = host
    this.#lane = lane
    this.#deadlines = deadlines
    this.#stageAt = performance.now()
    this.#totalAt = this.#stageAt + call.timeouts.totalMs
    this.#connection = call.rest ? lane.open() : lane.take()
  }

  /** Resolves with itself when the headers are there. */
  send(): Promise<Call> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve
      this.#refused = reject
      this.#deadlines.watch(this)
      this.#dispatch()
    })
  }

  #dispatch(): void {
    this.#stage = 'connect'
    this.#limit(this.#stageAt + this.#call.timeouts.connectMs)
    this.#connection.send(this.#request, this)
  }

  #limit(stageDueAt: number): void {
    this.#dueAt = Math.min(stageDueAt, this.#totalAt)
  }

  // What the connection reports.

  onSend(): void {
    this.#reused = this.#connection.used
    this.#stage = 'headers'
    this.#stageAt = performance.now()
    const { streamed, timeouts } = this.#call
    this.#limit(this.#stageAt + (streamed ? timeouts.headersStreamedMs : timeouts.headersUnstreamedMs))
  }

  onSent(last: boolean): void {
    if (this.#over || this.#stage !== 'headers') return
    const { timeouts } = this.#call
    this.#stageAt = performance.now()
    this.#limit(this.#stageAt + (last ? timeouts.headersUnstreamedMs : timeouts.idleMs))
  }

  onBegin(): void {
    if (this.#stage === 'headers') this.#stage = 'answering'
  }

  onHead(status: number, headers: Record<string, string>): void {
    if (this.#over) return
    if (status === 407 && this.#lane.forward) {
      this.#fail(failure('upstream_unreachable', { upstream: this.#call.upstream, problem: proxyProblem(status) }))
      return
    }
    this.#stage = 'body'
    this.status = status
    this.headers = this.#kept(headers)
    this.#limit(performance.now() + this.#call.timeouts.idleMs)
    this.#answered?.(this)
    this.#answered = undefined
    this.#refused = undefined
  }

  onBytes(chunk: Buffer): void {
    if (this.#over) return
    if (this.#discarding) {
      this.#queued += chunk.length
      if (this.#queued > DISCARD_BYTES) this.#fail(failure('client_closed'))
      return
    }
    const waiter = this.#waiter
    if (waiter) {
      this.#waiter = undefined
      this.#limit(this.#deadlines.now + this.#call.timeouts.idleMs)
      waiter.resolve({ value: chunk, done: false })
      return
    }
    this.#queued += chunk.length
    this.#queue.push(chunk)
    this.#limit(this.#deadlines.now + this.#call.timeouts.idleMs)
    if (this.#collector) {
      if (this.#queued > this.#collector.limit) this.#fail(this.#tooLong(this.#collector.limit))
    } else if (this.#queued > PAUSE_ABOVE) {
      this.#paused = true
      this.#connection.pause()
      // Who is not read cannot be idle.
      this.#dueAt = this.#totalAt
    }
  }

  onEnd(): void {
    if (this.#over) return
    this.#leave()
    // The connection is another call's from here on, and its to pause.
    this.#paused = false
    this.#lane.giveBack(this.#connection)
    this.#collector?.resolve(this.#joined())
    this.#collector = undefined
    this.#waiter?.resolve(DONE)
    this.#waiter = undefined
  }

  onBroken(error: Error): void {
    if (this.#over) return
    if (!this.#isStale(error)) {
      this.#fail(
        error instanceof GatewayError ? error : transportFailure(error, this.#stage, this.#call.upstream, this.#host),
      )
      return
    }
    this.#retried = true
    this.#connection.destroy()
    this.#connection = this.#lane.open()
    this.#stageAt = performance.now()
    this.#dispatch()
  }

  /** The pooled connection was dead already when the request was written: nobody has seen it. */
  #isStale(error: Error): boolean {
    return (
      this.#stage === 'headers' &&
      this.#reused &&
      !this.#retried &&
      isDisconnect(error) &&
      performance.now() - this.#stageAt <= STALE_WITHIN_MS
    )
  }

  #kept(headers: Record<string, string>): Record<string, string> {
    const kept: Record<string, string> = {}
    const named = headers.connection
    const hop = named !== undefined && !/^(?:keep-alive|close)$/i.test(named) ? named.toLowerCase() : undefined
    for (const name in headers) {
      const text = headers[name] as string
      if (name === 'content-encoding') this.encoding = text
      if (DROPPED.has(name) || hop?.split(/[\s,]+/).includes(name)) continue
      kept[name] = text
    }
    return kept
  }

  // What ends a call from this side.

  look(now: number): void {
    const { streamed, timeouts, upstream, signal } = this.#call
    if (signal.aborted && !this.#discarding) {
      this.#queue = []
      this.#fail(leftBy(signal))
      return
    }
    if (now < this.#dueAt) return
    const late = (what: string, timeoutMs: number): void =>
      this.#fail(failure('upstream_timeout', { upstream, what, timeoutMs }))
    if (now >= this.#totalAt) late('complete answer', timeouts.totalMs)
    else if (this.#stage === 'connect') late('connection', timeouts.connectMs)
    else if (this.#stage === 'body') late('next byte', timeouts.idleMs)
    else late('first byte', streamed ? timeouts.headersStreamedMs : timeouts.headersUnstreamedMs)
  }

  #fail(error: GatewayError): void {
    if (this.#over) return
    this.#error = error
    this.#leave()
    this.#connection.destroy()
    this.#refused?.(error)
    this.#refused = undefined
    this.#waiter?.reject(error)
    this.#waiter = undefined
    this.#collector?.reject(error)
    this.#collector = undefined
  }

  #leave(): void {
    this.#over = true
    this.#deadlines.unwatch(this)
  }

  // What the reader of the reply does.

  get chunks(): AsyncIterable<Buffer> {
    return this
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Buffer, undefined>> {
    const value = this.#queue.shift()
    if (value !== undefined) {
      this.#queued -= value.length
      if (this.#paused && this.#queued <= PAUSE_ABOVE) this.#resume()
      return Promise.resolve({ value, done: false })
    }
    if (this.#error) return Promise.reject(this.#error)
    if (this.#over || this.#discarding) return Promise.resolve(DONE)
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject }
    })
  }

  return(): Promise<IteratorResult<Buffer, undefined>> {
    this.abort()
    return Promise.resolve(DONE)
  }

  collect(limit: number): Promise<Buffer> {
    if (this.#queued > limit) this.#fail(this.#tooLong(limit))
    if (this.#error) return Promise.reject(this.#error)
    if (this.#over) return Promise.resolve(this.#joined())
    return new Promise((resolve, reject) => {
      this.#collector = { resolve, reject, limit }
      if (this.#paused) this.#resume()
    })
  }

  abort(): void {
    if (this.#discarding) return
    this.#queue = []
    this.#queued = 0
    this.#fail(failure('client_closed'))
  }

  discard(): void {
    if (this.#over) return
    this.#discarding = true
    this.#queue = []
    this.#queued = 0
    this.#waiter?.resolve(DONE)
    this.#waiter = undefined
    if (this.#paused) this.#resume()
    this.#dueAt = performance.now() + DISCARD_MS
  }

  #resume(): void {
    this.#paused = false
    this.#limit(performance.now() + this.#call.timeouts.idleMs)
    this.#connection.resume()
  }

  #joined(): Buffer {
    const queue = this.#queue
    this.#queue = []
    const first = queue[0]
    return queue.length === 1 && first ? first : Buffer.concat(queue, this.#queued)
  }

  #tooLong(limit: number): GatewayError {
    return failure('upstream_invalid', { upstream: this.#call.upstream, problem: `a body of more than ${limit} bytes` })
  }
}

function requestOf({ method, headers, body, rest }: OutgoingCall, path: string, { host, forward }: Lane): Outgoing {
  const flat: string[] = forward ? [...forward.headers] : []
  for (const name in headers) flat.push(name, headers[name] as string)
  return outgoing(method, forward ? forward.prefix + path : path, host, flat, body, rest)
}

/**
 * One connection to an upstream, as an HTTP/1.1 client: one request at a time, written in as few pieces as possible, its
 * reply read by http1-reader. Every limit on time is the call's own (call.ts).
 */
import type { Socket } from 'node:net'
import type { BodyRest } from '../core/egress.ts'
import type { Connector } from './connector.ts'
import { HttpError, ReplyReader, type ReplySink } from './http1-reader.ts'

const MOST_HEAD_BYTES = 64 * 1024
/** Head and body up to this size leave as one piece. */
const JOIN_BELOW = 64 * 1024
/** Unless the server's `Keep-Alive` header says otherwise: below the 5 s after which common servers hang up. */
const KEEP_ALIVE_MS = 4_000
const MOST_KEEP_ALIVE_MS = 600_000
/** What a server says it waits, less what a request may need to get there. */
const KEEP_ALIVE_MARGIN_MS = 2_000

const PATH = /^[\x21-\x7e]+$/
const NAME = /^[!#$%&'*+.^_`|~\w-]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** A request that can be written: made by `outgoing`. */
export interface Outgoing {
  readonly method: string
  readonly head: string
  readonly pieces: readonly Buffer[]
  readonly bodyBytes: number
  readonly rest: BodyRest | undefined
}

/**
 * Puts a request into the form in which it is sent. `headers` are name, value, name, value… without those of the
 * connection and without a length. Throws an HttpError for what would break out of its line.
 */
export function outgoing(
  method: string,
  path: string,
  host: string,
  headers: readonly string[],
  body: Buffer | readonly Buffer[] | undefined,
  rest?: BodyRest,
): Outgoing {
  if (!PATH.test(path)) throw new HttpError('HTTP_REQUEST', 'its path has characters that no path may carry')
  let head = `${method} ${path} HTTP/1.1\r\n`
  let hasHost = false
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const value = headers[i + 1] as string
    if (!NAME.test(name) || !VALUE.test(value)) {
      throw new HttpError('HTTP_REQUEST', 'a header has characters that no header may carry')
    }
    if (name === 'host') hasHost = true
    head += `${name}: ${value}\r\n`
  }
  const pieces = body === undefined ? [] : Buffer.isBuffer(body) ? [body] : body
  let bodyBytes = 0
  for (const piece of pieces) bodyBytes += piece.length
  if (!hasHost) head += `host: ${host}\r\n`
  if (rest && rest.bytes === undefined) head += 'transfer-encoding: chunked\r\n'
  else if (bodyBytes > 0 || (method !== 'GET' && method !== 'HEAD')) {
    head += `content-length: ${bodyBytes + (rest?.bytes ?? 0)}\r\n`
  }
  return { method, head: `${head}connection: keep-alive\r\n\r\n`, pieces, bodyBytes, rest }
}

/** Whoever sent the request that is on its way. */
export interface Exchanging extends ReplySink {
  /** The connection stands, and the request is written now. */
  onSend(): void
  /** A piece of a body that is still coming was taken; `last`: there is no more. */
  onSent(last: boolean): void
  /** Nothing more comes. After `onEnd` it is not called. */
  onBroken(error: Error): void
}

export interface ConnectionOwner {
  /** The connection is closed, and must not be taken again. */
  closed(connection: Connection): void
}

export class Connection implements ReplySink {
  /** Its socket has carried a request before: the server may be closing it at this very moment. */
  used = false
  /** On the clock of performance.now(): an idle one is not taken, and closed, after this. */
  idleUntil = 0
  readonly #owner: ConnectionOwner
  readonly #reader = new ReplyReader(this, MOST_HEAD_BYTES)
  #opening: { destroy(): void } | undefined
  #socket: Socket | undefined
  #waiting: Outgoing | undefined
  #current: Exchanging | undefined
  #gone = false
  /** A body is on its way whose end is not written yet. */
  #unsent = false

  constructor(owner: ConnectionOwner, origin: URL, connector: Connector) {
    this.#owner = owner
    const place = {
      hostname: origin.hostname.replace(/^\[|\]$/g, ''),
      port: origin.port,
      protocol: origin.protocol,
    }
    this.#opening = connector(place, (error, socket) => {
      this.#opening = undefined
      if (error) this.#break(error)
      else if (this.#gone) socket?.destroy()
      else if (socket) this.#opened(socket)
    })
  }

  send(request: Outgoing, exchanging: Exchanging): void {
    this.#current = exchanging
    if (this.#socket) this.#write(request)
    else if (this.#gone) queueMicrotask(() => exchanging.onBroken(new Error('the connection is closed')))
    else this.#waiting = request
  }

  pause(): void {
    this.#socket?.pause()
  }

  resume(): void {
    this.#socket?.resume()
  }

  /** The same for an owner that ends: whoever waits is told. */
  fail(): void {
    this.#break(new Error('the gateway stops'))
  }

  /** Closes the socket at once, in whatever state it is; nobody is told. */
  destroy(): void {
    this.#current = undefined
    this.#close()
  }

  onBegin(): void {
    this.#current?.onBegin()
  }

  onHead(status: number, headers: Record<string, string>): void {
    this.#current?.onHead(status, headers)
  }

  onBytes(chunk: Buffer): void {
    this.#current?.onBytes(chunk)
  }

  onEnd(): void {
    const exchanging = this.#current
    this.#current = undefined
    this.used = true
    // The reader may have fallen behind within the very bytes that ended the reply.
    this.#socket?.resume()
    const { reusable, keepAliveMs } = this.#reader
    const idleMs =
      keepAliveMs === undefined ? KEEP_ALIVE_MS : Math.min(keepAliveMs, MOST_KEEP_ALIVE_MS) - KEEP_ALIVE_MARGIN_MS
    // A server that answered before it had the whole request reads the rest of it as another one.
    if (!reusable || idleMs <= 0 || this.#unsent || this.#socket?.writableLength !== 0) this.#close()
    else this.idleUntil = performance.now() + idleMs
    exchanging?.onEnd()
  }

  /** May be given back for another request. */
  get reusable(): boolean {
    return !this.#gone
  }

  #opened(socket: Socket): void {
    this.#socket = socket
    socket.on('data', this.#data)
    socket.on('error', this.#fail)
    socket.on('end', this.#ended)
    socket.on('close', this.#ended)
    const request = this.#waiting
    this.#waiting = undefined
    if (request) this.#write(request)
  }

  readonly #data = (chunk: Buffer): void => {
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.#break(error as Error)
    }
  }

  readonly #fail = (error: Error): void => this.#break(error)

  readonly #ended = (): void => {
    if (this.#gone) return
    try {
      this.#reader.end()
      // What ends with the connection is whole now; an idle one is of no more use.
      this.#close()
    } catch (error) {
      this.#break(error as Error)
    }
  }

  #write({ method, head, pieces, bodyBytes, rest }: Outgoing): void {
    const socket = this.#socket as Socket
    this.#reader.expect(method)
    this.#current?.onSend()
    if (rest) {
      socket.write(head, 'latin1')
      void this.#pump(socket, pieces, rest)
    } else if (bodyBytes === 0) {
      socket.write(head, 'latin1')
    } else if (head.length + bodyBytes <= JOIN_BELOW) {
      const whole = Buffer.allocUnsafe(head.length + bodyBytes)
      let at = whole.write(head, 'latin1')
      for (const piece of pieces) at += piece.copy(whole, at)
      socket.write(whole)
    } else {
      socket.cork()
      socket.write(head, 'latin1')
      for (const piece of pieces) socket.write(piece)
      socket.uncork()
    }
  }

  /** Takes no more of the rest than the socket does. An answer that comes before its end ends this, too. */
  async #pump(socket: Socket, pieces: readonly Buffer[], { bytes, chunks }: BodyRest): Promise<void> {
    const exchanging = this.#current
    this.#unsent = true
    const write = (piece: Buffer): Promise<void> | undefined => {
      if (piece.length === 0) return undefined
      if (bytes !== undefined) return socket.write(piece) ? undefined : taken(socket)
      socket.cork()
      socket.write(`${piece.length.toString(16)}\r\n`, 'latin1')
      socket.write(piece)
      const flows = socket.write('\r\n', 'latin1')
      socket.uncork()
      return flows ? undefined : taken(socket)
    }
    try {
      for (const piece of pieces) await write(piece)
      for await (const piece of chunks) {
        if (this.#current !== exchanging) return
        await write(piece)
        exchanging?.onSent(false)
      }
      if (this.#current !== exchanging) return
      if (bytes === undefined) socket.write('0\r\n\r\n', 'latin1')
      this.#unsent = false
      exchanging?.onSent(true)
    } catch (error) {
      if (this.#current === exchanging) this.#break(error as Error)
    }
  }

  #break(error: Error): void {
    if (this.#gone) return
    const exchanging = this.#current
    this.#current = undefined
    this.#close()
    exchanging?.onBroken(error)
  }

  #close(): void {
    if (this.#gone) return
    this.#gone = true
    this.#opening?.destroy()
    this.#socket?.destroy()
    this.#owner.closed(this)
  }
}

/** Resolves when the socket has let go of what it holds, or is closed. */
const taken = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    socket.on('drain', done)
    socket.on('close', done)
    if (socket.destroyed) done()
  })

/**
 * One keep-alive HTTP/1.1 connection of the load generator, on a raw socket: it sends requests that were built beforehand
 * and reads one reply at a time. It knows content-length and chunked bodies and counts bytes and server-sent events;
 * nothing is decoded unless asked for.
 */
import { connect, type Socket } from 'node:net'

const HEAD_END = Buffer.from('\r\n\r\n')
const EVENT_END = Buffer.from('\n\n')
const LF = 10
const READ_BYTES = 65_536

export interface Reading {
  status: number
  bodyBytes: number
  /** Blank lines seen, that is, whole events of an event stream. */
  events: number
  /** Only when the connection was told to keep bodies. */
  readonly body: Buffer[]
}

export interface Listener {
  /** Some bytes of the body came. */
  progress?(connection: Connection, reading: Reading): void
  done(connection: Connection, reading: Reading): void
  /** The connection ended in the middle of a reply, or could not be opened. It is of no more use. */
  lost(connection: Connection, why: string): void
}

type Part = 'head' | 'length' | 'size' | 'data' | 'after-data' | 'trailer'

export class Connection {
  readonly opened: Promise<void>
  /** Free for the owner: when the request in flight was sent, or should have been. */
  startedAt = 0
  busy = false
  readonly #listener: Listener
  readonly #keepBodies: boolean
  readonly #socket: Socket
  #closed = false
  #kept: Buffer | undefined
  #part: Part = 'head'
  /** Bytes of the body or of the chunk that are still to come. */
  #left = 0
  #endedInLf = false
  #reading: Reading = { status: 0, bodyBytes: 0, events: 0, body: [] }

  constructor(port: number, listener: Listener, keepBodies = false) {
    this.#listener = listener
    this.#keepBodies = keepBodies
    const opened = Promise.withResolvers<void>()
    this.opened = opened.promise
    this.opened.catch(() => undefined)
    this.#socket = connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(READ_BYTES),
        callback: (count, buffer) => {
          this.#read((buffer as Buffer).subarray(0, count))
          return true
        },
      },
    })
    this.#socket.on('connect', opened.resolve)
    this.#socket.on('error', (error) => this.#lose(error.message))
    this.#socket.on('close', () => {
      opened.reject(new Error('not opened'))
      this.#lose('closed in the middle of a reply')
    })
  }

  send(request: Buffer, at: number): void {
    this.busy = true
    this.startedAt = at
    this.#reading = { status: 0, bodyBytes: 0, events: 0, body: [] }
    this.#endedInLf = false
    this.#socket.write(request)
  }

  close(): void {
    this.#closed = true
    this.#socket.destroy()
  }

  #lose(why: string): void {
    if (this.#closed) return
    this.close()
    this.#listener.lost(this, why)
  }

  #read(read: Buffer): void {
    let bytes = this.#kept ? Buffer.concat([this.#kept, read]) : read
    this.#kept = undefined
    while (bytes.length > 0 && !this.#closed) {
      const used = this.#take(bytes)
      if (used === 0) {
        // The buffer that was read into is used again.
        this.#kept = Buffer.from(bytes)
        return
      }
      bytes = bytes.subarray(used)
    }
  }

  /** Reads one part of a reply; answers how many bytes it used, 0 when it needs more of them. */
  #take(bytes: Buffer): number {
    switch (this.#part) {
      case 'head':
        return this.#takeHead(bytes)
      case 'length':
      case 'data':
        return this.#takeBody(bytes)
      case 'size':
      case 'after-data':
      case 'trailer':
        return this.#takeLine(bytes)
    }
  }

  #takeHead(bytes: Buffer): number {
    const end = bytes.indexOf(HEAD_END)
    if (end === -1) return 0
    if (!this.busy) this.#lose('a reply to nothing')
    const head = bytes.toString('latin1', 0, end)
    this.#reading.status = Number(head.slice(9, 12))
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    if (length !== undefined) {
      this.#left = Number(length)
      this.#part = 'length'
      if (this.#left === 0) this.#done()
    } else if (/\r\ntransfer-encoding: *chunked/i.test(head)) this.#part = 'size'
    else this.#lose('a reply without a length')
    return end + HEAD_END.length
  }

  #takeBody(bytes: Buffer): number {
    const used = Math.min(this.#left, bytes.length)
    const piece = used === bytes.length ? bytes : bytes.subarray(0, used)
    this.#left -= used
    this.#reading.bodyBytes += used
    this.#reading.events += this.#countEvents(piece)
    if (this.#keepBodies) this.#reading.body.push(Buffer.from(piece))
    const ended = this.#left === 0
    this.#listener.progress?.(this, this.#reading)
    if (ended && this.#part === 'length') this.#done()
    else if (ended) this.#part = 'after-data'
    return used
  }

  #takeLine(bytes: Buffer): number {
    const end = bytes.indexOf(LF)
    if (end === -1) return 0
    if (this.#part === 'after-data') this.#part = 'size'
    else if (this.#part === 'trailer') {
      if (end <= 1) this.#done()
    } else {
      this.#left = Number.parseInt(bytes.toString('latin1', 0, end), 16)
      this.#part = this.#left === 0 ? 'trailer' : 'data'
    }
    return end + 1
  }

  #countEvents(piece: Buffer): number {
    let count = 0
    let from = 0
    if (this.#endedInLf && piece[0] === LF) {
      count = 1
      from = 1
    }
    for (let at = piece.indexOf(EVENT_END, from); at !== -1; at = piece.indexOf(EVENT_END, from)) {
      count++
      from = at + EVENT_END.length
    }
    this.#endedInLf = from < piece.length && piece[piece.length - 1] === LF
    return count
  }

  #done(): void {
    this.#part = 'head'
    this.busy = false
    this.#listener.done(this, this.#reading)
  }
}

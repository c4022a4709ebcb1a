/**
 * The connections to one origin for one upstream. A connection is an undici client with one request at a time; the one
 * used last is taken first, so that the others can grow idle and close, and finding one costs the same however many
 * there are. There is no cap: a request never waits for another one's answer.
 */
import { Client, type Dispatcher } from 'undici'
import type { Connector } from './connector.ts'

/** Unless the server's `Keep-Alive` header says otherwise: below the 5 s after which common servers hang up. */
const KEEP_ALIVE_MS = 4_000
const MOST_HEADER_BYTES = 64 * 1024

export interface LaneOptions {
  /** Of the upstream, or of the proxy that takes whole URLs in its stead. */
  readonly origin: string
  readonly connector: Connector
  /** Set where requests go to a forwarding proxy: what goes before the path, and headers for the proxy. */
  readonly forward?: { readonly prefix: string; readonly headers: readonly string[] }
}

export class Lane {
  readonly forward: LaneOptions['forward']
  readonly #origin: string
  readonly #connector: Connector
  readonly #open = new Set<Connection>()
  readonly #idle: Connection[] = []

  constructor(options: LaneOptions) {
    this.#origin = options.origin
    this.#connector = options.connector
    this.forward = options.forward
  }

  /** An idle connection, or a new one. */
  take(): Connection {
    return this.#idle.pop() ?? this.open()
  }

  /** Surely a new one. */
  open(): Connection {
    const connection = new Connection(this, this.#origin, this.#connector)
    this.#open.add(connection)
    return connection
  }

  get unused(): boolean {
    return this.#open.size === 0
  }

  giveBack(connection: Connection): void {
    if (this.#open.has(connection)) this.#idle.push(connection)
  }

  drop(connection: Connection): void {
    this.#open.delete(connection)
    this.dropIdle(connection)
  }

  /** Whether it was idle. */
  dropIdle(connection: Connection): boolean {
    const at = this.#idle.lastIndexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
    return at !== -1
  }

  /** Running requests fail. */
  close(): void {
    for (const connection of [...this.#open]) connection.destroy()
  }
}

const ignore = (): void => {}

export class Connection {
  /** Its socket has carried a request before: the server may be closing it at this very moment. */
  used = false
  readonly #lane: Lane
  readonly #client: Client
  #opening: { destroy(): void } | undefined

  constructor(lane: Lane, origin: string, connector: Connector) {
    this.#lane = lane
    this.#client = new Client(origin, {
      connect: (place, opened) => {
        this.#opening = connector(place, (...result) => {
          this.#opening = undefined
          opened(...result)
        })
      },
      allowH2: false,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveTimeoutThreshold: 2_000,
      keepAliveMaxTimeout: 600_000,
      maxHeaderSize: MOST_HEADER_BYTES,
      // Every call has limits of its own (call.ts), which name themselves.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
    this.#client.on('disconnect', () => {
      this.used = false
      if (lane.dropIdle(this)) this.destroy()
    })
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(options, handler)
  }

  giveBack(): void {
    this.used = true
    this.#lane.giveBack(this)
  }

  /** Closes the socket at once, in whatever state it is. */
  destroy(): void {
    this.#lane.drop(this)
    this.#opening?.destroy()
    this.#client.destroy(null, ignore)
  }
}

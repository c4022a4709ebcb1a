/**
 * The connections to one origin for one upstream. The one used last is taken first, so that the others can grow idle and
 * close, and finding one costs the same however many there are. There is no cap: a request never waits for another one's
 * answer.
 */
import { Connection, type ConnectionOwner } from './connection.ts'
import type { Connector } from './connector.ts'

/** How often idle connections are looked through for those whose time is over. */
const SWEEP_MS = 1_000

export interface LaneOptions {
  /** Of the upstream, or of the proxy that takes whole URLs in its stead. */
  readonly origin: string
  readonly connector: Connector
  /** Set where requests go to a forwarding proxy: what goes before the path, and headers for the proxy. */
  readonly forward?: { readonly prefix: string; readonly headers: readonly string[] }
}

export class Lane implements ConnectionOwner {
  readonly forward: LaneOptions['forward']
  readonly #origin: URL
  readonly #connector: Connector
  readonly #open = new Set<Connection>()
  /** Given back last, taken first. */
  #idle: Connection[] = []
  #sweeper: NodeJS.Timeout | undefined

  constructor(options: LaneOptions) {
    this.#origin = new URL(options.origin)
    this.#connector = options.connector
    this.forward = options.forward
  }

  /** As requests name it. */
  get host(): string {
    return this.#origin.host
  }

  /** An idle connection, or a new one. */
  take(): Connection {
    const now = performance.now()
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      if (idle.idleUntil > now) return idle
      idle.destroy()
    }
    return this.open()
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
    if (!connection.reusable) return
    this.#idle.push(connection)
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref()
  }

  closed(connection: Connection): void {
    this.#open.delete(connection)
    const at = this.#idle.lastIndexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
  }

  /** Running requests fail. */
  close(): void {
    clearInterval(this.#sweeper)
    for (const connection of [...this.#open]) connection.fail()
  }

  #sweep(): void {
    const now = performance.now()
    for (const idle of [...this.#idle]) if (idle.idleUntil <= now) idle.destroy()
    if (this.#idle.length > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}

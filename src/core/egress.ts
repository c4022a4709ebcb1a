/**
 * The port for every call that leaves the gateway. wire/egress implements it: one guard, one set of timeouts, no
 * redirects, bounded bytes, whoever calls.
 */
import type { Timeouts } from './exchange.ts'
import type { Method } from './relay.ts'

export interface OutgoingCall {
  /** The upstream's id: names it in errors, and keeps one pool of connections per origin and upstream. */
  readonly upstream: string
  readonly method: Method
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Buffer | readonly Buffer[]
  /** What follows `body`. Such a call is made once: what was sent of it cannot be had again. */
  readonly rest?: BodyRest
  readonly streamed: boolean
  readonly timeouts: Timeouts
  readonly signal: AbortSignal
  /** Link-local and metadata addresses that an instance administrator allowed by name. */
  readonly allowHosts?: readonly string[]
  readonly way?: Way
}

/** A body that is still on its way here. Where reading it throws a GatewayError, that is the call's. */
export interface BodyRest {
  /** Absent: its length is not known. */
  readonly bytes?: number
  readonly chunks: AsyncIterable<Buffer>
}

/** How an upstream is reached, where that is another way than that of the rest. */
export interface Way {
  /** Equal ways have equal ids, and share connections. */
  readonly id: string
  /** `direct`, or an HTTP proxy's address with its user and password: instead of what the environment says. */
  readonly proxy?: string
  /** PEM: authorities besides Node's own, and who we are to an upstream that asks for a certificate. */
  readonly ca?: string
  readonly certificate?: { readonly chain: string; readonly key: string }
}

export interface IncomingReply {
  readonly status: number
  /** Lower case; a repeated header is joined with `, `. */
  readonly headers: Readonly<Record<string, string>>
  /** The decompressed body as it arrives. Returning early closes the connection to the upstream at once. */
  readonly chunks: AsyncIterable<Buffer>
  /** Collects the rest, up to `limit` bytes. */
  collect(limit: number): Promise<Buffer>
  /**
   * Nobody wants the rest, but its end is near (a stream's terminal event was seen): the connection is kept for the next
   * call if the body ends by itself within half a second. What is read, returned or aborted afterwards does nothing.
   */
  discard(): void
  /** Closes the connection without reading on. */
  abort(): void
}

/** Rejects with a GatewayError (`upstream_unreachable`, `upstream_timeout`, `client_closed`…) naming what happened. */
export interface Egress {
  send(call: OutgoingCall): Promise<IncomingReply>
  close(): Promise<void>
}

/** A place outside the data directory that takes lines: an append-only file, a syslog receiver. */
export interface Outlet {
  /** Resolves when the line was taken. Rejects with a sentence, after `limitMs` at the latest. */
  write(line: string, limitMs: number): Promise<void>
  /** The last line, where it can be read back. */
  last(): Promise<string | undefined>
  close(): void
}
/** `file:///path`, `syslog://host:port` (UDP), `syslog+tcp://host:port`, `syslog+unix:///path`. Throws on any other. */
export type OpenOutlet = (url: string) => Outlet

/**
 * The one outbound client: every call that leaves the gateway goes through here, with one guard, one set of limits, no
 * redirects and bounded bytes, whoever calls. HTTP/1.1 over long-lived connections, a lane of them for each upstream
 * and origin; no credential is ever attached here.
 */
import type dns from 'node:dns'
import type { Egress, IncomingReply, OutgoingCall, Way } from '../core/egress.ts'
import { failure, type GatewayError } from '../core/errors.ts'
import { Call, leftBy } from './call.ts'
import { type Connector, directConnector, judgedFirst, tunnelConnector } from './connector.ts'
import { Deadlines } from './deadlines.ts'
import { codingOf, unpacked } from './decompress.ts'
import { type Audience, createGuard, type Guard } from './guard.ts'
import { Lane } from './lane.ts'
import { proxiesOf, proxyAuthorization } from './proxy.ts'

export interface EgressOptions {
  /** Whose base URLs are called: an instance administrator's (the default), or only public hosts. */
  readonly audience?: Audience
  /** PEM certificates of further authorities, besides Node's own and those of NODE_EXTRA_CA_CERTS. */
  readonly ca?: string | readonly string[]
  /** Where HTTPS_PROXY, HTTP_PROXY and NO_PROXY are read from: the process's environment by default. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** The resolver; the system's by default. */
  readonly resolve?: typeof dns.lookup
}

/** Where a URL leads, judged and taken apart once. */
interface Destination {
  readonly lane: Lane
  readonly path: string
  readonly host: string
}

const MOST_DESTINATIONS = 2_000

/** Throws if a proxy variable cannot be used. */
export function createEgress(options: EgressOptions = {}): Egress {
  return new Outbound(options)
}

class Outbound implements Egress {
  readonly #options: EgressOptions
  readonly #proxyFor: (url: URL) => URL | undefined
  readonly #deadlines = new Deadlines()
  readonly #lanes = new Map<string, Lane>()
  readonly #destinations = new Map<string, Destination>()
  #closed = false

  constructor(options: EgressOptions) {
    this.#options = options
    this.#proxyFor = proxiesOf(options.environment ?? process.env)
  }

  async send(call: OutgoingCall): Promise<IncomingReply> {
    if (this.#closed) throw failure('shutting_down')
    if (call.signal.aborted) throw leftBy(call.signal)
    const { lane, path, host } = this.#destination(call)
    const reply = await new Call(call, path, host, lane, this.#deadlines).send()
    if (reply.encoding === '') return reply
    try {
      const coding = codingOf(reply.encoding, call.upstream)
      return coding === undefined ? reply : unpacked(reply, coding, call.upstream)
    } catch (error) {
      reply.abort()
      throw error
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const lane of this.#lanes.values()) lane.close()
    this.#lanes.clear()
    this.#destinations.clear()
  }

  #destination(call: OutgoingCall): Destination {
    const allowed = call.allowHosts === undefined ? '' : call.allowHosts.join(',')
    const way = call.way === undefined ? '' : call.way.id
    const key = `${call.upstream}\n${call.url}\n${allowed}\n${way}`
    const known = this.#destinations.get(key)
    if (known) return known
    const url = URL.canParse(call.url) ? new URL(call.url) : undefined
    if (!url) throw this.#forbidden(call, 'its URL is not valid')
    const { audience = 'administrator', resolve } = this.#options
    const guard = createGuard(audience, call.allowHosts, resolve)
    const problem = guard.refuses(url)
    if (problem !== undefined) throw this.#forbidden(call, problem)
    const laneKey = `${call.upstream}\n${url.origin}\n${allowed}\n${way}`
    let lane = this.#lanes.get(laneKey)
    if (!lane) {
      lane = this.#open(url, guard, call.way)
      this.#lanes.set(laneKey, lane)
    }
    if (this.#destinations.size >= MOST_DESTINATIONS) this.#forget()
    const destination = { lane, path: url.pathname + url.search, host: url.host }
    this.#destinations.set(key, destination)
    return destination
  }

  #forbidden(call: OutgoingCall, problem: string): GatewayError {
    return failure('upstream_unreachable', { upstream: call.upstream, problem }, undefined, { retry: 'elsewhere' })
  }

  #open(url: URL, guard: Guard, way: Way | undefined): Lane {
    const authorities = [this.#options.ca ?? [], way?.ca ?? []].flat()
    const ca = authorities.length === 0 ? {} : { ca: authorities }
    const secure = way?.certificate === undefined ? ca : { ...ca, certificate: way.certificate }
    const proxy = this.#proxyOf(way, url)
    if (!proxy) return new Lane({ origin: url.origin, connector: directConnector({ lookup: guard.lookup, ...secure }) })
    const judged = (connector: Connector): Connector =>
      this.#options.audience === 'public' ? judgedFirst(connector, url.hostname, guard.lookup) : connector
    if (url.protocol === 'https:')
      return new Lane({ origin: url.origin, connector: judged(tunnelConnector(proxy, secure)) })
    const authorization = proxyAuthorization(proxy)
    const headers = ['host', url.host, ...(authorization === undefined ? [] : ['proxy-authorization', authorization])]
    return new Lane({
      origin: proxy.origin,
      connector: judged(directConnector(ca)),
      forward: { prefix: url.origin, headers },
    })
  }

  #proxyOf(way: Way | undefined, url: URL): URL | undefined {
    if (way?.proxy === undefined) return this.#proxyFor(url)
    return way.proxy === 'direct' ? undefined : new URL(way.proxy)
  }

  /** Destinations come from configuration and are few; this bounds them, and the lanes nobody uses, should they not be. */
  #forget(): void {
    this.#destinations.clear()
    for (const [key, lane] of this.#lanes) if (lane.unused) this.#lanes.delete(key)
  }
}

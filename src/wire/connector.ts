/**
 * Opens sockets towards upstreams: directly, or through a tunnel of an HTTP proxy. The address guard sits in the name
 * lookup, so it judges the very address that is connected to. TLS is always verified.
 */
import http from 'node:http'
import https from 'node:https'
import net, { type LookupFunction, type Socket } from 'node:net'
import tls from 'node:tls'
import { proxyAuthorization } from './proxy.ts'

/** Where to connect to; `hostname` is without brackets, `port` empty for the protocol's own. */
export interface Place {
  readonly hostname: string
  readonly port: string
  readonly protocol: string
}
export type Opened = (...result: [error: null, socket: Socket] | [error: Error, socket: null]) => void
/** Calls back exactly once, unless it was destroyed before. */
export type Connector = (place: Place, opened: Opened) => { destroy(): void }

export interface ConnectorOptions {
  readonly lookup?: LookupFunction
  /** PEM certificates of further authorities, besides those that Node trusts. */
  readonly ca?: string | readonly string[]
  /** Who we are, to an upstream that asks. A proxy is told nothing of it. */
  readonly certificate?: { readonly chain: string; readonly key: string }
}

/** An answer of a proxy that is no tunnel. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError'
}

const TCP = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 } as const

const portOf = (place: Place): number =>
  place.port === '' ? (place.protocol === 'https:' ? 443 : 80) : Number(place.port)

function tlsOptions({ ca, certificate }: ConnectorOptions): tls.ConnectionOptions {
  return {
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca: [...tls.getCACertificates('default'), ...[ca].flat()] }),
    ...(certificate === undefined ? {} : { cert: certificate.chain, key: certificate.key }),
  }
}

function once(opened: Opened): Opened {
  let done = false
  return (...result) => {
    if (done) return
    done = true
    opened(...result)
  }
}

function settle(socket: Socket, event: 'connect' | 'secureConnect', opened: Opened): Socket {
  const finish = once(opened)
  socket.once(event, () => finish(null, socket))
  socket.on('error', (error) => finish(error, null))
  return socket
}

export function directConnector(options: ConnectorOptions): Connector {
  const secure = tlsOptions(options)
  const lookup = options.lookup === undefined ? {} : { lookup: options.lookup }
  let session: Buffer | undefined
  return (place, opened) => {
    const target = { ...TCP, host: place.hostname, port: portOf(place), ...lookup }
    if (place.protocol !== 'https:') return settle(net.connect(target), 'connect', opened)
    const socket = tls.connect({ ...secure, ...target, ...(session === undefined ? {} : { session }) })
    socket.on('session', (ticket) => {
      session = ticket
    })
    return settle(socket, 'secureConnect', opened)
  }
}

/** TLS to the upstream inside a CONNECT tunnel. The proxy resolves the upstream's name. */
export function tunnelConnector(proxy: URL, options: ConnectorOptions): Connector {
  const secure = tlsOptions(options)
  const toProxy = tlsOptions(options.ca === undefined ? {} : { ca: options.ca })
  const authorization = proxyAuthorization(proxy)
  return (place, callback) => {
    const opened = once(callback)
    const literal = net.isIPv6(place.hostname) ? `[${place.hostname}]` : place.hostname
    const authority = `${literal}:${portOf(place)}`
    const client = proxy.protocol === 'https:' ? https : http
    let stop = (): void => {
      request.destroy()
    }
    const request = client.request({
      ...toProxy,
      method: 'CONNECT',
      hostname: proxy.hostname.replace(/^\[|\]$/g, ''),
      port: proxy.port,
      path: authority,
      headers: { host: authority, ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }) },
      agent: false,
    })
    const refuse = (problem: string): void => {
      opened(new ProxyError(problem), null)
      request.destroy()
    }
    request.once('connect', (answer: http.IncomingMessage, tunnel: Socket, head: Buffer) => {
      if (answer.statusCode !== 200 || head.length > 0) {
        tunnel.destroy()
        return refuse(proxyProblem(answer.statusCode ?? 0))
      }
      tunnel.setNoDelay(true)
      const servername = net.isIP(place.hostname) === 0 ? { servername: place.hostname } : {}
      const socket = tls.connect({ ...secure, ...servername, host: place.hostname, socket: tunnel })
      stop = () => {
        socket.destroy()
        tunnel.destroy()
      }
      settle(socket, 'secureConnect', opened)
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      refuse(`the proxy could not be reached (${error.code ?? error.message})`)
    })
    request.once('response', (answer) => refuse(proxyProblem(answer.statusCode ?? 0)))
    request.end()
    return { destroy: () => stop() }
  }
}

/** Behind a proxy nobody here resolves the upstream's name; where only public hosts may be called, it is judged first. */
export function judgedFirst(connector: Connector, hostname: string, lookup: LookupFunction): Connector {
  return (place, opened) => {
    let inner: { destroy(): void } | undefined
    let gone = false
    lookup(hostname, { all: true }, (error) => {
      if (gone) return
      if (error) opened(error, null)
      else inner = connector(place, opened)
    })
    return {
      destroy() {
        gone = true
        inner?.destroy()
      },
    }
  }
}

export const proxyProblem = (status: number): string =>
  status === 407 ? 'the proxy asks for credentials (407)' : `the proxy refused the tunnel with status ${status}`

/**
 * The one HTTP server: limits, error shapes, the doors. Defaults of Fastify and Node that matter are set on purpose:
 * nothing is inherited.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { AddressList } from '../core/addresses.ts'
import type { Dialect } from '../core/dialect.ts'
import { failure, GatewayError } from '../core/errors.ts'
import { writeError } from './answer.ts'
import { limitConnections } from './crowd.ts'
import { dialectOf, verbOf, withoutQueryKey } from './endpoints.ts'

export interface Route {
  readonly method: string
  readonly url: string
}

export interface ServerOptions {
  /** Where each route is noted as it is added. */
  readonly routes: Route[]
  readonly bodyLimitBytes: number
  readonly dialects: ReadonlyMap<string, Dialect>
  /** The dialect in whose shape errors under an upstream's own name are; undefined: there is no such upstream. */
  shapeAt(upstream: string): string | undefined
  readonly trustedProxies?: AddressList
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer }
  readonly maxConnections: number
  /** For the whole head of a request; half a minute unless told. */
  readonly headersTimeoutMs?: number
  /** For the whole of a request, its body included; five minutes unless told. An answer may take longer. */
  readonly requestTimeoutMs?: number
  /** What is there only while a module is on, and it is off. */
  hidden(path: string): boolean
  nextId(): string
}

/** Long enough to hand over a refusal; who does not hang up then is hung up on. */
const LINGER_MS = 1_000

/** What Node says of bytes that are no request. */
interface ConnectionError extends NodeJS.ErrnoException {
  /** The parser's own words, none of the client's. */
  readonly reason?: string
  readonly rawPacket?: Buffer
}

function noSchemas(): never {
  throw new Error('a route has a schema for Fastify')
}

export function createServer(options: ServerOptions): FastifyInstance {
  const { trustedProxies, headersTimeoutMs: headersTimeout = 30_000, requestTimeoutMs = 300_000 } = options
  const limits = {
    maxHeaderSize: 64 * 1024,
    headersTimeout,
    // Node looks for late ones this often.
    connectionsCheckingInterval: Math.min(5_000, headersTimeout, requestTimeoutMs),
    noDelay: true,
    // A reader that stops is noticed early: see what may wait for it in wire/call.ts.
    highWaterMark: 32 * 1024,
  }
  const app = fastify({
    bodyLimit: options.bodyLimitBytes,
    rewriteUrl: (request: IncomingMessage) => withoutQueryKey(request.url ?? '/', request.headers),
    routerOptions: { maxParamLength: 1_024 },
    // To take in a request: a long answer is no reason to hang up.
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: 75_000,
    // A stop ends idle connections only: running streams go on until their end, or until the stop's grace is over.
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    exposeHeadRoutes: false,
    logger: false,
    // Routes are checked by ours (core/settings.ts), so Fastify's compilers of schemas are not even loaded.
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    clientErrorHandler: refuseRawly,
    // Paths that no router can read.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      reply.hijack()
      answer(request.raw, reply.raw, translated(error, options.bodyLimitBytes))
    },
    ...(trustedProxies ? { trustProxy: (address: string) => trustedProxies.has(address) } : {}),
    ...(options.tls ? { https: { ...limits, handshakeTimeout: headersTimeout, ...options.tls } } : { http: limits }),
  } as Parameters<typeof fastify>[0]) as unknown as FastifyInstance
  const server = app.server as Server
  server.maxHeadersCount = 200
  limitConnections(server, options.maxConnections, options.tls !== undefined)

  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) options.routes.push({ method: each, url })
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body))

  const shapeOf = (url: string, headers: IncomingMessage['headers']) =>
    options.dialects.get(dialectOf(url, headers, options.shapeAt))?.client ??
    options.dialects.get('openai-chat')?.client
  app.setNotFoundHandler((request, reply) => {
    reply.hijack()
    const path = request.url.split('?', 1)[0] as string
    // Clients that try a WebSocket first fall back at once when they are told so (A60).
    if (request.headers.upgrade !== undefined) {
      return answer(request.raw, reply.raw, failure('upgrade_refused', { path: path.slice(0, 200) }))
    }
    const allowed = options.hidden(path) ? [] : allowedAt(path)
    const error =
      allowed.length > 0
        ? failure('method_not_allowed', {
            method: request.method,
            path: path.slice(0, 200),
            allowed: allowed.join(' or '),
            headers: { allow: allowed.join(', ') },
          })
        : failure('not_found', { what: whatOf(path) })
    answer(request.raw, reply.raw, error)
  })
  function allowedAt(path: string): readonly string[] {
    if (verbOf(path) !== undefined) return ['POST']
    if (/^\/v1(?:alpha|beta)?\/models\/[^/]/.test(path)) return ['GET']
    return ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((method) => app.hasRoute({ method, url: path } as never))
  }
  /** A base URL with the version missing, or twice, is the usual reason why nothing is found. */
  function whatOf(path: string): string {
    const plain = path.replace(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '')
    const meant = [plain, plain.replace(/^\/v1(?=\/v1\/)/, ''), `/v1${plain}`].find(
      (url) => url !== path && !options.hidden(url) && allowedAt(url).length > 0,
    )
    return `path ${path.slice(0, 200)}${meant === undefined ? '' : `, only ${meant.slice(0, 200)},`}`
  }
  app.setErrorHandler((error, request, reply) => {
    reply.hijack()
    answer(request.raw, reply.raw, translated(error, options.bodyLimitBytes))
  })
  function answer(request: IncomingMessage, out: ServerResponse, error: GatewayError): void {
    const { url = '/', headers } = request
    if (url.startsWith('/api/')) {
      const body = adminError(error)
      if (out.headersSent) return void out.end()
      out.writeHead(error.kind.status, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
      })
      out.end(body)
      return
    }
    const client = shapeOf(url, headers)
    if (client) writeError(out, client, error, options.nextId(), undefined)
  }
  /** What Node refuses before there is a request: framing tricks, header floods, slow headers (T55, T56). */
  function refuseRawly(error: ConnectionError, socket: Socket): void {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    const [status, words, problem] =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? [431, 'Request Header Fields Too Large', 'The headers of the request are too many or too large.']
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? [408, 'Request Timeout', 'The request did not come to its end in time.']
          : [400, 'Bad Request', `The request is not valid HTTP/1.1${error.reason ? `: ${error.reason}` : ''}.`]
    const refusal = failure('invalid_request', { problem })
    const [, url = '/'] = /^[A-Z]+ (\/\S*) HTTP\//.exec(error.rawPacket?.toString('latin1', 0, 4_096) ?? '') ?? []
    const shape = shapeOf(url, {})
    const body =
      !shape || url.startsWith('/api/')
        ? adminError(refusal)
        : JSON.stringify(shape.writeError(refusal, options.nextId()))
    socket.end(
      `HTTP/1.1 ${status} ${words}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }
  return app
}

const adminError = (error: GatewayError): string =>
  JSON.stringify({ error: { code: error.code, message: error.message, details: publicDetails(error) } })

export function publicDetails(error: GatewayError): Record<string, unknown> {
  const { headers: _, ...details } = error.details
  return details
}

function translated(error: unknown, limit: number): GatewayError {
  if (error instanceof GatewayError) return error
  const { code, statusCode } = error as { code?: string; statusCode?: number }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return failure('request_too_large', { limit })
  if (code === 'FST_ERR_CTP_INVALID_CONTENT_LENGTH') {
    return failure('invalid_request', { problem: 'The body is not as long as Content-Length says.' })
  }
  if (code === 'FST_ERR_MAX_PARAM_LENGTH') return failure('not_found', { what: 'path with so long a name in it' })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return failure('invalid_request', { problem: (error as Error).message.slice(0, 300) })
  }
  return failure('internal_error', { id: 'the server' }, error)
}

// The scripted provider: an HTTP server that speaks OpenAI, Anthropic, Gemini, Bedrock and Cohere, says the same thing every time, and
// misbehaves exactly as told. It stands behind the tests, and is the command `stockyard mock`; so it uses node: modules
// only and reads no file of its own. How to tell it what: README.md.

import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { anthropic } from './anthropic.ts'
import { bedrock } from './bedrock.ts'
import { type Behaviour, behaviourOf, parseHeader, parseModel } from './behaviour.ts'
import { cohere } from './cohere.ts'
import { gemini } from './gemini.ts'
import { type Doc, doc, str } from './json.ts'
import { Ledger, type Row } from './ledger.ts'
import { openai } from './openai.ts'
import { createPlatform, type PlatformCall } from './platform.ts'
import { type Call, type Dialect, type ErrorParts, Refusal } from './reply.ts'
import { createStoredResponses } from './stored-responses.ts'
import { type Line, type Reply, send } from './wire.ts'

export { type Behaviour, type BehaviourName, behaviours, describeBehaviours } from './behaviour.ts'
export { Ledger, type Row, type Totals } from './ledger.ts'
export { sampleOf, tokensIn, vectorOf } from './reply.ts'

export type UpstreamOptions = {
  port?: number
  host?: string
  tls?: { key: string; cert: string }
  /** Part of every id it makes up. */
  seed?: string
  /** What every request gets unless it, or a script, says otherwise. */
  behaviour?: string | Behaviour
}

export type Rule = {
  /** Which requests; every one if absent. It sees the ledger row, body and model included. */
  match?: (request: Row) => boolean
  /** How often; once if absent. `Infinity` until `reset()`. */
  times?: number
  behaviour: string | Behaviour
}

export type Upstream = {
  url: string
  port: number
  ledger: Ledger
  readonly connections: number
  script(rule: Rule): void
  until(predicate: (upstream: Upstream) => unknown, timeoutMs?: number): Promise<void>
  reset(): void
  close(): Promise<void>
}

type ScriptedRule = { match: ((request: Row) => boolean) | undefined; left: number; behaviour: Behaviour }

const MAX_BODY = 256 * 1024 * 1024

export async function startUpstream(options: UpstreamOptions = {}): Promise<Upstream> {
  const ledger = new Ledger()
  const standing = behaviourOf(options.behaviour)
  const sockets = new Set<Socket>()
  // Unread connections do not notice that their client has left; they last until `reset()`.
  const held = new Set<Socket>()
  const idle = new WeakMap<Socket, NodeJS.Timeout>()
  const running = new Set<() => void>()
  const failures = new Map<string, number>()
  const seenPrefixes = new Set<string>()
  let rules: ScriptedRule[] = []
  let platform = createPlatform()
  let storedResponses = createStoredResponses()

  const settings = {
    // An upstream of this kind decides for itself when it is slow; nothing here may time out by default.
    keepAliveTimeout: 0,
    requestTimeout: 0,
    headersTimeout: 0,
    maxHeaderSize: 256 * 1024,
    requireHostHeader: false,
  }
  const server = options.tls ? https.createServer({ ...settings, ...options.tls }) : http.createServer(settings)
  server.timeout = 0

  // A TLS socket cannot send RST: the TCP socket below it can.
  const transports = new Map<string, Socket>()
  const addressOf = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress} ${remotePort}`
  const transportOf = (socket: Socket): Socket => transports.get(addressOf(socket)) ?? socket
  if (options.tls) {
    server.on('connection', (socket: Socket) => {
      const address = addressOf(socket)
      transports.set(address, socket)
      socket.once('close', () => transports.delete(address))
    })
  }

  // A connection that is never read has to be held back before the HTTP parser gets it.
  const arrival = options.tls ? 'secureConnection' : 'connection'
  const serve = server.listeners(arrival) as ((socket: Socket) => void)[]
  server.removeAllListeners(arrival)
  server.on(arrival, (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
      held.delete(socket)
      clearTimeout(idle.get(socket))
    })
    const next = rules[0]
    if (next?.behaviour['hang-connect'] && !next.match) {
      spend(next)
      socket.on('error', () => {})
      socket.pause()
      held.add(socket)
      const row = ledger.open('', '', {})
      row.behaviour = next.behaviour
      return
    }
    for (const listener of serve) listener.call(server, socket)
  })
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    else socket.destroy()
  })
  server.on('request', (req, res) => {
    req.on('error', () => {})
    res.on('error', () => {})
    clearTimeout(idle.get(req.socket))
    const control = controlOf(req)
    if (control) return void control(req, res).catch(() => res.destroy())
    void answer(req, res)
  })

  function spend(rule: ScriptedRule): Behaviour {
    rule.left--
    if (rule.left <= 0) rules = rules.filter((other) => other !== rule)
    return rule.behaviour
  }

  async function answer(req: http.IncomingMessage, res: http.ServerResponse): Promise<void> {
    const { path, query } = targetOf(req)
    const headers: Record<string, string> = {}
    for (const [name, values] of Object.entries(req.headersDistinct)) headers[name] = values?.join(', ') ?? ''
    const row = ledger.open(req.method ?? '', path, headers)
    const route = routeOf(path, headers)
    row.dialect = route?.name ?? ''
    row.operation = route?.operation ?? ''
    const dialect = route?.dialect ?? openai
    const id = `${options.seed ?? 'mock'}_${String(row.id).padStart(6, '0')}`

    const leaving = new AbortController()
    let isOurs = false
    const cut = () => {
      isOurs = true
    }
    const stop = () => {
      cut()
      leaving.abort()
    }
    running.add(stop)
    res.once('finish', () => {
      row.finished = true
      row.finishedAt = Date.now()
    })
    res.once('close', () => {
      running.delete(stop)
      if (!res.writableFinished && !isOurs) row.clientHungUpAt = Date.now()
      leaving.abort()
    })

    const line: Line = {
      res,
      row,
      b: standing,
      signal: leaving.signal,
      cut,
      resetConnection: () => transportOf(req.socket).resetAndDestroy(),
    }
    try {
      const mocked = parseHeader(headers['x-mock'] ?? '')
      if (mocked.behaviour['hang-connect']) {
        row.behaviour = mocked.behaviour
        return
      }
      const body = await bodyOf(req)
      ledger.body(row, body)

      const { document, isJson } = documentOf(body)
      const kept: PlatformCall = {
        method: row.method,
        path,
        query,
        contentType: headers['content-type'] ?? '',
        body,
        document,
        account: headers.authorization ?? '',
      }
      const asked = route?.model ?? (str(document.model) || platform.modelOf(kept) || 'unknown')
      const named = parseModel(asked)
      row.model = named.model
      row.stream = /[Ss]tream/.test(route?.operation ?? '') || document.stream === true
      const rule = rules.find(({ match }) => match?.(row) ?? true)
      const b = { ...standing, ...named.behaviour, ...mocked.behaviour, ...(rule ? spend(rule) : {}) }
      if (b['hang-connect']) b['hang-headers'] = true
      line.b = b
      row.behaviour = b

      // A client that leaves is seen on the socket; a connection closed for idleness is closed when nothing runs on it.
      if (b.keepalive !== undefined) {
        const { socket } = req
        res.once('finish', () =>
          idle.set(
            socket,
            setTimeout(() => socket.destroy(), b.keepalive),
          ),
        )
      }

      const call: Call = {
        id,
        model: b.model ?? named.model,
        operation: route?.operation ?? '',
        document,
        headers: query.has('key') ? { 'x-goog-api-key': query.get('key') ?? '', ...headers } : headers,
        stream: row.stream,
        sse: query.get('alt') === 'sse',
        b,
        seenPrefixes,
      }
      const refuse = (status: number, message: string, code?: string): Reply => {
        const retryAfter = b['retry-after']
        const parts: ErrorParts = {
          message: b['error-message'] ?? message,
          requestId: `req_${id}`,
          ...(retryAfter === undefined ? {} : { retryAfter }),
          ...(b['error-type'] === undefined ? {} : { type: b['error-type'] }),
          ...(b['error-code'] === undefined && code === undefined ? {} : { code: b['error-code'] ?? (code as string) }),
        }
        return single(call, dialect, status, dialect.error(status, parts))
      }
      await send(line, replyTo())

      function replyTo(): Reply {
        const strange = [...named.unknown, ...mocked.unknown]
        if (strange.length > 0) return refuse(400, `unknown behaviour: ${strange.join(', ')}`)
        const failing = failuresLeft(b, `${path} ${asked}`)
        const isTold = failing || (b['500-then-ok'] === undefined && (b.status ?? 0) >= 400)
        const answered = route || isTold ? undefined : (platform.answer(kept) ?? storedResponses.answer(kept))
        if (answered) {
          const { status = 200, contentType = 'application/json', framing = 'body', events } = answered
          return { ...single(call, dialect, status, ''), framing, contentType, events }
        }
        if (!route && !isTold)
          return refuse(404, `Invalid URL (${row.method} ${path})`, dialect === openai ? 'unknown_url' : undefined)
        if (route && row.method !== route.method) return refuse(405, `Not allowed to ${row.method} on ${path}.`)
        if (b.redirect !== undefined) {
          const status = b.status !== undefined && b.status >= 300 && b.status < 400 ? b.status : 307
          return { ...single(call, dialect, status, ''), headers: { location: b.redirect } }
        }
        if (b.html || b['html-error']) {
          const reply = single(call, dialect, b.html ? 200 : (b.status ?? 502), HTML)
          return { ...reply, contentType: 'text/html; charset=utf-8' }
        }
        if (b['echo-key'])
          return refuse(
            b.status ?? 401,
            `Incorrect API key provided: ${keyOf(call.headers)}. You can find your API key in your account.`,
          )
        if (failing || (b['500-then-ok'] === undefined && b['inband-error'] === undefined && (b.status ?? 0) >= 400)) {
          const status = b.status ?? 500
          return refuse(status, STATUS_TEXT[status] ?? `The scripted provider was told to answer ${status}.`)
        }
        if (row.method === 'POST' && !isJson) return refuse(400, 'We could not parse the JSON body of your request.')
        try {
          const later = route?.operation === 'responses' ? storedResponses.keep(call) : undefined
          if (later) return single(call, dialect, 200, later)
          return replyOf(call, dialect, row)
        } catch (error) {
          if (error instanceof Refusal) return refuse(error.status, error.message, error.code)
          throw error
        }
      }
    } catch (error) {
      if (leaving.signal.aborted) return
      const failed = error instanceof Refusal ? error : new Refusal(500, `the scripted provider failed: ${error}`)
      if (res.headersSent) return void res.destroy()
      row.status = failed.status
      res.writeHead(failed.status, { 'content-type': 'application/json', connection: 'close' })
      res.end(JSON.stringify(dialect.error(failed.status, { message: failed.message, requestId: `req_${id}` })))
    }
  }

  function failuresLeft(b: Behaviour, key: string): boolean {
    if (b['500-then-ok'] === undefined) return false
    const failed = failures.get(key) ?? 0
    if (failed >= b['500-then-ok']) return false
    failures.set(key, failed + 1)
    return true
  }

  // --- the way in for tests that run in another process ---

  function controlOf(req: http.IncomingMessage) {
    const { path } = targetOf(req)
    if (path === '/__ledger') return showLedger
    if (path === '/__reset') return resetByRequest
    if (path === '/__script') return scriptByRequest
    return undefined
  }

  async function showLedger(req: http.IncomingMessage, res: http.ServerResponse): Promise<void> {
    const since = Number(targetOf(req).query.get('since') ?? 0)
    const rows = since > 0 ? ledger.rows.filter((row) => row.id > since) : ledger.rows
    json(res, 200, { rows, totals: ledger.totals, dropped: ledger.dropped, connections: sockets.size })
  }

  async function resetByRequest(req: http.IncomingMessage, res: http.ServerResponse): Promise<void> {
    if (req.method !== 'POST') return json(res, 405, { error: 'POST /__reset' })
    upstream.reset()
    json(res, 200, { ok: true })
  }

  async function scriptByRequest(req: http.IncomingMessage, res: http.ServerResponse): Promise<void> {
    const { document } = documentOf(await bodyOf(req))
    const { model, path, times, behaviour } = document
    try {
      upstream.script({
        match: (row) =>
          (model === undefined || row.model === model) && (path === undefined || row.path.includes(str(path))),
        ...(typeof times === 'number' ? { times } : {}),
        behaviour: typeof behaviour === 'string' ? behaviour : (doc(behaviour) as Behaviour),
      })
      json(res, 200, { ok: true })
    } catch (error) {
      json(res, 400, { error: String(error) })
    }
  }

  const host = options.host ?? '127.0.0.1'
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { port } = server.address() as AddressInfo
  const shownHost = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host

  const upstream: Upstream = {
    url: `${options.tls ? 'https' : 'http'}://${shownHost}:${port}`,
    port,
    ledger,
    get connections() {
      return sockets.size
    },
    script({ match, times = 1, behaviour }) {
      rules.push({ match, left: times, behaviour: behaviourOf(behaviour) })
    },
    async until(predicate, timeoutMs = 30_000) {
      const end = Date.now() + timeoutMs
      while (!predicate(upstream)) {
        if (Date.now() > end) {
          const last = ledger.rows.slice(-3).map(({ headers: _, rawBody: __, ...row }) => row)
          throw new Error(`not within ${timeoutMs} ms; the last rows: ${JSON.stringify(last)}`)
        }
        await sleep(5)
      }
    },
    reset() {
      ledger.reset()
      failures.clear()
      seenPrefixes.clear()
      platform = createPlatform()
      storedResponses = createStoredResponses()
      rules = []
      for (const socket of held) socket.destroy()
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const stop of running) stop()
      // Some of the latter may not have finished their handshake.
      for (const socket of [...sockets, ...transports.values()]) socket.destroy()
      await closed
    },
  }
  return upstream
}

// --- requests -------------------------------------------------------------------------------------------------

type Route = { name: string; dialect: Dialect; operation: string; method: string; model?: string }

const GENERATE = /\/models\/(.+):(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)$/
const BEDROCK = /\/model\/([^/]+)\/(converse|converse-stream|invoke|invoke-with-response-stream)$/
const POSTS: [suffix: string, name: string, dialect: Dialect, operation: string][] = [
  ['/chat/completions', 'openai', openai, 'chat'],
  ['/completions', 'openai', openai, 'completions'],
  ['/embeddings', 'openai', openai, 'embeddings'],
  ['/responses', 'openai', openai, 'responses'],
  ['/messages', 'anthropic', anthropic, 'messages'],
  ['/messages/count_tokens', 'anthropic', anthropic, 'count_tokens'],
  ['/v2/chat', 'cohere', cohere, 'chat'],
  ['/v2/embed', 'cohere', cohere, 'embed'],
]

/** By the end of the path: base URLs differ (`/v1`, `/openai/v1`, none), but a doubled `/v1` is a mistake to be told. */
function routeOf(path: string, headers: Record<string, string>): Route | undefined {
  if (path.includes('/v1/v1')) return undefined
  const generate = GENERATE.exec(path)
  if (generate) {
    return {
      name: 'gemini',
      dialect: gemini,
      operation: generate[2] as string,
      method: 'POST',
      model: unescaped(generate[1] as string),
    }
  }
  const model = BEDROCK.exec(path)
  if (model) {
    const [, name = '', operation = ''] = model
    return { name: 'bedrock', dialect: bedrock, operation, method: 'POST', model: unescaped(name) }
  }
  const models = /\/models(?:\/(.+))?$/.exec(path)
  if (models) {
    const isGemini = path.startsWith('/v1beta/models')
    const [name, dialect] = isGemini
      ? (['gemini', gemini] as const)
      : headers['anthropic-version']
        ? (['anthropic', anthropic] as const)
        : (['openai', openai] as const)
    return { name, dialect, operation: 'models', method: 'GET', model: unescaped(models[1] ?? '') }
  }
  for (const [suffix, name, dialect, operation] of POSTS) {
    if (path.endsWith(suffix)) return { name, dialect, operation, method: 'POST' }
  }
  return undefined
}

function targetOf(req: http.IncomingMessage): { path: string; query: URLSearchParams } {
  const target = req.url ?? '/'
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  return { path, query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)) }
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

async function bodyOf(req: http.IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of req) {
    size += piece.length
    if (size > MAX_BODY) throw new Refusal(413, 'request too large')
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

function documentOf(body: Buffer): { document: Doc; isJson: boolean } {
  try {
    const value: unknown = JSON.parse(body.toString())
    const document = doc(value)
    return { document, isJson: document === value }
  } catch {
    return { document: {}, isJson: false }
  }
}

const keyOf = (headers: Record<string, string>): string =>
  headers.authorization?.replace(/^bearer /i, '') ??
  headers['x-api-key'] ??
  headers['x-goog-api-key'] ??
  headers['api-key'] ??
  ''

// --- replies --------------------------------------------------------------------------------------------------

const HTML =
  '<!DOCTYPE html>\n<html><head><title>Just a moment...</title></head><body><h1>502 Bad Gateway</h1><script>alert(1)</script></body></html>\n'

const STATUS_TEXT: Record<number, string> = {
  400: 'This request is not valid.',
  401: 'Incorrect API key provided.',
  403: 'You are not allowed to use this model.',
  404: 'The model does not exist or you do not have access to it.',
  408: 'The request timed out.',
  413: 'The request is too large.',
  429: 'Rate limit reached. Please try again later.',
  500: 'The server had an error while processing your request.',
  502: 'Bad gateway.',
  503: 'The service is overloaded. Please try again later.',
  504: 'The deadline expired before the request was done.',
  529: 'Overloaded',
}

function retryHeaders(b: Behaviour): http.OutgoingHttpHeaders {
  return {
    ...(b['retry-after'] === undefined ? {} : { 'retry-after': b['retry-after'] }),
    ...(b['retry-after-ms'] === undefined ? {} : { 'retry-after-ms': b['retry-after-ms'] }),
  }
}

/** A reply that is one document: an error, a page. */
function single(call: Call, dialect: Dialect, status: number, data: unknown): Reply {
  return {
    status,
    headers: { ...dialect.headers(call.id), ...retryHeaders(call.b) },
    framing: 'body',
    contentType: 'application/json',
    events: [{ data, content: true }],
    tokenScale: 1,
    errorEvent: { data },
  }
}

function replyOf(call: Call, dialect: Dialect, row: Row): Reply {
  const { b } = call
  const { framing, contentType, events, usage } = dialect.answer(call)
  row.inputTokens = usage.input
  row.cacheReadTokens = usage.cacheRead
  row.cacheWriteTokens = usage.cacheWrite
  row.outputTokens = b.endless ? 0 : usage.output
  row.reasoningTokens = usage.reasoning
  const errorStatus = b.status ?? 500
  const parts: ErrorParts = {
    message: b['error-message'] ?? STATUS_TEXT[errorStatus] ?? 'The stream failed.',
    requestId: `req_${call.id}`,
    ...(b['error-type'] === undefined ? {} : { type: b['error-type'] }),
    ...(b['error-code'] === undefined ? {} : { code: b['error-code'] }),
  }
  return {
    status: b.status !== undefined && b.status < 400 ? b.status : 200,
    headers: {
      ...dialect.headers(call.id),
      ...retryHeaders(b),
      ...(framing === 'sse' ? { 'cache-control': 'no-cache' } : {}),
    },
    framing,
    contentType: contentType ?? (framing === 'sse' ? 'text/event-stream; charset=utf-8' : 'application/json'),
    events,
    tokenScale: usage.counted > 0 ? usage.output / usage.counted : 1,
    errorEvent: dialect.errorEvent(errorStatus, parts, call),
  }
}

function json(res: http.ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value))
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length })
  res.end(body)
}

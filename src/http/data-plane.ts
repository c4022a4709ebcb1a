/**
 * The door for model traffic: reads one request, makes an exchange of it, and writes what the engine answers. Everything
 * that can be wrong with the bytes is answered here in the client's own dialect, and never reaches an upstream.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Answer } from '../core/deliver.ts'
import { asGatewayError } from '../core/deliver.ts'
import type { ClientSide, Dialect, FieldType } from '../core/dialect.ts'
import { type EnginePorts, run } from '../core/engine.ts'
import { badRequest, failure, type GatewayError, Refusal } from '../core/errors.ts'
import type { Ended, Exchange } from '../core/exchange.ts'
import type { Gateway } from '../core/gateway.ts'
import { formatDollars } from '../core/money.ts'
import type { JsonObject, ModelRequest } from '../core/request.ts'
import type { Snapshot } from '../core/snapshot.ts'
import type { BodyScan } from '../core/wire.ts'
import { parseJsonObject } from '../wire/json.ts'
import { JsonArrayEnvelope } from '../wire/json-array.ts'
import { addModuleHeaders } from './allowance.ts'
import { type Address, addressOf, ENDPOINTS, MODEL_PATHS, VERBS } from './endpoints.ts'
import type { Identity } from './identity.ts'

export interface DataPlaneParts {
  readonly gateway: Gateway
  readonly identity: Identity
  readonly ports: Omit<EnginePorts, 'identify'>
  /** Every exchange that is running, so that a stop can wait for them or end them. */
  readonly running: Set<AbortController>
  nextId(): string
  readonly draining: () => boolean
}

/** A stream's head and its first ping go out after this long without content, and a ping after each further one. */
const PING_MS = 15_000
const JOINED_BODY = 16 * 1024

export function dataPlane(app: FastifyInstance, parts: DataPlaneParts): void {
  const doorOf = (id: string): Door => {
    const dialect = parts.ports.dialects.get(id)
    if (!dialect?.client) throw new Error(`no client side for dialect ${id}`)
    return createDoor(parts, dialect)
  }
  for (const { path, dialect } of ENDPOINTS) {
    const door = doorOf(dialect)
    app.post(path, (request, reply) => {
      reply.hijack()
      void door(request, reply)
    })
  }
  const doors = new Map(Object.entries(VERBS).map(([verb, { dialect }]) => [verb, doorOf(dialect)]))
  for (const { path, prefix } of MODEL_PATHS) {
    app.post(path, (request, reply) => {
      const { '*': rest } = request.params as { '*': string }
      const { verb, address } = addressOf(prefix + rest, request.query as Record<string, unknown>)
      reply.hijack()
      void doors.get(verb)?.(request, reply, address)
    })
  }
}

type Door = (request: FastifyRequest, reply: FastifyReply, address?: Address) => Promise<void>

function createDoor(parts: DataPlaneParts, dialect: Dialect): Door {
  const client = dialect.client as ClientSide
  const fields = Object.entries(client.fields)
  const origins = new WeakMap<Exchange, IncomingMessage>()
  const ports: EnginePorts = {
    ...parts.ports,
    identify: (x, doubt) => parts.identity.identify(origins.get(x) as IncomingMessage, doubt),
  }

  return async (request, reply, address) => {
    const raw = request.raw
    const out = reply.raw
    const id = parts.nextId()
    const started = performance.now()
    const snapshot = parts.gateway.snapshot
    const leave = snapshot.enter()
    const controller = new AbortController()
    parts.running.add(controller)
    const left = (): void => {
      if (!out.writableFinished) controller.abort()
    }
    out.once('close', left)
    const envelope = address?.array ? new JsonArrayEnvelope() : undefined
    let ping: Pinger | undefined
    let x: Exchange | undefined
    try {
      if (parts.draining()) throw failure('shutting_down')
      const body = bodyOf(request)
      const { json: sent, scan } = parseJsonObject(body)
      const json: JsonObject = address ? { ...sent, model: address.model, stream: address.stream } : sent
      check(json, fields, scan.duplicates)
      x = exchangeOf({ id, started, snapshot, request, body, json, scan, signal: controller.signal })
      origins.set(x, raw)
      const arrived = x
      if (x.stream) {
        const type = envelope ? 'application/json' : client.streamType
        ping = pinger(out, envelope ? ' ' : client.ping, () => head(arrived, client, snapshot, undefined, type))
      }
      const answer = await run(x, snapshot, ports)
      await write(out, x, client, snapshot, answer, ping, envelope)
    } catch (error) {
      writeError(out, client, asGatewayError(error, { id } as Exchange), id, snapshot, ping, x, envelope)
    } finally {
      ping?.stop()
      leave()
      // A stop waits until the last byte is handed over, not only written.
      if (out.closed) parts.running.delete(controller)
      else out.once('close', () => parts.running.delete(controller))
    }
  }

  function exchangeOf(a: {
    id: string
    started: number
    snapshot: Snapshot
    request: FastifyRequest
    body: Buffer
    json: JsonObject
    scan: BodyScan
    signal: AbortSignal
  }): Exchange {
    let read: ModelRequest | undefined
    return {
      id: a.id,
      arrivedAt: parts.ports.now(),
      started: a.started,
      revision: a.snapshot.revision,
      names: a.snapshot.names,
      prices: a.snapshot.prices,
      operation: dialect.operation,
      dialect: dialect.id,
      path: a.request.url.split('?', 1)[0] as string,
      model: a.json.model as string,
      stream: a.json.stream === true,
      outputLimit: client.outputLimit?.(a.json),
      headers: a.request.raw.headers as Record<string, string | undefined>,
      body: a.body,
      json: a.json,
      scan: a.scan,
      peer: a.request.raw.socket.remoteAddress ?? '',
      signal: a.signal,
      request: () => {
        read ??= client.readRequest(a.json)
        return read
      },
      attempts: [],
      trace: [],
      unsupported: new Set(),
      keepReplyBytes: 0,
      replyBody: [],
      inputEstimate: Math.max(1, Math.ceil(a.body.length / 4)),
    }
  }
}

function bodyOf(request: FastifyRequest): Buffer {
  const type = request.headers['content-type'] ?? ''
  if (!/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type)) {
    throw failure('unsupported_media_type', { sent: type.slice(0, 100), wanted: 'application/json' })
  }
  return Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
}

function check(
  json: JsonObject,
  fields: readonly (readonly [string, FieldType])[],
  duplicates: readonly string[],
): void {
  for (const [name, type] of fields) {
    if (duplicates.includes(name)) throw badRequest(`"${name}" stands more than once in the request body.`, name)
    const value = Object.hasOwn(json, name) ? json[name] : undefined
    if (value === undefined || value === null) continue
    const is = Array.isArray(value) ? 'array' : typeof value
    const fits =
      type === 'integer'
        ? Number.isInteger(value)
        : type === 'string|array'
          ? is === 'string' || is === 'array'
          : is === type
    if (!fits)
      throw badRequest(
        `"${name}" must be ${type === 'string|array' ? 'a string or an array' : `of type ${type}`}, not ${is}.`,
        name,
      )
  }
  const { model } = json
  if (typeof model !== 'string' || model.length === 0) throw badRequest('"model" must name a model.', 'model')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused (T57)
  if (/[\u0000-\u001f\u007f]/.test(model)) throw badRequest('"model" contains control characters.', 'model')
}

function head(
  x: Exchange,
  client: ClientSide,
  snapshot: Snapshot,
  answer: Answer | undefined,
  contentType: string,
): Record<string, string> {
  const headers: Record<string, string> = { ...answer?.headers, 'content-type': contentType }
  if (client.requestIdHeader !== undefined) headers[client.requestIdHeader] ??= x.id
  headers['x-stockyard-request-id'] = x.id
  headers['x-stockyard-revision'] = String(snapshot.revision)
  headers['x-stockyard-model'] = headerSafe(x.model)
  if (answer) {
    headers['x-stockyard-upstream'] = answer.reply.target.upstream.id
    headers['x-stockyard-attempts'] = String(x.attempts.length)
  }
  if (x.cache) headers['x-stockyard-cache'] = x.cache
  if (x.cacheAgeSeconds !== undefined) headers.age = String(x.cacheAgeSeconds)
  if (x.unsupported.size > 0) headers['x-stockyard-unsupported'] = headerSafe([...x.unsupported].join(', '))
  if (contentType.startsWith('text/event-stream')) headers['cache-control'] = 'no-cache'
  if (x.answerHeaders || x.allowance) addModuleHeaders(headers, x, client, Date.now())
  return headers
}
const headerSafe = (text: string): string => text.slice(0, 1_000).replace(/[^\x20-\x7e]/g, '?')

function booked(headers: Record<string, string>, ended: Ended): void {
  if (!ended.unpriced) headers['x-stockyard-cost-usd'] = formatDollars(ended.cost)
  headers['x-stockyard-overhead-ms'] = ended.overheadMs.toFixed(2)
}

async function write(
  out: ServerResponse,
  x: Exchange,
  client: ClientSide,
  snapshot: Snapshot,
  answer: Answer,
  ping: Pinger | undefined,
  envelope: JsonArrayEnvelope | undefined,
) {
  if (answer.kind === 'body') {
    const headers = head(x, client, snapshot, answer, 'application/json')
    booked(headers, answer.ended)
    headers['content-length'] = String(answer.body.length)
    out.writeHead(answer.status, headers)
    // A short body as one-byte text joins the head in a single write; as a Buffer it would be a second one.
    if (answer.body.length <= JOINED_BODY) out.end(answer.body.toString('latin1'), 'latin1')
    else out.end(answer.body)
    return
  }
  const type = envelope ? 'application/json' : answer.contentType
  if (!out.headersSent) out.writeHead(answer.status, head(x, client, snapshot, answer, type))
  for await (const buffers of answer.chunks) {
    ping?.heard()
    let flowing = true
    for (const buffer of envelope ? buffers.flatMap((b) => envelope.take(b)) : buffers) flowing = out.write(buffer)
    if (!flowing && !out.destroyed) await drained(out)
    if (out.destroyed) break
  }
  out.end(envelope?.end())
}

function drained(out: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      out.off('drain', done)
      out.off('close', done)
      resolve()
    }
    out.on('drain', done)
    out.on('close', done)
  })
}

export function writeError(
  out: ServerResponse,
  client: ClientSide,
  error: GatewayError,
  id: string,
  snapshot: Snapshot | undefined,
  ping?: Pinger,
  x?: Exchange,
  envelope?: JsonArrayEnvelope,
): void {
  ping?.stop()
  if (out.destroyed || out.writableEnded) return
  if (out.headersSent) {
    const said = client.failStream(error, id)
    out.end(envelope ? Buffer.concat([...envelope.take(Buffer.from(said)), Buffer.from(envelope.end())]) : said)
    return
  }
  const body = Buffer.from(JSON.stringify(client.writeError(error, id)))
  const headers: Record<string, string> = { ...error.details.headers, 'content-type': 'application/json' }
  headers['content-length'] = String(body.length)
  if (client.requestIdHeader !== undefined) headers[client.requestIdHeader] ??= id
  headers['x-stockyard-request-id'] = id
  if (snapshot) headers['x-stockyard-revision'] = String(snapshot.revision)
  const last = x?.attempts.at(-1)
  if (x && last) {
    headers['x-stockyard-upstream'] = last.target.upstream.id
    headers['x-stockyard-attempts'] = String(x.attempts.length)
  }
  const wait = error.details.retryAfterMs
  if (wait !== undefined && wait <= 60_000 && headers['retry-after'] === undefined) {
    headers['retry-after'] = String(Math.ceil(wait / 1_000))
  }
  if (x && (x.answerHeaders || x.allowance)) addModuleHeaders(headers, x, client, Date.now())
  // Waiting so long is not for a client library to do: it would hang, and then ask again.
  if (error.kind.final || (error instanceof Refusal && wait !== undefined && wait > 60_000))
    headers['x-should-retry'] = 'false'
  if (error.kind.status === 413 || error.kind.status === 408 || error.kind.status === 426) headers.connection = 'close'
  out.writeHead(error.kind.status, headers)
  out.end(body)
}

/** Keeps a silent stream alive for whatever stands between us and the client. Ticks only between whole events. */
interface Pinger {
  heard(): void
  stop(): void
}
function pinger(out: ServerResponse, ping: string, headNow: () => Record<string, string>): Pinger {
  const timer = setInterval(() => {
    if (out.destroyed || out.writableEnded) return
    if (!out.headersSent) out.writeHead(200, headNow())
    if (!out.writableNeedDrain) out.write(ping)
  }, PING_MS)
  return { heard: () => void timer.refresh(), stop: () => clearInterval(timer) }
}

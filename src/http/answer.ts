/**
 * What goes back to the client: the head with our own headers, a body or a stream as it comes, an error in the client's
 * dialect wherever the answer has got to.
 */
import type { ServerResponse } from 'node:http'
import type { Answer } from '../core/deliver.ts'
import type { ClientSide } from '../core/dialect.ts'
import { type GatewayError, Refusal } from '../core/errors.ts'
import type { Ended, Exchange } from '../core/exchange.ts'
import { formatDollars } from '../core/money.ts'
import type { JsonObject } from '../core/request.ts'
import type { Snapshot } from '../core/snapshot.ts'
import type { JsonArrayEnvelope } from '../wire/json-array.ts'
import { addModuleHeaders } from './allowance.ts'

/** A stream's head and its first ping go out after this long without content, and a ping after each further one. */
export const PING_MS = 15_000
/** After these nothing more is wanted on the connection. */
const CLOSES: ReadonlySet<number> = new Set([408, 413, 426])
const JOINED_BODY = 16 * 1024

export function head(
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
  if (contentType.startsWith('text/event-stream')) {
    headers['cache-control'] = 'no-cache'
    // nginx, as it is set up by default, holds a stream back until it is whole.
    headers['x-accel-buffering'] = 'no'
  }
  if (x.answerHeaders || x.allowance) addModuleHeaders(headers, x, client, Date.now())
  return headers
}
const headerSafe = (text: string): string => text.slice(0, 1_000).replace(/[^\x20-\x7e]/g, '?')

function booked(headers: Record<string, string>, ended: Ended): void {
  if (!ended.unpriced) headers['x-stockyard-cost-usd'] = formatDollars(ended.cost)
  headers['x-stockyard-overhead-ms'] = ended.overheadMs.toFixed(2)
}

export function writeJson(out: ServerResponse, headers: Record<string, string>, json: JsonObject): void {
  const body = Buffer.from(JSON.stringify(json))
  out.writeHead(200, { ...headers, 'content-length': String(body.length) })
  out.end(body)
}

export async function write(
  out: ServerResponse,
  x: Exchange,
  client: ClientSide,
  snapshot: Snapshot,
  answer: Answer,
  stallMs: number,
  ping: Pinger | undefined,
  envelope: JsonArrayEnvelope | undefined,
) {
  if (answer.kind === 'body') {
    const headers = head(x, client, snapshot, answer, answer.contentType ?? 'application/json')
    booked(headers, answer.ended)
    headers['content-length'] = String(answer.body.length)
    out.writeHead(answer.status, headers)
    // A short body as one-byte text joins the head in a single write; as a Buffer it would be a second one.
    if (answer.body.length <= JOINED_BODY) out.end(answer.body.toString('latin1'), 'latin1')
    else {
      out.end(answer.body)
      if (!out.writableFinished) await written(out, stallMs, 'finish')
    }
    return
  }
  const type = envelope ? 'application/json' : answer.contentType
  if (!out.headersSent) out.writeHead(answer.status, head(x, client, snapshot, answer, type))
  try {
    for await (const buffers of answer.chunks) {
      ping?.heard()
      let flowing = true
      for (const buffer of envelope ? buffers.flatMap((b) => envelope.take(b)) : buffers) flowing = out.write(buffer)
      if (!flowing && !out.destroyed) await written(out, stallMs, 'drain')
      if (out.destroyed) break
    }
  } catch {
    // The format has no way to say that it failed: whoever reads it must not take this for its end.
    out.destroy()
    return
  }
  out.end(envelope?.end())
}

/** T54: a reader that takes nothing for so long is cut off; what it asked for is settled as if it had left. */
export const STALL_MS = 60_000

function written(out: ServerResponse, stallMs: number, event: 'drain' | 'finish'): Promise<void> {
  const { socket } = out
  return new Promise((resolve) => {
    // The socket's own clock sees whatever is taken of a large buffer, too.
    const cut = (): void => void out.destroy()
    const done = (): void => {
      socket?.off('timeout', cut)
      // After the end of an answer Node has set its time for keeping the connection.
      if (event === 'drain') socket?.setTimeout(0)
      out.off(event, done)
      out.off('close', done)
      resolve()
    }
    socket?.on('timeout', cut)
    socket?.setTimeout(stallMs)
    out.on(event, done)
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
  if (CLOSES.has(error.kind.status) || error.code === 'shutting_down') headers.connection = 'close'
  out.writeHead(error.kind.status, headers)
  out.end(body)
}

/** Keeps a silent stream alive for whatever stands between us and the client. Ticks only between whole events. */
export interface Pinger {
  heard(): void
  stop(): void
}
export function pinger(
  out: ServerResponse,
  pingMs: number,
  ping: string,
  headNow: () => Record<string, string>,
): Pinger {
  const timer = setInterval(() => {
    if (out.destroyed || out.writableEnded) return
    if (!out.headersSent) out.writeHead(200, headNow())
    if (!out.writableNeedDrain) out.write(ping)
  }, pingMs)
  return { heard: () => void timer.refresh(), stop: () => clearInterval(timer) }
}

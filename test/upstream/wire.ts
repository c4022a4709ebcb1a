// Puts a reply on the wire, as badly as it was told to. Events come in lazily and leave with back-pressure honoured;
// between them lie three stages: rendering (SSE, JSON array, one body), content encoding, and cutting into writes.

import { once } from 'node:events'
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import zlib from 'node:zlib'
import type { Behaviour } from './behaviour.ts'
import type { Row } from './ledger.ts'
import { BAD_UTF8, FILL, fillOf } from './reply.ts'

export type Event = {
  /** The SSE event name. */
  name?: string
  /** A JSON value, or a word that goes out as it is (`[DONE]`). */
  data: unknown
  /** Output tokens that have been served once this event is written. */
  tokens?: number
  content?: boolean
  usage?: boolean
  terminal?: boolean
}

export type Reply = {
  status: number
  headers: OutgoingHttpHeaders
  framing: 'sse' | 'array' | 'body'
  contentType: string
  events: Iterable<Event>
  /** Reported output tokens per counted one: 1 unless the report was told to lie. */
  tokenScale: number
  errorEvent: Event
}

export type Line = {
  res: ServerResponse
  row: Row
  b: Behaviour
  signal: AbortSignal
  cut: () => void
  resetConnection: () => void
}

const GARBAGE = Buffer.from('00ff3c7b225b5d7dfffe0d0a646174613a20fffffffe7b7b7b0a0a3a3a3a00', 'hex')
const FILL_STEP = 64 * 1024

export async function send(line: Line, reply: Reply): Promise<void> {
  const { res, row, b, signal, cut } = line
  if (b.delay) await sleep(b.delay, undefined, { signal })
  if (b['hang-headers']) await forever(signal)
  if (b.reset === -1 || b['half-close'] === -1 || b.garbage === 'http') {
    cut()
    if (b.garbage === 'http') res.socket?.write(GARBAGE)
    if (b.reset === -1) line.resetConnection()
    else res.socket?.end()
    return await forever(signal)
  }

  row.status = reply.status
  const encodings = encodingsOf(b)
  const headers: OutgoingHttpHeaders = {
    ...reply.headers,
    'content-type': b['wrong-content-type'] ?? reply.contentType,
    ...(encodings.length > 0 ? { 'content-encoding': encodings.join(', ') } : {}),
    ...(b['oversized-header'] ? { 'x-oversized': 'x'.repeat(b['oversized-header']) } : {}),
    ...(b['set-cookie'] ? IMPROPER : {}),
  }
  if (isPlain(b) && reply.framing === 'body') return await plain(line, reply, headers)

  if (reply.framing === 'body' && fillOf(b) === undefined && !b.endless && isWholeKnown(b)) {
    const [only] = reply.events
    if (only)
      headers['content-length'] = rendered('body', only, b, true, b['bad-json'] === true).reduce(
        (sum, part) => sum + part.length,
        0,
      )
  }
  res.writeHead(reply.status, headers)
  res.flushHeaders()
  const pipe = openPipe(line, encodings)
  if (b.bom) await pipe.put(Buffer.from('\uFEFF'))

  let sent = 0
  let served = 0
  let isStarted = false
  const serve = (tokens: number) => {
    served += tokens
    row.tokensServed = Math.round(served * reply.tokenScale)
    if (b.endless) row.outputTokens = row.tokensServed
  }
  for (const event of rearranged(reply.events, b)) {
    if (await ended(sent)) return
    const isBroken = b['bad-json'] === true && event.content === true && !isStarted
    if (event.content) {
      if (b.first && !isStarted) await pipe.wait(b.first)
      isStarted = true
      if (b.pace) await pipe.wait(b.pace)
    }
    if (b.comments && reply.framing === 'sse') await pipe.put(Buffer.from(`: still here${lineEnd(b)}${lineEnd(b)}`))
    const parts = rendered(reply.framing, event, b, sent === 0, isBroken)
    if (reply.framing === 'body' && isCutShort(b)) {
      // An unstreamed body counts as one event: what should happen after it happens in its middle.
      const whole = Buffer.concat(parts)
      await pipe.put(whole.subarray(0, whole.length >> 1))
      row.eventsSent = ++sent
      if (await ended(sent)) return
      await pipe.put(whole.subarray(whole.length >> 1))
    } else {
      for (const [i, part] of parts.entries()) {
        // Only content counts: the Responses API repeats the whole text when it is done.
        if (i > 0) await fill(b, pipe, event.content ? serve : () => {})
        await pipe.put(part)
      }
      row.eventsSent = ++sent
      await pipe.flush()
    }
    // A filling inside a body has been counted on its way.
    serve(Math.max(0, (event.tokens ?? 0) - (reply.framing === 'body' ? served : 0)))
  }
  if (await ended(sent)) return
  if (reply.framing === 'array') await pipe.put(Buffer.from(sent === 0 ? '[]' : ']'))
  if (b['json-tail']) await pipe.put(Buffer.from(`${JSON.stringify(reply.errorEvent.data)}\n`))
  await pipe.end()

  /** The ways in which a reply stops early, each after so many events. */
  async function ended(count: number): Promise<boolean> {
    if (b.stall === count) {
      await pipe.settle()
      await forever(signal)
    }
    if (b['inband-error'] !== undefined && reply.framing === 'body') {
      // Unstreamed, an error in a 200 is the whole body.
      await pipe.put(Buffer.from(textOf(reply.errorEvent.data)))
      await pipe.end()
      return true
    }
    if (b['inband-error'] === count) {
      for (const part of rendered(reply.framing, reply.errorEvent, b, count === 0, false)) await pipe.put(part)
      if (reply.framing === 'array') await pipe.put(Buffer.from(']'))
      row.eventsSent++
      await pipe.end()
      return true
    }
    if (b.garbage !== undefined && count === (reply.framing === 'body' ? 0 : 1)) {
      await pipe.put(GARBAGE)
      await pipe.end()
      return true
    }
    if (b.truncate === count) {
      await pipe.end()
      return true
    }
    if (b.reset === count || b['half-close'] === count) {
      // What was written before must have arrived: a reset drops what is still on its way.
      await pipe.settle()
      await sleep(15, undefined, { signal })
      cut()
      if (b.reset === count) line.resetConnection()
      else res.socket?.end()
      await forever(signal)
    }
    return false
  }
}

/** The common case has no stages at all, so that the provider is fast enough to stand behind a benchmark. */
async function plain({ res, row }: Line, reply: Reply, headers: OutgoingHttpHeaders): Promise<void> {
  const [only] = reply.events
  const body = Buffer.isBuffer(only?.data) ? only.data : Buffer.from(only ? textOf(only.data) : '')
  res.writeHead(reply.status, { ...headers, 'content-length': body.length })
  row.bytesSent += body.length
  row.eventsSent = 1
  row.tokensServed = Math.round((only?.tokens ?? 0) * reply.tokenScale)
  res.end(body)
}

// Of the behaviours, those that leave the body as it is and its one write whole.
const HARMLESS = new Set<string>(
  'ok delay text size chunks reasoning model finish filter-only cached status usage-input usage-output usage-huge no-usage keepalive 500-then-ok'
    .split(' ')
    .concat(
      'retry-after retry-after-ms error-code error-type error-message echo-key html html-error redirect'.split(' '),
    )
    .concat('wrong-content-type set-cookie oversized-header'.split(' ')),
)
const isPlain = (b: Behaviour): boolean => Object.keys(b).every((name) => HARMLESS.has(name))
const isCutShort = (b: Behaviour): boolean =>
  [b.stall, b.truncate, b.reset, b['half-close']].some((n) => n !== undefined && n > 0)
const isWholeKnown = (b: Behaviour): boolean =>
  b.truncate === undefined &&
  b.garbage === undefined &&
  b['inband-error'] === undefined &&
  !b['json-tail'] &&
  !b.bom &&
  b.split === undefined &&
  b.splitat === undefined &&
  !b['split-utf8'] &&
  encodingsOf(b).length === 0

function encodingsOf(b: Behaviour): string[] {
  if (b['nested-encoding']) return Array.from({ length: Math.min(b['nested-encoding'], 64) }, () => 'gzip')
  if (b['gzip-bomb'] !== undefined || b.gzip) return ['gzip']
  return (['br', 'deflate', 'zstd'] as const).filter((name) => b[name])
}

// What a careless upstream leaks; none of it may reach a client.
const IMPROPER: OutgoingHttpHeaders = {
  'set-cookie': ['session=upstream-secret; Path=/; HttpOnly', '__cf_bm=tracking; Path=/'],
  authorization: 'Bearer upstream-secret',
  'x-api-key': 'upstream-secret',
  'proxy-authenticate': 'Basic realm="upstream"',
  'www-authenticate': 'Bearer realm="upstream"',
  connection: 'keep-alive, x-hop',
  'x-hop': 'by-hop',
  'keep-alive': 'timeout=1',
  'alt-svc': 'h3=":443"',
  'strict-transport-security': 'max-age=31536000',
  'access-control-allow-origin': '*',
  'x-stockyard-cost-usd': '-1',
  'x-stockyard-upstream': 'forged',
}

// --- rendering ------------------------------------------------------------------------------------------------

const textOf = (data: unknown): string => (typeof data === 'string' ? data : JSON.stringify(data))
const lineEnd = (b: Behaviour): string => (b.crlf ? '\r\n' : b.cr ? '\r' : '\n')

function* rearranged(events: Iterable<Event>, b: Behaviour): Iterable<Event> {
  const late: Event[] = []
  for (const event of events) {
    if (event.terminal && b['no-done']) continue
    if (event.usage && b['usage-after-done'] && !event.terminal) {
      late.push(event)
      continue
    }
    yield event
    if (event.usage && b['dup-usage']) yield { ...event, tokens: 0 }
  }
  yield* late
}

/** An event's bytes, in parts: between two parts belongs a filling. */
function rendered(
  framing: Reply['framing'],
  event: Event,
  b: Behaviour,
  isFirst: boolean,
  isBroken: boolean,
): Buffer[] {
  if (Buffer.isBuffer(event.data)) return [event.data]
  let data = textOf(event.data)
  if (isBroken) data = data.slice(0, data.length >> 1)
  const end = lineEnd(b)
  if (framing === 'sse') data = `${event.name ? `event: ${event.name}${end}` : ''}data: ${data}${end}${end}`
  else if (framing === 'array') data = `${isFirst ? '[' : ',\r\n'}${data}`
  return data.split(FILL).map((part) => {
    if (!b['bad-utf8'] || !part.includes(BAD_UTF8)) return Buffer.from(part)
    const bytes = part
      .split(BAD_UTF8)
      .flatMap((clean, i) => (i === 0 ? [] : [Buffer.from([0xc3, 0x28, 0xff])]).concat(Buffer.from(clean)))
    return Buffer.concat(bytes)
  })
}

async function fill(b: Behaviour, pipe: Pipe, serve: (tokens: number) => void): Promise<void> {
  let left = fillOf(b) ?? Number.POSITIVE_INFINITY
  const block = Buffer.alloc(Math.min(left, FILL_STEP), b['gzip-bomb'] === undefined ? 'x' : '0')
  while (left > 0) {
    const piece = block.subarray(0, Math.min(left, block.length))
    left -= piece.length
    await pipe.put(piece)
    serve(Math.ceil(piece.length / 4))
  }
}

// --- encoding, cutting, writing -------------------------------------------------------------------------------

type Pipe = {
  put(bytes: Buffer): Promise<void>
  /** An event is complete: an encoder lets go of it. */
  flush(): Promise<void>
  /** Everything held back leaves now, because nothing else will for a while. */
  settle(): Promise<void>
  wait(ms: number): Promise<void>
  end(): Promise<void>
}

function openPipe({ res, row, b, signal }: Line, encodings: string[]): Pipe {
  const encoders = encodings.map((name) => encoderOf(name))
  let held: Buffer[] = []
  let heldBytes = 0
  let isCut = false

  const write = async (bytes: Buffer, own = false): Promise<void> => {
    signal.throwIfAborted()
    if (bytes.length === 0) return
    row.bytesSent += bytes.length
    if (!res.write(bytes)) await once(res, 'drain', { signal })
    // Writes of one turn of the loop would leave as one.
    if (own) await turn(undefined, { signal })
  }

  const take = (count: number): Buffer => {
    const all = held.length === 1 ? (held[0] as Buffer) : Buffer.concat(held)
    held = count < all.length ? [all.subarray(count)] : []
    heldBytes = Math.max(0, all.length - count)
    return all.subarray(0, count)
  }

  const cutUp = async (bytes: Buffer): Promise<void> => {
    if (b['slow-drip']) {
      const step = Math.max(1, Math.floor(b['slow-drip'] / 20))
      for (let at = 0; at < bytes.length; at += step) {
        await write(bytes.subarray(at, at + step))
        await sleep((1000 * step) / b['slow-drip'], undefined, { signal })
      }
      return
    }
    if (b['split-utf8']) {
      let from = 0
      for (let at = 0; at < bytes.length; at++) {
        if (((bytes[at] as number) & 0xc0) !== 0x80) continue
        await write(bytes.subarray(from, at), true)
        from = at
      }
      return await write(bytes.subarray(from), true)
    }
    if (b.split === undefined && b.splitat === undefined) return await write(bytes)
    held.push(bytes)
    heldBytes += bytes.length
    if (b.split) {
      const size = Math.max(1, Math.floor(b.split))
      if (heldBytes < size) return
      const ready = take(heldBytes - (heldBytes % size))
      for (let at = 0; at < ready.length; at += size) await write(ready.subarray(at, at + size), true)
    } else if (!isCut && heldBytes >= (b.splitat ?? 0)) {
      isCut = true
      await write(take(b.splitat ?? 0), true)
    } else if (heldBytes > 1024 * 1024) await write(take(heldBytes), true)
  }

  const push = async (bytes: Buffer[], last: 'more' | 'flush' | 'end'): Promise<void> => {
    let through = bytes
    for (const encoder of encoders) through = await encoder(through, last)
    for (const piece of through) await cutUp(piece)
  }

  const settle = async () => {
    if (encoders.length > 0) await push([], 'flush')
    if (heldBytes > 0) await write(take(heldBytes), true)
  }

  return {
    put: (bytes) => push([bytes], 'more'),
    flush: async () => {
      if (encoders.length > 0) await push([], 'flush')
    },
    settle,
    wait: async (ms) => {
      await settle()
      await sleep(ms, undefined, { signal })
    },
    end: async () => {
      if (encoders.length > 0) await push([], 'end')
      if (heldBytes > 0) await write(take(heldBytes), true)
      res.end()
    },
  }
}

function encoderOf(name: string): (bytes: Buffer[], last: 'more' | 'flush' | 'end') => Promise<Buffer[]> {
  const make = {
    gzip: zlib.createGzip,
    deflate: zlib.createDeflate,
    br: () => zlib.createBrotliCompress({ params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }),
    zstd: zlib.createZstdCompress,
  }[name]
  if (!make) throw new Error(`no encoder for ${name}`)
  const stream = make()
  let out: Buffer[] = []
  stream.on('data', (bytes: Buffer) => out.push(bytes))
  return async (bytes, last) => {
    for (const piece of bytes) await new Promise<void>((done) => stream.write(piece, () => done()))
    if (last === 'flush') await new Promise<void>((done) => stream.flush(() => done()))
    if (last === 'end') {
      stream.end()
      await once(stream, 'end')
    } else await turn()
    const ready = out
    out = []
    return ready
  }
}

/** Until the client leaves or the server closes. */
async function forever(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort')
  throw signal.reason
}

/**
 * Bodies that an upstream compressed although nobody asked it to. They are unpacked as they arrive, so a stream stays a
 * stream, and guarded against bombs: what unpacks to far more than any text does is cut.
 */
import { once } from 'node:events'
import type { Transform } from 'node:stream'
import zlib from 'node:zlib'
import type { IncomingReply } from '../core/egress.ts'
import { failure, GatewayError } from '../core/errors.ts'

/** Checked only once this many bytes came out. */
const BOMB_BYTES = 4 * 1024 * 1024
/** Bytes out for one byte in. Repetitive event streams stay well below; bombs are at 1,000 and far above. */
const BOMB_RATIO = 200

/** Little waits in a decoder: a reply that nobody reads is to wait with its sender. The types of Node do not know the option. */
const OPTIONS: object = { highWaterMark: 16 * 1024 }
/** What RFC 9659 lets a server use: larger windows would let it decide how much memory is taken here. */
const ZSTD = { ...OPTIONS, params: { [zlib.constants.ZSTD_d_windowLogMax]: 23 } }

const DECODERS: Readonly<Record<string, (first: Buffer) => Transform>> = {
  gzip: () => zlib.createGunzip(OPTIONS),
  'x-gzip': () => zlib.createGunzip(OPTIONS),
  br: () => zlib.createBrotliDecompress(OPTIONS),
  zstd: () => zlib.createZstdDecompress(ZSTD),
  // The standard means the zlib format; some servers send the bare one. The low half of the first byte tells.
  deflate: (first) => (((first[0] ?? 0) & 0x0f) === 8 ? zlib.createInflate(OPTIONS) : zlib.createInflateRaw(OPTIONS)),
}

/** The codings of a body, or undefined for none. Throws `upstream_invalid` for unknown and for nested ones. */
export function codingOf(encoding: string, upstream: string): string | undefined {
  const codings = encoding
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '' && coding !== 'identity')
  if (codings.length > 1) {
    throw failure('upstream_invalid', { upstream, problem: 'a body that is compressed more than once' })
  }
  const [coding] = codings
  if (coding !== undefined && !Object.hasOwn(DECODERS, coding)) {
    throw failure('upstream_invalid', { upstream, problem: 'a body in a content encoding that is not known here' })
  }
  return coding
}

/** The same reply with its body unpacked. */
export function unpacked(reply: IncomingReply, coding: string, upstream: string): IncomingReply {
  const chunks = unpack(reply, coding, upstream)
  return {
    status: reply.status,
    headers: reply.headers,
    chunks,
    async collect(limit) {
      const pieces: Buffer[] = []
      let bytes = 0
      for await (const piece of chunks) {
        bytes += piece.length
        if (bytes > limit) {
          throw failure('upstream_invalid', { upstream, problem: `a body of more than ${limit} bytes` })
        }
        pieces.push(piece)
      }
      return Buffer.concat(pieces, bytes)
    },
    abort: () => reply.abort(),
    discard: () => reply.discard(),
  }
}

async function* unpack(reply: IncomingReply, coding: string, upstream: string): AsyncGenerator<Buffer, void> {
  const source = reply.chunks[Symbol.asyncIterator]()
  let decoder: Transform | undefined
  try {
    const first = await source.next()
    if (first.done) return
    decoder = (DECODERS[coding] as (first: Buffer) => Transform)(first.value)
    const counter = { taken: 0 }
    void feed(decoder, first.value, source, counter)
    let given = 0
    for await (const piece of decoder as AsyncIterable<Buffer>) {
      given += piece.length
      if (given > BOMB_BYTES && given > counter.taken * BOMB_RATIO) {
        throw failure('upstream_invalid', { upstream, problem: 'a body that unpacks to far too much' })
      }
      yield piece
    }
  } catch (error) {
    if (error instanceof GatewayError) throw error
    const cut = (error as { code?: unknown }).code === 'Z_BUF_ERROR'
    if (cut) throw failure('upstream_incomplete', { upstream })
    throw failure('upstream_invalid', { upstream, problem: `a broken ${coding} body` })
  } finally {
    decoder?.destroy()
    // Does nothing if the body had come to its end.
    reply.abort()
  }
}

/** Writes the packed bytes as fast as their unpacked form is read; a failure of the source becomes the decoder's. */
async function feed(
  decoder: Transform,
  first: Buffer,
  source: AsyncIterator<Buffer>,
  counter: { taken: number },
): Promise<void> {
  try {
    for (let chunk: Buffer | undefined = first; chunk !== undefined && !decoder.destroyed; ) {
      counter.taken += chunk.length
      if (!decoder.write(chunk)) await once(decoder, 'drain')
      const next = await source.next()
      chunk = next.done ? undefined : next.value
    }
    if (!decoder.destroyed) decoder.end()
  } catch (error) {
    decoder.destroy(error as Error)
  }
}

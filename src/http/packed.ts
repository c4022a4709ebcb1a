/** Bodies of requests that their senders compressed, as some agents and many HTTP clients can. Upstreams get them plain. */
import zlib from 'node:zlib'
import { badRequest, failure } from '../core/errors.ts'

type Unpack = (body: Buffer, options: { maxOutputLength: number }, done: zlib.CompressCallback) => void

const UNPACK: Readonly<Record<string, Unpack>> = {
  gzip: zlib.gunzip,
  'x-gzip': zlib.gunzip,
  br: zlib.brotliDecompress,
  zstd: zlib.zstdDecompress,
  // The standard means the zlib format; some send the bare one. The low half of the first byte tells.
  deflate: (body, ...rest) => (((body[0] ?? 0) & 0x0f) === 8 ? zlib.inflate : zlib.inflateRaw)(body, ...rest),
}

/** The coding of the body that comes; undefined: it is plain. */
export function codingOf(headers: Readonly<Record<string, unknown>>): string | undefined {
  const { 'content-encoding': said } = headers
  if (typeof said !== 'string') return undefined
  const coding = said.trim().toLowerCase()
  if (coding === '' || coding === 'identity') return undefined
  if (!Object.hasOwn(UNPACK, coding)) {
    const sent = `${headers['content-type'] ?? ''}, encoded as ${coding}`.slice(0, 100)
    throw failure('unsupported_media_type', { sent, wanted: 'it plain, or as one of gzip, deflate, br and zstd' })
  }
  return coding
}

/** Never more than `limit` bytes come out, whatever is put in. */
export function unpacked(body: Buffer, coding: string, limit: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const unpack = UNPACK[coding] as Unpack
  unpack(body, { maxOutputLength: limit }, (error, whole) => {
    if (!error) resolve(whole)
    else if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      reject(failure('request_too_large', { limit }))
    } else reject(badRequest(`The body is not whole, or not encoded as ${coding}, as its Content-Encoding says.`))
  })
  return promise
}

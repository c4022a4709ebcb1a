/**
 * AWS's binary event stream (application/vnd.amazon.eventstream), written anew as server-sent events where it comes in,
 * so that everything behind reads one kind of stream. A message is: total length, length of the headers, CRC-32 of these
 * eight bytes, headers, payload, CRC-32 of all before it. Exceptions are messages too, and the last of their stream.
 * https://smithy.io/2.0/aws/amazon-eventstream.html
 */
import { crc32 } from 'node:zlib'
import { failure, type GatewayError } from '../../core/errors.ts'
import type { Frame } from '../../core/reply.ts'
import type { Framer } from '../../core/wire.ts'
import { formatSse, MAX_EVENT_BYTES } from '../sse.ts'

const PRELUDE = 12
const CRC = 4

/**
 * `named`: an event becomes `data: {"<its type>": <payload>}`. `wrapped`: the payload holds another vendor's event in
 * base64, which becomes that vendor's own server-sent event.
 */
export type AwsContents = 'named' | 'wrapped'

export class AwsEventFramer implements Framer {
  readonly #contents: AwsContents
  readonly #upstream: string
  /** The beginning of a message that is not whole yet, in a buffer that grows by doubling. */
  #carry = Buffer.alloc(0)
  #carried = 0
  #failure: GatewayError | undefined

  constructor(contents: AwsContents, upstream: string) {
    this.#contents = contents
    this.#upstream = upstream
  }

  /** Throws what the vendor said went wrong, or `upstream_invalid` where the bytes are damaged. */
  push(chunk: Buffer): Frame[] {
    if (this.#failure) throw this.#failure
    let bytes = chunk
    if (this.#carried > 0) {
      this.#keep(chunk)
      bytes = this.#carry.subarray(0, this.#carried)
      this.#carried = 0
    }
    const frames: Frame[] = []
    let at = 0
    while (bytes.length - at >= PRELUDE) {
      const length = this.#lengthAt(bytes, at)
      if (bytes.length - at < length) break
      const frame = this.#message(bytes.subarray(at, at + length))
      if (frame) frames.push(frame)
      at += length
    }
    if (at < bytes.length) {
      // What is kept may lie in the same buffer: then it only moves to its front.
      const rest = bytes.subarray(at)
      if (bytes.buffer === this.#carry.buffer && bytes.byteOffset === this.#carry.byteOffset) {
        this.#carry.copyWithin(0, at, bytes.length)
        this.#carried = rest.length
      } else this.#keep(rest)
    }
    if (this.#failure && frames.length === 0) throw this.#failure
    return frames
  }

  end(): Frame | undefined {
    if (this.#failure) throw this.#failure
    // A message that was cut off says nothing that could be relied on.
    return undefined
  }

  #keep(chunk: Buffer): void {
    const wanted = this.#carried + chunk.length
    if (wanted > this.#carry.length) {
      const grown = Buffer.allocUnsafe(Math.max(4_096, wanted * 2))
      this.#carry.copy(grown, 0, 0, this.#carried)
      this.#carry = grown
    }
    chunk.copy(this.#carry, this.#carried)
    this.#carried = wanted
  }

  #lengthAt(bytes: Buffer, at: number): number {
    const length = bytes.readUInt32BE(at)
    if (crc32(bytes.subarray(at, at + 8)) !== bytes.readUInt32BE(at + 8)) throw this.#damaged('a wrong checksum')
    if (length > MAX_EVENT_BYTES) throw this.#damaged(`an event of more than ${MAX_EVENT_BYTES} bytes`)
    if (length < PRELUDE + CRC + bytes.readUInt32BE(at + 4)) throw this.#damaged('a wrong length')
    return length
  }

  #damaged(problem: string): GatewayError {
    return failure('upstream_invalid', { upstream: this.#upstream, problem: `a binary event stream with ${problem}` })
  }

  #message(message: Buffer): Frame | undefined {
    const end = message.length - CRC
    if (crc32(message.subarray(0, end)) !== message.readUInt32BE(end)) throw this.#damaged('a wrong checksum')
    const start = PRELUDE + message.readUInt32BE(4)
    const headers = this.#headers(message, start)
    const payload = message.toString('utf8', start, end)
    const type = headers.get(':message-type')
    if (type === 'exception' || type === 'error') {
      this.#failure ??= this.#said(headers, payload)
      return undefined
    }
    if (this.#contents === 'wrapped') return this.#unwrapped(payload)
    const name = headers.get(':event-type') ?? ''
    return { bytes: Buffer.from(`data: {${JSON.stringify(name)}:${oneLine(payload)}}\n\n`), marks: 0 }
  }

  #unwrapped(payload: string): Frame | undefined {
    const inner = textIn(payload, 'bytes')
    if (inner === undefined) return undefined
    const text = Buffer.from(inner, 'base64').toString('utf8')
    return { bytes: Buffer.from(formatSse(text, textIn(text, 'type'))), marks: 0 }
  }

  /** Strings alone are of use here; the other types are stepped over. */
  #headers(message: Buffer, end: number): Map<string, string> {
    const headers = new Map<string, string>()
    let at = PRELUDE
    while (at < end) {
      const nameEnd = at + 1 + (message[at] as number)
      const type = message[nameEnd]
      const value = nameEnd + 1
      const sized = type === 6 || type === 7
      const fixed = type === undefined ? undefined : FIXED[type]
      if (value + (sized ? 2 : 0) > end || (!sized && fixed === undefined)) throw this.#damaged('a broken header')
      const next = sized ? value + 2 + message.readUInt16BE(value) : value + (fixed as number)
      if (next > end) throw this.#damaged('a broken header')
      if (type === 7) headers.set(message.toString('utf8', at + 1, nameEnd), message.toString('utf8', value + 2, next))
      at = next
    }
    return headers
  }

  #said(headers: ReadonlyMap<string, string>, payload: string): GatewayError {
    const code = headers.get(':exception-type') ?? headers.get(':error-code') ?? 'exception'
    const message = textIn(payload, 'message') ?? headers.get(':error-message')
    return failure(
      'upstream_error',
      {
        upstream: this.#upstream,
        problem: message ?? code,
        upstreamCode: code,
        ...(message === undefined ? {} : { upstreamMessage: message }),
      },
      undefined,
      { status: STATUS.find(([words]) => words.test(code))?.[1] ?? 500 },
    )
  }
}

/** Bytes of a header's value by its type: true, false, byte, short, int, long, –, –, timestamp, uuid. */
const FIXED: readonly (number | undefined)[] = [0, 0, 1, 2, 4, 8, undefined, undefined, 8, 16]

/** The status that an exception would have had alone. */
const STATUS: readonly (readonly [words: RegExp, status: number])[] = [
  [/throttl|toomanyrequests|quotaexceeded/i, 429],
  [/validation/i, 400],
  [/accessdenied|unrecognizedclient|expiredtoken/i, 403],
  [/notfound/i, 404],
  [/timeout/i, 408],
  [/unavailable|notready/i, 503],
]

function textIn(json: string, field: string): string | undefined {
  try {
    const value: unknown = (JSON.parse(json) as Record<string, unknown> | null)?.[field]
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

/** Line breaks in JSON stand between its tokens only. */
const oneLine = (json: string): string => (/[\r\n]/.test(json) ? json.replace(/[\r\n]+/g, ' ') : json)

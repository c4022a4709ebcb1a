/**
 * Server-sent events as bytes. The framer cuts a byte stream into whole events without decoding anything, so that a
 * relay passes on exactly what came in; decoding is for the few frames that somebody wants to read.
 * Line ends may be LF, CRLF, CR or any mix, and may be split over chunks.
 */
import { failure } from '../core/errors.ts'
import type { Frame } from '../core/reply.ts'

const LF = 10
const CR = 13
const COLON = 58
const BOM = '\uFEFF'

/** The most that is kept of an event which has not ended yet, in bytes. */
export const MAX_EVENT_BYTES = 8 * 1024 * 1024

/**
 * A frame is everything up to and including a blank line. Leading or repeated blank lines are frames of their own
 * (so is the LF of a CRLF whose CR ended a frame one chunk earlier), so an event's frame always starts with its first
 * line, is handed out the moment it is whole, and the frames joined are the bytes that came in.
 */
export class SseFramer {
  readonly #upstream: string
  readonly #maxEventBytes: number
  /** The start of an event that has not ended yet; grown by doubling, so that tiny chunks cost linear time. */
  #carry: Buffer | undefined
  #carried = 0
  /** The last line that was seen has bytes in it, but no end yet. */
  #inLine = false
  /** The carry ends with CR: an LF that comes next belongs to it and is no blank line. */
  #afterCr = false

  constructor(upstream = '', maxEventBytes = MAX_EVENT_BYTES) {
    this.#upstream = upstream
    this.#maxEventBytes = maxEventBytes
  }

  /** Throws `upstream_invalid` when one event outgrows the limit. */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = []
    const length = chunk.length
    let frameStart = 0
    let lineStart = 0
    let inLine = this.#inLine
    if (this.#afterCr && length > 0) {
      this.#afterCr = false
      if (chunk[0] === LF) lineStart = 1
    }
    let lf = -1
    let cr = -1
    while (lineStart < length) {
      let end: number
      const first = chunk[lineStart]
      if (first === LF || first === CR) end = lineStart
      else {
        if (lf < lineStart) lf = indexOrEnd(chunk, LF, lineStart)
        if (cr < lineStart) cr = indexOrEnd(chunk, CR, lineStart)
        end = Math.min(lf, cr)
        inLine = true
        if (end === length) break
      }
      const endedByCr = chunk[end] === CR
      let next = end + 1
      if (endedByCr && chunk[next] === LF) next++
      lineStart = next
      if (inLine) {
        inLine = false
        if (endedByCr && next === length) this.#afterCr = chunk[length - 1] === CR
      } else {
        frames.push({ bytes: this.#take(chunk, frameStart, next), marks: 0 })
        frameStart = next
      }
    }
    this.#inLine = inLine
    if (frameStart < length) this.#append(chunk, frameStart, length)
    return frames
  }

  /** What came after the last blank line, if anything: an event whose delimiter is missing. */
  end(): Frame | undefined {
    const carry = this.#carry
    if (carry === undefined) return undefined
    const bytes = carry.subarray(0, this.#carried)
    this.#forget()
    this.#inLine = false
    this.#afterCr = false
    return { bytes, marks: 0 }
  }

  #take(chunk: Buffer, start: number, end: number): Buffer {
    if (this.#carry === undefined) return chunk.subarray(start, end)
    this.#append(chunk, start, end)
    const bytes = (this.#carry as Buffer).subarray(0, this.#carried)
    this.#forget()
    return bytes
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const wanted = this.#carried + end - start
    if (wanted > this.#maxEventBytes) {
      this.#forget()
      throw failure('upstream_invalid', {
        upstream: this.#upstream,
        problem: `one event of its stream is longer than ${this.#maxEventBytes} bytes`,
      })
    }
    if (this.#carry === undefined || wanted > this.#carry.length) {
      const grown = Buffer.allocUnsafe(Math.min(Math.max(512, wanted * 2), Math.max(wanted, this.#maxEventBytes)))
      this.#carry?.copy(grown, 0, 0, this.#carried)
      this.#carry = grown
    }
    chunk.copy(this.#carry, this.#carried, start, end)
    this.#carried = wanted
  }

  #forget(): void {
    this.#carry = undefined
    this.#carried = 0
  }
}

function indexOrEnd(bytes: Buffer, byte: number, from: number): number {
  const at = bytes.indexOf(byte, from)
  return at === -1 ? bytes.length : at
}

export interface SseEvent {
  /** The `data:` lines joined by LF; empty if the frame has none. */
  readonly data: string
  readonly event?: string
}

/** Decodes one frame. Comments, `id` and `retry` are ignored; invalid UTF-8 becomes U+FFFD. */
export function sseData(bytes: Buffer): SseEvent {
  let text = bytes.toString('utf8')
  if (text.startsWith(BOM)) text = text.slice(1)
  // Nearly every event is one data line and LF LF.
  if (text.startsWith('data: ') && text.indexOf('\n') === text.length - 2 && !text.includes('\r')) {
    return { data: text.slice(6, -2) }
  }
  let data: string | undefined
  let event: string | undefined
  for (const line of text.split(/\r\n|\n|\r/)) {
    const colon = line.indexOf(':')
    if (colon === 0 || line === '') continue
    const field = colon === -1 ? line : line.slice(0, colon)
    if (field !== 'data' && field !== 'event') continue
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') event = value
    else data = data === undefined ? value : `${data}\n${value}`
  }
  return event === undefined ? { data: data ?? '' } : { data: data ?? '', event }
}

/** Whether a frame has no data line (a ping, a blank line): nothing in it is for a reader. */
/** Whether its JSON may be whole: an object's last byte is its brace. What was cut off, or is no JSON, ends otherwise. */
export function endsWhole(bytes: Buffer): boolean {
  let at = bytes.length - 1
  while (at >= 0 && (bytes[at] as number) <= 32) at--
  return bytes[at] === 0x7d
}

export function isComment(bytes: Buffer): boolean {
  const length = bytes.length
  let at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  while (at < length) {
    if (bytes[at] === 100 && bytes[at + 1] === 97 && bytes[at + 2] === 116 && bytes[at + 3] === 97) {
      const after = bytes[at + 4]
      if (after === undefined || after === COLON || after === LF || after === CR) return false
    }
    const lf = indexOrEnd(bytes, LF, at)
    const cr = indexOrEnd(bytes, CR, at)
    at = Math.min(lf, cr) + 1
  }
  return true
}

/** Writes one event; line breaks inside `data` become several data lines. */
export function formatSse(data: string, event?: string): string {
  const head = event === undefined ? '' : `event: ${event}\n`
  const lines = /[\r\n]/.test(data) ? data.replace(/\r\n|\n|\r/g, '\ndata: ') : data
  return `${head}data: ${lines}\n\n`
}

/** The kept frames as few Buffers, merging neighbors that lie side by side in memory; nothing is copied. */
export function coalesce(frames: readonly Frame[], keep: (frame: Frame) => boolean): Buffer[] {
  const buffers: Buffer[] = []
  let memory: ArrayBufferLike | undefined
  let start = 0
  let end = 0
  for (const frame of frames) {
    if (!keep(frame)) continue
    const { buffer, byteOffset, length } = frame.bytes
    if (buffer === memory && byteOffset === end) {
      end += length
      continue
    }
    if (memory !== undefined) buffers.push(Buffer.from(memory, start, end - start))
    memory = buffer
    start = byteOffset
    end = byteOffset + length
  }
  if (memory !== undefined) buffers.push(Buffer.from(memory, start, end - start))
  return buffers
}

/** The port to bytes: wire/ implements it. Core decides what travels; wire knows how it looks on the wire. */

import type { Framing } from './dialect.ts'
import type { Egress } from './egress.ts'
import type { Frame } from './reply.ts'
import type { JsonObject, JsonValue } from './request.ts'

export interface Framer {
  /** Whole events in `chunk` and what was left before; without copying where the event did not straddle chunks. */
  push(chunk: Buffer): readonly Frame[]
  /** The unfinished rest, if any. */
  end(): Frame | undefined
}

/** Where the top-level fields of a request body stand; made and read by wire/ alone. */
export type BodyScan = object

export interface Wire {
  readonly egress: Egress
  /** `upstream` is named in errors. */
  framer(framing: Framing, upstream: string): Framer
  /** The payload of a frame. */
  payload(bytes: Buffer): { readonly data: string; readonly event?: string }
  /** A frame without a payload: a comment, a keep-alive. */
  isComment(bytes: Buffer): boolean
  /** Neighboring frames that pass, as few buffers as possible. */
  coalesce(frames: readonly Frame[], passes: (frame: Frame) => boolean): Buffer[]
  /** Sets (or, with undefined, removes) top-level fields of a JSON body; all other bytes stay. */
  splice(body: Buffer, scan: BodyScan, edits: Readonly<Record<string, JsonValue | undefined>>): readonly Buffer[]
  /** The client's headers that may go upstream. */
  upstreamHeaders(
    headers: Readonly<Record<string, string | undefined>>,
    allow: readonly string[],
  ): Record<string, string>
  /** The upstream's headers that may go to the client. */
  clientHeaders(headers: Readonly<Record<string, string>>): Record<string, string>
  retryAfterMs(headers: Readonly<Record<string, string>>, now: number): number | undefined
  parseJson(body: Buffer): JsonValue
  asObject(value: JsonValue): JsonObject | undefined
}

/**
 * What is answered. To everything above the wire a reply is a stream of events; an unstreamed one is a stream that
 * was collected. On the relay the events stay the bytes they came in (frames), and only marked frames are read.
 */
import type { GatewayError } from './errors.ts'
import type { Target } from './exchange.ts'
import type { Made } from './objects.ts'
import type { JsonObject, Rest } from './request.ts'
import type { Usage } from './usage.ts'

/** Why the model stopped. `error` never appears here: a reply that failed is an error event, not a finish. */
export type FinishReason = 'stop' | 'length' | 'tool-calls' | 'content-filter' | 'refusal' | 'pause' | 'other'

/**
 * Noun first, verb second. A part is opened, grown and closed under its number before `reply-end`; parts of different
 * choices may interleave, and so may parallel tool calls. `choice` is left out for the first (0).
 */
export type ReplyEvent =
  | {
      readonly type: 'reply-start'
      readonly id?: string
      readonly model?: string
      /** Seconds since 1970. */
      readonly created?: number
      /** What is known of the usage at the start (Anthropic: the input). */
      readonly usage?: Usage
      readonly rest?: Rest
    }
  | { readonly type: 'text-start'; readonly part: number; readonly choice?: number; readonly rest?: Rest }
  | {
      readonly type: 'text-delta'
      readonly part: number
      readonly choice?: number
      readonly text: string
      readonly rest?: Rest
    }
  | { readonly type: 'text-end'; readonly part: number; readonly choice?: number; readonly rest?: Rest }
  | {
      readonly type: 'reasoning-start'
      readonly part: number
      readonly choice?: number
      readonly redacted?: string
      readonly rest?: Rest
    }
  | {
      readonly type: 'reasoning-delta'
      readonly part: number
      readonly choice?: number
      readonly text: string
      readonly rest?: Rest
    }
  | {
      readonly type: 'reasoning-end'
      readonly part: number
      readonly choice?: number
      readonly signature?: string
      readonly rest?: Rest
    }
  | { readonly type: 'refusal-delta'; readonly part: number; readonly choice?: number; readonly text: string }
  | {
      readonly type: 'tool-call-start'
      readonly part: number
      readonly choice?: number
      readonly id: string
      readonly name: string
      readonly signature?: string
      readonly rest?: Rest
    }
  /** A piece of the arguments' JSON text; pieces may break anywhere. */
  | { readonly type: 'tool-call-delta'; readonly part: number; readonly choice?: number; readonly json: string }
  | { readonly type: 'tool-call-end'; readonly part: number; readonly choice?: number; readonly rest?: Rest }
  /** A part only its own vendor understands (server tool use and results, generated files…). */
  | {
      readonly type: 'opaque'
      readonly part: number
      readonly choice?: number
      readonly dialect: string
      readonly value: JsonObject
    }
  /** Facts beside the text (citations, annotations, logprobs, grounding), kept for the same vendor. */
  | { readonly type: 'annotation'; readonly part?: number; readonly choice?: number; readonly rest: Rest }
  | { readonly type: 'embedding'; readonly index: number; readonly vector: readonly number[] }
  /** One document's place in a ranking: its number in the request, best first. */
  | { readonly type: 'ranked'; readonly index: number; readonly score: number; readonly document?: JsonObject }
  /** Replaces whatever was known before: usage is a running total. */
  | { readonly type: 'usage-report'; readonly usage: Usage }
  | {
      readonly type: 'finish'
      readonly choice?: number
      readonly reason: FinishReason
      /** The stop sequence that was met, where the vendor says so. */
      readonly stopSequence?: string
      readonly rest?: Rest
    }
  /** The last event, exactly once. */
  | { readonly type: 'reply-end' }

/** What may be said of a frame without decoding it. */
export const MARK = {
  /** Carries something the user asked for: from here on no other target may take over. */
  content: 1,
  /** Belongs to the end (finish, usage, terminal marker): held until the books are closed. */
  final: 2,
  /** Must not reach the client (usage that nobody asked for). */
  withhold: 4,
  /** The dialect's own end of stream. */
  terminal: 8,
} as const

/** One whole event as it came over the wire, delimiter included. */
export interface Frame {
  readonly bytes: Buffer
  /** A sum of MARKs, set by the dialect's watcher. */
  marks: number
}

/** What became known of a reply while it passed; `usage` and `finish` are complete only at its end. */
export interface ReplyFacts {
  id?: string
  /** The model the upstream says it served. */
  model?: string
  usage?: Usage
  finish?: FinishReason
  /** Bytes of text, reasoning and tool arguments that passed; the estimate when nobody reports usage. */
  textBytes: number
  /** The dialect's end of stream was seen, or (unstreamed) the body was whole. */
  complete: boolean
  /** An error event inside the stream. */
  error?: GatewayError
  /** How the body spells the numbers of an embedding. */
  encoding?: 'float' | 'base64'
  /** How many numbers the first embedding has. */
  dimensions?: number
  /** What this call made at the upstream, until it has an owner. */
  made?: readonly Made[]
}

/**
 * A reply as it stands between upstream and client. Exactly one of `body`, `batches` and `bytes` is set.
 * Its bytes are in `dialect`, whatever the client speaks.
 */
export interface Reply {
  readonly dialect: string
  readonly status: number
  /** Response headers that may be passed on, lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly target: Target
  readonly facts: ReplyFacts
  readonly body?: Buffer
  /** Frames in the groups in which they arrived. Returning the iterator aborts the upstream. */
  readonly batches?: AsyncIterable<readonly Frame[]>
  /** Bytes that mean nothing to the gateway, as they arrive. Returning the iterator aborts the upstream. */
  readonly bytes?: AsyncIterable<Buffer>
  /** Of a relayed reply that is no stream of events. */
  readonly contentType?: string
  /** Where the reply came from, when not from an upstream: set by the module that kept it. */
  readonly from?: 'cache'
}

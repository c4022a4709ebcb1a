/**
 * One wire format of one operation. A dialect has a side towards clients (read a request, write a reply) and a side
 * towards upstreams (write a request, read a reply); N dialects are N files, never N × M pairs.
 */
import type { GatewayError } from './errors.ts'
import type { Allowance } from './exchange.ts'
import type { Provider } from './provider.ts'
import type { References } from './references.ts'
import type { Endpoints } from './relay.ts'
import type { Frame, ReplyEvent, ReplyFacts } from './reply.ts'
import type { JsonObject, JsonValue, ModelRequest, Operation, ReportUnsupported } from './request.ts'
import type { Seals } from './seals.ts'

/**
 * How a streamed reply is cut into events on the wire. AWS's binary events are written anew as server-sent events where
 * they come in; `aws-chunks` are those whose payload wraps the events of another vendor.
 */
export type Framing = 'sse' | 'json-array' | 'aws-events' | 'aws-chunks'

export interface ReplyContext {
  /** The gateway's id of the exchange; used where the upstream gave no id of its own. */
  readonly id: string
  /** The model to name when the upstream named none. */
  readonly model: string
  /** Seconds since 1970, where the upstream gave none. */
  readonly created: number
  /** The parsed client body: a writer looks up what was asked for (usage in the stream, encoding…). */
  readonly asked: JsonObject
}

/** Writes one streamed reply; each call returns the text to send (often nothing, sometimes several events). */
export interface StreamWriter {
  write(event: ReplyEvent): string
  /** The stream's proper end in case of failure: the client must never take it for a finish. */
  fail(error: GatewayError): string
}

/** Reads one streamed reply. `data` is an event's payload, already joined over its `data:` lines. */
export interface StreamReader {
  read(data: string, event?: string): readonly ReplyEvent[]
  /** The bytes ended: closes what is open. Throws `upstream_incomplete` if the dialect's terminal event never came. */
  end(): readonly ReplyEvent[]
}

/** Looks at frames as they pass on the relay: byte probes first, parsing only what they find. */
export interface Watcher {
  readonly facts: ReplyFacts
  /** Sets `frame.marks` and updates the facts. */
  look(frame: Frame): void
}

export interface ClientSide {
  /**
   * Where the model and the wish for a stream stand; absent: in the body. From a path they are put into the parsed body
   * as `model` and `stream`, and never into its bytes.
   */
  readonly addressed?: 'path'
  /** The top-level fields whose types are checked on every request, and whose duplicates are refused. */
  readonly fields: Readonly<Record<string, FieldType>>
  /** Content type of a streamed reply. */
  readonly streamType: string
  /** The top-level field that holds what is said; absent: `messages` of a chat, else `input`. */
  readonly content?: string
  /**
   * What in this body only an upstream of this very dialect can serve, because it keeps what a field refers to: the
   * field's name. Any other upstream would answer without it as if nothing were missing.
   */
  boundTo?(body: JsonObject): string | undefined
  /** The response header in which this dialect's SDKs look for the request's id. */
  readonly requestIdHeader?: string
  /** The output limit that a body sets, in tokens. */
  outputLimit?(body: JsonObject): number | undefined
  /** The top-level fields of this body that set another one. */
  limitOutput?(body: JsonObject, tokens: number): Readonly<Record<string, JsonValue>>
  /** Where it names objects at the upstream. */
  readonly references?: References
  /** Throws `invalid_request` naming the place. Must accept everything the vendor's own API accepts. */
  readRequest(body: JsonObject): ModelRequest
  /** Whether an unstreamed reply in this dialect may be relayed to a client that asked so; absent: always. */
  takes?(facts: ReplyFacts, asked: JsonObject): boolean
  writeBody(events: readonly ReplyEvent[], context: ReplyContext): JsonObject
  streamWriter(context: ReplyContext): StreamWriter
  /** Sent while a stream waits for its first content. */
  readonly ping: string
  writeError(error: GatewayError, requestId: string): JsonObject
  /** What is left of the limits, in headers of this dialect's own; absent: the widely read `x-ratelimit-…`. */
  allowanceHeaders?(allowance: Allowance, now: number): Record<string, string>
  /** On the relay: the terminal event of a stream that failed after its head was sent. */
  failStream(error: GatewayError, requestId: string): string
}

export interface UpstreamSide {
  readonly framing: Framing
  /** What clients of this dialect wait for after a stream has said why it finished: added where an upstream left it out. */
  readonly terminal?: string
  writeRequest(request: ModelRequest, context: WriteContext): JsonObject
  /** Objects of the vendor that a translated body names, by addresses that mean nothing in the client's dialect. */
  namesIn?(body: JsonObject): readonly string[]
  /** Edits to make on a relayed body (besides the model), e.g. asking for usage in the stream. */
  relayEdits?(body: JsonObject): Readonly<Record<string, JsonValue>>
  /**
   * In this dialect a model may refuse fields by their names (see `refuses` of its capabilities). Some only have another
   * name, and some values say nothing.
   */
  readonly refusable?: {
    readonly renamed: Readonly<Record<string, string>>
    readonly neutral: Readonly<Record<string, JsonValue>>
  }
  /** `asked` is the request that was written for this reply: what had to be renamed in it is named back. */
  readBody(body: JsonValue, asked?: ModelRequest): readonly ReplyEvent[]
  streamReader(asked?: ModelRequest): StreamReader
  watcher(asked: JsonObject): Watcher
  /** Facts of an unstreamed body. `error` is set if a 200 carries an error instead of an answer. */
  factsOf(body: JsonValue, asked?: JsonObject): ReplyFacts
  /** What an error body says, in the vendor's words. */
  readError(body: JsonValue): UpstreamComplaint
}

export interface WriteContext {
  /** The model's name at the upstream. */
  readonly model: string
  readonly report: ReportUnsupported
  /** Output limit to send where the vendor demands one and the client gave none. */
  readonly maxOutputTokens?: number
  /** The model takes no assistant message at the end, no image…: what the capability table knows. */
  readonly provider: string
  readonly quirks?: Provider['quirks']
}

/** An upstream's complaint, before anyone judged what it means for a retry. */
export interface UpstreamComplaint {
  readonly code?: string
  readonly type?: string
  readonly message?: string
  readonly param?: string
  /** Where the vendor says only in the body when to try again. */
  readonly retryAfterMs?: number
}

export type FieldType = 'string' | 'boolean' | 'integer' | 'number' | 'object' | 'array' | 'string|array'

export interface Dialect {
  readonly id: string
  readonly operation: Operation
  readonly client?: ClientSide
  readonly upstream?: UpstreamSide
  /** Only relayed: the endpoints that are meant. */
  readonly endpoints?: Endpoints
  /** What in it only the account that made it can read. */
  readonly seals?: Seals
}

export const defineDialect = (dialect: Dialect): Dialect => dialect

/**
 * What is asked, in the gateway's own form. Dialects read client bodies into it and write upstream bodies from it.
 * Everything a dialect does not understand stays in `rest`, so that nothing is lost on the way back to the same vendor.
 */

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [name: string]: JsonValue | undefined
}

/** What kind of work is asked for; an endpoint's dialect belongs to exactly one. */
export type Operation = 'chat' | 'completion' | 'embeddings' | 'rerank' | RelayOperation
/** Work that is only relayed. `objects` is what is kept at an upstream, `native` any other path of a vendor's own API. */
export type RelayOperation = 'images' | 'audio' | 'moderation' | 'compaction' | 'objects' | 'native'
/** What nobody is given who was not given it by name. */
export const GRANTED: readonly string[] = ['objects', 'native'] satisfies RelayOperation[]

/** Fields of one vendor that have no common word, under that vendor's dialect id: only that dialect reads them back. */
export type Rest = Readonly<Record<string, JsonObject>>

/** Asks the vendor to keep the prompt up to here (Anthropic `cache_control`, Bedrock `cachePoint`). */
export interface CacheMarker {
  readonly ttl?: '5m' | '1h'
}

interface PartBase {
  readonly cache?: CacheMarker
  readonly rest?: Rest
}
export interface TextPart extends PartBase {
  readonly type: 'text'
  readonly text: string
}
/** An image, a PDF or another document, or sound: by data, by address, or by a file id at one upstream. */
export interface MediaPart extends PartBase {
  readonly type: 'image' | 'file' | 'audio'
  readonly source:
    | { readonly kind: 'data'; readonly mediaType: string; readonly base64: string }
    | { readonly kind: 'url'; readonly url: string }
    | { readonly kind: 'id'; readonly id: string }
  readonly name?: string
  readonly detail?: string
}
export interface ToolCallPart extends PartBase {
  readonly type: 'tool-call'
  readonly id: string
  readonly name: string
  /** The arguments as the model wrote them: normally a JSON object, kept as text. */
  readonly arguments: string
  /** Gemini's thought signature, which must come back with the call it belongs to. */
  readonly signature?: string
}
export interface ToolResultPart extends PartBase {
  readonly type: 'tool-result'
  readonly id: string
  readonly name?: string
  readonly isError?: boolean
  readonly content: readonly (TextPart | MediaPart | OpaquePart)[]
}
/** The model's thinking. A signature, or an opaque `redacted` form, must go back exactly as it came. */
export interface ReasoningPart extends PartBase {
  readonly type: 'reasoning'
  readonly text: string
  readonly signature?: string
  readonly redacted?: string
}
export interface RefusalPart extends PartBase {
  readonly type: 'refusal'
  readonly text: string
}
/** A part that only its own vendor understands (server tools, citations blocks…), kept whole. */
export interface OpaquePart extends PartBase {
  readonly type: 'opaque'
  readonly dialect: string
  readonly value: JsonObject
}
export type Part = TextPart | MediaPart | ToolCallPart | ToolResultPart | ReasoningPart | RefusalPart | OpaquePart

export interface Message {
  /** `system` may stand anywhere; dialects with one system prompt gather the leading ones. `tool` holds results only. */
  readonly role: 'system' | 'user' | 'assistant' | 'tool'
  readonly parts: readonly Part[]
  readonly name?: string
  readonly rest?: Rest
}

export interface Tool {
  readonly name: string
  readonly description?: string
  /** JSON Schema of the arguments. */
  readonly parameters?: JsonObject
  readonly strict?: boolean
  readonly cache?: CacheMarker
  readonly rest?: Rest
}

export type ToolChoice =
  | { readonly type: 'auto' | 'none' | 'required' }
  | { readonly type: 'tool'; readonly name: string }

export type ResponseFormat =
  | { readonly type: 'text' | 'json' }
  | {
      readonly type: 'schema'
      readonly name: string
      readonly description?: string
      readonly schema: JsonObject
      readonly strict?: boolean
    }

export interface Reasoning {
  readonly effort?: 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max'
  readonly budgetTokens?: number
  /** Whether the reasoning text is wanted in the reply. */
  readonly summary?: boolean
}

export interface ChatRequest {
  readonly operation: 'chat'
  readonly model: string
  readonly stream: boolean
  readonly messages: readonly Message[]
  readonly tools?: readonly Tool[]
  /** Tools that the vendor runs itself (web search…), kept whole under their dialect. */
  readonly hostedTools?: readonly { readonly dialect: string; readonly value: JsonObject }[]
  readonly toolChoice?: ToolChoice
  readonly parallelToolCalls?: boolean
  readonly responseFormat?: ResponseFormat
  readonly maxOutputTokens?: number
  readonly temperature?: number
  readonly topP?: number
  readonly topK?: number
  readonly stop?: readonly string[]
  readonly seed?: number
  readonly frequencyPenalty?: number
  readonly presencePenalty?: number
  readonly logprobs?: { readonly top?: number }
  readonly choices?: number
  readonly reasoning?: Reasoning
  /** The end user on whose behalf the client asks. */
  readonly endUser?: string
  /** Fields of one vendor that no other has to know (keeping, caching, tiers): left out elsewhere without a word. */
  readonly hints?: Rest
  readonly rest?: Rest
}

export interface EmbeddingsRequest {
  readonly operation: 'embeddings'
  readonly model: string
  readonly stream: false
  /** Texts, or token arrays where the vendor takes them. */
  readonly input: readonly (string | readonly number[])[]
  readonly dimensions?: number
  readonly encoding: 'float' | 'base64'
  readonly endUser?: string
  readonly rest?: Rest
}

export interface CompletionRequest {
  readonly operation: 'completion'
  readonly model: string
  readonly stream: boolean
  readonly rest?: Rest
}

export interface RerankRequest {
  readonly operation: 'rerank'
  readonly model: string
  readonly stream: false
  readonly query: string
  /** Texts; or objects, where the vendor takes images or fields. */
  readonly documents: readonly (string | JsonObject)[]
  /** How many of the best are wanted; absent: all. */
  readonly top?: number
  readonly returnDocuments?: boolean
  readonly rest?: Rest
}

/** Whole, but for the model: only its own dialect reads it. */
export interface RelayRequest {
  readonly operation: RelayOperation
  readonly model: string
  readonly stream: boolean
  readonly rest?: Rest
}

export type ModelRequest = RelayRequest | ChatRequest | EmbeddingsRequest | CompletionRequest | RerankRequest

/** What a target's dialect could not carry: named for the header and the log, or the reason for a 400. */
export type ReportUnsupported = (what: string) => void

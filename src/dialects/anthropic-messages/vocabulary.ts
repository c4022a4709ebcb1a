/**
 * The words of Anthropic's Messages API that more than one file here needs: stop reasons, cache markers, the tool that
 * carries a JSON answer, and how its JSON is looked into.
 */
import type { FinishReason } from '../../core/reply.ts'
import type { CacheMarker, JsonObject, JsonValue, Rest } from '../../core/request.ts'

export const ID = 'anthropic-messages'

/**
 * The tool a model without structured outputs is made to call when JSON is wanted; its input is the answer's text.
 * The name is ours, so that a reply needs nothing but itself to be read.
 */
export const JSON_TOOL = 'stockyard_json_output'

const FINISH: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool-calls',
  pause_turn: 'pause',
  compaction: 'pause',
  refusal: 'refusal',
}
export const finishOf = (stopReason: string): FinishReason =>
  Object.hasOwn(FINISH, stopReason) ? (FINISH[stopReason] as FinishReason) : 'other'

const STOP_REASONS: Readonly<Record<FinishReason, string>> = {
  stop: 'end_turn',
  'tool-calls': 'tool_use',
  length: 'max_tokens',
  pause: 'pause_turn',
  refusal: 'refusal',
  'content-filter': 'refusal',
  other: 'end_turn',
}

/** A turn that ended by itself says `tool_use` if and only if it holds a call: clients act on that word alone. */
export function stopReasonOf(reason: FinishReason, hasCalls: boolean, stopSequence: string | undefined): string {
  if (reason !== 'stop' && reason !== 'tool-calls' && reason !== 'other') return STOP_REASONS[reason]
  if (hasCalls) return 'tool_use'
  return stopSequence === undefined ? 'end_turn' : 'stop_sequence'
}

/** The stop reasons that come back the same from `stopReasonOf`; any other is kept beside the finish. */
export const isPlainStop = (stopReason: string): boolean =>
  stopReason === 'stop_sequence' || STOP_REASONS[finishOf(stopReason)] === stopReason

export function cacheOf(control: JsonValue | undefined): { readonly cache?: CacheMarker } {
  if (!isObject(control)) return {}
  const { ttl } = control
  return { cache: ttl === '5m' || ttl === '1h' ? { ttl } : {} }
}
export const cacheControl = (cache: CacheMarker | undefined): JsonObject =>
  cache ? { cache_control: { type: 'ephemeral', ...(cache.ttl ? { ttl: cache.ttl } : {}) } } : {}

/** Whether the common marker says all that this one does. */
export const isPlainCache = (control: JsonValue | undefined): boolean =>
  isObject(control) && control.type === 'ephemeral' && Object.keys(control).every((k) => k === 'type' || k === 'ttl')

/** A call's arguments as the object this API demands: none are `{}`, and what is no object is kept inside one. */
export function inputOf(text: string): JsonObject {
  if (text.trim() === '') return {}
  try {
    const value: JsonValue = JSON.parse(text)
    return isObject(value) ? value : { arguments: value }
  } catch {
    return { arguments: text }
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
export const objectOf = (value: JsonValue | undefined): JsonObject => (isObject(value) ? value : {})
export const listOf = (value: JsonValue | undefined): readonly JsonValue[] => (Array.isArray(value) ? value : [])
export const stringOf = (value: JsonValue | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined
export const isEmpty = (object: JsonObject): boolean => Object.keys(object).length === 0

/** What this dialect itself left in a `rest`. */
export const ownRest = (rest: Rest | undefined): JsonObject => rest?.[ID] ?? {}
export const asRest = (value: JsonObject): { readonly rest?: Rest } => (isEmpty(value) ? {} : { rest: { [ID]: value } })

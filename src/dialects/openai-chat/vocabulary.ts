/**
 * The words of OpenAI's chat completions that more than one file here needs: finish reasons as OpenAI and its many
 * imitators spell them, ids for calls that came without one, and how parsed JSON is looked into.
 *
 * `rest['openai-chat']` keeps what has no common word, under its own name. A name with the value `null` there says only
 * that a common word was spelled this way (`max_tokens: null`), so that it is spelled so again.
 */
import type { FinishReason } from '../../core/reply.ts'
import type { JsonObject, JsonValue, Rest } from '../../core/request.ts'
import { fittedName } from '../../core/tool-names.ts'

export const ID = 'openai-chat'

const FINISH: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  eos: 'stop',
  eos_token: 'stop',
  end_turn: 'stop',
  stop_sequence: 'stop',
  length: 'length',
  max_tokens: 'length',
  model_length: 'length',
  tool_calls: 'tool-calls',
  function_call: 'tool-calls',
  content_filter: 'content-filter',
  sensitive: 'content-filter',
}

/** Some say `stop` after tool calls too (OpenAI itself for a forced one): the calls are what the client must act on. */
export function finishOf(reason: string, called: boolean): FinishReason {
  const known = Object.hasOwn(FINISH, reason) ? (FINISH[reason] as FinishReason) : 'other'
  return known === 'stop' && called ? 'tool-calls' : known
}

export const FINISH_NAMES: Readonly<Record<FinishReason, string>> = {
  stop: 'stop',
  pause: 'stop',
  other: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
  'content-filter': 'content_filter',
  refusal: 'content_filter',
}

/** Longer ids, as other vendors' clients have them, are refused by OpenAI itself. */
export const wireId = (id: string): string => fittedName(id, 40)

/** At most 40 characters of `[A-Za-z0-9_-]`: the strictest vendors take no more. */
export const callId = (reply: string, n: number): string =>
  `call_${reply.replace(/[^A-Za-z0-9_-]/g, '').slice(-24)}_${n}`

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
export const objectOf = (value: JsonValue | undefined): JsonObject => (isObject(value) ? value : {})
export const listOf = (value: JsonValue | undefined): readonly JsonValue[] =>
  Array.isArray(value) ? (value as readonly JsonValue[]) : []
/** A string with something in it. */
export const wordOf = (value: JsonValue | undefined): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined
export const isEmpty = (object: JsonObject): boolean => Object.keys(object).length === 0

export const without = (object: JsonObject, ...names: readonly string[]): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)))

/** Without what says nothing: vendors send many fields as null only to say that they exist. */
export const said = (object: JsonObject): JsonObject => {
  const entries = Object.entries(object).filter(([, value]) => value !== null && value !== undefined)
  return Object.fromEntries(entries)
}

/** What this dialect itself left in a `rest`. */
export const ownRest = (rest: Rest | undefined): JsonObject => rest?.[ID] ?? {}
export const asRest = (value: JsonObject): { readonly rest?: Rest } => (isEmpty(value) ? {} : { rest: { [ID]: value } })

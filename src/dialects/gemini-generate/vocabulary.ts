/**
 * The words of Google's generateContent API that more than one file here needs: its finish reasons, its error
 * statuses, the ids given to calls that came without one, and how its protobuf-flavored JSON is looked into.
 */
import type { FinishReason } from '../../core/reply.ts'
import type { JsonObject, JsonValue, Rest } from '../../core/request.ts'
import { fittedName } from '../../core/tool-names.ts'

export const ID = 'gemini-generate'

/** What is not in this table (OTHER, LANGUAGE, MALFORMED_FUNCTION_CALL, NO_IMAGE…) is `other`. */
const FINISH: Readonly<Record<string, FinishReason>> = {
  STOP: 'stop',
  MAX_TOKENS: 'length',
  SAFETY: 'content-filter',
  RECITATION: 'content-filter',
  BLOCKLIST: 'content-filter',
  PROHIBITED_CONTENT: 'content-filter',
  SPII: 'content-filter',
  IMAGE_SAFETY: 'content-filter',
  IMAGE_PROHIBITED_CONTENT: 'content-filter',
  IMAGE_RECITATION: 'content-filter',
  MODEL_ARMOR: 'content-filter',
}

/** Google says STOP for a finished answer and for finished calls alike; only the parts tell them apart. */
export function finishOf(reason: string, called: boolean): FinishReason {
  const known = Object.hasOwn(FINISH, reason) ? (FINISH[reason] as FinishReason) : 'other'
  return known === 'stop' && called ? 'tool-calls' : known
}

export const FINISH_NAMES: Readonly<Record<FinishReason, string>> = {
  stop: 'STOP',
  'tool-calls': 'STOP',
  pause: 'STOP',
  length: 'MAX_TOKENS',
  'content-filter': 'SAFETY',
  refusal: 'SAFETY',
  other: 'OTHER',
}

/** google.rpc.Code by HTTP status. */
const STATUSES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  402: 'RESOURCE_EXHAUSTED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ABORTED',
  412: 'FAILED_PRECONDITION',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  500: 'INTERNAL',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
}
export const statusName = (status: number): string =>
  STATUSES[status] ?? (status >= 400 && status < 500 ? 'INVALID_ARGUMENT' : 'UNKNOWN')

/**
 * Ids for calls that came without one (older models and Vertex send none). They are ours, so they are never sent to
 * Google, which then matches calls and results by name and order as it did before it had ids. At most 40 characters
 * of `[A-Za-z0-9_-]`: the strictest vendors take no more.
 */
const OURS = 'call_gemini_'
export const callId = (reply: string | undefined, n: number): string =>
  `${OURS}${(reply ?? 'r').replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 23)}_${n}`
export const isOurCallId = (id: string): boolean => id.startsWith(OURS)

/** Google's names take dots and colons too, and begin with a letter or an underscore. */
export function wireName(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_.:-]{0,63}$/.test(name)) return name
  const fitted = fittedName(name, 63)
  return /^[A-Za-z_]/.test(fitted) ? fitted : `_${fitted}`
}

/** Which generation a model's name says; undefined where the name is no Gemini's. Aliases follow the newest. */
export function generationOf(model: string): number | undefined {
  const match = /gemini-(\d+(?:\.\d+)?)/.exec(model)
  if (match) return Number(match[1])
  return /gemini/.test(model) ? NEWEST : undefined
}
const NEWEST = 3

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
export const objectOf = (value: JsonValue | undefined): JsonObject => (isObject(value) ? value : {})
/** A repeated field, for which Google's parser also takes a single value. */
export const listOf = (value: JsonValue | undefined): readonly JsonValue[] =>
  Array.isArray(value) ? value : value === undefined || value === null ? [] : [value as JsonValue]
export const stringOf = (value: JsonValue | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined
/** A number, also where protobuf's JSON spells a 64-bit one as a string. */
export function numberOf(value: JsonValue | undefined): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value !== 'string' || value.trim() === '') return undefined
  const number = Number(value)
  return Number.isFinite(number) ? number : undefined
}
export const isEmpty = (object: JsonObject): boolean => Object.keys(object).length === 0

/** What this dialect itself left in a `rest`. */
export const ownRest = (rest: Rest | undefined): JsonObject => rest?.[ID] ?? {}
export const asRest = (value: JsonObject): { readonly rest?: Rest } => (isEmpty(value) ? {} : { rest: { [ID]: value } })

/** One message's fields in camelCase: protobuf's JSON takes either spelling. Never for free-form objects or maps. */
export function camelKeys(object: JsonObject): JsonObject {
  const entries = Object.entries(object)
  if (!entries.some(([name]) => name.includes('_', 1))) return object
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name.replace(/(?<=.)_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  )
}

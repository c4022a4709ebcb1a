/** Deltas of a chat completion added up to the message they are pieces of, as OpenAI's own clients do it. */
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { isObject, listOf, objectOf } from './vocabulary.ts'

/** Texts that come in pieces; any other text replaces the one before. */
const GROWING = new Set([
  'content',
  'text',
  'refusal',
  'reasoning_content',
  'reasoning',
  'arguments',
  'input',
  'data',
  'transcript',
])

export function addDelta(message: JsonObject, delta: JsonObject): JsonObject {
  const entries = Object.entries(delta).map(([name, value]) => {
    const before = message[name]
    if (name === 'tool_calls') return [name, addCalls(listOf(before), listOf(value))] as const
    const isList = name === 'content' && (Array.isArray(value) || Array.isArray(before))
    return [name, isList ? addParts(partsOf(before), partsOf(value)) : added(name, before, value)] as const
  })
  return { ...message, ...Object.fromEntries(entries) }
}

export function addFields(a: JsonObject, b: JsonObject): JsonObject {
  const entries = Object.entries(b).map(([name, value]) => [name, added(name, a[name], value)] as const)
  return { ...a, ...Object.fromEntries(entries) }
}

function added(name: string, a: JsonValue | undefined, b: JsonValue | undefined): JsonValue | undefined {
  if (typeof a === 'string' && typeof b === 'string') return GROWING.has(name) ? a + b : b
  if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b]
  if (isObject(a) && isObject(b)) return addFields(a, b)
  return b === null || b === undefined ? a : b
}

function addCalls(calls: readonly JsonValue[], pieces: readonly JsonValue[]): JsonValue[] {
  const sum = [...calls]
  for (const value of pieces) {
    const piece = objectOf(value)
    const i = sum.findIndex((call) => objectOf(call).index === piece.index)
    if (i === -1) sum.push(piece)
    else sum[i] = addFields(objectOf(sum[i]), piece)
  }
  return sum
}

function addParts(parts: readonly JsonValue[], more: readonly JsonValue[]): readonly JsonValue[] {
  const last = objectOf(parts.at(-1))
  const next = objectOf(more[0])
  if (last.type !== 'text' || next.type !== 'text') return [...parts, ...more]
  return [...parts.slice(0, -1), addFields(last, { text: next.text }), ...more.slice(1)]
}

/** Content as an array of parts, which it becomes where one part is no text. */
const partsOf = (content: JsonValue | undefined): readonly JsonValue[] =>
  typeof content === 'string' ? (content === '' ? [] : [{ type: 'text', text: content }]) : listOf(content)

/**
 * Typed looks into a client's body. A field of another type than the API's is the client's mistake and is named with
 * its place (`messages[2].content`); null says the same as absence.
 */
import { badRequest } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { isObject } from './vocabulary.ts'

interface Kinds {
  readonly string: string
  readonly boolean: boolean
  readonly number: number
  readonly integer: number
  readonly object: JsonObject
  readonly array: readonly JsonValue[]
}
type Kind = keyof Kinds

const IS: Readonly<Record<Kind, (value: JsonValue) => boolean>> = {
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  // JSON's 1e400 is read as Infinity.
  number: (value) => Number.isFinite(value),
  integer: (value) => Number.isInteger(value),
  object: isObject,
  array: Array.isArray,
}
const A: Readonly<Record<Kind, string>> = {
  string: 'a string',
  boolean: 'a boolean',
  number: 'a number',
  integer: 'an integer',
  object: 'an object',
  array: 'an array',
}

export const placeOf = (at: string, name: string | number): string =>
  typeof name === 'number' ? `${at}[${name}]` : at === '' ? name : `${at}.${name}`

export const mustBe = (what: string, place: string) => badRequest(`"${place}" must be ${what}.`, place)

/** The field, if it is there. Throws `invalid_request` if it is there as something else. */
export function optional<K extends Kind>(object: JsonObject, name: string, kind: K, at = ''): Kinds[K] | undefined {
  const value = object[name]
  if (value === undefined || value === null) return undefined
  if (!IS[kind](value)) throw mustBe(A[kind], placeOf(at, name))
  return value as Kinds[K]
}

export function required<K extends Kind>(object: JsonObject, name: string, kind: K, at = ''): Kinds[K] {
  const value = optional(object, name, kind, at)
  if (value === undefined) throw mustBe(A[kind], placeOf(at, name))
  return value
}

/** An array's elements with their places; they must be objects. */
export function objectsIn(values: readonly JsonValue[], at: string): { value: JsonObject; at: string }[] {
  return values.map((value, i) => {
    const place = placeOf(at, i)
    if (!isObject(value)) throw mustBe(A.object, place)
    return { value, at: place }
  })
}

/**
 * The keywords of one place in a schema, gathered from everything that says something about it (itself, what it refers
 * to, its `allOf`), and brought down to what Google documents: one type, lists of strings or numbers, closed bounds.
 */
import type { JsonObject, JsonValue } from '../../core/request.ts'

/** One object of keywords, its `$ref` and `allOf` taken out, and the references that led to it. */
export interface Facet {
  readonly keywords: JsonObject
  readonly trail: readonly string[]
}

/** Told the keyword that could not be kept as strict as it was. */
export type Weakened = (keyword: string) => void

/** Describe, and constrain nothing: dropped in silence. */
const ANNOTATIONS = new Set(
  '$schema $id $anchor $comment $defs $vocabulary definitions default example examples deprecated readOnly writeOnly contentEncoding contentMediaType contentSchema discriminator externalDocs xml'.split(
    ' ',
  ),
)
export const STRING_FORMATS = new Set('date-time date time duration'.split(' '))
export const NUMBER_FORMATS = new Set('float double int32 int64'.split(' '))
const TYPES = new Set('string number integer boolean array object null'.split(' '))

const CARRIED = new Set(
  'type format title description enum const items prefixItems minItems maxItems minimum maximum exclusiveMinimum exclusiveMaximum anyOf oneOf properties additionalProperties required propertyOrdering nullable'.split(
    ' ',
  ),
)

export function reportLost(facets: readonly Facet[], weakened: Weakened): void {
  for (const { keywords } of facets) {
    for (const [name, value] of Object.entries(keywords)) {
      if (!CARRIED.has(name) && !ANNOTATIONS.has(name) && !name.startsWith('x-')) weakened(name)
      // A tuple that is closed stays open, for `items` can only be a schema here.
      else if (name === 'items' && value === false) weakened('items')
    }
  }
}

export function firstOf(
  facets: readonly Facet[],
  name: string,
  fits: (value: JsonValue) => boolean,
): JsonValue | undefined {
  for (const { keywords } of facets) {
    const value = keywords[name]
    if (value !== undefined && fits(value)) return value
  }
  return undefined
}

export const typeNames = (value: JsonValue | undefined): readonly string[] =>
  (Array.isArray(value) ? value : [value]).flatMap((t) => (typeof t === 'string' ? [t.toLowerCase()] : []))

/** The types that all facets allow, and the values, where they are listed: `const` is an `enum` of one. */
export function typesOf(
  facets: readonly Facet[],
  weakened: Weakened,
): { readonly types: Set<string>; readonly values?: Values } {
  let types: Set<string> | undefined
  let values: readonly JsonValue[] | undefined
  for (const { keywords: k } of facets) {
    const names = typeNames(k.type)
    const known = names.filter((name) => TYPES.has(name))
    if (known.length < names.length) weakened('type')
    if (known.length > 0) {
      const both: Set<string> = types ? common(types, known) : new Set(known)
      if (both.size > 0) types = both
      else weakened('allOf')
    }
    const listed: readonly JsonValue[] | undefined =
      k.const !== undefined ? [k.const] : Array.isArray(k.enum) ? k.enum : undefined
    if (listed) {
      const both: readonly JsonValue[] = values
        ? values.filter((value) => listed.some((other) => JSON.stringify(other) === JSON.stringify(value)))
        : listed
      if (both.length > 0) values = both
      else weakened('allOf')
    }
  }
  if (!values) return { types: types ?? new Set<string>() }
  const allowed = values.filter((value) => types === undefined || isOneOf(value, types))
  if (allowed.length === 0) {
    weakened('enum')
    return { types: types ?? new Set<string>() }
  }
  const listed: Values = {
    strings: allowed.filter((value) => typeof value === 'string'),
    numbers: allowed.filter((value) => typeof value === 'number'),
    types: new Set(
      allowed.flatMap((value) => (typeof value === 'string' || typeof value === 'number' ? [] : [typeName(value)])),
    ),
  }
  const isSingle = allowed.filter((value) => typeof value === 'boolean').length === 1
  if (isSingle || listed.types.has('object') || listed.types.has('array')) weakened('enum')
  // Only strings and numbers may be listed; of the others, the types are left.
  return listed.strings.length + listed.numbers.length > 0
    ? { types: new Set<string>(), values: listed }
    : { types: new Set(listed.types) }
}

interface Values {
  readonly strings: readonly string[]
  readonly numbers: readonly number[]
  readonly types: ReadonlySet<string>
}

const typeName = (value: JsonValue): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)
const isOneOf = (value: JsonValue, types: ReadonlySet<string>): boolean =>
  types.has(typeName(value)) || (types.has('integer') && Number.isInteger(value))

/** The one type, or with null the two, that the documented subset can say in a `type`. */
export function typeKeyword(types: ReadonlySet<string>, isNullable: boolean, lost: () => void): JsonObject {
  const plain = [...types].filter((type) => type !== 'null')
  const [only] = plain
  if (plain.length > 1) lost()
  if (plain.length !== 1 || only === undefined) return plain.length === 0 && types.has('null') ? { type: 'null' } : {}
  return { type: isNullable || types.has('null') ? [only, 'null'] : only }
}

/** An integer is a number. */
function common(types: ReadonlySet<string>, names: readonly string[]): Set<string> {
  const both = new Set(names.filter((name) => types.has(name)))
  if (types.has('number') && names.includes('integer')) both.add('integer')
  if (types.has('integer') && names.includes('number')) both.add('integer')
  return both
}

export function boundsOf(facets: readonly Facet[], types: ReadonlySet<string>, weakened: Weakened): JsonObject {
  const bounds: Record<string, number> = {}
  const narrow = (name: string, value: JsonValue | undefined, pick: (...of: number[]) => number) => {
    if (typeof value !== 'number') return
    const old = bounds[name]
    bounds[name] = old === undefined ? value : pick(old, value)
  }
  for (const { keywords: k } of facets) {
    narrow('minimum', k.minimum, Math.max)
    narrow('maximum', k.maximum, Math.min)
    narrow('minItems', k.minItems, Math.max)
    narrow('maxItems', k.maxItems, Math.min)
    // There is no open bound: whole numbers have a next one, others get the closed bound.
    const isWhole = types.has('integer') && !types.has('number')
    for (const [name, bound, step, pick] of [
      ['exclusiveMinimum', 'minimum', 1, Math.max],
      ['exclusiveMaximum', 'maximum', -1, Math.min],
    ] as const) {
      const value = k[name]
      if (value === undefined || value === false) continue
      if (typeof value === 'number' && isWhole && Number.isInteger(value)) narrow(bound, value + step, pick)
      else {
        narrow(bound, value, pick)
        weakened(name)
      }
    }
  }
  return bounds
}

const STRING_ONLY = new Set(['format'])
const NUMBER_ONLY = new Set(['minimum', 'maximum', 'format'])
const ARRAY_ONLY = new Set(['items', 'prefixItems', 'minItems', 'maxItems'])
const OBJECT_ONLY = new Set(['properties', 'required', 'propertyOrdering', 'additionalProperties'])
const ONLY: Readonly<Record<string, ReadonlySet<string>>> = {
  string: STRING_ONLY,
  number: NUMBER_ONLY,
  integer: NUMBER_ONLY,
  array: ARRAY_ONLY,
  object: OBJECT_ONLY,
}

export function keywordsFor(type: string, keywords: JsonObject): JsonObject {
  const only = ONLY[type]
  if (!only) return {}
  const formats = type === 'string' ? STRING_FORMATS : NUMBER_FORMATS
  const fits = ([name, value]: [string, JsonValue | undefined]) =>
    only.has(name) && (name !== 'format' || formats.has(String(value)))
  return Object.fromEntries(Object.entries(keywords).filter(fits))
}

/** A list of values has one type; mixed lists become a union. */
export function enumOf(values: Values, isNullable: boolean, out: JsonObject): JsonObject {
  const { strings, numbers, types } = values
  const branches: JsonObject[] = []
  if (strings.length > 0) branches.push({ type: 'string', enum: strings })
  if (numbers.length > 0) branches.push({ type: numbers.every(Number.isInteger) ? 'integer' : 'number', enum: numbers })
  for (const type of types) branches.push({ type })
  if (isNullable && !types.has('null')) branches.push({ type: 'null' })
  return branches.length === 1 ? { ...branches[0], ...out } : { ...out, anyOf: branches }
}

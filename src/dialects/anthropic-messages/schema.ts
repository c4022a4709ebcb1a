/**
 * A JSON Schema → the subset that Anthropic's structured outputs and strict tools hold a model to: closed objects, no
 * recursion, no bounds. Bounds move into the description, where the model still reads them, and are reported; a schema
 * whose meaning would be lost (maps with free keys, recursion, anything goes) is not expressible.
 */
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { isEmpty, isObject, listOf, objectOf, stringOf } from './vocabulary.ts'

const KEPT = ['title', 'description', 'default', 'const', '$ref'] as const
const FORMATS = new Set(['date-time', 'time', 'date', 'duration', 'email', 'hostname', 'uri', 'ipv4', 'ipv6', 'uuid'])
const SINGLE = new Set(['items', 'additionalProperties'])
const LISTS = new Set(['anyOf', 'oneOf', 'allOf'])
const MAPS = new Set(['properties', '$defs', 'definitions'])
const HANDLED = new Set<string>([...KEPT, ...SINGLE, ...LISTS, ...MAPS, 'type', 'enum', 'required', '$schema', '$id'])
const FREE_KEYS = ['patternProperties', 'unevaluatedProperties', 'propertyNames', '$dynamicRef', '$recursiveRef']

class Inexpressible extends Error {}

/** Undefined if the schema cannot be expressed. `weakened` is told each keyword that no longer binds. */
export function structuredSchema(schema: JsonObject, weakened: (keyword: string) => void): JsonObject | undefined {
  const lost = new Set<string>()
  try {
    refuseRecursion(schema)
    const result = converted(schema, lost)
    for (const keyword of lost) weakened(keyword)
    return result
  } catch (error) {
    if (error instanceof Inexpressible) return undefined
    throw error
  }
}

function converted(value: JsonValue | undefined, lost: Set<string>): JsonObject {
  if (!isObject(value) || FREE_KEYS.some((keyword) => value[keyword] !== undefined)) throw new Inexpressible()
  const schema: Record<string, JsonValue | undefined> = {}
  for (const keyword of KEPT) if (value[keyword] !== undefined) schema[keyword] = value[keyword]
  if (value.type !== undefined) schema.type = value.type
  for (const keyword of LISTS) {
    const branches = value[keyword]
    if (!Array.isArray(branches)) continue
    schema[keyword === 'allOf' ? 'allOf' : 'anyOf'] = branches.map((branch) => converted(branch, lost))
  }
  for (const keyword of ['$defs', 'definitions'] as const) {
    if (isObject(value[keyword])) schema[keyword] = mapped(value[keyword], lost)
  }
  const types = Array.isArray(value.type) ? value.type : [value.type]
  if (types.includes('object') || value.properties !== undefined) closeObject(value, schema, lost)
  if (types.includes('array') || value.items !== undefined) schema.items = converted(value.items, lost)
  if (Array.isArray(value.enum)) {
    if (value.enum.every((item) => typeof item !== 'object' || item === null)) schema.enum = value.enum
    else lost.add('enum')
  }
  const isBound = ['type', '$ref', 'anyOf', 'allOf', 'enum', 'const'].some((keyword) => schema[keyword] !== undefined)
  if (!isBound) throw new Inexpressible()

  const bounds: Record<string, JsonValue | undefined> = {}
  for (const [keyword, bound] of Object.entries(value)) {
    if (HANDLED.has(keyword) || bound === undefined) continue
    if (keyword === 'format' && FORMATS.has(stringOf(bound) ?? '')) schema.format = bound
    else if (keyword === 'minItems' && (bound === 0 || bound === 1)) schema.minItems = bound
    else {
      bounds[keyword] = bound
      lost.add(keyword)
    }
  }
  if (!isEmpty(bounds)) {
    const note = JSON.stringify(bounds)
    schema.description = typeof value.description === 'string' ? `${value.description}\n\n${note}` : note
  }
  return schema
}

/** Objects must be closed. One that says nothing of further properties means the ones it lists. */
function closeObject(value: JsonObject, schema: Record<string, JsonValue | undefined>, lost: Set<string>): void {
  const { properties, additionalProperties } = value
  const isClosed = additionalProperties === false || (additionalProperties === undefined && isObject(properties))
  if (!isClosed) throw new Inexpressible()
  schema.properties = mapped(objectOf(properties), lost)
  if (Array.isArray(value.required)) schema.required = value.required
  schema.additionalProperties = false
}

const mapped = (schemas: JsonObject, lost: Set<string>): JsonObject =>
  Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, converted(schema, lost)]))

/** Follows references within the document; one that leads back to where it is being followed is recursion. */
function refuseRecursion(root: JsonObject): void {
  const done = new Set<string>()
  const visit = (value: JsonValue | undefined, path: readonly string[]): void => {
    if (!isObject(value)) return
    const ref = value.$ref
    if (ref !== undefined) {
      if (typeof ref !== 'string' || path.includes(ref)) throw new Inexpressible()
      if (!done.has(ref)) visit(resolved(root, ref), [...path, ref])
      done.add(ref)
    }
    for (const [keyword, inner] of Object.entries(value)) {
      if (SINGLE.has(keyword)) visit(inner, path)
      else if (LISTS.has(keyword)) for (const branch of listOf(inner)) visit(branch, path)
      else if (keyword === 'properties') for (const property of Object.values(objectOf(inner))) visit(property, path)
    }
  }
  visit(root, ['#'])
}

function resolved(root: JsonObject, ref: string): JsonValue {
  let value: JsonValue | undefined = root
  if (!ref.startsWith('#/')) throw new Inexpressible()
  for (const step of ref.slice(2).split('/')) {
    const name = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
    value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
  }
  if (!isObject(value)) throw new Inexpressible()
  return value
}

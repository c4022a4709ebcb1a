/**
 * Google's own Schema (OpenAPI 3.0, spelled by protobuf) → JSON Schema: types in lower case, `nullable` as a type, 64-bit
 * numbers as numbers. Property names are never touched.
 */
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { camelKeys, isObject, numberOf } from './vocabulary.ts'

const NUMBERS = [
  'minItems',
  'maxItems',
  'minLength',
  'maxLength',
  'minProperties',
  'maxProperties',
  'minimum',
  'maximum',
]
const MOST_DEPTH = 60

export function jsonSchemaOf(schema: JsonObject, depth = 0): JsonObject {
  const { type, nullable, properties, ...keywords } = camelKeys(schema)
  const out: Record<string, JsonValue | undefined> = { ...keywords }
  const inner = (value: JsonValue | undefined): JsonValue | undefined =>
    isObject(value) && depth < MOST_DEPTH ? jsonSchemaOf(value, depth + 1) : value
  for (const name of ['items', 'additionalProperties']) if (out[name] !== undefined) out[name] = inner(out[name])
  for (const name of ['anyOf', 'prefixItems']) {
    const list = out[name]
    if (Array.isArray(list)) out[name] = list.map((value) => inner(value) as JsonValue)
  }
  for (const name of NUMBERS) if (typeof out[name] === 'string') out[name] = numberOf(out[name])
  if (out.format === 'enum') delete out.format
  const name = typeof type === 'string' && type !== 'TYPE_UNSPECIFIED' ? type.toLowerCase() : undefined
  const mapped = isObject(properties)
    ? Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, inner(value)]))
    : undefined
  // With a list of values, the null has to be one of them.
  const isNullable = nullable === true && name !== undefined && name !== 'null'
  if (isNullable && Array.isArray(out.enum)) out.enum = [...out.enum, null]
  return {
    ...(name === undefined ? {} : { type: isNullable ? [name, 'null'] : name }),
    ...out,
    ...(mapped ? { properties: mapped } : {}),
  }
}

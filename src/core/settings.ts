/**
 * Strict reading of anything an administrator writes: defaults filled in, nothing coerced, nothing removed, unknown
 * fields refused with their place and the nearest known name.
 */
import type { Static, TObject } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { badRequest } from './errors.ts'
import { distanceOf } from './names.ts'

const compiled = new WeakMap<object, ReturnType<typeof Compile>>()

/** Throws `invalid_request` naming the first wrong place, as `settings/ttlSeconds`. */
export function parseStrict<Schema extends TObject>(schema: Schema, input: unknown, where = ''): Static<Schema> {
  let validator = compiled.get(schema)
  if (!validator) {
    validator = Compile(schema)
    compiled.set(schema, validator)
  }
  const value = Value.Default(schema, structuredClone(input ?? {}))
  if (validator.Check(value)) return value as Static<Schema>
  const errors = [...validator.Errors(value)]
  // An unknown field says more than the required one that is missing because of it.
  const error = errors.find((e) => 'additionalProperties' in e.params) ?? errors[0]
  if (!error) throw badRequest(`${where} is not valid`)
  const place = `${where}${error.instancePath}`
  const unknown = (error.params as { additionalProperties?: readonly string[] }).additionalProperties?.[0]
  if (unknown === undefined) throw badRequest(`${place || 'the body'}: ${error.message}`, place)
  const known = Object.keys(schema.properties)
  const [near] = known.map((name) => ({ name, d: distanceOf(unknown, name) })).sort((a, b) => a.d - b.d)
  const hint = near && near.d <= 4 ? ` Did you mean "${near.name}"?` : ''
  throw badRequest(`${place}/${unknown}: there is no such field.${hint}`, `${place}/${unknown}`)
}

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
  const errors = meant([...validator.Errors(value)])
  // An unknown field says more than the required one that is missing because of it.
  const error = errors.find((e) => 'additionalProperties' in e.params) ?? errors[0]
  if (!error) throw badRequest(`${where} is not valid`)
  const place = `${where}${error.instancePath}`
  const unknown = (error.params as { additionalProperties?: readonly string[] }).additionalProperties?.[0]
  if (unknown === undefined) throw badRequest(`${place || 'the body'}: ${said(error, errors, schema)}`, place)
  const known = Object.keys(schema.properties)
  const [near] = known.map((name) => ({ name, d: distanceOf(unknown, name) })).sort((a, b) => a.d - b.d)
  const hint = near && near.d <= 4 ? ` Did you mean "${near.name}"?` : ''
  throw badRequest(`${place}/${unknown}: there is no such field.${hint}`, `${place}/${unknown}`)
}

type Problem = ReturnType<ReturnType<typeof Compile>['Errors']>[number]

/** Of alternatives that are told apart by a word, only what is wrong with the one that was chosen. */
function meant(errors: readonly Problem[]): readonly Problem[] {
  const others = new Set<string>()
  for (const { keyword, schemaPath } of errors) {
    const branch = keyword === 'const' && /^(.*\/anyOf\/\d+)\/properties\/[^/]+$/.exec(schemaPath)?.[1]
    if (branch) others.add(branch)
  }
  const left = errors.filter(
    ({ keyword, schemaPath }) =>
      keyword !== 'anyOf' &&
      ![...others].some((branch) => schemaPath === branch || schemaPath.startsWith(`${branch}/`)),
  )
  return left.length > 0 ? left : errors.filter(({ keyword }) => keyword === 'const')
}

function said(error: Problem, all: readonly Problem[], schema: TObject): string {
  const params = error.params as Readonly<Record<string, unknown>>
  if (error.keyword === 'const') {
    const words = all
      .filter(({ keyword, instancePath }) => keyword === 'const' && instancePath === error.instancePath)
      .map((e) => JSON.stringify((e.params as { allowedValue: unknown }).allowedValue))
    return words.length === 1 ? `must be ${words[0]}` : `must be one of ${[...new Set(words)].join(', ')}`
  }
  if (error.keyword === 'required') {
    const names = params.requiredProperties as readonly string[]
    return `${names.map((name) => `"${name}"`).join(' and ')} must be there`
  }
  const [example] = error.keyword === 'pattern' ? examplesAt(schema, error.schemaPath) : []
  return example === undefined ? error.message : `must look like ${JSON.stringify(example)}`
}

function examplesAt(schema: object, path: string): readonly unknown[] {
  let at: unknown = schema
  for (const step of path.split('/').slice(1)) at = (at as Record<string, unknown> | undefined)?.[step]
  return (at as { examples?: readonly unknown[] } | undefined)?.examples ?? []
}

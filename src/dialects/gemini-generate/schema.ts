/**
 * JSON Schema → the part of it that Google documents for `parametersJsonSchema` and `responseJsonSchema`. By
 * allow-list: a keyword is carried because it is known to be understood, never because nobody thought of dropping it.
 * References are written out in place; keywords are told from property names by position, so that a property called
 * `$ref` or `title` stays a property. What is lost of a schema's strictness is reported by keyword.
 */
import { badRequest } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { isEmpty, isObject } from './vocabulary.ts'

export interface SchemaUse {
  /** How an error names the schema, e.g. `The parameters of tool "f"`. */
  readonly title: string
  readonly param: string
  /** Told the keyword that could not be kept as strict as it was. */
  readonly weakened: (keyword: string) => void
}

/** Written out, a schema may have this many nodes and this depth; references can blow up a short one without end. */
const MOST_NODES = 5_000
const MOST_DEPTH = 60

/** Describe, and constrain nothing: dropped in silence. */
const ANNOTATIONS = new Set(
  '$schema $id $anchor $comment $defs $vocabulary definitions default example examples deprecated readOnly writeOnly contentEncoding contentMediaType contentSchema discriminator externalDocs xml'.split(
    ' ',
  ),
)
const FORMATS = new Set('date-time date time duration float double int32 int64'.split(' '))
const TYPES = new Set('string number integer boolean array object null'.split(' '))

/** A schema, and the references that led to it. */
interface Node {
  readonly schema: JsonValue
  readonly trail: readonly string[]
}
/** One object of keywords of a node, its `$ref` and `allOf` taken out. */
interface Facet {
  readonly keywords: JsonObject
  readonly trail: readonly string[]
}

/** A tool's parameters, which must be an object; undefined where the tool takes none. */
export function parametersSchema(schema: JsonObject, use: SchemaUse): JsonObject | undefined {
  const { type, ...converted } = responseSchema(schema, use)
  const isRootObject = type === undefined || type === 'object' || (Array.isArray(type) && type.includes('object'))
  if (!isRootObject) throw badRequest(`${use.title} must be a JSON Schema of type "object".`, use.param)
  const { properties, additionalProperties } = converted
  const takesNothing = !converted.anyOf && isEmpty(isObject(properties) ? properties : {})
  if (takesNothing && (additionalProperties === undefined || additionalProperties === false)) return undefined
  return { type: 'object', ...converted }
}

export function responseSchema(schema: JsonObject, use: SchemaUse): JsonObject {
  let nodes = 0

  function refused(problem: string): never {
    throw badRequest(`${use.title} ${problem}`, use.param)
  }

  function resolve(ref: string, trail: readonly string[]): Node {
    if (trail.includes(ref) || ref === '#') {
      refused(
        `refers to itself through "${ref}". Gemini takes no recursive schema: write it out to the depth you need.`,
      )
    }
    const target = lookUp(schema, ref)
    if (target === undefined) refused(`refers to "${ref}", which is not in the schema.`)
    return { schema: target, trail: [...trail, ref] }
  }

  /** Own keywords first: where two say the same, the nearer wins. */
  function facetsOf(node: Node, depth: number, found: Facet[] = []): Facet[] {
    if (++nodes > MOST_NODES) refused(`has more than ${MOST_NODES} nodes once its references are written out.`)
    if (depth > MOST_DEPTH) refused(`is nested more than ${MOST_DEPTH} levels deep.`)
    if (node.schema === false) use.weakened('false')
    if (!isObject(node.schema)) return found
    const { $ref, $dynamicRef, $recursiveRef, allOf, ...keywords } = node.schema
    if ($dynamicRef !== undefined || $recursiveRef !== undefined) refused('uses a dynamic reference.')
    found.push({ keywords, trail: node.trail })
    if (typeof $ref === 'string') facetsOf(resolve($ref, node.trail), depth + 1, found)
    if (Array.isArray(allOf)) for (const part of allOf) facetsOf({ schema: part, trail: node.trail }, depth + 1, found)
    return found
  }

  function convert(parts: readonly Node[], depth: number): JsonObject {
    const facets = parts.flatMap((node) => facetsOf(node, depth))
    reportLost(facets, use.weakened)
    const inner = (value: JsonValue, trail: readonly string[]) => convert([{ schema: value, trail }], depth + 1)
    const out: Record<string, JsonValue> = {}
    for (const name of ['title', 'description'] as const) {
      const text = firstOf(facets, name, (v) => typeof v === 'string')
      if (text !== undefined) out[name] = text
    }

    const properties = new Map<string, Node[]>()
    const required = new Set<string>()
    const items: Node[] = []
    let tuple: { readonly schemas: readonly JsonValue[]; readonly trail: readonly string[] } | undefined
    let union: { readonly schemas: readonly JsonValue[]; readonly trail: readonly string[] } | undefined
    for (const { keywords: k, trail } of facets) {
      if (isObject(k.properties)) {
        for (const [name, value] of Object.entries(k.properties)) {
          properties.set(name, [...(properties.get(name) ?? []), { schema: value as JsonValue, trail }])
        }
      }
      if (Array.isArray(k.required)) for (const name of k.required) if (typeof name === 'string') required.add(name)
      // Before 2020-12 a tuple was spelled as a list of items.
      const list = Array.isArray(k.prefixItems) ? k.prefixItems : Array.isArray(k.items) ? k.items : undefined
      if (list && tuple) use.weakened('prefixItems')
      else if (list) tuple = { schemas: list, trail }
      if (isObject(k.items)) items.push({ schema: k.items, trail })
      // Google reads oneOf as anyOf, so nothing is lost that it would have kept.
      for (const branches of [k.anyOf, k.oneOf]) {
        if (!Array.isArray(branches) || branches.length === 0) continue
        if (union) use.weakened('anyOf')
        else union = { schemas: branches, trail }
      }
    }

    const { types, values } = typesOf(facets, use.weakened)
    let implied: string | undefined
    if (properties.size > 0) {
      implied = 'object'
      out.properties = Object.fromEntries([...properties].map(([name, nodes]) => [name, convert(nodes, depth + 1)]))
    }
    const known = [...required].filter((name) => properties.has(name))
    if (known.length < required.size) use.weakened('required')
    if (known.length > 0) out.required = known
    const ordering = firstOf(facets, 'propertyOrdering', Array.isArray)
    if (ordering !== undefined) out.propertyOrdering = ordering
    const additional = facets.find(
      ({ keywords: k }) => isObject(k.additionalProperties) || typeof k.additionalProperties === 'boolean',
    )
    if (additional) {
      const value = additional.keywords.additionalProperties as JsonValue
      out.additionalProperties = typeof value === 'boolean' ? value : inner(value, additional.trail)
    }
    if (tuple) {
      const { schemas, trail } = tuple
      out.prefixItems = schemas.map((value) => inner(value, trail))
      implied = 'array'
    }
    if (items.length > 0) {
      out.items = convert(items, depth + 1)
      implied ??= 'array'
    }
    Object.assign(out, boundsOf(facets, types, use.weakened))
    const format = firstOf(facets, 'format', (v) => typeof v === 'string')
    if (typeof format === 'string') {
      if (FORMATS.has(format)) out.format = format
      else use.weakened('format')
    }

    let branches = union?.schemas.map((value) => inner(value, union?.trail ?? []))
    const isNullable = types.has('null') || facets.some(({ keywords: k }) => k.nullable === true)
    const plain = [...types].filter((type) => type !== 'null')
    if (plain.length === 0 && implied !== undefined && !types.has('null')) plain.push(implied)

    if (branches) {
      if (isNullable && !branches.some((branch) => branch.type === 'null')) branches = [...branches, { type: 'null' }]
      // A union of one is that one, with what stood beside the union.
      if (branches.length === 1) return { ...branches[0], ...out }
      if (plain.length === 1) out.type = plain[0] as string
      return { ...out, anyOf: branches }
    }
    if (values) return enumOf(values, plain, isNullable, out)
    if (plain.length > 1) {
      const { title, description, ...rest } = out
      const alternatives: JsonObject[] = plain.map((type) => ({ type, ...keywordsFor(type, rest) }))
      return {
        ...(title === undefined ? {} : { title }),
        ...(description === undefined ? {} : { description }),
        anyOf: isNullable ? [...alternatives, { type: 'null' }] : alternatives,
      }
    }
    const [type] = plain
    if (type !== undefined) return { type: isNullable ? [type, 'null'] : type, ...out }
    return types.has('null') ? { type: 'null', ...out } : out
  }

  return convert([{ schema, trail: [] }], 0)
}

/** A JSON pointer or an anchor inside the schema; only own properties are followed. */
function lookUp(root: JsonObject, ref: string): JsonValue | undefined {
  const base = typeof root.$id === 'string' && ref.startsWith(`${root.$id}#`) ? root.$id.length : 0
  const pointer = ref.slice(base)
  if (!pointer.startsWith('#')) return undefined
  if (!pointer.startsWith('#/')) {
    const anchor = pointer.slice(1)
    for (const pool of [root.$defs, root.definitions]) {
      if (!isObject(pool)) continue
      const found = Object.values(pool).find((value) => isObject(value) && value.$anchor === anchor)
      if (found !== undefined) return found
    }
    return undefined
  }
  let at: JsonValue | undefined = root
  for (const step of pointer.slice(2).split('/')) {
    const name = percentDecoded(step).replaceAll('~1', '/').replaceAll('~0', '~')
    if (Array.isArray(at)) at = at[Number(name)]
    else if (isObject(at) && Object.hasOwn(at, name)) at = at[name]
    else return undefined
  }
  return at
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const CARRIED = new Set(
  'type format title description enum const items prefixItems minItems maxItems minimum maximum exclusiveMinimum exclusiveMaximum anyOf oneOf properties additionalProperties required propertyOrdering nullable'.split(
    ' ',
  ),
)

function reportLost(facets: readonly Facet[], weakened: (keyword: string) => void): void {
  for (const { keywords } of facets) {
    for (const [name, value] of Object.entries(keywords)) {
      if (!CARRIED.has(name) && !ANNOTATIONS.has(name) && !name.startsWith('x-')) weakened(name)
      // A tuple that is closed stays open, for `items` can only be a schema here.
      else if (name === 'items' && value === false) weakened('items')
    }
  }
}

function firstOf(facets: readonly Facet[], name: string, fits: (value: JsonValue) => boolean): JsonValue | undefined {
  for (const { keywords } of facets) {
    const value = keywords[name]
    if (value !== undefined && fits(value)) return value
  }
  return undefined
}

const typeNames = (value: JsonValue | undefined): readonly string[] =>
  (Array.isArray(value) ? value : [value]).flatMap((t) => (typeof t === 'string' ? [t.toLowerCase()] : []))

/** The types that all facets allow, and the values, where they are listed: `const` is an `enum` of one. */
function typesOf(facets: readonly Facet[], weakened: (keyword: string) => void) {
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
  types ??= new Set()
  if (!values) return { types }
  // Only strings and numbers may be listed; null and booleans become types.
  const kept = values.filter((value) => typeof value === 'string' || typeof value === 'number')
  if (values.includes(null)) types.add('null')
  const booleans = values.filter((value) => typeof value === 'boolean')
  if (booleans.length > 0) types.add('boolean')
  if (booleans.length === 1 || kept.length + booleans.length + Number(values.includes(null)) < values.length) {
    weakened('enum')
  }
  return kept.length > 0 ? { types, values: kept } : { types }
}

/** An integer is a number. */
function common(types: ReadonlySet<string>, names: readonly string[]): Set<string> {
  const both = new Set(names.filter((name) => types.has(name)))
  if (types.has('number') && names.includes('integer')) both.add('integer')
  if (types.has('integer') && names.includes('number')) both.add('integer')
  return both
}

function boundsOf(
  facets: readonly Facet[],
  types: ReadonlySet<string>,
  weakened: (keyword: string) => void,
): JsonObject {
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

function keywordsFor(type: string, keywords: JsonObject): JsonObject {
  const only = ONLY[type]
  return only ? Object.fromEntries(Object.entries(keywords).filter(([name]) => only.has(name))) : {}
}

/** A list of values has one type; mixed lists become a union. */
function enumOf(
  values: readonly JsonValue[],
  types: readonly string[],
  isNullable: boolean,
  out: JsonObject,
): JsonObject {
  const strings = values.filter((value) => typeof value === 'string')
  const numbers = values.filter((value) => typeof value === 'number')
  const branches: JsonObject[] = []
  if (strings.length > 0) branches.push({ type: 'string', enum: strings })
  if (numbers.length > 0) {
    const type = numbers.every(Number.isInteger) && !types.includes('number') ? 'integer' : 'number'
    branches.push({ type, enum: numbers })
  }
  if (types.includes('boolean')) branches.push({ type: 'boolean' })
  if (isNullable) branches.push({ type: 'null' })
  return branches.length === 1 ? { ...branches[0], ...out } : { ...out, anyOf: branches }
}

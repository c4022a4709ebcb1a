/**
 * JSON Schema → the part of it that Google documents for `parametersJsonSchema` and `responseJsonSchema`. By
 * allow-list: a keyword is carried because it is known to be understood, never because nobody thought of dropping it.
 * References are written out in place; keywords are told from property names by position, so that a property called
 * `$ref` or `title` stays a property. What is lost of a schema's strictness is reported by keyword.
 */
import { badRequest } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import {
  boundsOf,
  enumOf,
  type Facet,
  firstOf,
  keywordsFor,
  NUMBER_FORMATS,
  reportLost,
  STRING_FORMATS,
  typeKeyword,
  typeNames,
  typesOf,
  type Weakened,
} from './schema-keywords.ts'
import { isEmpty, isObject } from './vocabulary.ts'

export interface SchemaUse {
  /** How an error names the schema, e.g. `The parameters of tool "f"`. */
  readonly title: string
  readonly param: string
  readonly weakened: Weakened
}

/** Written out, a schema may have this many nodes and this depth; references can blow up a short one without end. */
const MOST_NODES = 20_000
const MOST_DEPTH = 60

/** A schema, and the references that led to it. */
interface Node {
  readonly schema: JsonValue
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
    // A choice of one is no choice.
    for (const parts of [
      allOf,
      ...[keywords.anyOf, keywords.oneOf].filter((union) => Array.isArray(union) && union.length === 1),
    ]) {
      if (!Array.isArray(parts)) continue
      for (const part of parts) facetsOf({ schema: part, trail: node.trail }, depth + 1, found)
    }
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
        if (!Array.isArray(branches) || branches.length < 2) continue
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
    if (Array.isArray(ordering)) {
      out.propertyOrdering = ordering.filter((name) => typeof name === 'string' && properties.has(name))
    }
    const [additional, ...others] = facets.filter(({ keywords: k }) => isClosing(k.additionalProperties))
    if (additional) {
      const value = additional.keywords.additionalProperties as JsonValue
      out.additionalProperties = value === false ? false : inner(value, additional.trail)
      // "Additional" means: to the properties beside it, which are now among others.
      const isAlone = others.length === 0 && facets.every((facet) => facet === additional || !facet.keywords.properties)
      if (!isAlone) use.weakened('additionalProperties')
    } else if (facets.some(({ keywords: k }) => k.additionalProperties === true)) out.additionalProperties = true
    if (tuple) {
      const { schemas, trail } = tuple
      out.prefixItems = schemas.map((value) => inner(value, trail))
      implied = 'array'
    }
    if (items.length > 0) {
      out.items = convert(items, depth + 1)
      implied ??= 'array'
      // Beside a tuple, items are those after it; from elsewhere they were all of them.
      if (tuple && facets.length > 1) use.weakened('items')
    }
    Object.assign(out, boundsOf(facets, types, use.weakened))
    const format = firstOf(facets, 'format', (v) => typeof v === 'string')
    if (typeof format === 'string') {
      if (STRING_FORMATS.has(format) || NUMBER_FORMATS.has(format)) out.format = format
      else use.weakened('format')
    }

    const isNullable = facets.some(({ keywords: k }) => k.nullable === true)
    if (types.size === 0 && !values && implied !== undefined) types.add(implied)
    if (union) {
      const { schemas, trail } = union
      const branches = schemas.map((value) => inner(value, trail))
      if (isNullable && !branches.some(({ type }) => typeNames(type).includes('null'))) branches.push({ type: 'null' })
      if (values) use.weakened('enum')
      return { ...typeKeyword(types, isNullable, () => use.weakened('type')), ...out, anyOf: branches }
    }
    if (values) return enumOf(values, isNullable, out)
    const plain = [...types].filter((type) => type !== 'null')
    if (plain.length < 2) return { ...typeKeyword(types, isNullable, () => {}), ...out }
    const { title, description, ...rest } = out
    const branches: JsonObject[] = plain.map((type) => ({ type, ...keywordsFor(type, rest) }))
    if (isNullable || types.has('null')) branches.push({ type: 'null' })
    return {
      ...(title === undefined ? {} : { title }),
      ...(description === undefined ? {} : { description }),
      anyOf: branches,
    }
  }

  return convert([{ schema, trail: [] }], 0)
}

const isClosing = (additional: JsonValue | undefined): boolean => additional === false || isObject(additional)

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

/**
 * What a client may say about where its request goes, in the forms its users know: OpenRouter's `models`, `provider` and
 * `fallbacks`, `X-No-Fallback`, required tags. A wish only narrows what the route allows or changes its order; one that
 * widens (other models to fall back to) needs a caller who may ask for those models anyway.
 */
import { badRequest } from '../errors.ts'
import type { Exchange, Target } from '../exchange.ts'
import { parseDollars } from '../money.ts'
import type { JsonObject, JsonValue } from '../request.ts'
import type { PriceCap } from '../usage.ts'

export interface Wishes {
  /** Other public names, in the order in which they are to be tried. */
  readonly models: readonly string[]
  readonly order: readonly string[]
  readonly only: readonly string[]
  readonly ignore: readonly string[]
  readonly sort?: 'price' | 'throughput' | 'latency'
  readonly maxPrice?: PriceCap
  readonly requireParameters: boolean
  /** Tags that a target must have, all of them. */
  readonly tags: readonly string[]
  /** Groups of tags of which a target must have one each. */
  readonly anyTags: readonly (readonly string[])[]
  readonly noFallback: boolean
  /** The body's fields that were meant for the gateway and go no further. */
  readonly fields: readonly string[]
}

const FIELDS = ['models', 'provider', 'fallbacks', 'disable_fallbacks'] as const

/** Undefined for nearly every request, after a few look-ups. Throws `invalid_request` for a wish that makes no sense. */
export function wishesOf(x: Exchange): Wishes | undefined {
  const { json, headers } = x
  const noFallback = headers['x-no-fallback']
  const tags = headers['x-stockyard-require-tags']
  if (
    json.models === undefined &&
    json.provider === undefined &&
    json.fallbacks === undefined &&
    json.disable_fallbacks === undefined &&
    noFallback === undefined &&
    tags === undefined
  )
    return undefined
  const provider = objectAt(json.provider, 'provider')
  const allow = booleanAt(provider.allow_fallbacks, 'provider.allow_fallbacks')
  const collection = provider.data_collection
  if (collection !== undefined && collection !== 'allow' && collection !== 'deny') {
    throw badRequest('"provider.data_collection" must be "allow" or "deny".', 'provider')
  }
  const anyTags: (readonly string[])[] = []
  if (collection === 'deny') anyTags.push(['no-training', 'zdr'])
  if (booleanAt(provider.zdr, 'provider.zdr') === true) anyTags.push(['zdr'])
  const sort = sortOf(provider.sort)
  const maxPrice = capOf(provider.max_price)
  return {
    models: [...textsAt(json.models, 'models'), ...textsAt(json.fallbacks, 'fallbacks')],
    order: textsAt(provider.order, 'provider.order'),
    only: textsAt(provider.only, 'provider.only'),
    ignore: textsAt(provider.ignore, 'provider.ignore'),
    ...(sort ? { sort } : {}),
    ...(maxPrice ? { maxPrice } : {}),
    requireParameters: booleanAt(provider.require_parameters, 'provider.require_parameters') ?? false,
    tags: (tags ?? '').split(',').flatMap((tag) => tag.trim() || []),
    anyTags,
    noFallback:
      (noFallback !== undefined && noFallback.toLowerCase() !== 'false') ||
      booleanAt(json.disable_fallbacks, 'disable_fallbacks') === true ||
      allow === false,
    fields: FIELDS.filter((name) => json[name] !== undefined),
  }
}

/** By an upstream's id, or by the vendor's. */
export const isNamed = ({ upstream }: Target, names: readonly string[]): boolean =>
  names.includes(upstream.id) || names.includes(upstream.provider.id)

function textsAt(value: JsonValue | undefined, name: string): readonly string[] {
  if (value === undefined || value === null) return []
  const texts = Array.isArray(value) ? value : undefined
  if (!texts?.every((text): text is string => typeof text === 'string')) {
    throw badRequest(`"${name}" must be an array of strings.`, name)
  }
  if (texts.length > 20) throw badRequest(`"${name}" may have at most 20 entries.`, name)
  return texts
}

function booleanAt(value: JsonValue | undefined, name: string): boolean | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'boolean') throw badRequest(`"${name}" must be true or false.`, name)
  return value
}

function objectAt(value: JsonValue | undefined, name: string): JsonObject {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw badRequest(`"${name}" must be an object.`, name)
  return value as JsonObject
}

function sortOf(value: JsonValue | undefined): Wishes['sort'] {
  const by = typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject).by : value
  if (by === undefined || by === null) return undefined
  if (by === 'price' || by === 'throughput' || by === 'latency') return by
  throw badRequest('"provider.sort" must be "price", "throughput" or "latency".', 'provider')
}

/** Dollars per million tokens, as numbers or decimal strings. */
function capOf(value: JsonValue | undefined): PriceCap | undefined {
  if (value === undefined || value === null) return undefined
  const { prompt, completion } = objectAt(value, 'provider.max_price')
  const dollars = (v: JsonValue | undefined): bigint | undefined => {
    if (v === undefined || v === null) return undefined
    const text = typeof v === 'number' && v >= 0 && v < 1e9 ? v.toFixed(9) : v
    if (typeof text !== 'string' || !/^\d{1,9}(\.\d{1,9})?$/.test(text)) {
      throw badRequest('"provider.max_price" takes dollars per million tokens.', 'provider')
    }
    return parseDollars(text)
  }
  const [input, output] = [dollars(prompt), dollars(completion)]
  return { ...(input === undefined ? {} : { input }), ...(output === undefined ? {} : { output }) }
}

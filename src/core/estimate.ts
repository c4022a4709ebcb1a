/**
 * What an exchange may use and cost, before anybody knows: what limits and budgets hold for it, and what its attempts are
 * booked at until they close.
 */
import type { Exchange, Target } from './exchange.ts'
import { type NanoUsd, ZERO } from './money.ts'
import type { JsonObject } from './request.ts'
import { costOf, type Price } from './usage.ts'

/** Where neither the client nor the catalog says how long an answer may get. */
const USUAL_OUTPUT = 4_096
/** A larger limit is a mistake or a trick; no model answers at such length. */
const MOST_OUTPUT = 1_000_000
const MOST_CHOICES = 128

/** How many answers it asks for. */
export function choicesOf(json: JsonObject): number {
  const { generationConfig, n, best_of } = json
  const nested = generationConfig as { readonly candidateCount?: unknown } | null | undefined
  let most = 1
  for (const count of [n, best_of, nested?.candidateCount]) {
    if (typeof count === 'number' && count > most) most = Math.min(Math.floor(count), MOST_CHOICES)
  }
  return most
}

/** The most output tokens that a target may make of the request, over all choices. */
export function outputLimit(x: Exchange, target: Target): number {
  if (x.operation === 'embeddings' || x.operation === 'rerank' || x.relay?.deed.free) return 0
  const asked = overriddenLimit(target.overrides) ?? x.outputLimit
  const limit = asked !== undefined && asked > 0 ? Math.floor(asked) : x.prices.outputLimitOf(target.model)
  return Math.min(limit ?? USUAL_OUTPUT, MOST_OUTPUT) * choicesOf(x.json)
}

/** A target's own parameters stand above the client's. */
function overriddenLimit(overrides: JsonObject | undefined): number | undefined {
  if (!overrides) return undefined
  for (const name of OUTPUT_LIMITS) {
    const limit = overrides[name]
    if (typeof limit === 'number') return limit
  }
  const nested = overrides.generationConfig as { readonly maxOutputTokens?: unknown } | undefined
  return typeof nested?.maxOutputTokens === 'number' ? nested.maxOutputTokens : undefined
}

/** The names under which dialects know an output limit. */
const OUTPUT_LIMITS = ['max_completion_tokens', 'max_output_tokens', 'max_tokens'] as const

/** What `output` tokens and the estimated input cost at most, in whatever buckets they come; undefined: no price. */
export function costAtMost(x: Exchange, target: Target, at: number, output: number): NanoUsd | undefined {
  if (x.relay?.deed.free) return ZERO
  const price = x.prices.of(target, at, x.principal)
  return price && dearestCost(x.inputEstimate, output, price)
}

/** What so many tokens cost at most, in whatever buckets they come. */
export function dearestCost(input: number, output: number, price: Price): NanoUsd {
  // A tier is chosen by the input, so each bucket is asked with all of it.
  const dearest = (one: NanoUsd, other: NanoUsd): NanoUsd => (one > other ? one : other)
  const plain = costOf({ source: 'estimated', input, output }, price)
  const thought =
    price.rates.reasoning === undefined ? plain : costOf({ source: 'estimated', input, reasoning: output }, price)
  const written =
    price.rates.cacheWrite5m === undefined && price.rates.cacheWrite1h === undefined
      ? plain
      : costOf({ source: 'estimated', cacheWrite1h: input, output }, price)
  return dearest(plain, dearest(thought, written))
}

export const worstCase = (x: Exchange, target: Target, at: number): NanoUsd | undefined =>
  costAtMost(x, target, at, outputLimit(x, target))

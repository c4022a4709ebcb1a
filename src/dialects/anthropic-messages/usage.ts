/**
 * Anthropic's usage object ↔ disjoint buckets. Its `input_tokens` excludes what the cache read or wrote, its
 * `output_tokens` includes thinking; in a stream the figures are running totals, and later ones replace earlier ones.
 */
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { type Bucket, serviceTierOf, tokenCount, type Usage } from '../../core/usage.ts'
import { isEmpty, isObject, listOf, objectOf } from './vocabulary.ts'

/** A later report over an earlier one. Some servers send 0 or null in the later one for what they do not repeat. */
export function mergedUsage(earlier: JsonObject | undefined, later: JsonValue | undefined): JsonObject | undefined {
  if (!isObject(later)) return earlier
  if (!earlier) return later
  const said = Object.entries(later).filter(
    ([name, value]) => value !== null && !(value === 0 && name !== 'output_tokens' && tokenCount(earlier[name]) > 0),
  )
  return { ...earlier, ...Object.fromEntries(said) }
}

const COUNTS = ['input_tokens', 'output_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens'] as const
const isCount = (value: JsonValue | undefined): boolean => typeof value === 'number' && value >= 0

/** Undefined where nothing was reported that could be a count: then it is estimated, and not nothing. */
export function usageOf(raw: JsonObject | undefined): Usage | undefined {
  if (!raw || !COUNTS.some((name) => isCount(raw[name]))) return undefined
  const buckets: Partial<Record<Bucket, number>> = {}
  addBuckets(buckets, raw)
  // What ran beside the answer itself is billed and stands in no total: compactions, and the advice of another model.
  for (const iteration of listOf(raw.iterations)) {
    if (!isObject(iteration)) continue
    if (iteration.type === 'compaction' || iteration.type === 'advisor_message') addBuckets(buckets, iteration)
  }
  const calls: Record<string, number> = {}
  for (const [name, count] of Object.entries(objectOf(raw.server_tool_use))) {
    const tool = /^(\w+)_requests$/.exec(name)?.[1]
    if (tool !== undefined && tokenCount(count) > 0) calls[tool] = tokenCount(count)
  }
  return { source: 'provider', ...buckets, ...(isEmpty(calls) ? {} : { calls }), ...serviceTierOf(raw.service_tier) }
}

function addBuckets(buckets: Partial<Record<Bucket, number>>, raw: JsonObject): void {
  const add = (bucket: Bucket, tokens: number): void => {
    if (tokens > 0) buckets[bucket] = tokenCount((buckets[bucket] ?? 0) + tokens)
  }
  const { cacheWrite5m, cacheWrite1h } = cacheWrites(raw)
  const output = tokenCount(raw.output_tokens)
  const thinking = Math.min(output, tokenCount(objectOf(raw.output_tokens_details).thinking_tokens))
  add('input', tokenCount(raw.input_tokens))
  add('cacheRead', tokenCount(raw.cache_read_input_tokens))
  add('cacheWrite5m', cacheWrite5m)
  add('cacheWrite1h', cacheWrite1h)
  add('output', output - thinking)
  add('reasoning', thinking)
}

/**
 * A stream's last report has the total alone, after a first one with its parts: what the parts do not explain was
 * written at the lifetime that the parts had.
 */
function cacheWrites(raw: JsonObject): { cacheWrite5m: number; cacheWrite1h: number } {
  const parts = objectOf(raw.cache_creation)
  const short = tokenCount(parts.ephemeral_5m_input_tokens)
  const long = tokenCount(parts.ephemeral_1h_input_tokens)
  const total = Math.max(tokenCount(raw.cache_creation_input_tokens), short + long)
  return short === 0 && long > 0
    ? { cacheWrite5m: 0, cacheWrite1h: total }
    : { cacheWrite5m: total - long, cacheWrite1h: long }
}

/** Buckets → the object a client of this API knows. */
export function writeUsage(usage: Usage): JsonObject {
  const { cacheWrite5m = 0, cacheWrite1h = 0, reasoning = 0 } = usage
  return {
    input_tokens: (usage.input ?? 0) + (usage.imageInput ?? 0) + (usage.audioInput ?? 0),
    cache_creation_input_tokens: cacheWrite5m + cacheWrite1h,
    cache_read_input_tokens: usage.cacheRead ?? 0,
    cache_creation: { ephemeral_5m_input_tokens: cacheWrite5m, ephemeral_1h_input_tokens: cacheWrite1h },
    output_tokens: (usage.output ?? 0) + reasoning + (usage.imageOutput ?? 0) + (usage.audioOutput ?? 0),
    ...(reasoning > 0 ? { output_tokens_details: { thinking_tokens: reasoning } } : {}),
    ...(usage.calls
      ? {
          server_tool_use: Object.fromEntries(
            Object.entries(usage.calls).map(([name, count]) => [`${name}_requests`, count]),
          ),
        }
      : {}),
  }
}

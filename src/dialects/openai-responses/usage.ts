/**
 * Usage of a response ⇄ the disjoint buckets. Calls of OpenAI's own tools are billed apart and stand in no count: they are
 * read off the output (A25).
 */
import type { JsonObject } from '../../core/request.ts'
import { inputTokens, outputTokens, serviceTierOf, type Usage } from '../../core/usage.ts'
import { usageOf as countsOf, isEmpty, listOf, objectOf } from '../openai-chat/index.ts'

/** Undefined where nothing was counted. */
export function usageOf(response: JsonObject): Usage | undefined {
  const counts = countsOf(response.usage)
  if (!counts) return undefined
  const calls: Record<string, number> = {}
  for (const item of listOf(response.output)) {
    const name = /^(web_search|file_search)_call$/.exec(String(objectOf(item).type))?.[1]
    if (name === undefined || !isBilled(objectOf(item))) continue
    calls[name] = (calls[name] ?? 0) + 1
  }
  return { ...counts, ...(isEmpty(calls) ? {} : { calls }), ...serviceTierOf(response.service_tier) }
}

/** Opening a page that a search found, and looking for words in it, is no search. */
function isBilled({ action }: JsonObject): boolean {
  const { type } = objectOf(action)
  return type !== 'open_page' && type !== 'find' && type !== 'find_in_page'
}

/** Details are there even where they are zero: clients demand them (A59). */
export function writeUsage(usage: Usage): JsonObject {
  const input = inputTokens(usage)
  const output = outputTokens(usage)
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: usage.cacheRead ?? 0,
      cache_write_tokens: (usage.cacheWrite5m ?? 0) + (usage.cacheWrite1h ?? 0),
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: usage.reasoning ?? 0 },
    total_tokens: input + output,
  }
}

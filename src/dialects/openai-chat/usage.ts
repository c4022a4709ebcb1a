/**
 * OpenAI's usage ⇄ the disjoint buckets. OpenAI's own counts include their details (cached, audio, reasoning); some
 * imitators count reasoning beside the completion, and many report cached tokens under names of their own.
 */
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { inputTokens, outputTokens, serviceTierOf, tokenCount, type Usage } from '../../core/usage.ts'
import { isObject, listOf, objectOf } from './vocabulary.ts'

const isCount = (value: JsonValue | undefined): boolean => typeof value === 'number'

/** Where a body or a chunk carries its usage: at the top, under the vendor's name (Groq), or in a choice (Moonshot). */
export function usageIn(reply: JsonObject): JsonObject | undefined {
  for (const found of [reply.usage, objectOf(reply.x_groq).usage, objectOf(listOf(reply.choices)[0]).usage]) {
    if (isObject(found) && usageOf(found)) return found
  }
  return undefined
}

/** With the tier that served it, which stands beside the counts: it is priced by (A24). */
export function usageWithTier(reply: JsonObject): Usage | undefined {
  const usage = usageOf(usageIn(reply))
  return usage && { ...usage, ...serviceTierOf(reply.service_tier) }
}

/** Undefined where nothing was counted. */
export function usageOf(usage: JsonValue | undefined): Usage | undefined {
  if (!isObject(usage)) return undefined
  const u = usage
  const promptCount = u.prompt_tokens ?? u.input_tokens
  const completionCount = u.completion_tokens ?? u.output_tokens
  if (!isCount(promptCount) && !isCount(completionCount) && !isCount(u.total_tokens)) return undefined
  const inputDetails = objectOf(u.prompt_tokens_details ?? u.input_tokens_details)
  const outputDetails = objectOf(u.completion_tokens_details ?? u.output_tokens_details)
  const prompt = tokenCount(promptCount)
  const total = tokenCount(u.total_tokens)
  const completion = isCount(completionCount) ? tokenCount(completionCount) : Math.max(0, total - prompt)
  const thought = tokenCount(outputDetails.reasoning_tokens) || tokenCount(u.reasoning_tokens)
  // Counted beside the completion: the total says so, or there is more of it than could be inside.
  const isBeside = thought > 0 && (total === prompt + completion + thought || thought > completion)

  const takeInput = takerOf(prompt)
  const cacheRead = takeInput(
    tokenCount(inputDetails.cached_tokens) || tokenCount(u.cached_tokens) || tokenCount(u.prompt_cache_hit_tokens),
  )
  const written =
    tokenCount(inputDetails.cache_write_tokens) ||
    tokenCount(inputDetails.cache_creation_tokens) ||
    tokenCount(u.cache_creation_input_tokens)
  const hourly = objectOf(inputDetails.cache_creation_token_details).ephemeral_1h_input_tokens
  const cacheWrite1h = takeInput(Math.min(tokenCount(hourly), written))
  const cacheWrite5m = takeInput(Math.max(0, written - cacheWrite1h))
  const audioInput = takeInput(tokenCount(inputDetails.audio_tokens))
  const imageInput = takeInput(tokenCount(inputDetails.image_tokens))

  const takeOutput = takerOf(completion)
  const reasoning = isBeside ? thought : takeOutput(thought)
  const audioOutput = takeOutput(tokenCount(outputDetails.audio_tokens))
  const imageOutput = takeOutput(tokenCount(outputDetails.image_tokens))
  return {
    source: 'provider',
    input: takeInput(prompt),
    output: takeOutput(completion),
    ...given({ cacheRead, cacheWrite5m, cacheWrite1h, reasoning, imageInput, imageOutput, audioInput, audioOutput }),
  }
}

/** Takes from what is left, so that the sum stays the provider's own, whatever its details say. */
function takerOf(whole: number): (wanted: number) => number {
  let left = whole
  return (wanted) => {
    const taken = Math.min(wanted, left)
    left -= taken
    return taken
  }
}

function given<T extends Record<string, number>>(counts: T): Partial<T> {
  const found: Partial<T> = {}
  for (const name in counts) if ((counts[name] as number) > 0) found[name] = counts[name]
  return found
}

/** Whole sums with their details, as OpenAI reports them: the prompt includes what the cache gave and took. */
export function writeUsage(usage: Usage): JsonObject {
  const prompt = inputTokens(usage)
  const completion = outputTokens(usage)
  const { cacheWrite5m = 0, cacheWrite1h = 0 } = usage
  const written = cacheWrite5m + cacheWrite1h
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: {
      cached_tokens: usage.cacheRead ?? 0,
      audio_tokens: usage.audioInput ?? 0,
      ...given({ cache_write_tokens: written, image_tokens: usage.imageInput ?? 0 }),
      // The longer-lived of the two costs more; this is how LiteLLM's clients know them apart.
      ...(cacheWrite1h > 0
        ? {
            cache_creation_token_details: {
              ephemeral_5m_input_tokens: cacheWrite5m,
              ephemeral_1h_input_tokens: cacheWrite1h,
            },
          }
        : {}),
    },
    completion_tokens_details: {
      reasoning_tokens: usage.reasoning ?? 0,
      audio_tokens: usage.audioOutput ?? 0,
      ...given({ image_tokens: usage.imageOutput ?? 0 }),
    },
  }
}

/** The edit that makes a streamed request report its usage; none where it does already. */
export function askForUsage(body: JsonObject): Readonly<Record<string, JsonValue>> {
  const options = objectOf(body.stream_options)
  if (body.stream !== true || options.include_usage === true) return {}
  return { stream_options: { ...options, include_usage: true } }
}

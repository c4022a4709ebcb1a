/**
 * The usage in a JSON answer whose format nobody named. The vendors' ways of counting are told apart by their fields:
 * Google's and Anthropic's have names of their own, nearly everyone else counts as OpenAI does.
 */
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { tokenCount, type Usage } from '../../core/usage.ts'
import { usageOf as anthropicUsageOf } from '../anthropic-messages/index.ts'
import { usageOf as geminiUsageOf } from '../gemini-generate/index.ts'
import { isObject, objectOf, usageOf as openaiUsageOf } from '../openai-chat/index.ts'

export function usageIn(body: JsonObject): Usage | undefined {
  if (isObject(body.usageMetadata)) return geminiUsageOf(body.usageMetadata)
  const inside = [body, objectOf(body.message), objectOf(body.response)].find((object) => isObject(object.usage))
  const usage = objectOf(inside?.usage)
  if ('cache_read_input_tokens' in usage || 'cache_creation_input_tokens' in usage) return anthropicUsageOf(usage)
  return openaiUsageOf(usage) ?? secondsOf(usage) ?? countedBeside(body)
}

/** Sound is billed by its length at some: `{type: "duration", seconds}`. */
function secondsOf({ seconds }: JsonObject): Usage | undefined {
  const whole = tokenCount(typeof seconds === 'number' ? Math.ceil(seconds) : undefined)
  return whole > 0 ? { source: 'provider', calls: { 'audio-second': whole } } : undefined
}

/** Ollama's own API, and Cohere's. */
function countedBeside(body: JsonObject): Usage | undefined {
  const { meta } = body
  const { input_tokens, output_tokens } = objectOf(objectOf(meta).billed_units)
  const isCounted = (value: JsonValue | undefined): boolean => typeof value === 'number'
  const [input, output] = [body.prompt_eval_count ?? input_tokens, body.eval_count ?? output_tokens]
  if (!isCounted(input) && !isCounted(output)) return undefined
  return { source: 'provider', input: tokenCount(input), output: tokenCount(output) }
}

/**
 * `usageMetadata` ⇄ the disjoint buckets. The prompt's count includes what came from the cache; thoughts are counted
 * beside the candidates by the Gemini API and (some versions) inside them by Vertex, which the total tells apart.
 */
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { tokenCount, type Usage } from '../../core/usage.ts'
import { isObject, listOf, numberOf } from './vocabulary.ts'

export const COUNTED = new Set(
  'promptTokenCount cachedContentTokenCount candidatesTokenCount thoughtsTokenCount toolUsePromptTokenCount totalTokenCount promptTokensDetails cacheTokensDetails candidatesTokensDetails toolUsePromptTokensDetails'.split(
    ' ',
  ),
)

const count = (value: JsonValue | undefined): number => tokenCount(numberOf(value))

function modality(details: JsonValue | undefined, name: string): number {
  let sum = 0
  for (const item of listOf(details)) if (isObject(item) && item.modality === name) sum += count(item.tokenCount)
  return tokenCount(sum)
}

/** Undefined where nothing was counted yet: the first chunks of a stream may carry the traffic type alone. */
export function usageOf(metadata: JsonValue | undefined): Usage | undefined {
  if (!isObject(metadata)) return undefined
  const m = metadata
  const isCounted = ['promptTokenCount', 'candidatesTokenCount', 'thoughtsTokenCount', 'totalTokenCount'].some(
    (name) => m[name] !== undefined,
  )
  if (!isCounted) return undefined
  const prompt = tokenCount(count(m.promptTokenCount) + count(m.toolUsePromptTokenCount))
  const total = count(m.totalTokenCount)
  const reasoning = count(m.thoughtsTokenCount)
  let output = count(m.candidatesTokenCount)
  if (m.candidatesTokenCount === undefined) output = Math.max(0, total - prompt - reasoning)
  else if (
    reasoning > 0 &&
    output >= reasoning &&
    (total === prompt + output || total === count(m.promptTokenCount) + output)
  ) {
    output -= reasoning
  }

  // Each bucket takes from what is left, so that the sum is the provider's whatever the details say.
  let left = prompt
  const take = (wanted: number): number => {
    const taken = Math.min(Math.max(0, wanted), left)
    left -= taken
    return taken
  }
  const cacheRead = take(count(m.cachedContentTokenCount))
  const imageInput = take(modality(m.promptTokensDetails, 'IMAGE') - modality(m.cacheTokensDetails, 'IMAGE'))
  const audioInput = take(modality(m.promptTokensDetails, 'AUDIO') - modality(m.cacheTokensDetails, 'AUDIO'))
  const input = left
  left = output
  const imageOutput = take(modality(m.candidatesTokensDetails, 'IMAGE'))
  const audioOutput = take(modality(m.candidatesTokensDetails, 'AUDIO'))
  return {
    source: 'provider',
    input,
    output: left,
    ...(cacheRead ? { cacheRead } : {}),
    ...(reasoning ? { reasoning } : {}),
    ...(imageInput ? { imageInput } : {}),
    ...(audioInput ? { audioInput } : {}),
    ...(imageOutput ? { imageOutput } : {}),
    ...(audioOutput ? { audioOutput } : {}),
  }
}

/** The searches that a chunk says were made, added to those of the chunks before. Empty ones are not billed. */
export function noteSearches(chunk: JsonObject, searches: Set<string>): void {
  for (const candidate of listOf(chunk.candidates)) {
    const grounding = isObject(candidate) ? candidate.groundingMetadata : undefined
    for (const query of listOf(isObject(grounding) ? grounding.webSearchQueries : undefined)) {
      if (typeof query === 'string' && query !== '') searches.add(query)
    }
  }
}

/** Google bills older models by the prompt that was grounded and newer ones by the search: the price knows which. */
export const withSearches = (usage: Usage, { size }: ReadonlySet<string>): Usage =>
  size === 0 ? usage : { ...usage, calls: { web_search: size, grounded_prompt: 1 } }

export function usageMetadata(usage: Usage): JsonObject {
  const { cacheRead = 0, reasoning = 0, imageInput = 0, audioInput = 0, imageOutput = 0, audioOutput = 0 } = usage
  const textInput = (usage.input ?? 0) + cacheRead + (usage.cacheWrite5m ?? 0) + (usage.cacheWrite1h ?? 0)
  const textOutput = usage.output ?? 0
  const prompt = textInput + imageInput + audioInput
  const candidates = textOutput + imageOutput + audioOutput
  return {
    promptTokenCount: prompt,
    ...(cacheRead ? { cachedContentTokenCount: cacheRead } : {}),
    candidatesTokenCount: candidates,
    ...(reasoning ? { thoughtsTokenCount: reasoning } : {}),
    totalTokenCount: prompt + candidates + reasoning,
    ...(prompt ? { promptTokensDetails: details(textInput, imageInput, audioInput) } : {}),
    ...(imageOutput || audioOutput ? { candidatesTokensDetails: details(textOutput, imageOutput, audioOutput) } : {}),
  }
}

const details = (text: number, image: number, audio: number): JsonValue =>
  [
    { modality: 'TEXT', tokenCount: text },
    { modality: 'IMAGE', tokenCount: image },
    { modality: 'AUDIO', tokenCount: audio },
  ].filter((item) => item.tokenCount > 0)

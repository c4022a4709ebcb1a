/**
 * What models can take and give, by family: our own facts, each with its source, as of the date below. A family is a
 * prefix of the model's name; the longest that fits counts. What is not known is left out, never guessed. What a
 * dialect must write differently for some models is that dialect's own business; only relayed refusals stand here.
 */

import type { Capabilities, Modality } from '../core/catalog.ts'

export const CAPABILITIES_DATE = '2026-11-23'

const TEXT: readonly Modality[] = ['text']
const SEES: readonly Modality[] = ['text', 'image']
const READS: readonly Modality[] = ['text', 'image', 'document']
const ALL: readonly Modality[] = ['text', 'image', 'audio', 'video', 'document']

// https://developers.openai.com/api/docs/guides/reasoning: `max_tokens` must be `max_completion_tokens`, and sampling
// cannot be set. (gpt-5.1 and later take a temperature while their effort is "none", so it is not listed for them.)
const REASONS = [
  'max_tokens',
  'temperature',
  'top_p',
  'presence_penalty',
  'frequency_penalty',
  'logprobs',
  'logit_bias',
]
const RENAMED = ['max_tokens']

const FAMILIES: Readonly<Record<string, Capabilities>> = {
  // https://platform.claude.com/docs/en/about-claude/models/overview, and each model's own page there
  'claude-3': { contextTokens: 200_000, outputTokens: 4_096, input: SEES },
  'claude-3.5': { contextTokens: 200_000, outputTokens: 8_192, input: READS },
  'claude-3.7': { contextTokens: 200_000, outputTokens: 64_000, input: READS },
  'claude-opus-4': { contextTokens: 200_000, outputTokens: 32_000, input: READS },
  'claude-opus-4.0': { contextTokens: 200_000, outputTokens: 32_000, input: READS },
  'claude-opus-4.1': { contextTokens: 200_000, outputTokens: 32_000, input: READS },
  'claude-opus-4.5': { contextTokens: 200_000, outputTokens: 64_000, input: READS },
  'claude-opus-4.6': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-opus-4.7': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-opus-4.8': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-opus-5': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-opus-5.5': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-sonnet-4': { contextTokens: 200_000, outputTokens: 64_000, input: READS },
  'claude-sonnet-4.0': { contextTokens: 200_000, outputTokens: 64_000, input: READS },
  'claude-sonnet-4.5': { contextTokens: 200_000, outputTokens: 64_000, input: READS },
  'claude-sonnet-4.6': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-sonnet-5': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-sonnet-5.5': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-haiku-4.5': { contextTokens: 200_000, outputTokens: 64_000, input: READS },
  'claude-haiku-5.5': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-fable-5': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },
  'claude-fable-5.1': { contextTokens: 1_000_000, outputTokens: 128_000, input: READS },

  // https://developers.openai.com/api/docs/models
  'gpt-3.5-turbo': { contextTokens: 16_385, outputTokens: 4_096, input: TEXT },
  'gpt-4': { contextTokens: 8_192, outputTokens: 8_192, input: TEXT },
  'gpt-4-0125': { contextTokens: 128_000, outputTokens: 4_096, input: TEXT },
  'gpt-4-1106': { contextTokens: 128_000, outputTokens: 4_096, input: TEXT },
  'gpt-4-turbo': { contextTokens: 128_000, outputTokens: 4_096, input: SEES },
  'gpt-4o': { contextTokens: 128_000, outputTokens: 16_384, input: READS },
  'gpt-4.1': { contextTokens: 1_047_576, outputTokens: 32_768, input: READS },
  'gpt-5': { contextTokens: 400_000, outputTokens: 128_000, input: READS, refuses: REASONS },
  'gpt-5-chat': { contextTokens: 128_000, outputTokens: 16_384, input: READS },
  'gpt-5.1': { contextTokens: 400_000, outputTokens: 128_000, input: READS, refuses: RENAMED },
  'gpt-5.2': { contextTokens: 400_000, outputTokens: 128_000, input: READS, refuses: RENAMED },
  'gpt-5.3-codex': { contextTokens: 400_000, outputTokens: 128_000, input: READS, refuses: RENAMED },
  'gpt-5.4': { contextTokens: 1_050_000, outputTokens: 128_000, input: READS, refuses: RENAMED },
  'gpt-5.4-mini': { contextTokens: 400_000, outputTokens: 128_000, input: READS, refuses: RENAMED },
  'gpt-5.4-nano': { contextTokens: 400_000, outputTokens: 128_000, input: READS, refuses: RENAMED },
  'gpt-5.5': { contextTokens: 1_050_000, outputTokens: 128_000, input: READS, refuses: RENAMED },
  'gpt-5.6': { contextTokens: 1_050_000, outputTokens: 128_000, input: READS, refuses: RENAMED },
  'gpt-6': { contextTokens: 1_050_000, outputTokens: 128_000, input: READS, refuses: RENAMED },
  o1: { contextTokens: 200_000, outputTokens: 100_000, input: SEES, refuses: REASONS },
  'o1-mini': { contextTokens: 128_000, outputTokens: 65_536, input: TEXT, refuses: REASONS },
  'o1-preview': { contextTokens: 128_000, outputTokens: 32_768, input: TEXT, refuses: REASONS },
  o3: { contextTokens: 200_000, outputTokens: 100_000, input: SEES, refuses: REASONS },
  'o3-mini': { contextTokens: 200_000, outputTokens: 100_000, input: TEXT, refuses: REASONS },
  'o4-mini': { contextTokens: 200_000, outputTokens: 100_000, input: SEES, refuses: REASONS },
  'text-embedding-3': { contextTokens: 8_192, input: TEXT },
  'text-embedding-ada-002': { contextTokens: 8_192, input: TEXT },

  // https://ai.google.dev/gemini-api/docs/models
  'gemini-1.5': { outputTokens: 8_192, input: ALL },
  'gemini-2.0': { contextTokens: 1_048_576, outputTokens: 8_192, input: ALL },
  'gemini-2.5': { contextTokens: 1_048_576, outputTokens: 65_536, input: ALL },
  'gemini-2.5-flash-image': { contextTokens: 65_536, outputTokens: 32_768, input: SEES },
  'gemini-3': { contextTokens: 1_048_576, outputTokens: 65_536, input: ALL },
  'gemini-3-pro-image': { contextTokens: 65_536, outputTokens: 32_768, input: SEES },
  'gemini-3.1': { contextTokens: 1_048_576, outputTokens: 65_536, input: ALL },
  'gemini-3.1-flash-image': { input: SEES },
  'gemini-3.5': { contextTokens: 1_048_576, outputTokens: 65_536, input: ALL },
  'gemini-3.6': { contextTokens: 1_048_576, outputTokens: 65_536, input: ALL },
  'gemini-3.7': { contextTokens: 1_048_576, outputTokens: 65_536, input: ALL },
  'gemini-3.8': { contextTokens: 1_048_576, outputTokens: 65_536, input: ALL },
  'gemini-embedding-001': { contextTokens: 2_048, input: TEXT },
}

const NOTHING_KNOWN: Capabilities = {}

/** Vendors spell a minor version with a point or a dash. */
const dashed = (name: string): string => name.replace(/(?<=\d)\.(?=\d)/g, '-')

const byPrefix = Object.entries(FAMILIES)
  .map(([prefix, capabilities]) => ({ prefix: dashed(prefix), capabilities }))
  .sort((a, b) => b.prefix.length - a.prefix.length)

/**
 * Fits only at a border of the name's parts: `gpt-4` is no prefix of `gpt-40`; nor of `gpt-4.9`, which would be a
 * generation that nobody has told us about (dates are longer than two digits).
 */
function isPrefix(prefix: string, name: string): boolean {
  return name.startsWith(prefix) && /^(?:$|[-@:](?!\d{1,2}(?:\D|$)))/.test(name.slice(prefix.length))
}

/** Names may carry their maker (`anthropic/claude-…`, `models/gemini-…`). Unknown models know nothing. */
export function capabilitiesOf(model: string): Capabilities {
  const name = dashed(model.slice(model.lastIndexOf('/') + 1).toLowerCase())
  return byPrefix.find(({ prefix }) => isPrefix(prefix, name))?.capabilities ?? NOTHING_KNOWN
}

/** The words of Amazon Bedrock's Converse that more than one file here needs. */
import type { FinishReason } from '../../core/reply.ts'
import type { CacheMarker, JsonObject, Rest } from '../../core/request.ts'
import { isEmpty } from '../openai-chat/index.ts'

export const ID = 'bedrock-converse'
export const LONGEST_NAME = 64

export const FINISH: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  tool_use: 'tool-calls',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  guardrail_intervened: 'content-filter',
  content_filtered: 'content-filter',
}

/** A marker stands behind what it keeps, as a block of its own. */
export const cachePoint = ({ ttl }: CacheMarker): JsonObject => ({
  cachePoint: { type: 'default', ...(ttl === undefined || ttl === '5m' ? {} : { ttl }) },
})

export const ownRest = (rest: Rest | undefined): JsonObject => rest?.[ID] ?? {}
export const asRest = (value: JsonObject): { readonly rest?: Rest } => (isEmpty(value) ? {} : { rest: { [ID]: value } })

/**
 * What a family takes, read off the model's id: `us.anthropic.claude-…`, `amazon.nova-…`, an ARN that ends in one. An
 * application's inference profile says nothing of its model, and is asked nothing special.
 */
export interface Family {
  readonly maker: 'claude' | 'nova' | 'gpt-oss' | undefined
  readonly caches: boolean
}
export function familyOf(model: string): Family {
  if (/anthropic\.claude/.test(model)) return { maker: 'claude', caches: true }
  if (/amazon\.nova/.test(model)) return { maker: 'nova', caches: true }
  if (/openai\.gpt-oss/.test(model)) return { maker: 'gpt-oss', caches: false }
  return { maker: undefined, caches: model.startsWith('arn:') }
}

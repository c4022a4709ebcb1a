/** The words of Cohere's chat that more than one file here needs. */
import type { FinishReason } from '../../core/reply.ts'
import type { JsonObject, JsonValue, Rest } from '../../core/request.ts'
import { tokenCount, type Usage } from '../../core/usage.ts'
import { isEmpty, objectOf } from '../openai-chat/index.ts'

export const ID = 'cohere-chat'

export const FINISH: Readonly<Record<string, FinishReason>> = {
  COMPLETE: 'stop',
  STOP_SEQUENCE: 'stop',
  MAX_TOKENS: 'length',
  TOOL_CALL: 'tool-calls',
  ERROR_TOXIC: 'content-filter',
  ERROR_LIMIT: 'length',
}

export const ownRest = (rest: Rest | undefined): JsonObject => rest?.[ID] ?? {}
export const asRest = (value: JsonObject): { readonly rest?: Rest } => (isEmpty(value) ? {} : { rest: { [ID]: value } })

/** What is billed; `tokens` also counts the templates around it, which nobody pays for. */
export function usageOf(raw: JsonValue | undefined): Usage | undefined {
  const usage = objectOf(raw)
  const billed = objectOf(usage.billed_units)
  const counted = isEmpty(billed) ? objectOf(usage.tokens) : billed
  if (typeof counted.input_tokens !== 'number' && typeof counted.output_tokens !== 'number') return undefined
  return { source: 'provider', input: tokenCount(counted.input_tokens), output: tokenCount(counted.output_tokens) }
}

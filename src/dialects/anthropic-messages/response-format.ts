/**
 * "Answer in JSON" → what this model has for it. A schema becomes `output_config.format` where the model has
 * structured outputs and they can express it; otherwise a tool that the model is made to call, whose input becomes the
 * reply's text; where a model refuses forced tools too, an instruction, which binds nothing and is reported.
 */
import type { ChatRequest, JsonObject } from '../../core/request.ts'
import type { ModelRules } from './models.ts'
import { structuredSchema } from './schema.ts'
import { JSON_TOOL } from './vocabulary.ts'

export interface FormatPlan {
  readonly format?: JsonObject
  /** Declared beside the client's own tools, with the choice that makes the model call one of them. */
  readonly tool?: JsonObject
  readonly toolChoice?: JsonObject
  /** Goes behind the system prompt. */
  readonly instruction?: string
}

const DESCRIPTION = 'Gives the answer. The input is the whole answer: everything there is to say goes into it.'

export function formatOf(request: ChatRequest, rules: ModelRules, report: (what: string) => void): FormatPlan {
  const { responseFormat, toolChoice } = request
  if (!responseFormat || responseFormat.type === 'text') return {}
  // The reply will be a call of the client's own tool: there is no text to give a format to.
  if (toolChoice?.type === 'required' || toolChoice?.type === 'tool') return {}
  const schema = responseFormat.type === 'schema' ? responseFormat.schema : undefined
  if (schema && rules.structured) {
    const weakened = (keyword: string): void => report(`response_format.schema.${keyword}`)
    const expressed = structuredSchema(schema, weakened)
    if (expressed) return { format: { type: 'json_schema', schema: expressed } }
  }
  const isObjectAnswer = schema === undefined || schema.type === 'object'
  if (rules.forcedTools && isObjectAnswer) {
    const mayCallOthers = toolChoice?.type !== 'none' && Boolean(request.tools?.length || request.hostedTools?.length)
    if (request.parallelToolCalls === true && mayCallOthers) report('parallel_tool_calls')
    return {
      tool: { name: JSON_TOOL, description: DESCRIPTION, input_schema: schema ?? { type: 'object' } },
      // One call at a time: an answer beside other calls would be none.
      toolChoice: {
        ...(mayCallOthers ? { type: 'any' } : { type: 'tool', name: JSON_TOOL }),
        disable_parallel_tool_use: true,
      },
    }
  }
  report('response_format')
  return {
    instruction: schema
      ? `Answer with JSON that is valid under this JSON Schema, and with nothing else:\n${JSON.stringify(schema)}`
      : 'Answer with one JSON object and with nothing else.',
  }
}

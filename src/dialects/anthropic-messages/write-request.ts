/** A canonical chat request → the body of POST /v1/messages. What it cannot carry is reported by name. */

import { createHash } from 'node:crypto'
import type { WriteContext } from '../../core/dialect.ts'
import { badRequest } from '../../core/errors.ts'
import type { ChatRequest, JsonObject, JsonValue, ModelRequest, Tool } from '../../core/request.ts'
import { conversationOf } from './contents.ts'
import { type ModelRules, rulesOf } from './models.ts'
import { wireName } from './names.ts'
import { formatOf } from './response-format.ts'
import { structuredSchema } from './schema.ts'
import { thinkingOf } from './thinking.ts'
import { cacheControl, ID, isEmpty, objectOf, ownRest, stringOf } from './vocabulary.ts'

const LONGEST_USER_ID = 256
/** Vendors' limit on tools that are held to their schema, per request. */
const MOST_STRICT_TOOLS = 20

type Report = (what: string) => void

export function writeRequest(request: ModelRequest, context: WriteContext): JsonObject {
  if (request.operation !== 'chat') throw badRequest(`This model's API does chat, not ${request.operation}.`, 'model')
  const said = new Set<string>()
  const report: Report = (what) => {
    if (said.has(what)) return
    said.add(what)
    context.report(what)
  }
  const rules = rulesOf(context.model)
  const { thinking: _, output_config: ownOutput, metadata: ownMetadata, ...own } = ownRest(request.rest)
  const { system, messages } = conversationOf(request.messages, report)
  const hasOwnFormat = own.output_format !== undefined || objectOf(ownOutput).format !== undefined
  const format = hasOwnFormat ? {} : formatOf(request, rules, report)
  const tools = [...toolsOf(request, messages, rules, report), ...(format.tool ? [format.tool] : [])]
  const toolChoice = format.toolChoice ?? toolChoiceOf(request, tools, rules, report)
  const isForced = toolChoice?.type === 'any' || toolChoice?.type === 'tool'
  const plan = thinkingOf(request, ownRest(request.rest), rules, context, isForced, report)
  const outputConfig: JsonObject = {
    ...(plan.effort === undefined ? {} : { effort: plan.effort }),
    ...(format.format ? { format: format.format } : {}),
    ...objectOf(ownOutput),
  }
  const metadata: JsonObject = { ...objectOf(ownMetadata), ...endUserOf(request.endUser) }
  const given: Readonly<Record<string, JsonValue | undefined>> = {
    model: context.model,
    max_tokens: plan.maxTokens,
    system: format.instruction === undefined ? system : instructed(system, format.instruction),
    messages,
    tools: tools.length > 0 ? tools : undefined,
    tool_choice: toolChoice,
    thinking: plan.thinking,
    output_config: isEmpty(outputConfig) ? undefined : outputConfig,
    ...samplingOf(request, rules, plan.isThinking, report),
    stop_sequences: stopOf(request, report),
    metadata: isEmpty(metadata) ? undefined : metadata,
    stream: request.stream || undefined,
  }
  reportForeign(request, report)
  return { ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)), ...own }
}

/** What this API has no word for, and what other vendors' clients asked for by fields of their own. */
function reportForeign(request: ChatRequest, report: Report): void {
  if ((request.choices ?? 1) > 1) report('n')
  if (request.seed !== undefined) report('seed')
  if (request.logprobs) report('logprobs')
  if (request.frequencyPenalty) report('frequency_penalty')
  if (request.presencePenalty) report('presence_penalty')
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    if (dialect === ID) continue
    for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== null) report(name)
  }
}

function toolsOf(
  request: ChatRequest,
  messages: readonly JsonObject[],
  rules: ModelRules,
  report: Report,
): readonly JsonObject[] {
  let strict = 0
  const tools = (request.tools ?? []).map((tool) => {
    const schema =
      tool.strict && rules.structured && strict < MOST_STRICT_TOOLS && tool.parameters
        ? structuredSchema(tool.parameters, (keyword) => report(`tools.parameters.${keyword}`))
        : undefined
    if (schema) strict++
    else if (tool.strict) report('tools.strict')
    return toolOf(tool, schema)
  })
  for (const { dialect, value } of request.hostedTools ?? []) {
    if (dialect === ID) tools.push(value)
    else report(`tools.${stringOf(value.type) ?? 'hosted'}`)
  }
  return tools.length > 0 ? tools : calledBefore(messages)
}

function toolOf(tool: Tool, strictSchema: JsonObject | undefined): JsonObject {
  const schema = tool.parameters ?? {}
  return {
    name: wireName(tool.name),
    ...(tool.description ? { description: tool.description } : {}),
    input_schema: strictSchema ?? (schema.type === undefined ? { type: 'object', ...schema } : schema),
    ...(strictSchema ? { strict: true } : {}),
    ...cacheControl(tool.cache),
    ...ownRest(tool.rest),
  }
}

/** A conversation with calls in it is refused without tools; those that were called are declared, and not offered. */
function calledBefore(messages: readonly JsonObject[]): JsonObject[] {
  const names = new Set<string>()
  for (const { content } of messages) {
    if (!Array.isArray(content)) continue
    for (const block of content as readonly JsonObject[]) if (block.type === 'tool_use') names.add(String(block.name))
  }
  return [...names].map((name) => ({ name, input_schema: { type: 'object' } }))
}

function toolChoiceOf(
  request: ChatRequest,
  tools: readonly JsonObject[],
  rules: ModelRules,
  report: Report,
): JsonObject | undefined {
  const { toolChoice } = request
  const offered = Boolean(request.tools?.length || request.hostedTools?.some(({ dialect }) => dialect === ID))
  if (!offered) {
    if (toolChoice?.type === 'required' || toolChoice?.type === 'tool') report('tool_choice')
    return tools.length > 0 ? { type: 'none' } : undefined
  }
  if (toolChoice?.type === 'none') return { type: 'none' }
  const single = request.parallelToolCalls === false ? { disable_parallel_tool_use: true } : {}
  if (!toolChoice || toolChoice.type === 'auto') {
    return toolChoice || !isEmpty(single) ? { type: 'auto', ...single } : undefined
  }
  if (!rules.forcedTools) {
    report('tool_choice')
    return { type: 'auto', ...single }
  }
  return toolChoice.type === 'tool'
    ? { type: 'tool', name: wireName(toolChoice.name), ...single }
    : { type: 'any', ...single }
}

/** A default that is left out is not lost; anything else that is left out or bent is reported. */
function samplingOf(request: ChatRequest, rules: ModelRules, isThinking: boolean, report: Report): JsonObject {
  const { temperature, topP, topK } = request
  const kept: Record<string, JsonValue> = {}
  const isBound = isThinking && !rules.samplesThinking
  const isFixed = rules.fixedSampling || isBound
  if (temperature !== undefined) {
    const clamped = Math.min(1, Math.max(0, temperature))
    if (!isFixed) kept.temperature = clamped
    if (isFixed ? temperature !== 1 : clamped !== temperature) report('temperature')
  }
  if (topP !== undefined) {
    const takes = !rules.fixedSampling && (!isBound || topP >= 0.95)
    if (takes && !(rules.eitherSampling && kept.temperature !== undefined)) kept.top_p = topP
    else if (topP !== 1) report('top_p')
  }
  if (topK !== undefined) {
    if (isFixed) report('top_k')
    else kept.top_k = topK
  }
  return kept
}

function stopOf(request: ChatRequest, report: Report): JsonValue | undefined {
  const stops = (request.stop ?? []).filter((stop) => stop.trim() !== '')
  // Sequences of white space alone are refused.
  if (stops.length < (request.stop?.length ?? 0)) report('stop')
  return stops.length > 0 ? stops : undefined
}

function endUserOf(endUser: string | undefined): JsonObject {
  if (endUser === undefined || endUser === '') return {}
  const isLong = endUser.length > LONGEST_USER_ID
  return { user_id: isLong ? createHash('sha256').update(endUser).digest('hex') : endUser }
}

function instructed(system: JsonValue | undefined, instruction: string): JsonValue {
  if (system === undefined) return instruction
  return typeof system === 'string'
    ? `${system}\n\n${instruction}`
    : [...(system as readonly JsonValue[]), { type: 'text', text: instruction }]
}

/** A canonical chat request → the body of Converse. The model stands in the path; what cannot be carried is reported. */
import type { WriteContext } from '../../core/dialect.ts'
import { badRequest } from '../../core/errors.ts'
import type { ChatRequest, JsonObject, JsonValue, ModelRequest } from '../../core/request.ts'
import { JSON_TOOL, wireName } from '../anthropic-messages/index.ts'
import { isEmpty, isObject, listOf, objectOf, said } from '../openai-chat/index.ts'
import { conversationOf } from './contents.ts'
import { cachePoint, type Family, familyOf, ID, LONGEST_NAME, ownRest } from './vocabulary.ts'

type Report = (what: string) => void
const LEAST_BUDGET = 1_024
const BUDGETS = { minimal: 1_024, low: 2_048, medium: 8_192, high: 16_384, xhigh: 24_576, max: 32_768 } as const

export function writeRequest(request: ModelRequest, context: WriteContext): JsonObject {
  if (request.operation !== 'chat') throw badRequest(`This model's API does chat, not ${request.operation}.`, 'model')
  const lost = new Set<string>()
  const report: Report = (what) => {
    if (!lost.has(what)) context.report(what)
    lost.add(what)
  }
  const family = familyOf(context.model)
  const own = ownRest(request.rest)
  const { system, messages } = conversationOf(request.messages, family, report)
  const toolConfig = toolsOf(request, messages, family, report)
  const extra = { ...thoughtOf(request, family, context, report), ...objectOf(own.additionalModelRequestFields) }
  const inference = { ...inferenceOf(request, family, report), ...objectOf(own.inferenceConfig) }
  reportForeign(request, report)
  return {
    messages,
    ...(system.length > 0 ? { system } : {}),
    ...(isEmpty(inference) ? {} : { inferenceConfig: inference }),
    ...(toolConfig ? { toolConfig } : {}),
    ...own,
    ...(isEmpty(extra) ? {} : { additionalModelRequestFields: extra }),
  }
}

function reportForeign(request: ChatRequest, report: Report): void {
  if ((request.choices ?? 1) > 1) report('n')
  if (request.seed !== undefined) report('seed')
  if (request.logprobs) report('logprobs')
  if (request.frequencyPenalty) report('frequency_penalty')
  if (request.presencePenalty) report('presence_penalty')
  if (request.endUser !== undefined) report('user')
  if (request.parallelToolCalls === false) report('parallel_tool_calls')
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    if (dialect !== ID) for (const name of Object.keys(said(fields))) report(name)
  }
}

function inferenceOf(request: ChatRequest, family: Family, report: Report): JsonObject {
  const { maxOutputTokens, temperature, topP, topK, stop } = request
  const stops = (stop ?? []).filter((sequence) => sequence.trim() !== '')
  if (stops.length < (stop?.length ?? 0)) report('stop')
  const clamped = temperature === undefined ? undefined : Math.min(1, Math.max(0, temperature))
  if (clamped !== temperature) report('temperature')
  if (topK !== undefined && family.maker !== 'claude' && family.maker !== 'nova') report('top_k')
  return {
    ...(maxOutputTokens === undefined ? {} : { maxTokens: maxOutputTokens }),
    ...(clamped === undefined ? {} : { temperature: clamped }),
    ...(topP === undefined ? {} : { topP }),
    ...(stops.length > 0 ? { stopSequences: stops } : {}),
  }
}

/** Fields that Converse hands to the model as they are: each maker has its own. */
function thoughtOf(request: ChatRequest, { maker }: Family, context: WriteContext, report: Report): JsonObject {
  const { reasoning, topK } = request
  const sampling: JsonObject =
    topK === undefined
      ? {}
      : maker === 'claude'
        ? { top_k: topK }
        : maker === 'nova'
          ? { inferenceConfig: { topK } }
          : {}
  const effort = reasoning?.effort
  if (!reasoning || (effort === undefined && reasoning.budgetTokens === undefined)) return sampling
  if (maker === 'claude') {
    if (effort === 'none') return sampling
    const limit = request.maxOutputTokens ?? context.maxOutputTokens ?? Number.POSITIVE_INFINITY
    const budget = Math.min(reasoning.budgetTokens ?? BUDGETS[effort ?? 'medium'], limit - 1)
    if (budget >= LEAST_BUDGET) return { ...sampling, thinking: { type: 'enabled', budget_tokens: budget } }
  } else if (maker === 'gpt-oss' && effort !== undefined && effort !== 'none') {
    const known = effort === 'minimal' ? 'low' : effort === 'xhigh' || effort === 'max' ? 'high' : effort
    if (known !== effort) report('reasoning.effort')
    return { ...sampling, reasoning_effort: known }
  } else if (maker === 'nova' && effort !== undefined) {
    if (effort === 'none') return { ...sampling, reasoningConfig: { type: 'disabled' } }
    const known = effort === 'minimal' ? 'low' : effort === 'xhigh' || effort === 'max' ? 'high' : effort
    return { ...sampling, reasoningConfig: { type: 'enabled', maxReasoningEffort: known } }
  }
  report('reasoning')
  return sampling
}

function toolsOf(
  request: ChatRequest,
  messages: readonly JsonObject[],
  family: Family,
  report: Report,
): JsonObject | undefined {
  const { toolChoice } = request
  const tools: JsonObject[] = []
  for (const tool of request.tools ?? []) {
    if (tool.strict) report('tools.strict')
    const schema = tool.parameters ?? {}
    tools.push({
      toolSpec: {
        name: wireName(tool.name, LONGEST_NAME),
        ...(tool.description ? { description: tool.description } : {}),
        inputSchema: { json: schema.type === undefined ? { type: 'object', ...schema } : schema },
        ...ownRest(tool.rest),
      },
    })
    if (tool.cache && family.caches) tools.push(cachePoint(tool.cache))
    else if (tool.cache) report('cache')
  }
  for (const { dialect, value } of request.hostedTools ?? []) {
    if (dialect === ID) tools.push(value)
    else report(`tools.${typeof value.type === 'string' ? value.type : 'hosted'}`)
  }
  const format = request.responseFormat
  const mustCall = toolChoice?.type === 'required' || toolChoice?.type === 'tool'
  if (format && format.type !== 'text' && !mustCall) {
    const schema = format.type === 'schema' ? format.schema : { type: 'object' }
    if (schema.type === 'object') {
      const description = 'Gives the answer. The input is the whole answer.'
      tools.push({ toolSpec: { name: JSON_TOOL, description, inputSchema: { json: schema } } })
      const isOnly = tools.length === 1 || toolChoice?.type === 'none'
      return { tools, toolChoice: isOnly ? { tool: { name: JSON_TOOL } } : { any: {} } }
    }
    report('response_format')
  }
  if (tools.length === 0 || toolChoice?.type === 'none') {
    // A conversation with calls in it is refused without tools; this API cannot forbid to call them again.
    const called = calledBefore(messages)
    if (called.length === 0) return undefined
    if (toolChoice?.type === 'none' && tools.length > 0) report('tool_choice')
    return { tools: tools.length > 0 ? tools : called }
  }
  const choice = choiceOf(toolChoice)
  return { tools, ...(choice ? { toolChoice: choice } : {}) }
}

function choiceOf(choice: ChatRequest['toolChoice']): JsonObject | undefined {
  if (choice?.type === 'required') return { any: {} }
  if (choice?.type === 'tool') return { tool: { name: wireName(choice.name, LONGEST_NAME) } }
  return choice?.type === 'auto' ? { auto: {} } : undefined
}

function calledBefore(messages: readonly JsonObject[]): JsonObject[] {
  const names = new Set<string>()
  for (const { content } of messages) {
    for (const block of listOf(content as JsonValue)) {
      const use = isObject(block) ? block.toolUse : undefined
      if (isObject(use)) names.add(String(use.name))
    }
  }
  return [...names].map((name) => ({ toolSpec: { name, inputSchema: { json: { type: 'object' } } } }))
}

/** A canonical chat request → the body of Cohere's `POST /v2/chat`. */
import type { WriteContext } from '../../core/dialect.ts'
import { badRequest } from '../../core/errors.ts'
import type { ChatRequest, JsonObject, Message, ModelRequest, Part, ToolResultPart } from '../../core/request.ts'
import { isEmpty, said } from '../openai-chat/index.ts'
import { ID, ownRest } from './vocabulary.ts'

type Report = (what: string) => void
const MOST_STOPS = 5
const BUDGETS = { minimal: 512, low: 1_024, medium: 4_096, high: 16_384, xhigh: 24_576, max: 31_000 } as const

export function writeRequest(request: ModelRequest, context: WriteContext): JsonObject {
  if (request.operation !== 'chat') throw badRequest(`This model's API does chat, not ${request.operation}.`, 'model')
  const lost = new Set<string>()
  const report: Report = (what) => {
    if (!lost.has(what)) context.report(what)
    lost.add(what)
  }
  const messages = request.messages.flatMap((message) => messagesOf(message, report))
  if (messages.length === 0) throw badRequest('There is no message with any content.', 'messages')
  reportForeign(request, report)
  const given = {
    model: context.model,
    messages,
    tools: toolsOf(request, report),
    tool_choice: choiceOf(request, report),
    response_format: formatOf(request),
    max_tokens: request.maxOutputTokens,
    temperature: request.temperature,
    p: request.topP,
    k: request.topK,
    stop_sequences: stopsOf(request, report),
    seed: request.seed,
    frequency_penalty: request.frequencyPenalty,
    presence_penalty: request.presencePenalty,
    logprobs: request.logprobs ? true : undefined,
    thinking: thinkingOf(request),
    stream: request.stream || undefined,
    ...ownRest(request.rest),
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function reportForeign(request: ChatRequest, report: Report): void {
  if ((request.choices ?? 1) > 1) report('n')
  if (request.logprobs?.top) report('top_logprobs')
  if (request.endUser !== undefined) report('user')
  if (request.parallelToolCalls === false) report('parallel_tool_calls')
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    if (dialect !== ID) for (const name of Object.keys(said(fields))) report(name)
  }
}

/** Results stand in messages of their own, one a call; whatever else is in such a turn follows as the user's. */
function messagesOf(message: Message, report: Report): JsonObject[] {
  if (message.name !== undefined) report('messages.name')
  const results = message.parts.flatMap((part) => (part.type === 'tool-result' ? [resultOf(part, report)] : []))
  const others = message.parts.filter((part) => part.type !== 'tool-result')
  if (message.role === 'assistant') return [...results, ...assistantOf(others, report)]
  const content = others.flatMap((part) => contentOf(part, report))
  if (content.length === 0) return results
  return [...results, { role: message.role === 'system' ? 'system' : 'user', content: plain(content) }]
}

function assistantOf(parts: readonly Part[], report: Report): JsonObject[] {
  const content: JsonObject[] = []
  const calls: JsonObject[] = []
  let plan = ''
  for (const part of parts) {
    if (part.type === 'tool-call') {
      const call = { name: part.name, arguments: part.arguments.trim() === '' ? '{}' : part.arguments }
      calls.push({ id: part.id, type: 'function', function: call })
    } else if (part.type === 'reasoning') {
      if (ownRest(part.rest).tool_plan === true) plan += part.text
      else if (part.text !== '' && part.redacted === undefined && part.signature === undefined)
        content.push({ type: 'thinking', thinking: part.text })
      else report('messages.reasoning')
    } else content.push(...contentOf(part, report))
  }
  if (content.length === 0 && calls.length === 0) return []
  return [
    {
      role: 'assistant',
      ...(content.length > 0 ? { content: plain(content) } : {}),
      ...(plan === '' ? {} : { tool_plan: plan }),
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
    },
  ]
}

function contentOf(part: Part, report: Report): JsonObject[] {
  if (part.cache) report('cache')
  switch (part.type) {
    case 'text':
    case 'refusal':
      return part.text === '' ? [] : [{ type: 'text', text: part.text }]
    case 'image': {
      const { source } = part
      if (source.kind === 'id') throw badRequest('This upstream knows no files of another vendor.', 'messages')
      const url = source.kind === 'url' ? source.url : `data:${source.mediaType};base64,${source.base64}`
      const detail = part.detail === undefined ? {} : { detail: part.detail }
      return [{ type: 'image_url', image_url: { url, ...detail } }]
    }
    case 'file':
    case 'audio':
      throw badRequest(
        `This upstream takes no ${part.type === 'file' ? 'documents' : 'sound'} in messages.`,
        'messages',
      )
    case 'opaque':
      if (part.dialect === ID) return [part.value]
      report(`messages.${typeof part.value.type === 'string' ? part.value.type : 'part'}`)
      return []
    default:
      return []
  }
}

function resultOf(part: ToolResultPart, report: Report): JsonObject {
  const content = part.content.flatMap((item) => contentOf(item, report))
  return { role: 'tool', tool_call_id: part.id, content: content.length > 0 ? plain(content) : '' }
}

/** Text alone is a string, as most models' templates expect it. */
function plain(content: readonly JsonObject[]): string | readonly JsonObject[] {
  const [only] = content
  return content.length === 1 && only?.type === 'text' ? (only.text as string) : content
}

function toolsOf(request: ChatRequest, report: Report): readonly JsonObject[] | undefined {
  for (const { dialect, value } of request.hostedTools ?? []) {
    if (dialect !== ID) report(`tools.${typeof value.type === 'string' ? value.type : 'hosted'}`)
  }
  const tools = (request.tools ?? []).map((tool) => {
    if (tool.cache) report('cache')
    if (tool.strict) report('tools.strict')
    const parameters = tool.parameters ?? { type: 'object', properties: {} }
    const described = tool.description ? { description: tool.description } : {}
    return { type: 'function', function: { name: tool.name, ...described, parameters, ...ownRest(tool.rest) } }
  })
  return tools.length > 0 ? tools : undefined
}

function choiceOf({ toolChoice, tools }: ChatRequest, report: Report): string | undefined {
  if (!tools?.length || !toolChoice || toolChoice.type === 'auto') return undefined
  if (toolChoice.type === 'none') return 'NONE'
  // A certain tool can only be demanded where it is the only one.
  if (toolChoice.type === 'tool' && (tools.length > 1 || tools[0]?.name !== toolChoice.name)) report('tool_choice')
  return 'REQUIRED'
}

function formatOf({ responseFormat }: ChatRequest): JsonObject | undefined {
  if (!responseFormat || responseFormat.type === 'text') return undefined
  if (responseFormat.type !== 'schema') return { type: 'json_object' }
  return { type: 'json_object', json_schema: responseFormat.schema }
}

function stopsOf({ stop }: ChatRequest, report: Report): readonly string[] | undefined {
  if (!stop || stop.length === 0) return undefined
  if (stop.length > MOST_STOPS) report('stop')
  return stop.slice(0, MOST_STOPS)
}

function thinkingOf({ reasoning }: ChatRequest): JsonObject | undefined {
  if (!reasoning || isEmpty(said(reasoning as JsonObject))) return undefined
  if (reasoning.effort === 'none') return { type: 'disabled' }
  const budget = reasoning.budgetTokens ?? (reasoning.effort === undefined ? undefined : BUDGETS[reasoning.effort])
  return budget === undefined ? undefined : { type: 'enabled', token_budget: budget }
}

/** A canonical chat request → the body of generateContent. Model and streaming stand in the path, not in here. */
import type { WriteContext } from '../../core/dialect.ts'
import { badRequest } from '../../core/errors.ts'
import type { ChatRequest, JsonObject, JsonValue, ModelRequest, Tool } from '../../core/request.ts'
import { conversationOf } from './contents.ts'
import { parametersSchema, responseSchema } from './schema.ts'
import { thinkingConfig } from './thinking.ts'
import { generationOf, ID, isEmpty, objectOf, ownRest, wireName } from './vocabulary.ts'

const MOST_STOPS = 5
const LARGEST_SEED = 2 ** 31 - 1

type Report = (what: string) => void

export function writeRequest(request: ModelRequest, context: WriteContext): JsonObject {
  if (request.operation !== 'chat') throw badRequest(`This model's API does chat, not ${request.operation}.`, 'model')
  const said = new Set<string>()
  const report: Report = (what) => {
    if (said.has(what)) return
    said.add(what)
    context.report(what)
  }
  const generation = generationOf(context.model)
  const { generationConfig: ownConfig, toolConfig: ownToolConfig, ...own } = ownRest(request.rest)
  const { system, contents } = conversationOf(request.messages, generation, report)
  const tools = toolsOf(request, report)
  const choice = toolChoiceOf(request, report)
  const toolConfig: JsonObject = {
    ...objectOf(ownToolConfig),
    ...(choice
      ? { functionCallingConfig: { ...choice, ...objectOf(objectOf(ownToolConfig).functionCallingConfig) } }
      : {}),
  }
  const { thinkingConfig: ownThinking, ...plainConfig } = objectOf(ownConfig)
  const thinking = {
    ...objectOf(ownThinking),
    ...(request.reasoning ? thinkingConfig(request.reasoning, context.model, generation, report) : {}),
  }
  const generationConfig: JsonObject = {
    ...plainConfig,
    ...samplingOf(request, report),
    ...formatOf(request, generation, report),
    ...(isEmpty(thinking) ? {} : { thinkingConfig: thinking }),
  }
  reportForeign(request, report)
  return {
    ...own,
    ...(system ? { systemInstruction: system } : {}),
    contents,
    ...(tools.length > 0 ? { tools } : {}),
    ...(isEmpty(toolConfig) ? {} : { toolConfig }),
    ...(isEmpty(generationConfig) ? {} : { generationConfig }),
  }
}

/** What other vendors' clients asked for by fields of their own. */
function reportForeign(request: ChatRequest, report: Report): void {
  if (request.endUser !== undefined) report('user')
  if (request.parallelToolCalls === false) report('parallel_tool_calls')
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    if (dialect === ID) continue
    for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== null) report(name)
  }
}

function toolsOf(request: ChatRequest, report: Report): readonly JsonObject[] {
  const declarations = (request.tools ?? []).map((tool) => declarationOf(tool, report))
  const isHeld = request.toolChoice?.type === 'required' || request.toolChoice?.type === 'tool'
  // Only a call that is demanded is held to its schema.
  if (!isHeld && request.tools?.some((tool) => tool.strict)) report('tools.strict')
  const hosted: JsonObject[] = []
  for (const { dialect, value } of request.hostedTools ?? []) {
    if (dialect === ID) hosted.push(value)
    else report(typeof value.type === 'string' ? `tools.${value.type}` : 'tools')
  }
  return [...(declarations.length > 0 ? [{ functionDeclarations: declarations }] : []), ...hosted]
}

function declarationOf(tool: Tool, report: Report): JsonObject {
  if (tool.cache) report('cache')
  const parameters =
    tool.parameters &&
    parametersSchema(tool.parameters, {
      title: `The parameters of tool "${tool.name}"`,
      param: 'tools',
      weakened: (keyword) => report(`tools.parameters.${keyword}`),
    })
  return {
    name: wireName(tool.name),
    ...(tool.description === undefined ? {} : { description: tool.description }),
    ...(parameters ? { parametersJsonSchema: parameters } : {}),
    ...ownRest(tool.rest),
  }
}

function toolChoiceOf(request: ChatRequest, report: Report): JsonObject | undefined {
  const { toolChoice, tools = [] } = request
  if (!toolChoice) return undefined
  if (tools.length === 0) {
    if (toolChoice.type === 'required' || toolChoice.type === 'tool') report('tool_choice')
    return undefined
  }
  switch (toolChoice.type) {
    case 'auto':
      return { mode: 'AUTO' }
    case 'none':
      return { mode: 'NONE' }
    case 'required':
      return { mode: 'ANY' }
    case 'tool':
      return { mode: 'ANY', allowedFunctionNames: [wireName(toolChoice.name)] }
  }
}

function samplingOf(request: ChatRequest, report: Report): JsonObject {
  const { stop, seed, logprobs } = request
  if (stop && stop.length > MOST_STOPS) report('stop')
  const isSeed = seed !== undefined && Number.isInteger(seed) && Math.abs(seed) <= LARGEST_SEED
  if (seed !== undefined && !isSeed) report('seed')
  const given: Readonly<Record<string, JsonValue | undefined>> = {
    temperature: request.temperature,
    topP: request.topP,
    topK: request.topK,
    maxOutputTokens: request.maxOutputTokens,
    stopSequences: stop && stop.length > 0 ? stop.slice(0, MOST_STOPS) : undefined,
    seed: isSeed ? seed : undefined,
    candidateCount: request.choices,
    presencePenalty: request.presencePenalty,
    frequencyPenalty: request.frequencyPenalty,
    responseLogprobs: logprobs ? true : undefined,
    logprobs: logprobs?.top,
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

/** Before generation 3, a JSON answer and functions in one request are refused: the functions are kept. */
function formatOf(request: ChatRequest, generation: number | undefined, report: Report): JsonObject {
  const { responseFormat } = request
  if (!responseFormat || responseFormat.type === 'text') return {}
  if (request.tools && request.tools.length > 0 && generation !== undefined && generation < 3) {
    report('response_format')
    return {}
  }
  if (responseFormat.type !== 'schema') return { responseMimeType: 'application/json' }
  const schema = responseSchema(responseFormat.schema, {
    title: `The response schema "${responseFormat.name}"`,
    param: 'response_format',
    weakened: (keyword) => report(`response_format.schema.${keyword}`),
  })
  const { description } = responseFormat
  return {
    responseMimeType: 'application/json',
    responseJsonSchema: { ...(description === undefined ? {} : { description }), ...schema },
  }
}

/**
 * The body of generateContent → a canonical chat request. Model and streaming stand in Google's path, not in its body:
 * whoever owns the path puts them into the object as `model` and `stream` before it comes here. Both spellings of a
 * field are read, as Google does; what has no common word stays in `rest`.
 */
import { badRequest } from '../../core/errors.ts'
import type {
  ChatRequest,
  JsonObject,
  JsonValue,
  Message,
  Reasoning,
  ResponseFormat,
  Tool,
  ToolChoice,
} from '../../core/request.ts'
import { messagesOf, systemMessage } from './read-contents.ts'
import { jsonSchemaOf } from './read-schema.ts'
import { asRest, camelKeys, ID, isEmpty, isObject, listOf, numberOf, objectOf, stringOf } from './vocabulary.ts'

export function readRequest(body: JsonObject): ChatRequest {
  const b = camelKeys(body)
  if (Object.keys(b).length < Object.keys(body).length) {
    throw badRequest('A field is given twice, in both of its spellings.')
  }
  const { model, stream, contents, systemInstruction, tools, toolConfig, generationConfig, ...others } = b
  if (typeof model !== 'string' || model === '') throw badRequest('The path must name a model.', 'model')
  if (contents === undefined) throw badRequest('"contents" is required.', 'contents')
  const system = systemInstruction === undefined || systemInstruction === null ? [] : [systemMessage(systemInstruction)]
  const messages: Message[] = [...system, ...messagesOf(contents)]
  const { declared, hosted } = toolsOf(tools)
  const choice = choiceOf(camelKeys(objectOf(toolConfig)))
  const config = configOf(camelKeys(objectOf(generationConfig)))
  const rest: JsonObject = {
    ...others,
    ...(isEmpty(choice.rest) ? {} : { toolConfig: choice.rest }),
    ...(isEmpty(config.rest) ? {} : { generationConfig: config.rest }),
  }
  return {
    operation: 'chat',
    model,
    stream: stream === true,
    messages,
    ...(declared.length > 0 ? { tools: declared } : {}),
    ...(hosted.length > 0 ? { hostedTools: hosted.map((value) => ({ dialect: ID, value })) } : {}),
    ...(choice.toolChoice ? { toolChoice: choice.toolChoice } : {}),
    ...config.fields,
    ...asRest(rest),
  }
}

/** One element may declare functions and name hosted tools beside them. */
function toolsOf(tools: JsonValue | undefined): { readonly declared: Tool[]; readonly hosted: JsonObject[] } {
  const declared: Tool[] = []
  const hosted: JsonObject[] = []
  for (const [i, element] of listOf(tools).entries()) {
    if (!isObject(element)) throw badRequest(`"tools[${i}]" must be an object.`, `tools[${i}]`)
    const { functionDeclarations, ...others } = camelKeys(element)
    for (const [k, declaration] of listOf(functionDeclarations).entries()) {
      const at = `tools[${i}].functionDeclarations[${k}]`
      if (!isObject(declaration)) throw badRequest(`"${at}" must be an object.`, at)
      const { name, description, parameters, parametersJsonSchema, ...more } = camelKeys(declaration)
      if (typeof name !== 'string') throw badRequest(`"${at}.name" must be a string.`, `${at}.name`)
      const schema = isObject(parametersJsonSchema)
        ? parametersJsonSchema
        : isObject(parameters)
          ? jsonSchemaOf(parameters)
          : undefined
      declared.push({
        name,
        ...(typeof description === 'string' ? { description } : {}),
        ...(schema ? { parameters: schema } : {}),
        ...asRest(more),
      })
    }
    if (!isEmpty(others)) hosted.push(others)
  }
  return { declared, hosted }
}

/** `VALIDATED`, and a choice among several, have no common word: the nearest is said, and the rest says it exactly. */
function choiceOf(toolConfig: JsonObject): { readonly toolChoice?: ToolChoice; readonly rest: JsonObject } {
  const { functionCallingConfig, ...rest } = toolConfig
  if (!isObject(functionCallingConfig)) return { rest }
  const { mode, allowedFunctionNames, ...more } = camelKeys(functionCallingConfig)
  const names = listOf(allowedFunctionNames)
  const [only] = names
  const kept = { ...rest, functionCallingConfig: camelKeys(functionCallingConfig) }
  switch (mode) {
    case undefined:
    case 'MODE_UNSPECIFIED':
    case 'AUTO':
      return { toolChoice: { type: 'auto' }, rest: isEmpty(more) ? rest : kept }
    case 'NONE':
      return { toolChoice: { type: 'none' }, rest: isEmpty(more) ? rest : kept }
    case 'ANY':
      if (names.length === 0 && isEmpty(more)) return { toolChoice: { type: 'required' }, rest }
      if (names.length === 1 && typeof only === 'string' && isEmpty(more)) {
        return { toolChoice: { type: 'tool', name: only }, rest }
      }
      return { toolChoice: { type: 'required' }, rest: kept }
    default:
      return { toolChoice: { type: 'auto' }, rest: kept }
  }
}

type ConfigFields = Omit<Partial<ChatRequest>, 'operation' | 'rest'>

const NUMBERS = {
  temperature: 'temperature',
  topP: 'topP',
  topK: 'topK',
  maxOutputTokens: 'maxOutputTokens',
  seed: 'seed',
  candidateCount: 'choices',
  presencePenalty: 'presencePenalty',
  frequencyPenalty: 'frequencyPenalty',
} as const

function configOf(config: JsonObject): { readonly fields: ConfigFields; readonly rest: JsonObject } {
  const fields: Record<string, unknown> = {}
  const rest: Record<string, JsonValue | undefined> = { ...config }
  const take = (name: string): JsonValue | undefined => {
    const value = rest[name]
    delete rest[name]
    return value
  }
  for (const [theirs, ours] of Object.entries(NUMBERS)) {
    const value = take(theirs)
    if (value === undefined || value === null) continue
    const number = numberOf(value)
    if (number === undefined)
      throw badRequest(`"generationConfig.${theirs}" must be a number.`, `generationConfig.${theirs}`)
    fields[ours] = number
  }
  const stop = listOf(take('stopSequences'))
  if (!stop.every((text) => typeof text === 'string')) {
    throw badRequest('"generationConfig.stopSequences" must hold strings.', 'generationConfig.stopSequences')
  }
  if (stop.length > 0) fields.stop = stop
  const top = numberOf(take('logprobs'))
  if (take('responseLogprobs') === true) fields.logprobs = top === undefined ? {} : { top }
  const format = formatOf(config)
  if (format) {
    fields.responseFormat = format
    for (const name of ['responseMimeType', 'responseSchema', 'responseJsonSchema', '_responseJsonSchema'])
      delete rest[name]
  }
  const thinking = thinkingOf(camelKeys(objectOf(take('thinkingConfig'))))
  if (thinking.reasoning) fields.reasoning = thinking.reasoning
  if (!isEmpty(thinking.rest)) rest.thinkingConfig = thinking.rest
  return { fields: fields as ConfigFields, rest }
}

/** `text/x.enum` and media types have no common word and stay in the rest. */
function formatOf(config: JsonObject): ResponseFormat | undefined {
  const { responseMimeType, responseSchema } = config
  const json = config.responseJsonSchema ?? config._responseJsonSchema
  if (responseMimeType === 'text/plain') return { type: 'text' }
  if (responseMimeType !== 'application/json') return undefined
  if (isObject(json)) return { type: 'schema', name: 'response', schema: json }
  if (isObject(responseSchema)) return { type: 'schema', name: 'response', schema: jsonSchemaOf(responseSchema) }
  return { type: 'json' }
}

const LEVELS = new Set(['minimal', 'low', 'medium', 'high'])

function thinkingOf(config: JsonObject): { readonly reasoning?: Reasoning; readonly rest: JsonObject } {
  const { thinkingBudget, thinkingLevel, includeThoughts, ...rest } = config
  const budget = numberOf(thinkingBudget)
  const level = stringOf(thinkingLevel)?.toLowerCase()
  const reasoning: Reasoning = {
    ...(level !== undefined && LEVELS.has(level) ? { effort: level as NonNullable<Reasoning['effort']> } : {}),
    ...(budget === 0 && level === undefined ? { effort: 'none' } : {}),
    ...(budget !== undefined && budget > 0 ? { budgetTokens: budget } : {}),
    ...(typeof includeThoughts === 'boolean' ? { summary: includeThoughts } : {}),
  }
  // −1 leaves it to the model, which is what the others do unasked.
  const own = { ...rest, ...(budget !== undefined && budget < 0 ? { thinkingBudget: budget } : {}) }
  return Object.keys(reasoning).length > 0 ? { reasoning, rest: own } : { rest: own }
}

/** The parameters that have a common word, both ways: limits, sampling, format, thinking, user. */
import type { ChatRequest, JsonObject, JsonValue, Reasoning, ResponseFormat } from '../../core/request.ts'
import { isEmpty, listOf, mustBe, objectOf, optional, required, without } from '../openai-chat/index.ts'

type Report = (what: string) => void
type Parameters = Omit<Partial<ChatRequest>, 'rest'>

/** The body's fields read here. */
export const PARAMETER_FIELDS = [
  'max_output_tokens',
  'temperature',
  'top_p',
  'top_logprobs',
  'include',
  'user',
  'safety_identifier',
  'text',
  'reasoning',
] as const

/** Fields that concern OpenAI's own keeping and caching: no other vendor has to know them. */
export const HINTS = [
  'store',
  'metadata',
  'client_metadata',
  'prompt_cache_key',
  'prompt_cache_retention',
  'prompt_cache_options',
  'stream_options',
  'service_tier',
  'background',
  'truncation',
  'include',
] as const

const LOGPROBS = 'message.output_text.logprobs'

export function readParameters(body: JsonObject): { readonly fields: Parameters; readonly kept: JsonObject } {
  const fields: { -readonly [K in keyof Parameters]: Parameters[K] } = {}
  const kept: Record<string, JsonValue> = {}
  const limit = optional(body, 'max_output_tokens', 'integer')
  if (limit !== undefined && limit < 1) throw mustBe('at least 1', 'max_output_tokens')
  if (limit !== undefined) fields.maxOutputTokens = limit
  const temperature = optional(body, 'temperature', 'number')
  if (temperature !== undefined) fields.temperature = temperature
  const topP = optional(body, 'top_p', 'number')
  if (topP !== undefined) fields.topP = topP

  const top = optional(body, 'top_logprobs', 'integer')
  if (listOf(optional(body, 'include', 'array')).includes(LOGPROBS) || (top ?? 0) > 0) {
    fields.logprobs = top === undefined ? {} : { top }
  }

  const identifier = optional(body, 'safety_identifier', 'string')
  const user = optional(body, 'user', 'string')
  if (identifier !== undefined && user !== undefined) kept.safety_identifier = identifier
  else if (identifier !== undefined) kept.safety_identifier = null
  const endUser = user ?? identifier
  if (endUser !== undefined) fields.endUser = endUser

  const text = optional(body, 'text', 'object')
  const format = formatOf(optional(text ?? {}, 'format', 'object', 'text'))
  if (format.format) fields.responseFormat = format.format
  const aboutText = { ...without(text ?? {}, 'format'), ...(format.kept ? { format: format.kept } : {}) }
  if (!isEmpty(aboutText)) kept.text = aboutText

  const reasoning = readReasoning(optional(body, 'reasoning', 'object'), kept)
  if (reasoning) fields.reasoning = reasoning
  return { fields, kept }
}

function formatOf(value: JsonObject | undefined): { readonly format?: ResponseFormat; readonly kept?: JsonObject } {
  if (!value) return {}
  const type = required(value, 'type', 'string', 'text.format')
  if (type === 'text') return { format: { type } }
  if (type === 'json_object') return { format: { type: 'json' } }
  if (type !== 'json_schema') return { kept: value }
  const place = 'text.format'
  const description = optional(value, 'description', 'string', place)
  const strict = optional(value, 'strict', 'boolean', place)
  return {
    format: {
      type: 'schema',
      name: optional(value, 'name', 'string', place) ?? 'response',
      schema: optional(value, 'schema', 'object', place) ?? {},
      ...(description === undefined ? {} : { description }),
      ...(strict === undefined ? {} : { strict }),
    },
  }
}

const EFFORTS = new Set(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])

/** Which kind of summary is the vendor's own matter; whether one is wanted is not. */
function readReasoning(value: JsonObject | undefined, kept: Record<string, JsonValue>): Reasoning | undefined {
  if (!value) return undefined
  const { effort, summary, generate_summary, ...others } = value
  const isKnown = typeof effort === 'string' && EFFORTS.has(effort)
  const wanted = summary ?? generate_summary
  const own = {
    ...others,
    ...(effort !== undefined && effort !== null && !isKnown ? { effort } : {}),
    ...(wanted !== undefined && wanted !== null && wanted !== 'auto' ? { summary: wanted } : {}),
  }
  if (!isEmpty(own)) kept.reasoning = own
  const reasoning: Reasoning = {
    ...(isKnown ? { effort: effort as NonNullable<Reasoning['effort']> } : {}),
    ...(wanted !== undefined && wanted !== null ? { summary: wanted !== 'none' } : {}),
  }
  return Object.keys(reasoning).length > 0 ? reasoning : undefined
}

/** A budget in the words of an API that knows efforts only. */
const effortFor = (budgetTokens: number): string =>
  budgetTokens <= 0 ? 'none' : budgetTokens <= 2_048 ? 'low' : budgetTokens <= 12_288 ? 'medium' : 'high'

export function writeParameters(request: ChatRequest, own: JsonObject, hints: JsonObject, report: Report): JsonObject {
  const { logprobs, responseFormat, reasoning, endUser, maxOutputTokens, temperature, topP } = request
  for (const [value, name] of [
    [request.topK, 'top_k'],
    [request.seed, 'seed'],
    [request.frequencyPenalty || undefined, 'frequency_penalty'],
    [request.presencePenalty || undefined, 'presence_penalty'],
    [request.stop?.[0], 'stop'],
    [(request.choices ?? 1) > 1 || undefined, 'n'],
  ] as const) {
    if (value !== undefined) report(name)
  }
  const include = listOf(hints.include)
  const includes = logprobs && !include.includes(LOGPROBS) ? [...include, LOGPROBS] : include
  const text = {
    ...(responseFormat ? { format: writtenFormat(responseFormat) } : {}),
    ...objectOf(own.text),
  }
  const thinking = { ...writtenReasoning(reasoning, report), ...objectOf(own.reasoning) }
  return {
    ...(maxOutputTokens === undefined ? {} : { max_output_tokens: maxOutputTokens }),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { top_p: topP }),
    ...(logprobs?.top === undefined ? {} : { top_logprobs: logprobs.top }),
    ...(includes.length > 0 ? { include: includes } : {}),
    ...(endUser === undefined ? {} : { [own.safety_identifier === null ? 'safety_identifier' : 'user']: endUser }),
    ...(isEmpty(text) ? {} : { text }),
    ...(isEmpty(thinking) ? {} : { reasoning: thinking }),
    ...(request.stream ? { stream: true } : {}),
  }
}

function writtenFormat(format: ResponseFormat): JsonObject {
  if (format.type !== 'schema') return { type: format.type === 'json' ? 'json_object' : 'text' }
  const { name, schema, strict, description } = format
  return {
    type: 'json_schema',
    name,
    ...(description === undefined ? {} : { description }),
    schema,
    strict: strict ?? false,
  }
}

function writtenReasoning(reasoning: Reasoning | undefined, report: Report): JsonObject {
  if (!reasoning) return {}
  const { effort, budgetTokens, summary } = reasoning
  if (budgetTokens !== undefined && effort === undefined) report('reasoning.budget')
  const said = effort ?? (budgetTokens === undefined ? undefined : effortFor(budgetTokens))
  return {
    ...(said === undefined ? {} : { effort: said }),
    ...(summary === true ? { summary: 'auto' } : {}),
  }
}

export const outputLimit = ({ max_output_tokens }: JsonObject): number | undefined =>
  typeof max_output_tokens === 'number' ? max_output_tokens : undefined

/**
 * The parameters of a chat completion that have a common word, both ways: limits, sampling, format, thinking, user.
 * Where the API and its imitators have several names for one thing, the name the client used is remembered as null in
 * the rest and used again.
 */
import type { WriteContext } from '../../core/dialect.ts'
import type { ChatRequest, JsonObject, JsonValue, Reasoning, ResponseFormat } from '../../core/request.ts'
import { mustBe, optional, required } from './fields.ts'
import { isEmpty, isObject, objectOf, without } from './vocabulary.ts'

type Report = (what: string) => void
type Parameters = Omit<Partial<ChatRequest>, 'rest'>
type Kept = Record<string, JsonValue>

/** The body's fields read here. */
export const PARAMETER_FIELDS = [
  'max_tokens',
  'max_completion_tokens',
  'temperature',
  'top_p',
  'top_k',
  'stop',
  'seed',
  'frequency_penalty',
  'presence_penalty',
  'logprobs',
  'top_logprobs',
  'n',
  'user',
  'safety_identifier',
  'response_format',
  'reasoning_effort',
  'reasoning',
  'thinking',
  'stream_options',
] as const

const NUMBERS = {
  temperature: ['temperature', 'number'],
  top_p: ['topP', 'number'],
  top_k: ['topK', 'integer'],
  seed: ['seed', 'integer'],
  frequency_penalty: ['frequencyPenalty', 'number'],
  presence_penalty: ['presencePenalty', 'number'],
  n: ['choices', 'integer'],
} as const

export function readParameters(body: JsonObject): { readonly fields: Parameters; readonly kept: Kept } {
  const fields: Record<string, unknown> = {}
  const kept: Kept = {}
  for (const [theirs, [ours, kind]] of Object.entries(NUMBERS)) {
    const value = optional(body, theirs, kind)
    if (value !== undefined) fields[ours] = value
  }
  if (fields.topK !== undefined) kept.top_k = null
  if (fields.choices !== undefined && (fields.choices as number) < 1) throw mustBe('at least 1', 'n')

  const limit = limitOf(body, 'max_completion_tokens')
  const older = limitOf(body, 'max_tokens')
  if (older !== undefined) kept.max_tokens = limit === undefined ? null : older
  const most = limit ?? older
  if (most !== undefined) fields.maxOutputTokens = most

  const stop = stopsOf(body.stop)
  if (stop) fields.stop = stop
  const top = optional(body, 'top_logprobs', 'integer')
  if (optional(body, 'logprobs', 'boolean')) fields.logprobs = top === undefined ? {} : { top }
  else if (top !== undefined) kept.top_logprobs = top

  const user = optional(body, 'user', 'string')
  const identifier = optional(body, 'safety_identifier', 'string')
  if (identifier !== undefined) kept.safety_identifier = user === undefined ? null : identifier
  const endUser = user ?? identifier
  if (endUser !== undefined) fields.endUser = endUser

  const format = formatOf(optional(body, 'response_format', 'object'))
  if (format.format) fields.responseFormat = format.format
  if (format.kept !== undefined) kept.response_format = format.kept

  const reasoning = reasoningOf(body, kept)
  if (Object.keys(reasoning).length > 0) fields.reasoning = reasoning

  // Whether usage is wanted is the reply writer's to look up; the rest of the options is the upstream's.
  const options = without(objectOf(optional(body, 'stream_options', 'object')), 'include_usage')
  if (!isEmpty(options)) kept.stream_options = options
  return { fields: fields as Parameters, kept }
}

function limitOf(body: JsonObject, name: string): number | undefined {
  const value = optional(body, name, 'integer')
  if (value !== undefined && (value < 1 || !Number.isSafeInteger(value))) throw mustBe('at least 1', name)
  return value
}

function stopsOf(value: JsonValue | undefined): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string') return [value]
  if (!Array.isArray(value) || !value.every((text) => typeof text === 'string')) {
    throw mustBe('a string or an array of strings', 'stop')
  }
  return value
}

/** A format that the common words say only in part, or not at all, is kept whole beside them. */
function formatOf(value: JsonObject | undefined): { readonly format?: ResponseFormat; readonly kept?: JsonObject } {
  if (!value) return {}
  const type = required(value, 'type', 'string', 'response_format')
  const isPlain = isEmpty(without(value, 'type'))
  if (type === 'text' && isPlain) return { format: { type: 'text' } }
  if (type === 'json_object') return isPlain ? { format: { type: 'json' } } : { format: { type: 'json' }, kept: value }
  if (type !== 'json_schema') return { kept: value }
  const place = 'response_format.json_schema'
  const inner = required(value, 'json_schema', 'object', 'response_format')
  const strict = optional(inner, 'strict', 'boolean', place)
  const description = optional(inner, 'description', 'string', place)
  const format: ResponseFormat = {
    type: 'schema',
    name: optional(inner, 'name', 'string', place) ?? 'response',
    schema: optional(inner, 'schema', 'object', place) ?? {},
    ...(description === undefined ? {} : { description }),
    ...(strict === undefined ? {} : { strict }),
  }
  const isWhole =
    isEmpty(without(value, 'type', 'json_schema')) &&
    isEmpty(without(inner, 'name', 'schema', 'description', 'strict')) &&
    isObject(inner.schema)
  return isWhole ? { format } : { format, kept: value }
}

const EFFORTS = new Set(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])
const effortOf = (value: JsonValue | undefined): Reasoning['effort'] =>
  typeof value === 'string' && EFFORTS.has(value) ? (value as NonNullable<Reasoning['effort']>) : undefined

/**
 * OpenAI's `reasoning_effort`, OpenRouter's `reasoning: {effort, max_tokens, exclude}`, and Anthropic's `thinking`, which
 * clients of gateways (and of several Chinese vendors) send to chat completions as well.
 */
function reasoningOf(body: JsonObject, kept: Kept): Reasoning {
  const asked = optional(body, 'reasoning_effort', 'string')
  const effort = effortOf(asked)
  if (asked !== undefined && effort === undefined) kept.reasoning_effort = asked
  const fields: { -readonly [K in keyof Reasoning]: Reasoning[K] } = effort ? { effort } : {}

  const router = optional(body, 'reasoning', 'object')
  if (router) {
    const theirs = effortOf(router.effort)
    const budget = optional(router, 'max_tokens', 'integer', 'reasoning')
    const exclude = optional(router, 'exclude', 'boolean', 'reasoning')
    if (theirs && fields.effort === undefined) fields.effort = theirs
    if (budget !== undefined) fields.budgetTokens = budget
    if (exclude !== undefined) fields.summary = !exclude
    const others = without(router, 'max_tokens', 'exclude', ...(theirs ? ['effort'] : []))
    kept.reasoning = isEmpty(others) ? null : others
  }

  const thinking = optional(body, 'thinking', 'object')
  if (thinking) {
    const budget = optional(thinking, 'budget_tokens', 'integer', 'thinking')
    const isOnly = fields.effort === undefined && fields.budgetTokens === undefined
    if (isOnly && thinking.type === 'disabled') fields.effort = 'none'
    if (isOnly && budget !== undefined) fields.budgetTokens = budget
    const isSaid = isOnly && (thinking.type === 'disabled' || budget !== undefined)
    const others = without(thinking, 'type', 'budget_tokens')
    kept.thinking = !isSaid ? thinking : isEmpty(others) ? null : others
  }
  return fields
}

/** A budget in the words of an API that knows efforts only. */
const effortFor = (budgetTokens: number): string =>
  budgetTokens <= 0 ? 'none' : budgetTokens <= 2_048 ? 'low' : budgetTokens <= 12_288 ? 'medium' : 'high'

/** `own` is what the client's own fields left in the rest, names with null included. */
export function writeParameters(
  request: ChatRequest,
  own: JsonObject,
  context: WriteContext,
  report: Report,
): JsonObject {
  const written: Record<string, JsonValue> = {}
  const set = (name: string, value: JsonValue | undefined) => {
    if (value !== undefined) written[name] = value
  }
  for (const [theirs, [ours]] of Object.entries(NUMBERS)) set(theirs, request[ours])
  if (request.topK !== undefined && own.top_k === undefined) {
    report('top_k')
    delete written.top_k
  }
  const limit = own.max_tokens === null ? 'max_tokens' : (context.quirks?.outputLimitField ?? 'max_completion_tokens')
  set(limit, request.maxOutputTokens)
  if (request.stop && request.stop.length > 0) written.stop = request.stop
  if (request.logprobs) {
    written.logprobs = true
    set('top_logprobs', request.logprobs.top)
  }
  set(own.safety_identifier === null ? 'safety_identifier' : 'user', request.endUser)
  if (request.responseFormat && own.response_format === undefined)
    set('response_format', writtenFormat(request.responseFormat))
  if (request.reasoning) Object.assign(written, writtenReasoning(request.reasoning, own, report))
  if (request.stream) {
    written.stream = true
    const usage = context.quirks?.noStreamOptions ? {} : { include_usage: true }
    const options = { ...objectOf(own.stream_options), ...usage }
    if (!isEmpty(options)) written.stream_options = options
  }
  return written
}

function writtenFormat(format: ResponseFormat): JsonObject {
  if (format.type !== 'schema') return { type: format.type === 'json' ? 'json_object' : 'text' }
  const { name, schema, strict, description } = format
  return {
    type: 'json_schema',
    json_schema: {
      name,
      ...(description === undefined ? {} : { description }),
      schema,
      ...(strict === undefined ? {} : { strict }),
    },
  }
}

function writtenReasoning(reasoning: Reasoning, own: JsonObject, report: Report): JsonObject {
  const { effort, budgetTokens, summary } = reasoning
  if (own.reasoning !== undefined) {
    return {
      ...(own.reasoning_effort === undefined ? {} : { reasoning_effort: own.reasoning_effort }),
      reasoning: {
        ...objectOf(own.reasoning),
        ...(effort === undefined ? {} : { effort }),
        ...(budgetTokens === undefined ? {} : { max_tokens: budgetTokens }),
        ...(summary === undefined ? {} : { exclude: !summary }),
      },
    }
  }
  if (
    own.thinking !== undefined &&
    (own.thinking === null || !isObject(own.thinking) || own.thinking.type === undefined)
  ) {
    const type = effort === 'none' ? 'disabled' : 'enabled'
    const budget = budgetTokens === undefined ? {} : { budget_tokens: budgetTokens }
    return { thinking: { ...objectOf(own.thinking), type, ...budget } }
  }
  if (summary === true) report('reasoning.summary')
  if (budgetTokens !== undefined && effort === undefined) report('reasoning.budget')
  const said = effort ?? (budgetTokens === undefined ? undefined : effortFor(budgetTokens))
  return said === undefined ? {} : { reasoning_effort: said }
}

/** One entry of LiteLLM's `model_list`: the place it calls, the target it becomes, and what it says of prices and limits. */
import { NANOS_PER_DOLLAR } from '../../core/money.ts'
import type { JsonValue } from '../../core/request.ts'
import type { TargetConfiguration } from '../../core/store.ts'
import { fieldsOf, rowOf, textsOf, variableOf } from './fields.ts'
import { placeOf } from './place-of.ts'
import { modelAt, type Place, type Surroundings } from './places.ts'
import type { Report } from './report.ts'

export interface Deployment {
  readonly at: string
  readonly name: string
  readonly model: string
  readonly place: Place
  readonly target: Omit<TargetConfiguration, 'upstream' | 'model'>
  readonly rates: Readonly<Record<string, string>>
  readonly limits: { readonly requests?: number; readonly tokens?: number; readonly parallel?: number }
  readonly budget?: { readonly amount: number; readonly window: string | undefined }
}

/** Fields of a request, which here stand in a target's `defaults`. */
const REQUEST_FIELDS =
  'temperature top_p top_k max_tokens max_completion_tokens n stop seed presence_penalty frequency_penalty logit_bias logprobs top_logprobs response_format tools tool_choice parallel_tool_calls user reasoning_effort thinking service_tier modalities audio verbosity store dimensions encoding_format voice'.split(
    ' ',
  )
const RATES: readonly (readonly [field: string, bucket: string])[] = [
  ['input_cost_per_token', 'input'],
  ['output_cost_per_token', 'output'],
  ['cache_read_input_token_cost', 'cacheRead'],
  ['cache_creation_input_token_cost', 'cacheWrite5m'],
  ['cache_creation_input_token_cost_above_1hr', 'cacheWrite1h'],
  ['output_cost_per_reasoning_token', 'reasoning'],
  ['input_cost_per_audio_token', 'audioInput'],
  ['output_cost_per_audio_token', 'audioOutput'],
]
/** What LiteLLM keeps about a model for its own pages, or what the catalog knows here. */
const SAID_ELSEWHERE = /^(?:id|db_model|supports_\w+|litellm_provider|description|metadata|created_\w+|updated_\w+)$/
const LONGEST_MS = 86_400_000

export const milliseconds = (seconds: number): number => Math.min(LONGEST_MS, Math.max(1, Math.round(seconds * 1_000)))

/** One timeout of LiteLLM bounds each wait for bytes, not the whole call: a long stream goes on. */
export function timeoutsOf(seconds: number | undefined, streamed = seconds): Record<string, number> {
  const whole = seconds === undefined ? {} : { headersUnstreamedMs: milliseconds(seconds) }
  if (streamed === undefined) return whole
  const ms = milliseconds(streamed)
  return { ...whole, headersStreamedMs: ms, firstContentMs: ms, idleMs: ms }
}

export function deploymentOf(
  entry: unknown,
  index: number,
  around: Surroundings,
  report: Report,
): Deployment | undefined {
  const name = fieldsOf('', entry).text('model_name')
  const at = `model_list[${index}]${name === undefined ? '' : ` (${name})`}`
  const missing = (why: string, field?: string): undefined => {
    report.missing.push({ at: field === undefined ? at : `${at} ${field}`, why })
  }
  const outer = fieldsOf(at, entry)
  outer.take('model_name')
  const params = fieldsOf(at, outer.take('litellm_params'))
  const info = fieldsOf(at, outer.take('model_info'))
  const named = params.text('model')
  if (name === undefined || named === undefined)
    return missing('it has no model_name, or no litellm_params with a model.')
  const found = modelAt(named, params.text('custom_llm_provider'), around.providers, around.catalog)
  if (!found) {
    return missing(
      `nothing here is called by "${named}": its provider is not known. A server with the OpenAI API is provider "custom" with its baseUrl.`,
    )
  }
  const place = placeOf(found.provider, params, around, report)
  if (!place) return undefined

  const weight = params.number('weight')
  const order = params.number('order')
  const tags = textsOf(params.take('tags'))
  const fitting = tags.filter((tag) => /^[\w.:/-]{1,64}$/.test(tag))
  if (fitting.length < tags.length) missing('tags are of letters, digits and . : / _ - here.', 'tags')
  const timeouts = timeoutsOf(params.number('timeout'), params.number('stream_timeout'))
  if (order !== undefined && !(Number.isInteger(order) && order <= 1_000)) missing('whole numbers to 1000.', 'order')
  const whole = order !== undefined && Number.isInteger(order) && order <= 1_000
  const defaults: Record<string, JsonValue> = {}
  for (const field of REQUEST_FIELDS) {
    const value = params.take(field)
    if (value !== undefined && variableOf(value) === undefined) defaults[field] = value as JsonValue
  }
  const further = rowOf(params.take('extra_body'))
  if (further) Object.assign(defaults, further)
  const contextTokens = info.number('max_input_tokens')
  const outputTokens = info.number('max_output_tokens') ?? info.number('max_tokens')
  info.take('max_tokens')
  const capabilities = {
    ...(contextTokens ? { contextTokens: Math.floor(contextTokens) } : {}),
    ...(outputTokens ? { outputTokens: Math.floor(outputTokens) } : {}),
  }

  const rates: Record<string, string> = {}
  for (const [field, bucket] of RATES) {
    const cost = params.number(field) ?? info.number(field)
    info.take(field)
    if (cost === undefined) continue
    const amount = perMillion(cost)
    if (amount === undefined) missing('a price that cannot be written in dollars per million tokens.', field)
    else rates[bucket] = amount
  }
  const requests = params.number('rpm') ?? outer.number('rpm')
  const tokens = params.number('tpm') ?? outer.number('tpm')
  const parallel = params.number('max_parallel_requests')
  for (const field of ['rpm', 'tpm']) outer.take(field)
  const amount = params.number('max_budget')
  const window = params.text('budget_duration')

  if (info.take('base_model') !== undefined && Object.keys(rates).length === 0) {
    missing(
      `prices go by the name that is called, which is "${found.model}"; if the table does not know it, set one under prices.`,
      'model_info.base_model',
    )
  }
  const mode = info.text('mode')
  if (mode !== undefined && !/^(?:chat|completion|embedding|responses|rerank)$/.test(mode)) {
    missing(`"${mode}": what a model is asked for follows from the path.`, 'model_info.mode')
  }
  for (const field of params.left()) missing(reasonOf(field), field)
  for (const field of outer.left()) missing(NO_SUCH, field)
  for (const field of info.left()) {
    missing(
      SAID_ELSEWHERE.test(field) ? 'the catalog knows what models can do, or nobody asks.' : NO_SUCH,
      `model_info.${field}`,
    )
  }
  return {
    at,
    name,
    model: found.model,
    place,
    target: {
      ...(weight === undefined ? {} : { weight }),
      ...(whole ? { order } : {}),
      ...(fitting.length > 0 ? { tags: fitting } : {}),
      ...(Object.keys(timeouts).length > 0 ? { timeouts } : {}),
      ...(Object.keys(capabilities).length > 0 ? { capabilities } : {}),
      ...(Object.keys(defaults).length > 0 ? { defaults } : {}),
    },
    rates,
    limits: {
      ...(requests ? { requests: Math.floor(requests) } : {}),
      ...(tokens ? { tokens: Math.floor(tokens) } : {}),
      ...(parallel ? { parallel: Math.floor(parallel) } : {}),
    },
    ...(amount === undefined ? {} : { budget: { amount, window } }),
  }
}

export const NO_SUCH = 'there is no such setting here.'
function reasonOf(field: string): string {
  if (/cost/.test(field)) return 'prices here are per token, per request and per call of a tool.'
  if (/^(?:num_retries|max_retries)$/.test(field)) return 'retries are a setting of module failover, for all routes.'
  if (/^(?:aws_|vertex_|azure_|client_)/.test(field))
    return 'docs/providers.md says where this provider takes credentials from.'
  if (field === 'mock_response') return 'the upstream "mock" answers without a provider.'
  if (field === 'cooldown_time') return 'how long a target rests is a setting of module breakers, for all.'
  return NO_SUCH
}

/** Dollars per token as dollars per million, to the nano-dollar. */
export function perMillion(cost: number): string | undefined {
  const nanos = Math.round(cost * 1e6 * Number(NANOS_PER_DOLLAR))
  if (!Number.isSafeInteger(nanos) || (cost > 0 && nanos === 0)) return undefined
  const text = (nanos / Number(NANOS_PER_DOLLAR)).toFixed(9)
  return text.replace(/\.?0+$/, '')
}

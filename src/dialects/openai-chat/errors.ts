/**
 * OpenAI's error shape, both ways, and the shapes its imitators answer with instead. Errors also come inside a 200: as
 * the whole body, as an event of a stream, or on a choice.
 */
import type { UpstreamComplaint } from '../../core/dialect.ts'
import { failure, type GatewayError } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { formatSse } from '../../wire/sse.ts'
import { isObject, listOf, objectOf, wordOf } from './vocabulary.ts'

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  408: 'timeout_error',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
}

export function writeError(error: GatewayError): JsonObject {
  const { status, blame } = error.kind
  const isQuota = error.code === 'upstream_quota'
  const type = TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
  // The vendor's own code is for the client where the client is to mend it; our troubles keep our names.
  const code = blame === 'client' ? (error.details.upstreamCode ?? error.code) : error.code
  return {
    error: {
      message: error.message,
      type: isQuota ? 'insufficient_quota' : (error.kind.says?.type ?? type),
      param: error.details.param ?? null,
      code: isQuota ? 'insufficient_quota' : (error.kind.says?.code ?? code),
      ...error.details.facts,
    },
  }
}

/** How a stream ends that failed: no finish reason came, no `[DONE]` follows. */
export const failStream = (error: GatewayError): string => formatSse(JSON.stringify(writeError(error)))

/** What an error says, in whatever shape: `{error: {…}}`, `{error: "…"}`, `{message}`, `{detail}`, or a list of these. */
export function readError(body: JsonValue): UpstreamComplaint {
  if (typeof body === 'string') return body === '' ? {} : { message: body }
  const outer = Array.isArray(body) ? body.find(isObject) : body
  if (!isObject(outer)) return {}
  const { error, errors } = outer
  const inner = isObject(error) ? error : isObject(listOf(errors)[0]) ? (listOf(errors)[0] as JsonObject) : outer
  const message =
    wordOf(inner.message) ?? wordOf(error) ?? wordOf(outer.message) ?? detailOf(inner.detail) ?? detailOf(outer.detail)
  const code = codeOf(inner.code) ?? codeOf(outer.code) ?? wordOf(outer.error_code)
  const type = wordOf(inner.type) ?? wordOf(inner.status) ?? wordOf(outer.type)
  const param = wordOf(inner.param)
  return {
    ...(code === undefined ? {} : { code }),
    ...(type === undefined ? {} : { type }),
    ...(message === undefined ? {} : { message }),
    ...(param === undefined ? {} : { param }),
  }
}

const codeOf = (value: JsonValue | undefined): string | undefined =>
  typeof value === 'number' ? String(value) : wordOf(value)

/** FastAPI's: a text, or the list of what did not validate. */
function detailOf(detail: JsonValue | undefined): string | undefined {
  if (typeof detail === 'string') return detail === '' ? undefined : detail
  const said = listOf(detail).map((item) => {
    const where = listOf(objectOf(item).loc).join('.')
    return `${where}${where && ': '}${wordOf(objectOf(item).msg) ?? ''}`
  })
  const text = said.filter((line) => line !== '').join('; ')
  return text === '' ? (isObject(detail) ? wordOf(detail.message) : undefined) : text
}

/** An error that came inside a 200, with the status it would have had; undefined where it is no error. */
export function bornInside(body: JsonValue, event?: string): GatewayError | undefined {
  const outer = Array.isArray(body) ? (body.find(isObject) ?? {}) : body
  if (!isObject(outer)) return undefined
  const choice = objectOf(listOf(outer.choices)[0])
  if (isError(outer.error)) return failed(outer)
  if (isError(choice.error)) return failed({ error: choice.error })
  if (choice.finish_reason === 'error') return failed({ message: 'the model failed' })
  if (outer.choices !== undefined) return undefined
  const isBare =
    event === 'error' ||
    outer.object === 'error' ||
    outer.type === 'error' ||
    wordOf(outer.message) !== undefined ||
    detailOf(outer.detail) !== undefined ||
    isObject(listOf(outer.errors)[0])
  return isBare ? failed(outer) : undefined
}

const isError = (value: JsonValue | undefined): boolean => isObject(value) || wordOf(value) !== undefined

function failed(body: JsonObject): GatewayError {
  const { code, type, message, param } = readError(body)
  const status = statusOf(objectOf(body.error), body) ?? statusByWords(`${code ?? ''} ${type ?? ''}`)
  return failure(
    'upstream_error',
    {
      problem: message ?? 'an error',
      ...(code === undefined && type === undefined ? {} : { upstreamCode: code ?? type }),
      ...(message === undefined ? {} : { upstreamMessage: message }),
      ...(param === undefined ? {} : { param }),
    },
    undefined,
    status === undefined ? undefined : { status },
  )
}

function statusOf(...places: readonly JsonObject[]): number | undefined {
  for (const { code, status, status_code } of places) {
    for (const value of [code, status_code, status]) {
      const number = typeof value === 'string' && /^\d{3}$/.test(value) ? Number(value) : value
      if (typeof number === 'number' && Number.isInteger(number) && number >= 400 && number <= 599) return number
    }
  }
  return undefined
}

function statusByWords(words: string): number | undefined {
  if (/rate_limit|insufficient_quota/.test(words)) return 429
  if (/authentication|invalid_api_key/.test(words)) return 401
  if (/permission/.test(words)) return 403
  if (/not_found/.test(words)) return 404
  if (/invalid_request|bad_request|context_length/.test(words)) return 400
  if (/overloaded|unavailable/.test(words)) return 503
  return undefined
}

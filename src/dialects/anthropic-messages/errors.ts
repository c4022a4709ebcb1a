/** Anthropic's error shape, both ways: `{type: "error", error: {type, message}, request_id}`, alone or in a stream. */
import type { UpstreamComplaint } from '../../core/dialect.ts'
import { failure, type GatewayError, Refusal } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { formatSse } from '../../wire/sse.ts'
import { isObject, objectOf, stringOf } from './vocabulary.ts'

/** The status each type has when it comes alone: an error inside a stream is judged as if it had been sent. */
const STATUS: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
}
const TYPES: Readonly<Record<number, string>> = {
  ...Object.fromEntries(Object.entries(STATUS).map(([type, status]) => [status, type])),
  408: 'timeout_error',
  503: 'overloaded_error',
}
const typeOf = (status: number): string => TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')

/** The `error` member; undefined where the body is no error. Servers that copy this API leave out the outer type. */
export function errorIn(body: JsonValue): JsonObject | undefined {
  if (!isObject(body) || (body.type !== 'error' && !(body.type === undefined && body.error !== undefined))) {
    return undefined
  }
  if (isObject(body.error)) return body.error
  return { message: stringOf(body.error) ?? stringOf(body.message) ?? 'an error without a message' }
}

export function readError(body: JsonValue): UpstreamComplaint {
  const error = errorIn(body) ?? objectOf(body)
  const type = stringOf(error.type)
  const message = stringOf(error.message) ?? stringOf(error.detail)
  const code = stringOf(error.code) ?? stringOf(objectOf(error.details).error_code) ?? type
  const param = stringOf(error.param)
  return {
    ...(code === undefined ? {} : { code }),
    ...(type === undefined ? {} : { type }),
    ...(message === undefined ? {} : { message }),
    ...(param === undefined ? {} : { param }),
  }
}

/** An error that came inside a 200, with the status it would have had. */
export function bornInside(body: JsonValue): GatewayError | undefined {
  if (!errorIn(body)) return undefined
  const { code, type, message } = readError(body)
  const status = type === undefined ? undefined : STATUS[type]
  return failure(
    'upstream_error',
    {
      problem: message ?? 'an error',
      ...(code === undefined ? {} : { upstreamCode: code }),
      ...(message === undefined ? {} : { upstreamMessage: message }),
    },
    undefined,
    status === undefined ? undefined : { status },
  )
}

/**
 * The types are few, so a module's refusal says its code where this API says more of an error. Told of the thread, the
 * official SDK goes on without one and sends the whole conversation.
 */
function detailsOf(error: GatewayError): JsonObject {
  if (error.details.param === 'thread') {
    return { details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] } }
  }
  return error instanceof Refusal ? { details: { error_code: error.code } } : {}
}

export const writeError = (error: GatewayError, requestId: string): JsonObject => ({
  type: 'error',
  error: {
    type: typeOf(error.kind.status),
    message: error.message,
    ...error.details.facts,
    ...detailsOf(error),
  },
  request_id: requestId,
})

/** An SDK that reads this throws; without a `message_stop` after it nothing takes the stream for finished. */
export const failStream = (error: GatewayError, requestId: string): string =>
  formatSse(JSON.stringify(writeError(error, requestId)), 'error')

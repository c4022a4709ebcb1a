/**
 * Google's error shape, both ways: `{error: {code, message, status, details}}`, sometimes in an array of one. The same
 * object is what a stream that fails in the middle carries.
 */
import type { UpstreamComplaint } from '../../core/dialect.ts'
import { failure, type GatewayError } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { isObject, listOf, numberOf, objectOf, statusName, stringOf } from './vocabulary.ts'

/** The `error` member of a body or of a stream's chunk. */
export function errorIn(body: JsonValue): JsonObject | undefined {
  const found = Array.isArray(body) ? body.find((item) => isObject(item) && isObject(item.error)) : body
  return isObject(found) && isObject(found.error) ? found.error : undefined
}

/** `code` is the machine-readable reason where there is one (`API_KEY_INVALID`), else the status. */
export function readError(body: JsonValue): UpstreamComplaint {
  const error = errorIn(body)
  if (!error) return {}
  const status = stringOf(error.status)
  const message = stringOf(error.message)
  const details = listOf(error.details).filter(isObject)
  const code = details.map((detail) => stringOf(detail.reason)).find((reason) => reason !== undefined) ?? status
  const [violation] = details.flatMap((detail) => listOf(detail.fieldViolations))
  const param = stringOf(objectOf(violation).field)
  const delay = details
    .map((detail) => /^(\d+(?:\.\d+)?)s$/.exec(stringOf(detail.retryDelay) ?? '')?.[1])
    .find((d) => d)
  return {
    ...(code === undefined ? {} : { code }),
    ...(status === undefined ? {} : { type: status }),
    ...(message === undefined ? {} : { message }),
    ...(param === undefined ? {} : { param }),
    ...(delay === undefined ? {} : { retryAfterMs: Math.ceil(Number(delay) * 1_000) }),
  }
}

/** An error that came inside a 200, with the status it would have had. */
export function bornInside(body: JsonValue): GatewayError | undefined {
  const error = errorIn(body)
  if (!error) return undefined
  const { code, message, param } = readError(body)
  const status = numberOf(error.code)
  const isStatus = status !== undefined && Number.isInteger(status) && status >= 400 && status <= 599
  return failure(
    'upstream_error',
    {
      problem: message ?? 'an error',
      ...(code === undefined ? {} : { upstreamCode: code }),
      ...(message === undefined ? {} : { upstreamMessage: message }),
      ...(param === undefined ? {} : { param }),
    },
    undefined,
    isStatus ? { status } : undefined,
  )
}

/** Metadata carries texts only. */
const textsOf = (facts: JsonObject = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(facts).map(([k, v]) => [k, typeof v === 'string' ? v : JSON.stringify(v)]))

export function writeError(error: GatewayError, requestId: string): JsonObject {
  const { param, retryAfterMs } = error.details
  return {
    error: {
      code: error.kind.status,
      message: error.message,
      status: statusName(error.kind.status),
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: error.code.toUpperCase(),
          domain: 'stockyard',
          metadata: { requestId, ...(param === undefined ? {} : { param }), ...textsOf(error.details.facts) },
        },
        ...(retryAfterMs === undefined
          ? []
          : [
              {
                '@type': 'type.googleapis.com/google.rpc.RetryInfo',
                retryDelay: `${Math.ceil(retryAfterMs / 1_000)}s`,
              },
            ]),
      ],
    },
  }
}

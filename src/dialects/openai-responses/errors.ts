/** How a stream of responses ends that failed: an error event, which SDKs throw, and the failed response. */
import type { GatewayError } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { formatSse } from '../../wire/sse.ts'
import { bornInside as chatError, isObject, objectOf, wordOf, writeError } from '../openai-chat/index.ts'

const event = (type: string, fields: JsonObject): string => formatSse(JSON.stringify({ type, ...fields }), type)

/** The fields stand at the event's top, as documented, and in `error`, as they are sent. */
export function failed(error: GatewayError, response: JsonObject, sequence: number): string {
  const told = objectOf(writeError(error).error)
  const { code, message, param } = told
  const said = event('error', { sequence_number: sequence, code, message, param, error: told })
  const ended = { ...response, status: 'failed', error: { code, message } }
  return said + event('response.failed', { sequence_number: sequence + 1, response: ended })
}

/** On the relay nothing is known of the response but that it ended here. */
export const failStream = (error: GatewayError, requestId: string): string =>
  failed(error, { id: `resp_${requestId}`, object: 'response', output: [] }, 0)

/** An error inside a 200: a body, an `error` event in either form, or a response that failed. */
export function bornInside(body: JsonValue): GatewayError | undefined {
  if (!isObject(body)) return chatError(body)
  const response = objectOf(body.response ?? body)
  if (response.status === 'failed') {
    return chatError({ error: isObject(response.error) ? response.error : { message: 'the response failed' } })
  }
  if (body.type !== 'error') return body.object === undefined && body.type === undefined ? chatError(body) : undefined
  const { code, message, param } = body
  const error = isObject(body.error) ? body.error : { code, message: wordOf(message) ?? 'an error', param }
  return chatError({ error })
}

/** Errors in OpenAI's shape: to clients by status, from vendors in whatever shape they have. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { validateChatStream } from '../../../test/golden/chat-stream.ts'
import { readBody, replayContext } from '../../../test/replay/replay.ts'
import { badRequest, type ErrorCode, failure } from '../../core/errors.ts'
import type { JsonValue } from '../../core/request.ts'
import { readError, writeError } from './errors.ts'
import openaiChat from './index.ts'

const errorOf = (code: ErrorCode, details = {}) => {
  const { error } = writeError(failure(code, details)) as { error: Record<string, unknown> }
  return [error.type, error.code, error.param]
}

test('a client gets OpenAI’s type for the status, our code, and the place of its mistake', () => {
  assert.deepEqual(writeError(badRequest('"stop" must be a string.', 'stop')), {
    error: {
      message: '"stop" must be a string.',
      type: 'invalid_request_error',
      param: 'stop',
      code: 'invalid_request',
    },
  })
  assert.deepEqual(errorOf('authentication_required'), ['authentication_error', 'authentication_required', null])
  assert.deepEqual(errorOf('permission_denied'), ['permission_error', 'permission_denied', null])
  assert.deepEqual(errorOf('model_not_found'), ['not_found_error', 'model_not_found', null])
  assert.deepEqual(errorOf('request_too_large'), ['invalid_request_error', 'request_too_large', null])
  assert.deepEqual(errorOf('upstream_rate_limited'), ['rate_limit_error', 'upstream_rate_limited', null])
  assert.deepEqual(errorOf('upstream_quota'), ['insufficient_quota', 'insufficient_quota', null])
  assert.deepEqual(errorOf('upstream_overloaded'), ['overloaded_error', 'upstream_overloaded', null])
  assert.deepEqual(errorOf('upstream_error'), ['api_error', 'upstream_error', null])
  assert.deepEqual(errorOf('upstream_timeout'), ['timeout_error', 'upstream_timeout', null])
})

test('the vendor’s own code reaches the client only where the client is to mend it', () => {
  const details = { upstreamCode: 'context_length_exceeded', param: 'messages' }
  assert.deepEqual(errorOf('upstream_rejected', details), [
    'invalid_request_error',
    'context_length_exceeded',
    'messages',
  ])
  assert.deepEqual(errorOf('upstream_credentials', { upstreamCode: 'invalid_api_key' })[1], 'upstream_credentials')
})

test('A44: a stream that fails ends with its error, without a finish and without [DONE]', () => {
  const writer = openaiChat.client?.streamWriter(replayContext())
  assert.ok(writer)
  const begun = [
    writer.write({ type: 'reply-start', id: 'r' }),
    writer.write({ type: 'text-start', part: 0 }),
    writer.write({ type: 'text-delta', part: 0, text: 'Hel' }),
  ]
  validateChatStream(begun.join('') + writer.fail(failure('upstream_incomplete', { upstream: 'u' })), { failed: true })
  validateChatStream(openaiChat.client?.failStream(failure('upstream_incomplete'), 'req') ?? '', { failed: true })
})

test('errors of vendors are understood in the shapes they come in', () => {
  const cases: [JsonValue, object][] = [
    [
      { error: { message: 'no', type: 'invalid_request_error', param: 'stop', code: 'bad' } },
      { message: 'no', type: 'invalid_request_error', param: 'stop', code: 'bad' },
    ],
    [{ error: { message: 'no', code: 402, metadata: {} } }, { message: 'no', code: '402' }],
    [{ error: 'no' }, { message: 'no' }],
    [
      { message: 'no', type: 'invalid', code: 3051, object: 'error' },
      { message: 'no', type: 'invalid', code: '3051' },
    ],
    [{ detail: 'no' }, { message: 'no' }],
    [{ detail: [{ loc: ['body', 'n'], msg: 'too big' }, { msg: 'no' }] }, { message: 'body.n: too big; no' }],
    [{ detail: { message: 'no' } }, { message: 'no' }],
    [
      { errors: [{ message: 'no', code: 7003 }], success: false },
      { message: 'no', code: '7003' },
    ],
    [
      [{ error: { code: 400, message: 'no', status: 'INVALID_ARGUMENT' } }],
      { message: 'no', code: '400', type: 'INVALID_ARGUMENT' },
    ],
    ['no', { message: 'no' }],
    [null, {}],
    [[], {}],
    [{}, {}],
  ]
  for (const [body, complaint] of cases) assert.deepEqual(readError(body), complaint, JSON.stringify(body))
})

test('a body inside a 200 that is an error or no answer is not read as one', () => {
  assert.throws(() => readBody(openaiChat, '{"error":{"message":"x","code":"rate_limit_exceeded"}}'), {
    code: 'upstream_error',
  })
  assert.throws(() => readBody(openaiChat, '{"choices":[]}'), { code: 'upstream_invalid' })
  assert.throws(() => readBody(openaiChat, '[1]'), { code: 'upstream_invalid' })
})

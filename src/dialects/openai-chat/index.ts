/**
 * OpenAI's chat completions: the format most clients speak and most vendors imitate. Streams are SSE that ends with
 * `[DONE]`. What the imitators do differently is known in the reader and the watcher, not in provider files.
 */
import { defineDialect } from '../../core/dialect.ts'
import { failStream, readError, writeError } from './errors.ts'
import { ReplyReader } from './reader.ts'
import { readRequest, writeRequest } from './request.ts'
import { askForUsage } from './usage.ts'
import { ID } from './vocabulary.ts'
import { ChatWatcher, factsOf } from './watcher.ts'
import { streamWriter, writeBody } from './writer.ts'

/** What a field says anyway when it is left out. */
export const NEUTRAL = { temperature: 1, top_p: 1, presence_penalty: 0, frequency_penalty: 0, logprobs: false }

export default defineDialect({
  id: ID,
  operation: 'chat',
  client: {
    // `logprobs` and `reasoning_effort` are of other types at some vendors: only a translation checks them.
    fields: {
      model: 'string',
      messages: 'array',
      stream: 'boolean',
      stream_options: 'object',
      max_tokens: 'integer',
      max_completion_tokens: 'integer',
      temperature: 'number',
      top_p: 'number',
      stop: 'string|array',
      n: 'integer',
      seed: 'integer',
      frequency_penalty: 'number',
      presence_penalty: 'number',
      top_logprobs: 'integer',
      tools: 'array',
      functions: 'array',
      parallel_tool_calls: 'boolean',
      response_format: 'object',
      user: 'string',
      safety_identifier: 'string',
    },
    streamType: 'text/event-stream',
    requestIdHeader: 'x-request-id',
    references: {
      fields: ['file_id'],
      outside: ['metadata', 'parameters', 'schema', 'annotations'],
    },
    outputLimit: ({ max_completion_tokens, max_tokens }) =>
      typeof max_completion_tokens === 'number'
        ? max_completion_tokens
        : typeof max_tokens === 'number'
          ? max_tokens
          : undefined,
    limitOutput: ({ max_completion_tokens }, tokens) =>
      typeof max_completion_tokens === 'number' ? { max_completion_tokens: tokens } : { max_tokens: tokens },
    readRequest,
    writeBody,
    streamWriter,
    ping: ': ping\n\n',
    writeError,
    failStream,
  },
  upstream: {
    framing: 'sse',
    refusable: { renamed: { max_tokens: 'max_completion_tokens' }, neutral: NEUTRAL },
    writeRequest,
    relayEdits: askForUsage,
    readBody: (body, asked) => new ReplyReader(asked).readBody(body),
    streamReader: (asked) => new ReplyReader(asked),
    watcher: (asked) => new ChatWatcher(asked),
    factsOf,
    readError,
  },
})

// What OpenAI's other endpoints share with this one.
export { bornInside, failStream, readError, writeError } from './errors.ts'
export { mustBe, objectsIn, optional, required } from './fields.ts'
export { askForUsage, usageOf, writeUsage } from './usage.ts'
export {
  FINISH_NAMES,
  finishOf,
  isEmpty,
  isObject,
  listOf,
  objectOf,
  said,
  without,
  wordOf,
} from './vocabulary.ts'
export { ChatWatcher, factsOf, probesFor } from './watcher.ts'

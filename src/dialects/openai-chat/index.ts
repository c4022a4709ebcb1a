/**
 * OpenAI's chat completions: the format most clients speak and most vendors imitate. Streams are SSE that ends with
 * `[DONE]`. What the imitators do differently is known in the reader and the watcher, not in provider files.
 */
import { defineDialect } from '../../core/dialect.ts'
import { failStream, readError, writeError } from './errors.ts'
import { ReplyReader } from './reader.ts'
import { readRequest, writeRequest } from './request.ts'
import { ID, objectOf } from './vocabulary.ts'
import { ChatWatcher, factsOf } from './watcher.ts'
import { streamWriter, writeBody } from './writer.ts'

export default defineDialect({
  id: ID,
  operation: 'chat',
  client: {
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
      logprobs: 'boolean',
      top_logprobs: 'integer',
      tools: 'array',
      functions: 'array',
      parallel_tool_calls: 'boolean',
      response_format: 'object',
      reasoning_effort: 'string',
      user: 'string',
      safety_identifier: 'string',
    },
    streamType: 'text/event-stream',
    readRequest,
    writeBody,
    streamWriter,
    ping: ': ping\n\n',
    writeError,
    failStream,
  },
  upstream: {
    framing: 'sse',
    writeRequest,
    relayEdits(body) {
      const options = objectOf(body.stream_options)
      if (body.stream !== true || options.include_usage === true) return {}
      return { stream_options: { ...options, include_usage: true } }
    },
    readBody: (body) => new ReplyReader().readBody(body),
    streamReader: () => new ReplyReader(),
    watcher: (asked) => new ChatWatcher(asked),
    factsOf,
    readError,
  },
})

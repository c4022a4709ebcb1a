/**
 * OpenAI's Responses API (`POST /v1/responses`). Streams are SSE with named events: items of output open, grow and close,
 * each under its index, and the event that carries the whole response is the end.
 */
import { defineDialect } from '../../core/dialect.ts'
import { NEUTRAL, readError, writeError } from '../openai-chat/index.ts'
import { failStream } from './errors.ts'
import { outputLimit } from './parameters.ts'
import { ResponseReader } from './reader.ts'
import { references } from './references.ts'
import { boundTo, readRequest, writeRequest } from './request.ts'
import { seals } from './seals.ts'
import { ID } from './vocabulary.ts'
import { factsOf, ResponseWatcher } from './watcher.ts'
import { streamWriter, writeBody } from './writer.ts'

export default defineDialect({
  id: ID,
  operation: 'chat',
  seals,
  client: {
    fields: {
      model: 'string',
      input: 'string|array',
      instructions: 'string',
      stream: 'boolean',
      background: 'boolean',
      store: 'boolean',
      max_output_tokens: 'integer',
      temperature: 'number',
      top_p: 'number',
      top_logprobs: 'integer',
      tools: 'array',
      parallel_tool_calls: 'boolean',
      include: 'array',
      text: 'object',
      reasoning: 'object',
      previous_response_id: 'string',
      user: 'string',
      safety_identifier: 'string',
    },
    content: 'input',
    streamType: 'text/event-stream',
    requestIdHeader: 'x-request-id',
    outputLimit,
    limitOutput: (_, tokens) => ({ max_output_tokens: tokens }),
    references,
    boundTo,
    readRequest,
    writeBody,
    streamWriter,
    ping: ': ping\n\n',
    writeError,
    failStream,
  },
  upstream: {
    framing: 'sse',
    refusable: { renamed: {}, neutral: NEUTRAL },
    writeRequest,
    readBody: (body, asked) => new ResponseReader(asked).body(body),
    streamReader: (asked) => new ResponseReader(asked),
    watcher: () => new ResponseWatcher(),
    factsOf,
    readError,
  },
})

export { references } from './references.ts'
export { seals, sealsIn } from './seals.ts'

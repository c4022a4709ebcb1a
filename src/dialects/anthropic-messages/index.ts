/**
 * Anthropic's Messages API (`POST /v1/messages`), which several other vendors serve as well. Streams are SSE with named
 * events: a message opens, its blocks open, grow and close one after another, and `message_stop` is the end.
 */
import { defineDialect } from '../../core/dialect.ts'
import { allowanceHeaders } from './allowance.ts'
import { failStream, readError, writeError } from './errors.ts'
import { readRequest } from './read-request.ts'
import { MessageReader } from './reader.ts'
import { ID, isObject, stringOf } from './vocabulary.ts'
import { factsOf, isKept, MessageWatcher } from './watcher.ts'
import { writeRequest } from './write-request.ts'
import { streamWriter, writeBody } from './writer.ts'

export default defineDialect({
  id: ID,
  operation: 'chat',
  client: {
    fields: {
      model: 'string',
      messages: 'array',
      system: 'string|array',
      max_tokens: 'integer',
      stream: 'boolean',
      tools: 'array',
      tool_choice: 'object',
      temperature: 'number',
      top_p: 'number',
      top_k: 'integer',
      stop_sequences: 'array',
      metadata: 'object',
      thinking: 'object',
      output_config: 'object',
      output_format: 'object',
    },
    streamType: 'text/event-stream',
    requestIdHeader: 'request-id',
    outputLimit: ({ max_tokens }) => (typeof max_tokens === 'number' ? max_tokens : undefined),
    limitOutput: (_, tokens) => ({ max_tokens: tokens }),
    references: {
      fields: ['file_id', 'thread.previous_message_id'],
      outside: ['input', 'input_schema', 'schema', 'metadata'],
      perhaps({ container }) {
        const id = stringOf(isObject(container) ? container.id : container)
        return id === undefined ? [] : [id]
      },
    },
    boundTo: (body) => (isKept(body) ? 'thread' : undefined),
    readRequest,
    writeBody,
    streamWriter,
    ping: 'event: ping\ndata: {"type": "ping"}\n\n',
    writeError,
    allowanceHeaders,
    failStream,
  },
  upstream: {
    framing: 'sse',
    terminal: 'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    writeRequest,
    readBody: (body, asked) => new MessageReader(asked).body(body),
    streamReader: (asked) => new MessageReader(asked),
    watcher: (asked) => new MessageWatcher(asked),
    factsOf,
    readError,
  },
})

export { failStream, writeError } from './errors.ts'
// What other formats share that serve the same models, or whose names have the same alphabet.
export { originalNames, wireId, wireName } from './names.ts'
export { usageOf } from './usage.ts'
export { inputOf, JSON_TOOL } from './vocabulary.ts'

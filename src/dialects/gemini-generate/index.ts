/**
 * Google's generateContent and streamGenerateContent, as the Gemini API and Vertex AI speak it. Streams are SSE
 * (`alt=sse`): every event is a whole response with a piece of content, and there is no end marker; the end of the
 * bytes after a finish reason is the end.
 */
import { defineDialect } from '../../core/dialect.ts'
import type { JsonObject } from '../../core/request.ts'
import { readError, writeError } from './errors.ts'
import { readRequest } from './read-request.ts'
import { ReplyReader } from './reader.ts'
import { namesIn } from './references.ts'
import { camelKeys, ID, numberOf, objectOf } from './vocabulary.ts'
import { factsOf, GeminiWatcher } from './watcher.ts'
import { writeRequest } from './write-request.ts'
import { failStream, streamWriter, writeBody } from './writer.ts'

const limitsOf = (body: JsonObject): JsonObject => camelKeys(objectOf(body.generationConfig ?? body.generation_config))

export default defineDialect({
  id: ID,
  operation: 'chat',
  client: {
    addressed: 'path',
    content: 'contents',
    fields: {
      model: 'string',
      stream: 'boolean',
      contents: 'array',
      systemInstruction: 'object',
      system_instruction: 'object',
      tools: 'array',
      toolConfig: 'object',
      tool_config: 'object',
      generationConfig: 'object',
      generation_config: 'object',
      safetySettings: 'array',
      safety_settings: 'array',
      cachedContent: 'string',
      cached_content: 'string',
    },
    streamType: 'text/event-stream',
    outputLimit: (body) => numberOf(limitsOf(body).maxOutputTokens),
    limitOutput: (body, tokens) => ({
      [body.generation_config === undefined ? 'generationConfig' : 'generation_config']: {
        ...limitsOf(body),
        maxOutputTokens: tokens,
      },
    }),
    references: { fields: [], further: namesIn },
    readRequest,
    writeBody,
    streamWriter,
    ping: ': ping\n\n',
    writeError,
    failStream,
  },
  upstream: {
    framing: 'sse',
    namesIn,
    writeRequest,
    readBody(body, asked) {
      const reader = new ReplyReader(asked)
      return [...reader.take(body), ...reader.end()]
    },
    streamReader: (asked) => new ReplyReader(asked),
    watcher: (asked) => new GeminiWatcher(asked),
    factsOf,
    readError,
  },
})

// What Google's other endpoints share with this one.
export { bornInside, readError, writeError } from './errors.ts'
export { namesIn } from './references.ts'
export { usageOf } from './usage.ts'
export { camelKeys, isObject, listOf, objectOf, stringOf } from './vocabulary.ts'
export { failStream } from './writer.ts'

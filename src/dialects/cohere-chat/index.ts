/**
 * Cohere's chat (`POST /v2/chat`), towards upstreams. Streams are SSE with named events, of which `message-end` is the
 * last. https://docs.cohere.com/reference/chat
 */
import { defineDialect } from '../../core/dialect.ts'
import { textBytes } from '../../wire/measure.ts'
import { factsOf, ReadingWatcher } from '../../wire/reading-watcher.ts'
import { readError } from '../openai-chat/index.ts'
import { CohereReader } from './reader.ts'
import { ID } from './vocabulary.ts'
import { writeRequest } from './write-request.ts'

const DELTA = Buffer.from('"content-delta"')
const TEXT_KEYS = ['"text"', '"thinking"'].map((key) => Buffer.from(key))
/** Behind `event: content-delta\ndata: {"type":`. */
const HEAD = 64

export default defineDialect({
  id: ID,
  operation: 'chat',
  upstream: {
    framing: 'sse',
    writeRequest,
    readBody: (body) => new CohereReader().body(body),
    streamReader: () => new CohereReader(),
    watcher: () =>
      new ReadingWatcher(new CohereReader(), (bytes) =>
        bytes.subarray(0, HEAD).includes(DELTA) ? textBytes(bytes, TEXT_KEYS) : undefined,
      ),
    factsOf: (body) => factsOf(() => new CohereReader().body(body)),
    readError,
  },
})

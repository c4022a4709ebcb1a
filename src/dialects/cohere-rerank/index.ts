/**
 * Cohere's ranking (`POST /v2/rerank`): texts only, billed by the search, and no documents in the answer unless an older
 * client of `/v1/rerank` asks for them.
 */
import { defineDialect, type ReplyContext } from '../../core/dialect.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject } from '../../core/request.ts'
import { onlyEvent, unstreamed } from '../../core/unstreamed.ts'
import { readError } from '../openai-chat/index.ts'
import { rankedOf, readRanked, readRanking, type Spelling, writeRanking } from './ranking.ts'

const ID = 'cohere-rerank'
const SPELLING: Spelling = { id: ID, top: 'top_n', returns: false, results: 'results', objects: false }

export const writeError = (error: GatewayError, requestId: string): JsonObject => ({
  id: requestId,
  message: error.message,
})

function writeBody(events: readonly ReplyEvent[], context: ReplyContext): JsonObject {
  const { id, results, searches, tokens } = rankedOf(events, context, false)
  const units = { ...(tokens > 0 ? { input_tokens: tokens } : {}), search_units: searches }
  return { id, results, meta: { api_version: { version: '2' }, billed_units: units } }
}

const failStream = (error: GatewayError, requestId: string): string =>
  `${JSON.stringify(writeError(error, requestId))}\n`

export default defineDialect({
  id: ID,
  operation: 'rerank',
  client: {
    fields: { model: 'string', query: 'string', documents: 'array', top_n: 'integer', return_documents: 'boolean' },
    streamType: 'application/json',
    readRequest: (body) => readRanking(body, ID),
    // The documents that an older client wants back are not in this API's own answers.
    takes: (_facts, asked) => asked.return_documents !== true,
    writeBody,
    streamWriter: (context) => onlyEvent(context, writeBody, JSON.stringify, (error) => failStream(error, context.id)),
    ping: ' ',
    writeError,
    failStream,
  },
  upstream: unstreamed({
    writeRequest: (request, { model, report }) => writeRanking(request, model, report, SPELLING),
    readBody: (body) => readRanked(body, SPELLING),
    readError,
  }),
})

// What the copies of this API share with it.
export { rankedOf, readRanked, readRanking, type Spelling, writeRanking } from './ranking.ts'

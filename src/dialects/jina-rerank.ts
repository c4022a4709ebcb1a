/**
 * The ranking that Jina, Together and many local servers answer at `/v1/rerank`: billed by the token, and the documents
 * come back unless the client says no. To clients it also says what Cohere's first version says there, so that either's
 * SDK reads it.
 */
import { defineDialect, type ReplyContext } from '../core/dialect.ts'
import type { GatewayError } from '../core/errors.ts'
import type { ReplyEvent } from '../core/reply.ts'
import type { JsonObject } from '../core/request.ts'
import { onlyEvent, unstreamed } from '../core/unstreamed.ts'
import { rankedOf, readRanked, readRanking, type Spelling, writeRanking } from './cohere-rerank/index.ts'
import { readError } from './openai-chat/index.ts'

const ID = 'jina-rerank'
const SPELLING: Spelling = { id: ID, top: 'top_n', returns: true, results: 'results', objects: true }

function writeBody(events: readonly ReplyEvent[], context: ReplyContext): JsonObject {
  const { id, model, results, tokens, searches } = rankedOf(events, context, true)
  return {
    id,
    object: 'list',
    model,
    results,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
    meta: { billed_units: { input_tokens: tokens, search_units: searches } },
  }
}

/** `detail` is where this API says what is wrong; `message` where Cohere's clients look. */
const writeError = ({ message, code }: GatewayError, requestId: string): JsonObject => ({
  detail: message,
  message,
  code,
  request_id: requestId,
})
const failStream = (error: GatewayError, requestId: string): string =>
  `${JSON.stringify(writeError(error, requestId))}\n`

export default defineDialect({
  id: ID,
  operation: 'rerank',
  client: {
    fields: { model: 'string', query: 'string', documents: 'array', top_n: 'integer', return_documents: 'boolean' },
    streamType: 'application/json',
    readRequest: (body) => readRanking(body, ID),
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

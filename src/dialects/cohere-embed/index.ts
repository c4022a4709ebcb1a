/**
 * Cohere's embeddings (`POST /v2/embed`), towards upstreams. It must be told what the vectors are for; a client of
 * another vendor that does not say gets those of documents to be searched.
 */
import { defineDialect } from '../../core/dialect.ts'
import type { JsonValue } from '../../core/request.ts'
import { unstreamed } from '../../core/unstreamed.ts'
import { tokenCount } from '../../core/usage.ts'
import { listOf, objectOf, readError } from '../openai-chat/index.ts'
import { inputOnly, noVectors, textsOf, vectorEvents } from './vectors.ts'

const ID = 'cohere-embed'

function readBody(body: JsonValue) {
  const reply = objectOf(body)
  // By type since v2; older answers are the list itself.
  const vectors = Array.isArray(reply.embeddings) ? reply.embeddings : listOf(objectOf(reply.embeddings).float)
  if (vectors.length === 0) throw noVectors(body)
  const { input_tokens } = objectOf(objectOf(reply.meta).billed_units)
  return vectorEvents(vectors, { id: reply.id }, inputOnly(tokenCount(input_tokens)))
}

export default defineDialect({
  id: ID,
  operation: 'embeddings',
  upstream: unstreamed({
    writeRequest(asked, context) {
      const { request, texts, own } = textsOf(asked, context, ID, ['input_type', 'truncate'])
      return {
        model: context.model,
        texts,
        input_type: 'search_document',
        embedding_types: ['float'],
        ...(request.dimensions === undefined ? {} : { output_dimension: request.dimensions }),
        ...own,
      }
    },
    readBody,
    readError,
  }),
})

export { inputOnly, noVectors, readList, textsOf, vectorEvents } from './vectors.ts'

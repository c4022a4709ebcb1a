/** Embeddings by Vertex AI's `:predict`, towards upstreams: one instance a text, each counted by itself. */
import { defineDialect } from '../core/dialect.ts'
import type { JsonValue } from '../core/request.ts'
import { unstreamed } from '../core/unstreamed.ts'
import { tokenCount } from '../core/usage.ts'
import { inputOnly, noVectors, textsOf, vectorEvents } from './cohere-embed/index.ts'
import { readError } from './gemini-generate/index.ts'
import { listOf, objectOf } from './openai-chat/index.ts'

const ID = 'vertex-predict'

function readBody(body: JsonValue) {
  const predictions = listOf(objectOf(body).predictions).map((prediction) => objectOf(objectOf(prediction).embeddings))
  if (predictions.length === 0) throw noVectors(body)
  const tokens = predictions.reduce((sum, { statistics }) => sum + tokenCount(objectOf(statistics).token_count), 0)
  return vectorEvents(
    predictions.map(({ values }) => values ?? null),
    {},
    inputOnly(tokens),
  )
}

export default defineDialect({
  id: ID,
  operation: 'embeddings',
  upstream: unstreamed({
    writeRequest(asked, context) {
      const { request, texts, own } = textsOf(asked, context, ID, ['task_type', 'title', 'autoTruncate'])
      const { autoTruncate, ...each } = own
      const parameters = {
        ...(request.dimensions === undefined ? {} : { outputDimensionality: request.dimensions }),
        ...(autoTruncate === undefined ? {} : { autoTruncate }),
      }
      return {
        instances: texts.map((content) => ({ content, ...each })),
        ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
      }
    },
    readBody,
    readError,
  }),
})

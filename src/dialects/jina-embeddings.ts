/** Jina's embeddings, towards upstreams: OpenAI's list, with a task that the vectors are made for. */
import { defineDialect } from '../core/dialect.ts'
import { unstreamed } from '../core/unstreamed.ts'
import { readList, textsOf } from './cohere-embed/index.ts'
import { readError } from './openai-chat/index.ts'

const ID = 'jina-embeddings'

export default defineDialect({
  id: ID,
  operation: 'embeddings',
  upstream: unstreamed({
    writeRequest(asked, context) {
      const { request, texts, own } = textsOf(asked, context, ID, ['task', 'normalized', 'truncate', 'late_chunking'])
      return {
        model: context.model,
        input: texts,
        embedding_type: 'float',
        ...(request.dimensions === undefined ? {} : { dimensions: request.dimensions }),
        ...own,
      }
    },
    readBody: readList,
    readError,
  }),
})

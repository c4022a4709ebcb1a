/** Voyage's embeddings, towards upstreams: OpenAI's list under other names (`output_dimension`, `input_type`). */
import { defineDialect } from '../core/dialect.ts'
import { unstreamed } from '../core/unstreamed.ts'
import { readList, textsOf } from './cohere-embed/index.ts'
import { readError } from './openai-chat/index.ts'

const ID = 'voyage-embeddings'

export default defineDialect({
  id: ID,
  operation: 'embeddings',
  upstream: unstreamed({
    writeRequest(asked, context) {
      const { request, texts, own } = textsOf(asked, context, ID, ['input_type', 'truncation'])
      return {
        model: context.model,
        input: texts,
        ...(request.dimensions === undefined ? {} : { output_dimension: request.dimensions }),
        ...own,
      }
    },
    readBody: readList,
    readError,
  }),
})

/** Voyage's ranking, towards upstreams: `top_k` and `data` where the others say `top_n` and `results`; texts only. */
import { defineDialect } from '../core/dialect.ts'
import { unstreamed } from '../core/unstreamed.ts'
import { readRanked, type Spelling, writeRanking } from './cohere-rerank/index.ts'
import { readError } from './openai-chat/index.ts'

const ID = 'voyage-rerank'
const SPELLING: Spelling = { id: ID, top: 'top_k', returns: true, results: 'data', objects: false }

export default defineDialect({
  id: ID,
  operation: 'rerank',
  upstream: unstreamed({
    writeRequest: (request, { model, report }) => writeRanking(request, model, report, SPELLING),
    readBody: (body) => readRanked(body, SPELLING),
    readError,
  }),
})

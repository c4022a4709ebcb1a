/**
 * OpenAI's compaction of a conversation in the Responses API: a long one in, a short one out that only OpenAI can read. It
 * is relayed, and costs what its usage says.
 */
import { relayOnly } from './native/index.ts'
import { references, seals, sealsIn } from './openai-responses/index.ts'

export default relayOnly({
  id: 'openai-compaction',
  operation: 'compaction',
  endpoints: {
    under: '/responses',
    roots: ['/responses/compact'],
    deed: (method, path) => (method === 'POST' && path === '/responses/compact' ? {} : undefined),
  },
  seals,
  sealsIn: (body) => sealsIn(body.output),
  references,
})

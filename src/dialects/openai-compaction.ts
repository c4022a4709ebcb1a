/**
 * OpenAI's compaction of a conversation in the Responses API: a long one in, a short one out that only OpenAI can read. It
 * is relayed, and costs what its usage says.
 */
import { relayOnly } from './native/index.ts'

export default relayOnly({
  id: 'openai-compaction',
  operation: 'compaction',
  endpoints: {
    under: '/responses',
    roots: ['/responses/compact'],
    deed: (method, path) => (method === 'POST' && path === '/responses/compact' ? {} : undefined),
  },
  references: ['previous_response_id', 'file_id'],
})

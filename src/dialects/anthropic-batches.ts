/**
 * Anthropic's batches of messages: relayed, their maker's alone, and booked when they are over by the lines of their
 * results. https://platform.claude.com/docs/en/api/creating-message-batches
 */
import type { Deed, Endpoints, Jobs, Method } from '../core/relay.ts'
import { failStream, usageOf, writeError } from './anthropic-messages/index.ts'
import { relayOnly } from './native/index.ts'
import { objectOf, wordOf } from './openai-chat/index.ts'

const ROOT = '/messages/batches'
const KIND = 'message-batch'

/** Where its results are is said with the vendor's own address. */
const LINKS = ['results_url']

function deed(method: Method, path: string): Deed | undefined {
  const [id, further, ...more] = path.slice(ROOT.length + 1).split('/')
  if (!id) {
    if (method === 'POST') return { makes: KIND, settles: true, free: true, links: LINKS }
    if (method !== 'GET') return undefined
    const lists = { kind: KIND, items: 'data', id: 'id', cursor: 'after_id', limit: 'limit' }
    return { lists, free: true, links: LINKS }
  }
  if (!/^[\w-]+$/.test(id) || more.length > 0) return undefined
  const names = { names: id, free: true } as const
  if (further === undefined) {
    if (method === 'DELETE') return { ...names, removes: true }
    return method === 'GET' ? { ...names, settles: true, links: LINKS } : undefined
  }
  if (further === 'results') return method === 'GET' ? names : undefined
  return further === 'cancel' && method === 'POST' ? { ...names, settles: true, links: LINKS } : undefined
}

const jobs: Jobs = {
  kind: KIND,
  discounted: true,
  path: (id) => `/${encodeURIComponent(id)}`,
  read(body) {
    const over = body.processing_status === 'ended'
    const id = wordOf(body.id)
    return { over, results: over && id !== undefined ? [`/${encodeURIComponent(id)}/results`] : [] }
  },
  // What failed, expired or was canceled has no message, and costs nothing.
  line({ result }) {
    const message = objectOf(objectOf(result).message)
    const usage = usageOf(objectOf(message.usage))
    return usage && { model: wordOf(message.model) ?? '', usage }
  },
}

export const endpoints: Endpoints = { under: ROOT, roots: [ROOT], deed, jobs: [jobs] }

export default relayOnly({
  id: 'anthropic-batches',
  operation: 'objects',
  endpoints,
  fields: { requests: 'array' },
  references: { fields: ['file_id'], outside: ['input', 'input_schema', 'schema', 'metadata'] },
  hasErrors: true,
  shape: { requestIdHeader: 'request-id', writeError, failStream },
})

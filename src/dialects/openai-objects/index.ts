/**
 * What OpenAI's API keeps: files, batches, fine-tuning, vector stores, conversations and their like. Relayed, and each
 * object is its maker's alone; the table says where they stand.
 */
import type { Deed, Endpoints, Jobs, Listing, Method } from '../../core/relay.ts'
import { relayOnly } from '../native/index.ts'
import { objectOf, usageOf, wordOf } from '../openai-chat/index.ts'
import { REFERENCES, ROOTS, type Root, STATELESS } from './table.ts'

const LISTING: Omit<Listing, 'kind'> = { items: 'data', id: 'id', cursor: 'after', limit: 'limit' }

function deedOf(root: Root, method: Method, rest: string): Deed | undefined {
  const [, id, ...further] = rest.split('/')
  const yields = {
    ...(root.yields ? { yields: root.yields } : {}),
    ...(root.settles ? { settles: true as const } : {}),
  }
  if (id === undefined || id === '') {
    if (method === 'GET' && !root.unlisted) return { lists: { ...LISTING, kind: root.kind }, free: true }
    if (method !== 'POST' || root.unmade) return undefined
    return { makes: root.kind, ...(root.paid ? {} : { free: true }), ...yields }
  }
  if (root.makers?.includes(id)) return method === 'POST' ? { makes: root.kind, ...yields } : undefined
  const names = unescaped(id)
  if (names === undefined) return undefined
  if (method === 'DELETE' && further.length === 0) return { names, removes: true, free: true }
  return { names, free: true, ...yields }
}

function unescaped(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

const OVER = new Set(['completed', 'expired', 'cancelled', 'failed'])

/** Newer batches say what they used; of others the results are read. */
const batches: Jobs = {
  kind: 'batch',
  discounted: true,
  path: (id) => `/batches/${encodeURIComponent(id)}`,
  read(body) {
    const usage = usageOf(body.usage)
    const model = wordOf(body.model)
    const file = wordOf(body.output_file_id)
    return {
      over: OVER.has(wordOf(body.status) ?? ''),
      ...(usage && (usage.input || usage.output) ? { usage } : {}),
      ...(model === undefined ? {} : { model }),
      results: file === undefined ? [] : [`/files/${encodeURIComponent(file)}/content`],
    }
  },
  line(line) {
    const body = objectOf(objectOf(line.response).body)
    const usage = usageOf(body.usage)
    return usage && { model: wordOf(body.model) ?? '', usage }
  },
}

/** An answer that is made in the background. */
const responses: Jobs = {
  kind: 'response',
  path: (id) => `/responses/${encodeURIComponent(id)}`,
  read(body) {
    const usage = usageOf(body.usage)
    const model = wordOf(body.model)
    return {
      over: !RUNNING.has(wordOf(body.status) ?? ''),
      ...(usage ? { usage } : {}),
      ...(model === undefined ? {} : { model }),
      results: [],
    }
  },
}
const RUNNING = new Set(['queued', 'in_progress'])

export const endpoints: Endpoints = {
  jobs: [batches, responses],
  under: '',
  roots: [...ROOTS.map(({ path }) => path), ...STATELESS],
  deed(method, path) {
    if (STATELESS.includes(path)) return method === 'POST' ? {} : undefined
    const root = ROOTS.find((r) => path === r.path || path.startsWith(`${r.path}/`))
    return root && deedOf(root, method, path.slice(root.path.length))
  },
}

export default relayOnly({
  id: 'openai-objects',
  operation: 'objects',
  endpoints,
  references: { fields: REFERENCES, outside: ['metadata', 'schema', 'parameters', 'annotations'] },
  hasErrors: true,
})

/**
 * What OpenAI's API keeps: files, batches, fine-tuning, vector stores, conversations and their like. Relayed, and each
 * object is its maker's alone; the table says where they stand.
 */
import type { Deed, Endpoints, Listing, Method } from '../../core/relay.ts'
import { relayOnly } from '../native/index.ts'
import { REFERENCES, ROOTS, type Root, STATELESS } from './table.ts'

const LISTING: Omit<Listing, 'kind'> = { items: 'data', id: 'id', cursor: 'after', limit: 'limit' }

function deedOf(root: Root, method: Method, rest: string): Deed | undefined {
  const [, id, ...further] = rest.split('/')
  const yields = root.yields ? { yields: root.yields } : {}
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

export const endpoints: Endpoints = {
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
  references: REFERENCES,
  hasErrors: true,
})

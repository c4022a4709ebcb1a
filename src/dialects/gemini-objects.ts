/**
 * What Google's API keeps for its callers, under its upstream's name: batches of generateContent, files, cached contents. Each
 * is its maker's alone; a batch is booked when it is over. https://ai.google.dev/gemini-api/docs/batch-api
 */
import type { Deed, Endpoints, Jobs, Listing, Method } from '../core/relay.ts'
import type { JsonObject, JsonValue } from '../core/request.ts'
import type { Usage } from '../core/usage.ts'
import { failStream, listOf, namesIn, usageOf, writeError } from './gemini-generate/index.ts'
import { relayOnly } from './native/index.ts'
import { isObject, objectOf, wordOf } from './openai-chat/index.ts'

const BATCH = 'gemini-batch'
/** Files and caches are made in other ways, too; whatever makes them there calls them so. */
const OTHER = 'native'

const list = (kind: string, items: string): Listing => ({
  kind,
  items,
  id: 'name',
  cursor: 'pageToken',
  next: 'nextPageToken',
  limit: 'pageSize',
})

interface Root {
  readonly kind: string
  readonly lists: Listing
  /** What a POST to it names what it made by; absent: it makes nothing. */
  readonly made?: string
  readonly more?: Partial<Deed>
}
const ROOTS: Readonly<Record<string, Root>> = {
  batches: {
    kind: BATCH,
    lists: list(BATCH, 'operations'),
    more: {
      settles: true,
      idField: 'name',
      yields: { 'response.responsesFile': OTHER, 'metadata.output.responsesFile': OTHER },
    },
  },
  files: { kind: OTHER, lists: list(OTHER, 'files'), made: 'file.name' },
  cachedContents: { kind: OTHER, lists: list(OTHER, 'cachedContents'), made: 'name' },
}

const ASKS = /^\/(?:models|tunedModels)\/([^/]+):batchGenerateContent$/

function deed(method: Method, path: string): Deed | undefined {
  const asked = ASKS.exec(path)?.[1]
  if (asked !== undefined) {
    if (method !== 'POST') return undefined
    const model = unescaped(asked)
    return { makes: BATCH, idField: 'name', settles: true, free: true, ...(model === undefined ? {} : { model }) }
  }
  const [, name = '', id, ...further] = path.split('/')
  const root = ROOTS[name]
  if (!root || further.length > 0) return undefined
  if (id === undefined) {
    if (method === 'GET') return { lists: root.lists, free: true }
    const { made } = root
    return method === 'POST' && made !== undefined ? { free: true, yields: { [made]: root.kind } } : undefined
  }
  const [own = '', verb] = id.split(':')
  if (!/^[\w.-]+$/.test(own)) return undefined
  const names = { names: `${name}/${own}`, free: true, ...root.more } as const
  if (verb !== undefined) return method === 'POST' || (verb === 'download' && method === 'GET') ? names : undefined
  if (method === 'DELETE') return { ...names, removes: true }
  return method === 'GET' || method === 'PATCH' ? names : undefined
}

function unescaped(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

/** The file with a batch's requests, and what these name. */
function filesIn({ batch }: JsonObject): readonly string[] {
  const input = objectOf(objectOf(batch).inputConfig)
  const file = wordOf(input.fileName)
  const named = listOf(objectOf(input.requests).requests).flatMap((each) => namesIn(objectOf(objectOf(each).request)))
  return file === undefined ? named : [file, ...named]
}

const OVER = /_(?:SUCCEEDED|FAILED|CANCELLED|EXPIRED)$/

const jobs: Jobs = {
  kind: BATCH,
  discounted: true,
  path: (id) => `/${id}`,
  read(body) {
    const metadata = objectOf(body.metadata)
    const output = { ...objectOf(metadata.output), ...objectOf(body.response) }
    const model = wordOf(metadata.model)?.replace(/^models\//, '')
    const file = wordOf(output.responsesFile)
    const inline = objectOf(output.inlinedResponses).inlinedResponses
    return {
      over: body.done === true || OVER.test(wordOf(metadata.state) ?? ''),
      ...(model === undefined ? {} : { model }),
      lines: Array.isArray(inline) ? (inline as readonly JsonValue[]).filter(isObject) : [],
      results: file === undefined ? [] : [`/${file}:download?alt=media`],
    }
  },
  line,
}

/** An answer, or the reason why there is none. */
function line({ response }: JsonObject): { model: string; usage: Usage } | undefined {
  const answer = objectOf(response)
  if (!isObject(answer.usageMetadata)) return undefined
  const usage = usageOf(answer.usageMetadata)
  return usage && { model: wordOf(answer.modelVersion) ?? '', usage: usage }
}

export const endpoints: Endpoints = {
  under: '',
  native: true,
  roots: Object.keys(ROOTS).map((name) => `/${name}`),
  deed,
  jobs: [jobs],
}

export default relayOnly({
  id: 'gemini-objects',
  operation: 'objects',
  endpoints,
  references: { fields: ['cachedContent'], further: filesIn },
  hasErrors: true,
  shape: { writeError, failStream },
})

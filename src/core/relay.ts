/**
 * Operations that no dialect translates: files, images, sound, batches, and whatever else a vendor's API has. Such a call
 * is an exchange like any other; only its bytes pass as they came, and what it does to objects is known from a table
 * of its family.
 */
import type { BodyRest, IncomingReply } from './egress.ts'
import type { Exchange, Plan, Upstream } from './exchange.ts'
import type { Made, Objects, OwnedObject } from './objects.ts'
import type { JsonObject, JsonValue } from './request.ts'
import type { Snapshot } from './snapshot.ts'
import type { Usage } from './usage.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface Relay {
  readonly method: Method
  /** Behind the provider's endpoint for this dialect, with its query: `/file-1/content?x=1`. */
  readonly path: string
  /** Of the request's body, as the client said it; absent: there is none. */
  readonly contentType?: string
  /** How a body that is not JSON gets other fields. Without it such a body is what it is. */
  rewrite?(fields: Readonly<Record<string, JsonValue | undefined>>): readonly Buffer[]
  readonly deed: Deed
  /** The model, where the path names it. */
  readonly model?: string
  /** What follows the exchange's body: it is too large to be taken in whole, and goes on as it comes. */
  readonly rest?: BodyRest
  /** The body is a JSON object, and stands in the exchange as such. */
  readonly json?: true
  /** Any path of the vendor's API: `path` is all that follows its base URL. */
  readonly anywhere?: true
}

/** What a call does to objects. */
export interface Deed {
  /** The id in its path. */
  readonly names?: string
  /** What in its path may be an id. None of it may be someone else's, and with `inside` one of it must be the caller's. */
  readonly within?: readonly string[]
  readonly inside?: true
  /** The kind of object that it makes, named by `id` (or this field) in the answer. */
  readonly makes?: string
  readonly idField?: string
  /** It lists all objects of a kind that the account has: the caller sees its own. */
  readonly lists?: Listing
  /** The object in its path is gone when it succeeds. */
  readonly removes?: true
  /** Fields of the answer with ids of further objects, and their kinds; a path may go through objects and lists. */
  readonly yields?: Readonly<Record<string, string>>
  /** It is about work whose use is booked when it is over, not by the calls that ask for it. */
  readonly settles?: true
  /** No model runs, so nothing is used. */
  readonly free?: true
  /** The model, where the path names it. */
  readonly model?: string
  /** Fields of the answer with addresses at the vendor: there, the client's key is of no use. They become paths of the gateway's. */
  readonly links?: readonly string[]
}

/** How a vendor pages through a list. */
export interface Listing {
  readonly kind: string
  /** The field of the items, and that of an item's id. */
  readonly items: string
  readonly id: string
  /** The query parameter that takes the place where the next page begins. */
  readonly cursor: string
  /** The field that says it; absent: the last item's id, while `has_more`. */
  readonly next?: string
  /** The query parameter that limits a page. */
  readonly limit: string
}

/** How a kind of work that goes on after the call that began it is looked at: batches, answers in the background. */
export interface Jobs {
  readonly kind: string
  /** Booked at the vendor's rate for batches. */
  readonly discounted?: true
  /** Where one is looked at, behind the provider's endpoint. */
  path(id: string): string
  /** Whether it is over; then what it used, or behind which paths its results stand. */
  read(body: JsonObject): JobState
  /** What one line of the results used; an empty name is the job's model. */
  line?(line: JsonObject): { readonly model: string; readonly usage: Usage } | undefined
}
export interface JobState {
  readonly over: boolean
  readonly model?: string
  readonly usage?: Usage
  /** Results that stand in it, like lines of a file. */
  readonly lines?: readonly JsonObject[]
  readonly results: readonly string[]
}

/** A family of endpoints, by their paths behind the API's version: `/files`, `/images/edits`. */
export interface Endpoints {
  /** What of a path stands in the provider's own endpoint: `/images`. */
  readonly under: string
  /** What its paths begin with. */
  readonly roots: readonly string[]
  /** Only under the upstream's own name: its paths are other APIs' too. */
  readonly native?: true
  /** Undefined: it has no such endpoint. */
  deed(method: Method, path: string): Deed | undefined
  readonly jobs?: readonly Jobs[]
}

/** Where a call without a model may go: to what it names, else to the format's own vendor first, then by upstream id. */
export function placesFor(x: Exchange, snapshot: Snapshot): readonly Upstream[] {
  const held = x.owned?.[0]?.upstream ?? x.upstream
  if (held !== undefined) {
    const upstream = snapshot.upstreams.get(held)
    return upstream ? [upstream] : []
  }
  const vendor = x.dialect.split('-', 1)[0]
  const rank = ({ provider }: Upstream): number => (provider.id === vendor ? 0 : 1)
  return [...snapshot.upstreams.values()]
    .filter(({ provider }) => Object.hasOwn(provider.speaks, x.dialect))
    .sort((a, b) => rank(a) - rank(b) || (a.id < b.id ? -1 : 1))
}

/** The plan of a relayed call: as its model's name says, else wherever it is served. */
export function relayPlan(x: Exchange, snapshot: Snapshot): Plan {
  const named = x.model === '' || x.upstream !== undefined ? undefined : snapshot.names.resolve(x.model)
  if (named && named.targets.length > 0) return named
  const said = x.upstream === undefined ? x.json.model : x.model.slice(x.upstream.length + 1)
  const model = typeof said === 'string' ? said : ''
  const places = placesFor(x, snapshot)
  // What is kept is in one place: nothing of it may come to be at another because the first was down.
  return snapshot.names.at(x.operation === 'objects' ? places.slice(0, 1) : places, model)
}

/** Ids in a JSON answer that become the caller's. */
export function madeBy(deed: Deed, body: JsonObject): readonly Made[] | undefined {
  const made: Made[] = []
  const add = (id: JsonValue | undefined, kind: string): void => {
    if (typeof id === 'string' && id !== '')
      made.push({ id, kind, ...(deed.settles && kind === deed.makes ? { facts: {} } : {}) })
    else if (Array.isArray(id)) for (const each of id as readonly JsonValue[]) add(each, kind)
  }
  if (deed.makes !== undefined) add(body[deed.idField ?? 'id'], deed.makes)
  for (const [path, kind] of Object.entries(deed.yields ?? {})) {
    add(valuesAt(body, path.split('.')), kind)
  }
  return made.length > 0 ? made : undefined
}

/** The answer, and what it lists, with paths in place of the vendor's addresses. */
export function linked(body: JsonObject, links: readonly string[], list: string | undefined): JsonObject {
  const changed: Record<string, JsonValue | undefined> = { ...body }
  for (const name of links) {
    const { [name]: address } = body
    if (typeof address !== 'string' || !URL.canParse(address)) continue
    const { pathname, search } = new URL(address)
    changed[name] = pathname + search
  }
  if (list !== undefined) changed[list] = objectsIn(body[list]).map((item) => linked(item, links, undefined))
  return changed
}

/** What stands at a path, which goes into every item of a list. */
function valuesAt(value: JsonValue | undefined, [name, ...rest]: readonly string[]): JsonValue | undefined {
  if (name === undefined || value === null || typeof value !== 'object') return name === undefined ? value : undefined
  if (!Array.isArray(value)) return valuesAt((value as JsonObject)[name], rest)
  return (value as readonly JsonValue[]).flatMap((item) => valuesAt(item, [name, ...rest]) ?? [])
}

/** The body of a call that is no JSON object, with its model and the fields that a route or a module set. */
export function relayedBody(
  x: Exchange,
  relay: Relay,
  parameters: Readonly<Record<string, JsonValue | undefined>>,
  model: string,
): readonly Buffer[] {
  if (x.body.length === 0) return []
  if (!relay.rewrite) return [x.body]
  const edits: Record<string, JsonValue | undefined> = {}
  for (const [name, value] of Object.entries(x.transformed?.rest?.[x.dialect] ?? {})) {
    if (value !== x.json[name]) edits[name] = value
  }
  Object.assign(edits, parameters)
  if (model !== '' && x.json.model !== undefined && model !== x.json.model) edits.model = model
  return Object.keys(edits).length === 0 ? [x.body] : relay.rewrite(edits)
}

/** What a call that succeeded leaves behind, besides what it made. */
export function afterwards(x: Exchange, objects: Objects): void {
  const [held] = x.owned ?? []
  if (x.relay?.deed.removes && held) objects.remove(held)
}

/** Fewer requests than this, and a list that is someone else's nearly whole is answered with what was found. */
const MOST_PAGES = 25

/** The caller's part of a list: asks on until the page is full, or nothing of the caller's can be left. */
export async function ownPart(
  listing: Listing,
  query: URLSearchParams,
  mine: readonly OwnedObject[],
  ask: (query: URLSearchParams) => Promise<JsonObject>,
): Promise<JsonObject> {
  const owned = new Set(mine.map((o) => o.id))
  const most = Math.max(1, Number(query.get(listing.limit)) || 20)
  const asked = new URLSearchParams(query)
  const found: JsonObject[] = []
  let first: JsonObject | undefined
  let next: string | undefined
  for (let pages = 0; pages < MOST_PAGES; pages++) {
    const page = await ask(asked)
    first ??= page
    const items = objectsIn(page[listing.items])
    found.push(...items.filter((item) => owned.has(String(item[listing.id]))))
    next = nextOf(page, items, listing)
    if (next === undefined || found.length > most || found.length >= owned.size) break
    asked.set(listing.cursor, next)
  }
  const shown = found.slice(0, most)
  const more = found.length > most || (next !== undefined && found.length < owned.size)
  const ends = shown.length === 0 ? [null, null] : [shown[0]?.[listing.id], shown.at(-1)?.[listing.id]]
  const page: Record<string, JsonValue | undefined> = { ...first, [listing.items]: shown }
  if (listing.next !== undefined) {
    if (more && next !== undefined) page[listing.next] = next
    else delete page[listing.next]
    return page
  }
  if ('first_id' in page) page.first_id = ends[0]
  if ('last_id' in page) page.last_id = ends[1]
  if ('has_more' in page) page.has_more = more && shown.length > 0
  return page
}

function nextOf(page: JsonObject, items: readonly JsonObject[], listing: Listing): string | undefined {
  if (listing.next !== undefined) {
    const token = page[listing.next]
    return typeof token === 'string' && token !== '' ? token : undefined
  }
  const last = items.at(-1)?.[listing.id]
  return page.has_more === true && typeof last === 'string' ? last : undefined
}

const objectsIn = (value: JsonValue | undefined): readonly JsonObject[] =>
  Array.isArray(value)
    ? (value as readonly JsonValue[]).filter(
        (item): item is JsonObject => item !== null && typeof item === 'object' && !Array.isArray(item),
      )
    : []

/** What may be shown as what it is. Anything else is bytes: a page that a stranger stored must not run here. */
const SHOWN =
  /^(?:application\/(?:(?:[\w.-]+\+)?json|jsonl|x-ndjson|pdf|zip|octet-stream|sdp)|text\/(?:plain|vtt|csv|event-stream)|(?:audio|video)\/[\w.+-]+|image\/(?!svg)[\w.+-]+)\s*(?:;[\x20-\x7e]*)?$/i
export const contentTypeOf = ({ headers }: IncomingReply): string => {
  const type = headers['content-type'] ?? ''
  return SHOWN.test(type) ? type : 'application/octet-stream'
}

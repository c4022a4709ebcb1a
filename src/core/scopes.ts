/**
 * The scope chain of an exchange: instance → organization → team → user or service account → key → end user, with model,
 * upstream and tags as further dimensions. Every policy that applies anywhere on it applies.
 */
import { DIMENSIONS, type Selector } from './directory.ts'
import type { Exchange } from './exchange.ts'
import type { JsonObject } from './request.ts'
import { eachText } from './texts.ts'

export interface Scopes {
  readonly organization?: string
  readonly team?: string
  readonly user?: string
  readonly key?: string
  readonly endUser?: string
  /** The public name that was asked for. */
  readonly model: string
  /** Of the key, and those that the request adds; sorted. */
  readonly tags: readonly string[]
}

/** Computed once, on first use after the caller is known. */
export function scopesOf(x: Exchange): Scopes {
  if (x.scopes) return x.scopes
  const who = x.principal
  const endUser = endUserOf(x.headers, x.json)
  const scopes: Scopes = {
    ...(who?.organization === undefined ? {} : { organization: who.organization }),
    ...(who?.team === undefined ? {} : { team: who.team }),
    ...(who?.user === undefined ? {} : { user: who.user }),
    ...(who?.kind === 'key' ? { key: who.id } : {}),
    ...(endUser === undefined ? {} : { endUser }),
    model: x.model,
    tags: tagsOf(who?.tags, x.headers),
  }
  if (who) x.scopes = scopes
  return scopes
}

/**
 * The same as it may be written down: where a module hid the end user's name in the request, what stands there now, and no
 * name if the request was stopped before it could be.
 */
export function writtenScopes(x: Exchange): Scopes {
  const scopes = scopesOf(x)
  const { endUser } = scopes
  if (endUser === undefined) return scopes
  const { endUser: _, ...others } = scopes
  if (
    x.trace.some((d) => d.phase === 'transform' && (d.decision === 'refuse' || d.decision === 'fault') && !d.observed)
  ) {
    return others
  }
  if (!x.transformed) return scopes
  let at = -1
  let seen = 0
  eachText(x.request(), (text) => {
    if (at < 0 && text.slice(0, LONGEST_NAME) === endUser) at = seen
    seen++
  })
  if (at < 0) return scopes
  seen = 0
  let written: string = endUser
  eachText(x.transformed, (text) => {
    if (seen++ === at) written = text.slice(0, LONGEST_NAME)
  })
  return { ...others, endUser: written }
}

/** Where figures about this exchange hang, from the widest to the narrowest; see `anchorOf`. */
export function anchorsOf(scopes: Scopes): string[] {
  const anchors = ['instance']
  if (scopes.organization !== undefined) anchors.push(`organization:${scopes.organization}`)
  if (scopes.team !== undefined) anchors.push(`team:${scopes.team}`)
  if (scopes.user !== undefined) anchors.push(`user:${scopes.user}`)
  if (scopes.key !== undefined) anchors.push(`key:${scopes.key}`)
  if (scopes.endUser !== undefined) anchors.push(`endUser:${scopes.endUser}`)
  return anchors
}

/**
 * The counters of a selector that these scopes fall into, by name; none if the selector is about others. A `*` becomes the
 * value itself, so each value has a counter of its own; of several tags each that fits counts. Without `upstream` the
 * question is about what holds before a target is chosen, and a selector that names one does not fit.
 */
export function countersOf(selector: Selector, scopes: Scopes, upstream?: string): readonly string[] {
  let name = ''
  for (const dimension of DIMENSIONS) {
    const wanted = selector[dimension]
    if (wanted === undefined || dimension === 'tag') continue
    const value = dimension === 'upstream' ? upstream : scopes[dimension]
    if (value === undefined || (wanted !== '*' && wanted !== value)) return NONE
    name += `${name && '|'}${dimension}=${encodeURIComponent(value)}`
  }
  const { tag } = selector
  if (tag === undefined) return [name]
  return scopes.tags
    .filter((own) => tag === '*' || own === tag)
    .map((own) => `${name}${name && '|'}tag=${encodeURIComponent(own)}`)
}
const NONE: readonly string[] = []

const END_USER_HEADERS = [
  'x-stockyard-end-user',
  'x-litellm-end-user-id',
  'x-litellm-customer-id',
  'helicone-user-id',
  'x-bf-customer-id',
] as const
const LONGEST_NAME = 256
const MOST_TAGS = 32

/** For whom the caller asks, as far as the request says so: a known header, else the body's own field for it. */
export function endUserOf(headers: Readonly<Record<string, string | undefined>>, json: JsonObject): string | undefined {
  for (const name of END_USER_HEADERS) {
    const value = headers[name]
    if (value) return named(value)
  }
  const inJson = headers['x-portkey-metadata'] ?? headers['cf-aig-metadata']
  if (inJson !== undefined) {
    const found = fieldOf(inJson, ['_user', 'user', 'user_id'])
    if (found !== undefined) return named(found)
  }
  const { user, safety_identifier, metadata } = json
  if (typeof user === 'string' && user !== '') return named(user)
  if (typeof metadata === 'object' && metadata !== null && 'user_id' in metadata) {
    const { user_id } = metadata
    if (typeof user_id === 'string' && user_id !== '') return named(user_id)
  }
  return typeof safety_identifier === 'string' && safety_identifier !== '' ? named(safety_identifier) : undefined
}
const named = (value: string): string => (value.length > LONGEST_NAME ? value.slice(0, LONGEST_NAME) : value)

function fieldOf(text: string, names: readonly string[]): string | undefined {
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value !== 'object' || value === null) return undefined
    for (const name of names) {
      const found = (value as JsonObject)[name]
      if (typeof found === 'string' && found !== '') return found
    }
  } catch {
    // Not ours to judge: the header names nobody.
  }
  return undefined
}

/** A request may add tags, never take the key's away. */
function tagsOf(
  own: readonly string[] | undefined,
  headers: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const sent = headers['x-stockyard-tags'] ?? headers['x-litellm-tags']
  if (sent === undefined) return own ?? NONE
  const all = new Set(own)
  for (const tag of sent.split(',', MOST_TAGS)) if (tag.trim()) all.add(named(tag.trim()))
  return [...all].sort()
}

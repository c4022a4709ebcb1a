/**
 * Which provider a LiteLLM model name means, and the upstreams that its deployments come to: the same account at the same
 * place with the same key is one. An upstream that the gateway makes of an environment variable by itself is not written.
 */
import type { Catalog } from '../../core/catalog.ts'
import type { Provider } from '../../core/provider.ts'
import type { JsonObject } from '../../core/request.ts'
import type { UpstreamConfiguration } from '../../core/store.ts'

export interface Surroundings {
  readonly providers: readonly Provider[]
  readonly catalog: Catalog
  /** For what is no secret: an address, a version. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** A key by the variable it is in, or as it stands in the file: that one is compared, and never written anywhere. */
export type Secret =
  | { readonly kind: 'none' }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'literal'; readonly value: string; readonly where: string }

export interface Place {
  readonly provider: Provider
  readonly baseUrl?: string
  readonly options: JsonObject
  readonly headers: Readonly<Record<string, string>>
  readonly secret: Secret
}

const CREDENTIAL = 'main'
/** LiteLLM's ways to reach the same models by another API of the same provider. */
const BRIDGES = /^(?:converse|converse_like|invoke|responses|chat)\//

export interface ModelAt {
  readonly provider: Provider
  readonly model: string
}

/** Undefined: nobody here is called so, or nothing says whose model it is. */
export function modelAt(
  name: string,
  told: string | undefined,
  providers: readonly Provider[],
  catalog: Catalog,
): ModelAt | undefined {
  const called = (word: string) => providers.find((p) => p.id === word || p.litellm?.includes(word))
  const slash = name.indexOf('/')
  const prefix = slash > 0 ? name.slice(0, slash) : undefined
  const provider = told === undefined ? (prefix === undefined ? undefined : called(prefix)) : called(told)
  if (provider) {
    const model = prefix !== undefined && (told === undefined || prefix === told) ? name.slice(slash + 1) : name
    return { provider, model: model.replace(BRIDGES, '') }
  }
  if (told !== undefined || prefix !== undefined) return undefined
  const [maker] = catalog.makersOf(name)
  const known = maker === undefined ? undefined : providers.find((p) => p.catalog === maker)
  return known && { provider: known, model: name }
}

const originOf = (url: string): URL => new URL(url)
const siteOf = (url: string): string => originOf(url).hostname.split('.').slice(-2).join('.')

/** `openai/…` with somebody else's address is LiteLLM's way to name any server that speaks that API. */
export function isElsewhere({ baseUrl, local, speaks }: Provider, own: string): boolean {
  return baseUrl !== undefined && !local && 'openai-chat' in speaks && siteOf(baseUrl) !== siteOf(own)
}

/** An address as this gateway has it; undefined where it is the provider's usual one. May become an option instead. */
export function addressOf(
  provider: Provider,
  own: string,
  options: JsonObject,
): { baseUrl?: string; resource?: string } {
  const plain = own.replace(/\/+$/, '').replace(/\/chat\/completions$/, '')
  if (plain === provider.baseUrl) return {}
  const { hostname, pathname, origin } = originOf(plain)
  const resource = hostname.split('.')[0] as string
  const usual = provider.baseUrl ?? provider.baseUrlOf?.({ ...options, resource })
  const isBare = pathname === '/'
  if (provider.baseUrlOf && usual !== undefined && originOf(usual).origin === origin) return { resource }
  if (!isBare || usual === undefined || !(provider.local || provider.baseUrlOf)) return { baseUrl: plain }
  const completed = origin + originOf(usual).pathname.replace(/\/$/, '')
  return completed === provider.baseUrl ? {} : { baseUrl: completed }
}

export interface NamedPlace extends Place {
  readonly id: string
  /** Absent: the gateway makes it of the provider's environment variable. */
  readonly written?: UpstreamConfiguration
}

export function isAdopted({ provider, baseUrl, options, headers, secret }: Place): boolean {
  const variable = provider.environment?.key
  if (variable === undefined || provider.baseUrl === undefined || baseUrl !== undefined || provider.local) return false
  if (Object.keys(options).length + Object.keys(headers).length > 0) return false
  return secret.kind === 'none' || (secret.kind === 'variable' && secret.name === variable)
}

function labelOf({ provider, baseUrl, options }: Place): string {
  if (typeof options.resource === 'string') return `${provider.id}-${options.resource}`
  if (baseUrl !== undefined) return `${provider.id}-${originOf(baseUrl).host}`
  return provider.id
}

/** Every distinct place gets an id; those that the environment makes have theirs already. */
export function namePlaces(places: readonly Place[]): ReadonlyMap<Place, NamedPlace> {
  const named = new Map<Place, NamedPlace>()
  const same = new Map<string, NamedPlace>()
  const ids = new Set(places.filter(isAdopted).map(({ provider }) => provider.id))
  for (const place of places) {
    const { provider, baseUrl, options, headers, secret } = place
    if (isAdopted(place)) {
      named.set(place, { ...place, id: provider.id })
      continue
    }
    const identity = JSON.stringify([provider.id, baseUrl, options, headers, { ...secret, where: undefined }])
    let known = same.get(identity)
    if (!known) {
      const label = labelOf(place)
        .toLowerCase()
        .replace(/[^a-z0-9._-]+/g, '-')
        .slice(0, 56)
      let id = label
      for (let n = 2; ids.has(id); n++) id = `${label}-${n}`
      ids.add(id)
      known = {
        ...place,
        id,
        written: {
          provider: provider.id,
          ...(baseUrl === undefined ? {} : { baseUrl }),
          ...(Object.keys(options).length > 0 ? { options } : {}),
          ...(secret.kind === 'none' ? {} : { credentials: [{ id: CREDENTIAL }] }),
          ...(Object.keys(headers).length > 0 ? { headers } : {}),
        },
      }
      same.set(identity, known)
    }
    named.set(place, known)
  }
  return named
}

/**
 * `/{upstream}/…`: any path of a vendor's own API. What is an endpoint of a known format is an exchange of that format, bound
 * to this upstream; the rest is relayed. Nothing here is a way around anything: each is authenticated, admitted, booked and
 * logged, paths about the account itself are not relayed, and what is kept there is its maker's alone.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Dialect } from '../core/dialect.ts'
import { failure } from '../core/errors.ts'
import type { Upstream } from '../core/exchange.ts'
import type { Gateway } from '../core/gateway.ts'
import { type Endpoint, pathOf } from '../core/provider.ts'
import type { Deed, Method } from '../core/relay.ts'
import type { Address } from './endpoints.ts'
import { checkPath, deedAt, METHODS, type RelayAsked } from './relay.ts'

/** How a request is to be taken: in which dialect, and what its path says. */
export interface Native {
  readonly dialect: string
  readonly address?: Address
  readonly relay?: RelayAsked
  readonly upstream: string
  readonly shape?: string
}

export function nativeRoutes(
  plane: FastifyInstance,
  gateway: Gateway,
  dialects: ReadonlyMap<string, Dialect>,
  take: (native: Native, request: FastifyRequest, reply: FastifyReply) => void,
): void {
  plane.route({
    method: [...METHODS],
    url: '/:upstream/*',
    handler: (request, reply) => {
      const { upstream: id } = request.params as { upstream: string }
      const upstream = gateway.snapshot.upstreams.get(id)
      if (!upstream || request.headers.upgrade !== undefined) {
        reply.callNotFound()
        return
      }
      const at = request.url.indexOf('/', 1)
      take(nativeOf(upstream, request.method as Method, request.url.slice(at), dialects), request, reply)
    },
  })
}

/** Throws where nothing may be relayed. */
export function nativeOf(
  upstream: Upstream,
  method: Method,
  url: string,
  dialects: ReadonlyMap<string, Dialect>,
): Native {
  const [sent = '', query] = url.split('?', 2) as [string, string?]
  checkPath(sent)
  const path = folded(sent, upstream.baseUrl)
  const { provider, id } = upstream
  if (isAdministration(path, provider.administration ?? [])) {
    throw failure('permission_denied', {
      problem: 'Paths that are about the account at the vendor itself, or hand out keys of it, are not relayed.',
    })
  }
  const withQuery = (rest: string): string => (query === undefined ? rest : `${rest}?${query}`)
  if (method === 'POST') {
    for (const [dialect, endpoint] of Object.entries(provider.speaks)) {
      const found = dialects.get(dialect)
      if (!found || found.endpoints) continue
      const said = readPath(endpoint, path, upstream)
      if (!said) continue
      // Without a side towards clients it cannot be read as what it is, but its model is known.
      if (!found.client) return rest({ ...(said.model === undefined ? {} : { model: said.model }) })
      if (said.model === undefined || found.client.addressed !== 'path') return { dialect, upstream: id }
      const array = said.stream && new URLSearchParams(query).get('alt') !== 'sse'
      return { dialect, upstream: id, address: { model: said.model, stream: said.stream, array } }
    }
  }
  for (const [dialect, endpoint] of Object.entries(provider.speaks)) {
    const { endpoints } = dialects.get(dialect) ?? {}
    const base = pathOf(endpoint, { model: '', stream: false, options: upstream.options })
    const behind = endpoints && base !== undefined ? behindBase(path, base) : undefined
    if (!endpoints || behind === undefined) continue
    const whole = endpoints.under + behind
    const isRooted = endpoints.roots.some((root) => whole === root || whole.startsWith(`${root}/`))
    if (!isRooted && !endpoints.deed(method, whole)) continue
    const deed = deedAt(endpoints, method, whole)
    const { model } = deed
    const relay = { deed, path: withQuery(behind), ...(model === undefined ? {} : { model }) }
    return { dialect, upstream: id, relay }
  }
  return rest({})

  function rest(more: { readonly model?: string }): Native {
    const deed = deedOf(method, path, upstream)
    const relay = { deed, path: withQuery(path), anywhere: true, ...more } as const
    return { dialect: 'native', upstream: id, relay, shape: shapeOf(upstream, dialects) }
  }
}

/** In whose shape a vendor's own clients want to be answered: that of its first chat format that clients speak. */
export function shapeOf({ provider }: Upstream, dialects: ReadonlyMap<string, Dialect>): string {
  const chat = Object.keys(provider.speaks).find((id) => {
    const { operation, client } = dialects.get(id) ?? {}
    return operation === 'chat' && client
  })
  return chat ?? 'openai-chat'
}

/** `/v1/v1` is a base URL with its version and a client that adds another. */
function folded(path: string, baseUrl: string): string {
  const version = /\/(v\d\w*)$/.exec(baseUrl)?.[1]
  return version !== undefined && path.startsWith(`/${version}/`) ? path.slice(version.length + 1) : path
}

/** Other servers read a path decoded, and some without case. */
function isAdministration(path: string, beginnings: readonly string[]): boolean {
  const read = (unescaped(path) ?? path).toLowerCase()
  return beginnings.some((start) => read === start || read.startsWith(`${start}/`) || read.startsWith(`${start}:`))
}

function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Stands for the model, to see where in its path an endpoint puts it. */
const SOME_MODEL = 'some-model-of-this-vendor'

/** Versions of an API differ in what they know, not in what an endpoint is. */
const unversioned = (path: string): string => path.replace(/^\/v\d\w*(?=\/)/, '')

/** What follows a provider's endpoint in a path, whichever version of the API is asked for. */
function behindBase(path: string, base: string): string | undefined {
  if (path.startsWith(base)) return path.slice(base.length)
  const [asked, known] = [`${path}/`, `${base}/`].map(unversioned) as [string, string]
  return asked.startsWith(known) ? `/${asked.slice(known.length, -1)}` : undefined
}

/** The endpoint read backwards: the model and the kind of reply that this path of it means. */
function readPath(
  endpoint: Endpoint,
  path: string,
  { options }: Upstream,
): { readonly model?: string; readonly stream: boolean } | undefined {
  const asked = unversioned(path)
  if (typeof endpoint === 'string') return asked === unversioned(endpoint) ? { stream: false } : undefined
  for (const stream of [false, true]) {
    const written = pathOf(endpoint, { model: SOME_MODEL, stream, options })?.split('?', 1)[0]
    if (written === undefined) continue
    const known = unversioned(written)
    if (known === asked) return { stream }
    const [before = '', after] = known.split(SOME_MODEL) as [string, string?]
    if (after === undefined || asked.length <= before.length + after.length) continue
    if (!asked.startsWith(before) || !asked.endsWith(after)) continue
    const model = unescaped(asked.slice(before.length, asked.length - after.length))
    if (model !== undefined && !model.includes('/')) return { model, stream }
  }
  return undefined
}

/**
 * What nothing is known of. Asking for work is free to all; whatever else is done must be done to something of the
 * caller's own, unless it is the list of models, or a server that keeps nothing.
 */
function deedOf(method: Method, path: string, { provider }: Upstream): Deed {
  const segments = path.split('/').flatMap((segment) => unescaped(segment.split(':', 1)[0] as string) || [])
  const within = [...segments, ...segments.slice(1).map((segment, i) => `${segments[i]}/${segment}`)]
  if (method === 'POST') return { within, makes: 'native', yields: { name: 'native', 'file.name': 'native' } }
  const models = provider.models
  const isOpen = provider.local || (models !== undefined && (path === models || path.startsWith(`${models}/`)))
  if (isOpen && method === 'GET') return { within, free: true }
  return { within, inside: true, free: true, ...(method === 'DELETE' ? { removes: true } : {}) }
}

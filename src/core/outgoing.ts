/**
 * What goes to a target: which dialect is spoken there, the bytes (relayed or translated), the headers, the credential.
 * All of it is known before the call is made, and nothing here waits.
 */
import { trimmed } from './betas.ts'
import type { Books } from './books.ts'
import type { ClientSide, Dialect, UpstreamSide } from './dialect.ts'
import type { OutgoingCall } from './egress.ts'
import { failure } from './errors.ts'
import type { Exchange, Plan, Target } from './exchange.ts'
import { broughtKey } from './keys.ts'
import { claim, type Objects } from './objects.ts'
import { authorized, pathOf } from './provider.ts'
import { refusedFields } from './refused.ts'
import { relayedBody } from './relay.ts'
import type { JsonObject, JsonValue, ModelRequest, Rest } from './request.ts'
import { foreignTo } from './seals.ts'
import type { Settlement } from './settlement.ts'
import type { Thoughts } from './thoughts.ts'
import type { Seat } from './tries.ts'
import type { Wire } from './wire.ts'

export interface AttemptPorts {
  readonly wire: Wire
  readonly dialects: ReadonlyMap<string, Dialect>
  readonly thoughts: Thoughts
  readonly objects: Objects
  readonly settlement: Settlement
  outputLimitOf(model: string): number | undefined
  /** Whether a key is a caller's sign-in at some vendor. */
  isSignIn(key: string): boolean
  now(): number
  readonly version: string
}

/** The dialect to speak with this target: the client's own if it can be relayed, else the first that does the work. */
export function dialectFor(x: Exchange, target: Target, dialects: ReadonlyMap<string, Dialect>): Dialect | undefined {
  if (x.relay?.anywhere) return dialects.get(x.dialect)
  const { speaks } = target.upstream.provider
  const serves = (id: string): boolean => typeof speaks[id] === 'string' || endpointOf(x, target, id) !== undefined
  if (Object.hasOwn(speaks, x.dialect) && serves(x.dialect)) return dialects.get(x.dialect)
  if (x.relay) return undefined
  if (dialects.get(x.dialect)?.client?.boundTo?.(x.json) !== undefined) return undefined
  for (const id of Object.keys(speaks)) {
    const dialect = dialects.get(id)
    if (dialect?.operation === x.operation && dialect.upstream && serves(id)) return dialect
  }
  return undefined
}

function endpointOf(x: Exchange, { upstream, model }: Target, dialect: string): string | undefined {
  const { stream, relay } = x
  if (relay?.anywhere) return relay.path
  const path = pathOf(upstream.provider.speaks[dialect], { model, stream, options: upstream.options })
  return relay && path !== undefined ? path + relay.path : path
}

/** The body's top-level fields as this target is to get them. */
function parameters(x: Exchange, target: Target): Record<string, JsonValue | undefined> {
  const edits: Record<string, JsonValue | undefined> = {}
  for (const [name, value] of Object.entries(target.defaults ?? {})) {
    if (!Object.hasOwn(x.json, name)) edits[name] = value
  }
  if (x.ownFields) for (const name of x.ownFields) edits[name] = undefined
  return Object.assign(edits, target.overrides)
}

/** A body in which nothing is said: what is read from it are parameters alone. */
function nothingSaid(x: Exchange, client: ClientSide): JsonObject {
  if (x.operation === 'chat') return { [client.content ?? 'messages']: [] }
  return x.operation === 'rerank' ? { query: '', documents: [''] } : { [client.content ?? 'input']: '' }
}

function requestFor(x: Exchange, target: Target, client: ClientSide): ModelRequest {
  const edits = parameters(x, target)
  if (Object.keys(edits).length === 0) return x.transformed ?? x.request()
  if (!x.transformed) return client.readRequest({ ...x.json, ...edits })
  // A module rewrote the request: read the parameters alone, and lay them over what it made.
  const { operation, model, stream, messages, input, query, documents, rest, hints, ...changed } = client.readRequest({
    model: x.model,
    ...nothingSaid(x, client),
    ...edits,
  }) as unknown as Record<string, unknown>
  const { transformed } = x
  return {
    ...transformed,
    ...changed,
    ...laidOver('rest', transformed.rest, rest as Rest | undefined),
    ...laidOver('hints', transformed.operation === 'chat' ? transformed.hints : undefined, hints as Rest | undefined),
  } as unknown as ModelRequest
}

function laidOver(name: 'rest' | 'hints', before: Rest | undefined, over: Rest | undefined): { [name: string]: Rest } {
  if (!over) return before ? { [name]: before } : {}
  const own = Object.entries(over).map(([dialect, fields]) => [dialect, { ...before?.[dialect], ...fields }] as const)
  return { [name]: { ...before, ...Object.fromEntries(own) } }
}

export function bodyFor(
  x: Exchange,
  plan: Plan,
  target: Target,
  dialect: Dialect,
  side: UpstreamSide,
  ports: AttemptPorts,
  isForeign?: (seal: string) => boolean,
): readonly Buffer[] {
  const client = ports.dialects.get(x.dialect)?.client
  if (x.relay && x.relay.json !== true) return relayedBody(x, x.relay, parameters(x, target), target.model)
  if (dialect.id === x.dialect && !x.transformed) {
    const edits = parameters(x, target)
    if (target.model !== x.json.model && client?.addressed !== 'path' && !(x.relay && x.json.model === undefined))
      edits.model = target.model
    const more = target.upstream.provider.quirks?.noStreamOptions ? undefined : side.relayEdits?.(x.json)
    if (more) Object.assign(edits, more)
    const vendors = vendorEdits(x, target, dialect)
    if (vendors) Object.assign(edits, vendors)
    if (isForeign) Object.assign(edits, unsealed(x, plan, target, dialect, x.json, isForeign))
    if (target.capabilities?.refuses) {
      const lost: string[] = []
      Object.assign(edits, refusedFields({ ...x.json, ...edits }, target, side, lost))
      tell(x, plan, target, lost)
    }
    return Object.keys(edits).length === 0 ? [x.body] : ports.wire.splice(x.body, x.scan, edits)
  }
  if (!client) throw failure('not_found', { what: `dialect "${x.dialect}"` })
  const read = requestFor(x, target, client)
  const scope = x.principal?.scope
  const mayHaveLost = read.operation === 'chat' && dialect.id !== x.dialect && scope !== undefined
  const request = mayHaveLost ? ports.thoughts.restored(read, scope, dialect.id) : read
  const { quirks } = target.upstream.provider
  const limit = ports.outputLimitOf(target.model)
  const lost: string[] = []
  const written = side.writeRequest(request, {
    model: target.model,
    provider: target.upstream.provider.id,
    report: (what) => lost.push(what),
    ...(quirks ? { quirks } : {}),
    ...(limit === undefined ? {} : { maxOutputTokens: limit }),
  })
  const named = side.namesIn?.(written)
  if (named && named.length > 0 && dialect.id !== x.dialect) claim(x, named, ports.objects)
  const refused = refusedFields(written, target, side, lost)
  tell(x, plan, target, lost)
  const vendors = vendorEdits(x, target, dialect)
  const opened = isForeign && unsealed(x, plan, target, dialect, written, isForeign)
  const isWhole = !refused && !vendors && !opened
  return [Buffer.from(JSON.stringify(isWhole ? written : { ...written, ...refused, ...vendors, ...opened }))]
}

/** The body's fields without what this account cannot read, where it brings such. */
function unsealed(
  x: Exchange,
  plan: Plan,
  target: Target,
  { seals }: Dialect,
  body: JsonObject,
  isForeign: (seal: string) => boolean,
): Readonly<Record<string, JsonValue>> | undefined {
  if (!seals?.of(body).some(isForeign)) return undefined
  const edits = seals.without(body, isForeign)
  if (!edits || plan.unsupported === 'reject') throw failure('sealed_elsewhere', { upstream: target.upstream.id })
  tell(x, plan, target, ['reasoning sealed by another account'])
  return edits
}

/** Pictures, files and sound are what is said, not how: an answer without them would be an answer to something else (A66). */
const CONTENT = /^messages\.(?:image|file|audio)\b/

/** What does not reach the target: told in a header, or the reason for a 400. */
function tell(x: Exchange, plan: Plan, target: Target, lost: readonly string[]): void {
  if (lost.length === 0) return
  const content = lost.filter((what) => CONTENT.test(what))
  if (content.length > 0) {
    throw failure('unsupported_content', { upstream: target.upstream.id, what: content.join(', '), param: 'messages' })
  }
  if (plan.unsupported === 'reject') throw failure('unsupported_parameter', { what: lost.join(', ') })
  for (const what of lost) x.unsupported.add(what)
}

const vendorEdits = ({ stream, headers }: Exchange, target: Target, { id }: Dialect) => {
  const { upstream, model } = target
  const { edits } = upstream.provider
  return edits?.(id, { model, stream, options: upstream.options, headers: trimmed(headers, target, []) })
}

/**
 * The caller's own key for this target, where an administrator allows it there: a vendor's sign-in at that vendor and
 * nowhere else (A69), any other key where the upstream was asked for by name.
 */
function callerKey(
  x: Exchange,
  { upstream }: Target,
  ports: Pick<AttemptPorts, 'isSignIn'>,
  via = x.plan?.via,
): string | undefined {
  if (!upstream.callerKeys) return undefined
  const brought = broughtKey(x.headers, x.principal?.kind === 'local')
  if (brought === undefined) return undefined
  if (ports.isSignIn(brought)) return upstream.provider.signIn?.token.test(brought) ? brought : undefined
  return via === 'upstream' ? brought : undefined
}
/** Targets at which the client's own key is used, and pays, know it before anything is held for them. */
export function paidFor(x: Exchange, { targets, via }: Plan, ports: Pick<AttemptPorts, 'isSignIn'>): readonly Target[] {
  if (!targets.some(({ upstream }) => upstream.callerPays)) return targets
  return targets.map((target): Target => {
    const pays = target.upstream.callerPays && callerKey(x, target, ports, via) !== undefined
    return pays ? { ...target, paidByCaller: true } : target
  })
}
/** Whether the client's own key is used at this target, instead of one of the pool. */
export const bringsKey = (x: Exchange, target: Target, ports: Pick<AttemptPorts, 'isSignIn'>): boolean =>
  callerKey(x, target, ports) !== undefined

/**
 * Everything about a call that is known before it is made. Put together at once and apart from the waiting: what lives in
 * a function that waits is kept for as long as it does, on every request that is under way.
 */
export interface Call {
  readonly x: Exchange
  readonly seat: Seat
  readonly dialect: Dialect
  readonly side: UpstreamSide
  readonly books: Books
  readonly ports: AttemptPorts
  readonly signal: AbortSignal
  readonly method: OutgoingCall['method']
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: readonly Buffer[]
  readonly credential: { readonly id: string; readonly secret: string } | undefined
}

export function prepared(x: Exchange, seat: Seat, books: Books, ports: AttemptPorts, signal: AbortSignal): Call {
  const { target } = seat
  const dialect = dialectFor(x, target, ports.dialects)
  const side = dialect?.upstream
  if (!dialect || !side) {
    throw failure(
      'no_target',
      { problem: `upstream "${target.upstream.id}" has no endpoint for ${x.operation}` },
      undefined,
      { status: 400, blame: 'client', retry: 'elsewhere' },
    )
  }
  const { provider, signer } = target.upstream
  const path = endpointOf(x, target, dialect.id)
  if (path === undefined) throw failure('no_target', { problem: `no endpoint for ${dialect.id}` })
  const brought = callerKey(x, target, ports)
  const credential = brought === undefined ? seat.key : { id: 'caller', secret: brought }
  const isForeign = x.sealed && dialect.seals && foreignTo(target, credential?.id, x.sealed, dialect.seals)
  const body = bodyFor(x, x.plan as Plan, target, dialect, side, ports, isForeign)
  const lost: string[] = []
  const asked = trimmed(x.headers, target, lost)
  for (const what of lost) x.unsupported.add(what)
  const headers = ports.wire.upstreamHeaders(asked, provider.forward ?? [])
  if (!x.relay) headers['content-type'] = 'application/json'
  else if (x.relay.contentType === undefined) delete headers['content-type']
  else headers['content-type'] = x.relay.contentType
  headers['user-agent'] = `stockyard/${ports.version}`
  Object.assign(headers, provider.headers, target.upstream.headers)
  const signsIn = brought !== undefined && provider.signIn?.token.test(brought) ? provider.signIn.sign : provider.sign
  if (credential && !signer) Object.assign(headers, authorized(signsIn, credential.secret))
  const method = x.relay?.method ?? 'POST'
  const url = target.upstream.baseUrl + path
  return { x, seat, dialect, side, books, ports, signal, method, url, headers, body, credential }
}

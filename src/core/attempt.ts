/**
 * One call to one target: builds the bytes (relay or translation), books it, sends it, judges the answer, and peeks
 * into a stream until its first content, so that whatever goes wrong before that can still go elsewhere.
 */
import { trimmed } from './betas.ts'
import type { Books } from './books.ts'
import { upstreamError } from './classify.ts'
import type { ClientSide, Dialect, UpstreamSide, Watcher } from './dialect.ts'
import type { IncomingReply, OutgoingCall } from './egress.ts'
import { failure, GatewayError } from './errors.ts'
import type { Attempt, AttemptOutcome, Exchange, Plan, Target, Timeouts } from './exchange.ts'
import { broughtKey } from './keys.ts'
import { keep, type Objects } from './objects.ts'
import { authorized, pathOf } from './provider.ts'
import { refusedFields } from './refused.ts'
import { relayedBody } from './relay.ts'
import { relayed } from './relayed.ts'
import { type Frame, MARK, type Reply, type ReplyFacts } from './reply.ts'
import type { JsonObject, JsonValue, ModelRequest, Rest } from './request.ts'
import { pace } from './routing/verdict.ts'
import { foreignTo } from './seals.ts'
import type { Settlement } from './settlement.ts'
import type { Signed } from './signing.ts'
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

/** An unstreamed body, an error body, and what is held back of a stream before its first content. */
const MOST_BODY = 128 * 1024 * 1024
const MOST_ERROR = 1024 * 1024
const MOST_PEEKED_FRAMES = 64
const MOST_PEEKED_BYTES = 256 * 1024

/** The dialect to speak with this target: the client's own if it can be relayed, else the first that does the work. */
export function dialectFor(x: Exchange, target: Target, dialects: ReadonlyMap<string, Dialect>): Dialect | undefined {
  if (x.relay?.anywhere) return dialects.get(x.dialect)
  const { speaks } = target.upstream.provider
  const serves = (id: string): boolean => typeof speaks[id] === 'string' || endpointOf(x, target, id) !== undefined
  if (Object.hasOwn(speaks, x.dialect) && serves(x.dialect)) return dialects.get(x.dialect)
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
function callerKey(x: Exchange, { upstream }: Target, ports: Pick<AttemptPorts, 'isSignIn'>): string | undefined {
  if (!upstream.callerKeys) return undefined
  const brought = broughtKey(x.headers, x.principal?.kind === 'local')
  if (brought === undefined) return undefined
  if (ports.isSignIn(brought)) return upstream.provider.signIn?.token.test(brought) ? brought : undefined
  return x.plan?.via === 'upstream' ? brought : undefined
}
/** Whether the client's own key is used at this target, instead of one of the pool. */
export const bringsKey = (x: Exchange, target: Target, ports: Pick<AttemptPorts, 'isSignIn'>): boolean =>
  callerKey(x, target, ports) !== undefined

/**
 * Everything about a call that is known before it is made. Put together at once and apart from the waiting: what lives in
 * a function that waits is kept for as long as it does, on every request that is under way.
 */
interface Call {
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

function prepared(x: Exchange, seat: Seat, books: Books, ports: AttemptPorts, signal: AbortSignal): Call {
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

export async function callTarget(
  x: Exchange,
  seat: Seat,
  books: Books,
  ports: AttemptPorts,
  signal: AbortSignal,
  around: (attempt: Attempt, core: () => Promise<Reply>) => Promise<Reply>,
): Promise<Reply> {
  const call = prepared(x, seat, books, ports, signal)
  const attempt = books.open(seat, call.credential?.id)
  await books.opened(attempt)
  try {
    return await around(attempt, () => made(call, attempt))
  } catch (error) {
    // A layer around the attempt failed or refused; if the call was made, it has been closed with what it used.
    const known = error instanceof GatewayError ? error : undefined
    books.close(attempt, 'failed', undefined, known)
    throw error
  }
}

function send(call: Call, url: string, signed: Signed | undefined): Promise<IncomingReply> {
  const { x, seat, ports, method, headers, body, signal } = call
  const { id, allowHosts } = seat.target.upstream
  return ports.wire.egress.send({
    upstream: id,
    method,
    url,
    headers: signed ? { ...headers, ...signed.headers } : headers,
    ...(body.length === 0 ? {} : { body }),
    streamed: x.stream,
    timeouts: seat.timeouts,
    signal,
    ...(allowHosts === undefined ? {} : { allowHosts }),
  })
}

async function made(call: Call, attempt: Attempt, again = false): Promise<Reply> {
  const { signer } = call.seat.target.upstream
  const sentAt = performance.now()
  let incoming: IncomingReply
  let signed: Signed | undefined
  try {
    if (signer) {
      const { method, url, headers, body, credential } = call
      const answer = signer.sign({ method, url, headers, body }, credential?.secret)
      signed = answer instanceof Promise ? await answer : answer
    }
    incoming = await send(call, call.url, signed)
  } catch (error) {
    throw closeFailed(call.books, attempt, undefined, error, sentAt)
  }
  const a = answered(call, attempt, incoming, signed, sentAt)
  if (incoming.status < 200 || incoming.status > 299) {
    const error = await complaint(a)
    // A credential that expired under way is no reason to fail: one fresh one is tried, once.
    const mayRenew = !again && signed?.credential !== undefined && error.code === 'upstream_credentials'
    if (mayRenew && signer?.refused?.(signed?.credential as object)) return made(call, attempt, true)
    const opened = !again && call.x.sealed ? withoutSeals(call, error) : undefined
    if (opened) return made(opened, attempt, true)
    throw closeFailed(call.books, attempt, undefined, error, sentAt)
  }
  const type = incoming.headers['content-type'] ?? ''
  if (call.x.stream && /event-?stream/i.test(type)) return streamed(a, call.signal)
  if (call.x.relay) return relayed(relayOf(call, a, call.x.relay, signed))
  try {
    return unstreamed(a, await incoming.collect(MOST_BODY), type)
  } catch (error) {
    throw closeFailed(call.books, attempt, undefined, error, sentAt)
  }
}

/** The same call without anything sealed, where the vendor says that a seal is another account's and the route lets it go. */
function withoutSeals(call: Call, { details }: GatewayError): Call | undefined {
  const { x, seat, dialect, side, ports } = call
  const plan = x.plan as Plan
  const complaint = { code: details.upstreamCode, message: details.upstreamMessage }
  if (plan.unsupported === 'reject' || !dialect.seals?.refused(complaint)) return undefined
  if (!dialect.seals.without(x.json, () => true)) return undefined
  return { ...call, body: bodyFor(x, plan, seat.target, dialect, side, ports, () => true) }
}

/** Notes what the head of the answer says. */
function answered(
  { x, seat, dialect, side, books, ports, credential }: Call,
  attempt: Attempt,
  incoming: IncomingReply,
  signed: Signed | undefined,
  sentAt: number,
): Answered {
  const { target, timeouts } = seat
  const { status, headers } = incoming
  attempt.status = status
  attempt.headersMs = performance.now() - sentAt
  const breaker = x.plan?.breaker
  if (breaker?.pacing && attempt.key) pace(attempt, headers, breaker, x.inputEstimate, ports.now())
  const requestId =
    headers['x-request-id'] ?? headers['request-id'] ?? headers[target.upstream.provider.requestId ?? '']
  if (requestId !== undefined) attempt.upstreamRequestId = requestId.slice(0, 200)
  const secrets = credential ? [credential.secret] : []
  if (signed?.secrets) secrets.push(...signed.secrets)
  return { x, target, timeouts, attempt, dialect, side, books, ports, sentAt, secrets, incoming }
}

const relayOf = (call: Call, a: Answered, relay: NonNullable<Exchange['relay']>, signed: Signed | undefined) => ({
  ...a,
  relay,
  failed: (facts: ReplyFacts | undefined, error: unknown) => closeFailed(a.books, a.attempt, facts, error, a.sentAt),
  judged: (error: GatewayError, body: JsonValue) => judged(a, statusOf(error), body),
  // A further page of a list, with the same headers and no body.
  page: async (query: URLSearchParams) => {
    const next = await send(call, `${call.url.split('?', 1)[0]}?${query}`, signed)
    if (next.status !== 200) throw await complaint({ ...a, incoming: next })
    return next
  },
})

/** A call whose answer has begun. */
export interface Answered {
  readonly x: Exchange
  readonly target: Target
  readonly timeouts: Timeouts
  readonly attempt: Attempt
  readonly dialect: Dialect
  readonly side: UpstreamSide
  readonly books: Books
  readonly ports: AttemptPorts
  readonly sentAt: number
  readonly secrets: readonly string[]
  readonly incoming: IncomingReply
  /** Its first content did not come in time. */
  late?: GatewayError
}

/** Nobody's failure: the call was given up from this side. */
const LEFT: Readonly<Record<string, AttemptOutcome>> = { client_closed: 'client_cancel', superseded: 'cancelled' }

function closeFailed(books: Books, attempt: Attempt, facts: ReplyFacts | undefined, error: unknown, sentAt: number) {
  const known = error instanceof GatewayError ? error : failure('internal_error', { id: 'attempt' }, error)
  attempt.totalMs = performance.now() - sentAt
  const given = LEFT[known.code]
  books.close(attempt, given ?? (facts && facts.textBytes > 0 ? 'partial' : 'failed'), facts, known)
  return known
}

/** An error status: read what the vendor says, and judge it. */
async function complaint(a: Answered): Promise<GatewayError> {
  let parsed: JsonValue = null
  try {
    parsed = a.ports.wire.parseJson(await a.incoming.collect(MOST_ERROR))
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'client_closed') return error
    // Not JSON: an error page of some box in between. Its status says enough.
  }
  return judged(a, a.incoming.status, parsed)
}

function judged(a: Answered, status: number, body: JsonValue): GatewayError {
  const said = a.side.readError(body)
  const retryAfterMs = a.ports.wire.retryAfterMs(a.incoming.headers, a.ports.now()) ?? said.retryAfterMs
  const details = {
    headers: a.ports.wire.clientHeaders(a.incoming.headers),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
  return upstreamError(a.target, status, said, details, a.secrets)
}

/** Throws what closes the attempt, with what was used by then. */
function unstreamed(a: Answered, body: Buffer, type: string): Reply {
  const { attempt, books, target, ports } = a
  let parsed: JsonValue
  try {
    parsed = ports.wire.parseJson(body)
  } catch {
    const what = /html/i.test(type) ? 'an HTML page' : body.length === 0 ? 'an empty body' : 'a body that is not JSON'
    throw failure('upstream_invalid', { upstream: target.upstream.id, problem: what })
  }
  const facts = a.side.factsOf(parsed, a.x.json)
  if (facts.error) throw closeFailed(books, attempt, facts, judged(a, statusOf(facts.error), parsed), a.sentAt)
  if (facts.made) keep(a.x, attempt, facts, ports.objects, ports.now())
  attempt.totalMs = performance.now() - a.sentAt
  attempt.firstContentMs = attempt.totalMs
  books.close(attempt, 'done', facts)
  const headers = ports.wire.clientHeaders(a.incoming.headers)
  return { dialect: a.dialect.id, status: a.incoming.status, headers, target, facts, body }
}

/** An error that came inside a 200: judged as if its own status had been sent. */
const statusOf = (error: GatewayError): number => error.kind.status

async function streamed(a: Answered, signal: AbortSignal): Promise<Reply> {
  const { attempt, books, target, ports, timeouts } = a
  const watcher = a.side.watcher(a.x.json)
  const source = watch(a, watcher)
  const peeked: (readonly Frame[])[] = []
  let frames = 0
  let bytes = 0
  const timer = setTimeout(
    () => {
      const timeoutMs = timeouts.firstContentMs
      a.late = failure('upstream_timeout', { upstream: target.upstream.id, what: 'first content', timeoutMs })
      a.incoming.abort()
    },
    Math.max(1, timeouts.firstContentMs - (performance.now() - a.sentAt)),
  )
  try {
    for (;;) {
      const { value: batch, done } = await source.next()
      if (done) break
      peeked.push(batch)
      let seen = false
      for (const frame of batch) {
        frames++
        bytes += frame.bytes.length
        if (frame.marks & (MARK.content | MARK.final)) seen = true
      }
      if (seen || frames > MOST_PEEKED_FRAMES || bytes > MOST_PEEKED_BYTES) break
    }
  } finally {
    clearTimeout(timer)
  }
  attempt.firstContentMs = performance.now() - a.sentAt
  const end = (outcome: AttemptOutcome): void => {
    peeked.length = 0
    a.incoming.abort()
    attempt.totalMs = performance.now() - a.sentAt
    books.close(attempt, watcher.facts.complete || watcher.facts.finish ? 'done' : outcome, watcher.facts)
    void source.return?.()
  }
  // A shared call ends with the last of those who read it, not with the exchange that began it.
  if (signal === a.x.signal) books.onEnd(attempt, end)
  return {
    dialect: a.dialect.id,
    status: a.incoming.status,
    headers: ports.wire.clientHeaders(a.incoming.headers),
    target,
    facts: watcher.facts,
    batches: { [Symbol.asyncIterator]: () => resumed(peeked, source, end) },
  }
}

/** What was peeked, then the rest. Leaving it early closes the attempt as left by the client. */
function resumed(
  peeked: (readonly Frame[])[],
  source: AsyncIterator<readonly Frame[], void>,
  end: (outcome: AttemptOutcome) => void,
): AsyncIterator<readonly Frame[], void> {
  return {
    next: () => {
      const batch = peeked.shift()
      return batch ? Promise.resolve({ value: batch, done: false }) : source.next()
    },
    return: async () => {
      end('client_cancel')
      return { value: undefined, done: true }
    },
  }
}

/** The reply's frames, looked at as they pass; its end, proper or not, closes the attempt. */
async function* watch(a: Answered, watcher: Watcher): AsyncGenerator<readonly Frame[], void> {
  const { wire } = a.ports
  const { id, provider } = a.target.upstream
  const framer = wire.framer(provider.framing?.[a.dialect.id] ?? a.side.framing, id)
  const { facts } = watcher
  try {
    for await (const chunk of a.incoming.chunks) {
      const frames = framer.push(chunk)
      if (frames.length === 0) continue
      for (const frame of frames) watcher.look(frame)
      if (facts.made) keep(a.x, a.attempt, facts, a.ports.objects, a.ports.now())
      if (facts.error) {
        throw cleaned(facts.error, a)
      }
      yield frames
      if (facts.complete && frames.some((f) => f.marks & MARK.terminal)) {
        a.incoming.discard()
        break
      }
    }
    const rest = framer.end()
    if (rest && !facts.complete) {
      watcher.look(rest)
      if (facts.error) throw cleaned(facts.error, a)
      if (facts.complete) yield [{ bytes: Buffer.concat([rest.bytes, Buffer.from('\n\n')]), marks: rest.marks }]
    }
    if (!facts.complete && facts.finish === undefined) {
      throw failure('upstream_incomplete', { upstream: a.target.upstream.id })
    }
    a.attempt.totalMs = performance.now() - a.sentAt
    a.books.close(a.attempt, 'done', facts)
  } catch (error) {
    // The framing itself may carry an error, which nobody has judged yet.
    const isRaw = error instanceof GatewayError && error.code === 'upstream_error' && error !== facts.error
    throw closeFailed(a.books, a.attempt, facts, a.late ?? (isRaw ? cleaned(error, a) : error), a.sentAt)
  } finally {
    a.incoming.abort()
    if (!a.attempt.outcome) {
      a.attempt.totalMs = performance.now() - a.sentAt
      a.books.close(a.attempt, facts.complete ? 'done' : 'client_cancel', facts)
    }
  }
}

/** An error event of the upstream, judged and stripped of credentials like any other of its errors. */
function cleaned(error: GatewayError, a: Answered): GatewayError {
  if (error.code === 'upstream_invalid') {
    return failure(error.code, { ...error.details, upstream: a.target.upstream.id }, error.cause)
  }
  const said = {
    ...(error.details.upstreamCode === undefined ? {} : { code: error.details.upstreamCode }),
    ...(error.details.upstreamMessage === undefined ? {} : { message: error.details.upstreamMessage }),
  }
  return upstreamError(a.target, statusOf(error), said, {}, a.secrets)
}

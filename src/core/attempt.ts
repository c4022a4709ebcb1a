/**
 * One call to one target: books it, sends it, and hands on what came back, with what is judged to have gone wrong.
 */
import type { Books } from './books.ts'
import type { IncomingReply } from './egress.ts'
import { failure, GatewayError } from './errors.ts'
import type { Attempt, Exchange, Plan } from './exchange.ts'
import { type Answered, closeFailed, complaint, judged, statusOf, supersededBy } from './judging.ts'
import { keep } from './objects.ts'
import { type AttemptPorts, bodyFor, type Call, prepared } from './outgoing.ts'
import { relayed } from './relayed.ts'
import type { Reply, ReplyFacts } from './reply.ts'
import type { JsonValue } from './request.ts'
import { pace } from './routing/verdict.ts'
import type { Signed } from './signing.ts'
import { streamed } from './streamed.ts'
import type { Seat } from './tries.ts'

const MOST_BODY = 128 * 1024 * 1024

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
  try {
    return await around(attempt, () => books.opened(attempt).then(() => made(call, attempt)))
  } catch (error) {
    // A layer around the attempt failed or refused; if the call was made, it has been closed with what it used.
    const known = error instanceof GatewayError ? error : undefined
    books.close(attempt, 'failed', undefined, known)
    throw error
  }
}

function send(call: Call, url: string, signed: Signed | undefined): Promise<IncomingReply> {
  const { x, seat, ports, method, headers, body, signal } = call
  const { id, allowHosts, way } = seat.target.upstream
  return ports.wire.egress.send({
    upstream: id,
    method,
    url,
    headers: signed ? { ...headers, ...signed.headers } : headers,
    ...(body.length === 0 ? {} : { body }),
    ...(x.relay?.rest ? { rest: x.relay.rest } : {}),
    streamed: x.stream,
    timeouts: seat.timeouts,
    signal,
    ...(allowHosts === undefined ? {} : { allowHosts }),
    ...(way === undefined ? {} : { way }),
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
    const mayRenew =
      !again && !call.x.relay?.rest && signed?.credential !== undefined && error.code === 'upstream_credentials'
    if (mayRenew && signer?.refused?.(signed?.credential as object)) return made(call, attempt, true)
    const opened = !again && call.x.sealed ? withoutSeals(call, error) : undefined
    if (opened) return made(opened, attempt, true)
    throw closeFailed(call.books, attempt, undefined, error, sentAt)
  }
  const type = incoming.headers['content-type'] ?? ''
  if (call.x.stream && /event-?stream/i.test(type)) return streamed(a, call.signal)
  if (call.x.relay) return relayed(relayOf(call, a, call.x.relay, signed))
  try {
    return unstreamed(a, await incoming.collect(MOST_BODY), type, call.signal)
  } catch (error) {
    throw closeFailed(call.books, attempt, undefined, error, sentAt)
  }
}

/** The same call without anything sealed, where the vendor says that a seal is another account's and the route lets it go. */
function withoutSeals(call: Call, { details }: GatewayError): Call | undefined {
  const { x, seat, dialect, side, ports } = call
  const plan = x.plan as Plan
  const said = { code: details.upstreamCode, message: details.upstreamMessage }
  if (plan.unsupported === 'reject' || !dialect.seals?.refused(said)) return undefined
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

/** Throws what closes the attempt, with what was used by then. */
function unstreamed(a: Answered, body: Buffer, type: string, signal: AbortSignal): Reply {
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
  const beaten = supersededBy(signal)
  if (beaten) throw closeFailed(books, attempt, facts, beaten, a.sentAt)
  if (facts.made) keep(a.x, attempt, facts, ports.objects, ports.now())
  attempt.totalMs = performance.now() - a.sentAt
  attempt.firstContentMs = attempt.totalMs
  books.close(attempt, 'done', facts)
  const headers = ports.wire.clientHeaders(a.incoming.headers)
  return { dialect: a.dialect.id, status: a.incoming.status, headers, target, facts, body }
}

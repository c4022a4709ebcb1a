/**
 * The answer to a relayed call: JSON is collected, so that its usage, its errors and the objects that it names are known
 * before the client has it; anything else passes as it arrives. Streams of events go the way of every stream.
 */

import type { IncomingReply } from './egress.ts'
import { failure, type GatewayError } from './errors.ts'
import type { Answered } from './judging.ts'
import { keep } from './objects.ts'
import { afterwards, contentTypeOf, linked, madeBy, ownPart, type Relay } from './relay.ts'
import type { Reply, ReplyFacts } from './reply.ts'
import type { JsonObject, JsonValue } from './request.ts'

export interface RelayedCall extends Answered {
  readonly relay: Relay
  /** Closes the attempt with what it used. */
  failed(facts: ReplyFacts | undefined, error: unknown): GatewayError
  /** An error that came inside a 200, as if its own status had been sent. */
  judged(error: GatewayError, body: JsonValue): GatewayError
  /** The same call for another part of a list. */
  page(query: URLSearchParams): Promise<IncomingReply>
}

const MOST_JSON = 128 * 1024 * 1024

export async function relayed(a: RelayedCall): Promise<Reply> {
  const { incoming, attempt, ports, target } = a
  const type = incoming.headers['content-type'] ?? ''
  const head = {
    dialect: a.dialect.id,
    status: incoming.status,
    headers: { ...ports.wire.clientHeaders(incoming.headers), 'x-content-type-options': 'nosniff' },
    target,
  }
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(type)) {
    const facts = a.side.factsOf(null)
    attempt.firstContentMs = attempt.headersMs ?? 0
    return { ...head, facts, contentType: contentTypeOf(incoming), bytes: untouched(a, facts) }
  }
  let facts: ReplyFacts | undefined
  try {
    let body = await incoming.collect(MOST_JSON)
    let json: JsonValue = null
    if (body.length > 0) {
      try {
        json = ports.wire.parseJson(body)
      } catch {
        throw failure('upstream_invalid', { upstream: target.upstream.id, problem: 'a body that is not JSON' })
      }
    }
    facts = a.side.factsOf(json)
    if (facts.error) throw a.judged(facts.error, json)
    const object = ports.wire.asObject(json)
    if (object) {
      const { links, lists } = a.relay.deed
      const own = await mine(a, object)
      const part = links ? linked(own, links, lists?.items) : own
      if (part !== object) body = Buffer.from(JSON.stringify(part))
      // An answer that used something is work done, not a thing made.
      const made = a.relay.anywhere && facts.usage ? undefined : madeBy(a.relay.deed, object)
      if (made) facts.made = [...made, ...(facts.made ?? [])]
    }
    keep(a.x, attempt, facts, ports.objects, ports.now())
    afterwards(a.x, ports.objects)
    const [held] = a.x.owned ?? []
    // Its maker has waited for it; that its results are counted is waited for by nobody.
    if (a.relay.deed.settles && held && object?.[a.relay.deed.idField ?? 'id'] === held.id)
      void ports.settlement.seen(held, object)
    attempt.totalMs = performance.now() - a.sentAt
    attempt.firstContentMs = attempt.totalMs
    a.books.close(attempt, 'done', facts)
    return { ...head, facts, contentType: type, body }
  } catch (error) {
    throw a.failed(facts, error)
  }
}

/** Of a list that holds everybody's objects, those of the caller. */
async function mine(a: RelayedCall, first: JsonObject): Promise<JsonObject> {
  const { lists } = a.relay.deed
  const scope = a.x.principal?.scope
  if (!lists || scope === undefined) return first
  const owned = a.ports.objects.list({ scope, upstream: a.target.upstream.id, kind: lists.kind })
  const query = new URLSearchParams(a.relay.path.split('?')[1] ?? '')
  let page: JsonObject | undefined = first
  return ownPart(lists, query, owned, async (asked) => {
    const known = page
    page = undefined
    if (known) return known
    const next = await a.page(asked)
    return a.ports.wire.asObject(a.ports.wire.parseJson(await next.collect(MOST_JSON))) ?? {}
  })
}

/** Bytes as they come; their end, proper or not, closes the attempt. */
async function* untouched(a: RelayedCall, facts: ReplyFacts): AsyncGenerator<Buffer, void> {
  const { attempt, books, incoming } = a
  // Whoever ends the exchange early lets go of the upstream, and of a generator that waits for nobody.
  books.onEnd(attempt, (outcome) => {
    incoming.abort()
    attempt.totalMs = performance.now() - a.sentAt
    books.close(attempt, outcome, facts)
  })
  try {
    yield* incoming.chunks as AsyncIterable<Buffer>
    afterwards(a.x, a.ports.objects)
    attempt.totalMs = performance.now() - a.sentAt
    books.close(attempt, 'done', facts)
  } catch (error) {
    throw a.failed(facts, error)
  } finally {
    incoming.abort()
    if (!attempt.outcome) {
      attempt.totalMs = performance.now() - a.sentAt
      books.close(attempt, 'client_cancel', facts)
    }
  }
}

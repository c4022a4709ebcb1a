/**
 * How what an upstream answered is judged, and how a call that failed is closed: by its status, by an error inside a 200,
 * by an error in the middle of a stream. No credential is in what is said of it.
 */
import type { Books } from './books.ts'
import { upstreamError } from './classify.ts'
import type { Dialect, UpstreamSide } from './dialect.ts'
import type { IncomingReply } from './egress.ts'
import { failure, GatewayError } from './errors.ts'
import type { Attempt, AttemptOutcome, Exchange, Target, Timeouts } from './exchange.ts'
import type { AttemptPorts } from './outgoing.ts'
import type { ReplyFacts } from './reply.ts'
import type { JsonValue } from './request.ts'

const MOST_ERROR = 1024 * 1024

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

/** Another call was quicker, by less than it takes to end this one: what it used is booked, and nobody is given its answer. */
export function supersededBy(signal: AbortSignal): GatewayError | undefined {
  const { reason } = signal
  return signal.aborted && reason instanceof GatewayError && reason.code === 'superseded' ? reason : undefined
}

/** A part of an answer is what was handed on; text in the same bytes as the error that ended it reached nobody. */
export function closeFailed(
  books: Books,
  attempt: Attempt,
  facts: ReplyFacts | undefined,
  error: unknown,
  sentAt: number,
  handedOn = facts !== undefined && facts.textBytes > 0,
) {
  const known = error instanceof GatewayError ? error : failure('internal_error', { id: 'attempt' }, error)
  attempt.totalMs = performance.now() - sentAt
  const given = LEFT[known.code]
  books.close(attempt, given ?? (handedOn ? 'partial' : 'failed'), facts, known)
  return known
}

/** An error status: read what the vendor says, and judge it. */
export async function complaint(a: Answered): Promise<GatewayError> {
  let parsed: JsonValue = null
  try {
    parsed = a.ports.wire.parseJson(await a.incoming.collect(MOST_ERROR))
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'client_closed') return error
    // Not JSON: an error page of some box in between. Its status says enough.
  }
  return judged(a, a.incoming.status, parsed)
}

export function judged(a: Answered, status: number, body: JsonValue): GatewayError {
  const said = a.side.readError(body)
  const retryAfterMs = a.ports.wire.retryAfterMs(a.incoming.headers, a.ports.now()) ?? said.retryAfterMs
  const details = {
    headers: a.ports.wire.clientHeaders(a.incoming.headers),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
  return upstreamError(a.target, status, said, details, a.secrets)
}

/** An error that came inside a 200: judged as if its own status had been sent. */
export const statusOf = (error: GatewayError): number => error.kind.status

/** An error event of the upstream, judged and stripped of credentials like any other of its errors. */
export function cleaned(error: GatewayError, a: Answered): GatewayError {
  if (error.code === 'upstream_invalid') {
    return failure(error.code, { ...error.details, upstream: a.target.upstream.id }, error.cause)
  }
  const said = {
    ...(error.details.upstreamCode === undefined ? {} : { code: error.details.upstreamCode }),
    ...(error.details.upstreamMessage === undefined ? {} : { message: error.details.upstreamMessage }),
  }
  return upstreamError(a.target, statusOf(error), said, {}, a.secrets)
}

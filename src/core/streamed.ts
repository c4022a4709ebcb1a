/**
 * A streamed answer: peeked into until its first content, so that whatever goes wrong before that can still go elsewhere,
 * then looked at as it passes. Its end, proper or not, closes the attempt.
 */
import type { Watcher } from './dialect.ts'
import { failure, GatewayError } from './errors.ts'
import type { AttemptOutcome } from './exchange.ts'
import { type Answered, cleaned, closeFailed, supersededBy } from './judging.ts'
import { keep } from './objects.ts'
import { type Frame, MARK, type Reply } from './reply.ts'

const MOST_PEEKED_FRAMES = 64
const MOST_PEEKED_BYTES = 256 * 1024

export async function streamed(a: Answered, signal: AbortSignal): Promise<Reply> {
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
        if (frame.marks & MARK.content) seen = true
        // An end alone, without a reason to be one, is no answer yet.
        else if (frame.marks & MARK.final && isOver(watcher)) seen = true
      }
      if (seen || frames > MOST_PEEKED_FRAMES || bytes > MOST_PEEKED_BYTES) break
    }
  } finally {
    clearTimeout(timer)
  }
  const beaten = supersededBy(signal)
  if (beaten) {
    a.incoming.abort()
    const known = closeFailed(books, attempt, watcher.facts, beaten, a.sentAt)
    void source.return()
    throw known
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

const isOver = ({ facts }: Watcher): boolean => facts.complete || facts.finish !== undefined

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
  let handedOn = false
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
      handedOn = facts.textBytes > 0
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
    if (!facts.complete && a.side.terminal !== undefined) {
      yield [{ bytes: Buffer.from(a.side.terminal), marks: MARK.final | MARK.terminal }]
    }
    a.attempt.totalMs = performance.now() - a.sentAt
    a.books.close(a.attempt, 'done', facts)
  } catch (error) {
    // The framing itself may carry an error, which nobody has judged yet.
    const isRaw = error instanceof GatewayError && error.code === 'upstream_error' && error !== facts.error
    throw closeFailed(a.books, a.attempt, facts, a.late ?? (isRaw ? cleaned(error, a) : error), a.sentAt, handedOn)
  } finally {
    a.incoming.abort()
    if (!a.attempt.outcome) {
      a.attempt.totalMs = performance.now() - a.sentAt
      a.books.close(a.attempt, facts.complete ? 'done' : 'client_cancel', facts)
    }
  }
}

/**
 * Replies that are answered a second time: from a store, or to a second client at once. The frames are looked at anew for
 * each client, because what may reach it depends on what it asked for.
 */
import type { Dialect } from './dialect.ts'
import { failure } from './errors.ts'
import type { Exchange, Target } from './exchange.ts'
import type { Awaitable } from './module.ts'
import type { Frame, Reply } from './reply.ts'
import type { Wire } from './wire.ts'

export interface KeptReply {
  readonly dialect: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly target: Target
  /** An unstreamed body, whole frames of a stream one after the other, or the frames of one that is still running. */
  readonly body?: Buffer
  readonly frames?: Buffer | AsyncIterable<readonly Frame[]>
  /** Of a body that is no JSON. */
  readonly contentType?: string
}

export type Replay = (x: Exchange, kept: KeptReply) => Reply

export function createReplay(wire: Wire, dialects: ReadonlyMap<string, Dialect>): Replay {
  return (x, kept) => {
    const upstream = dialects.get(kept.dialect)?.upstream
    if (!upstream) throw failure('internal_error', { id: x.id })
    const { dialect, status, headers, target } = kept
    const { contentType } = kept
    if (kept.body && contentType !== undefined) {
      const facts = { textBytes: 0, complete: true }
      return { dialect, status, headers, target, facts, body: kept.body, contentType, from: 'cache' }
    }
    if (kept.body) {
      const facts = upstream.factsOf(wire.parseJson(kept.body))
      return { dialect, status, headers, target, facts, body: kept.body, from: 'cache' }
    }
    const watcher = upstream.watcher(x.json)
    const look = (bytes: Buffer): Frame => {
      const frame: Frame = { bytes, marks: 0 }
      watcher.look(frame)
      return frame
    }
    const { frames } = kept
    if (Buffer.isBuffer(frames)) {
      const batch = wire.framer(upstream.framing, target.upstream.id).push(frames)
      for (const frame of batch) watcher.look(frame)
      // In small groups, so that a long answer does not hold up everyone else while it is written.
      const groups: (readonly Frame[])[] = []
      for (let i = 0; i < batch.length; i += 16) groups.push(batch.slice(i, i + 16))
      return { dialect, status, headers, target, facts: watcher.facts, batches: each(groups), from: 'cache' }
    }
    const batches = relooked(frames as AsyncIterable<readonly Frame[]>, look)
    return { dialect, status, headers, target, facts: watcher.facts, batches, from: 'cache' }
  }
}

async function* each(groups: readonly (readonly Frame[])[]): AsyncGenerator<readonly Frame[]> {
  yield* groups
}

async function* relooked(
  batches: AsyncIterable<readonly Frame[]>,
  look: (bytes: Buffer) => Frame,
): AsyncGenerator<readonly Frame[]> {
  for await (const batch of batches) yield batch.map((frame) => look(frame.bytes))
}

/** Whether a finished reply may be kept at all: whole, and no error in it. Bytes that came to their end are whole. */
export const isWhole = (reply: Reply): boolean =>
  (reply.facts.complete || reply.bytes !== undefined) && !reply.facts.error && reply.status === 200

/** Told of a reply that has come to its end, which waits for what is returned. No bytes: they were too many. */
export type Keep = (reply: Reply, bytes: readonly Buffer[] | undefined, streamed: boolean) => Awaitable<void>

/** Passes a reply on, and hands over its bytes once it is there as a whole. */
export function keeping(reply: Reply, store: Keep, most: number): Awaitable<Reply> {
  if (reply.body) {
    const stored = store(reply, reply.body.length > most ? undefined : [reply.body], false)
    return stored ? stored.then(() => reply) : reply
  }
  if (reply.bytes) return { ...reply, bytes: gathering(reply, reply.bytes, store, most) }
  if (!reply.batches) return reply
  return { ...reply, batches: collecting(reply, reply.batches, store, most) }
}

async function* collecting(
  reply: Reply,
  batches: AsyncIterable<readonly Frame[]>,
  store: Keep,
  most: number,
): AsyncGenerator<readonly Frame[]> {
  let bytes: Buffer[] | undefined = []
  let size = 0
  for await (const batch of batches) {
    for (const frame of batch) {
      size += frame.bytes.length
      bytes?.push(frame.bytes)
    }
    if (size > most) bytes = undefined
    yield batch
  }
  await store(reply, bytes, true)
}

async function* gathering(
  reply: Reply,
  source: AsyncIterable<Buffer>,
  store: Keep,
  most: number,
): AsyncGenerator<Buffer> {
  let bytes: Buffer[] | undefined = []
  let size = 0
  for await (const chunk of source) {
    size += chunk.length
    if (size > most) bytes = undefined
    else bytes?.push(chunk)
    yield chunk
  }
  await store(reply, bytes, false)
}

/**
 * Replies that are answered a second time: from a store, or to a second client at once. The frames are looked at anew for
 * each client, because what may reach it depends on what it asked for.
 */
import type { Dialect } from './dialect.ts'
import { failure } from './errors.ts'
import type { Exchange, Target } from './exchange.ts'
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
}

export type Replay = (x: Exchange, kept: KeptReply) => Reply

export function createReplay(wire: Wire, dialects: ReadonlyMap<string, Dialect>): Replay {
  return (x, kept) => {
    const upstream = dialects.get(kept.dialect)?.upstream
    if (!upstream) throw failure('internal_error', { id: x.id })
    const { dialect, status, headers, target } = kept
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

/** Whether a finished reply may be kept at all: whole, and no error in it. */
export const isWhole = (reply: Reply): boolean => reply.facts.complete && !reply.facts.error && reply.status === 200

/** Passes a reply on, and hands over its bytes once it is there as a whole, unless they are more than `most`. */
export function keeping(
  reply: Reply,
  store: (reply: Reply, bytes: readonly Buffer[], streamed: boolean) => void,
  most: number,
): Reply {
  if (reply.body) {
    store(reply, [reply.body], false)
    return reply
  }
  if (!reply.batches) return reply
  return { ...reply, batches: collecting(reply, reply.batches, store, most) }
}

async function* collecting(
  reply: Reply,
  batches: AsyncIterable<readonly Frame[]>,
  store: (reply: Reply, bytes: readonly Buffer[], streamed: boolean) => void,
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
  if (bytes) store(reply, bytes, true)
}

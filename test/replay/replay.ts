/**
 * Replays recorded provider replies through a dialect: however the bytes are cut on the way, the meaning is the same,
 * the relay's watcher sees the same facts as the reader, and what is written again says what was read.
 * Recordings live outside the project; where they are missing, `noRecordings` is the reason to skip by.
 */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Dialect, ReplyContext } from '../../src/core/dialect.ts'
import type { FinishReason, ReplyEvent, ReplyFacts } from '../../src/core/reply.ts'
import type { JsonObject, JsonValue } from '../../src/core/request.ts'
import { BUCKETS, type Usage } from '../../src/core/usage.ts'
import type { Framer } from '../../src/core/wire.ts'
import { isComment, SseFramer, sseData } from '../../src/wire/sse.ts'

const RECORDED = resolve(process.env.STOCKYARD_FIXTURES ?? '../shared', 'fixtures/recorded')

export interface Recording {
  /** Path below the folder of recordings, e.g. `groq/groq-tool-call.chunks.txt`. */
  readonly name: string
  readonly kind: 'stream' | 'body'
  /** A stream: the events' payloads in order. */
  readonly payloads: readonly string[]
  /** A body: its text. */
  readonly text: string
}

/** What matches `pattern` (a glob below the folder of recordings), without empty files, in the order of names. */
export function recordings(pattern: string): Recording[] {
  const found: Recording[] = []
  for (const name of globSync(pattern, { cwd: RECORDED }).sort()) {
    const kind = name.endsWith('.chunks.txt') ? 'stream' : name.endsWith('.json') ? 'body' : undefined
    if (!kind) continue
    const text = readFileSync(join(RECORDED, name), 'utf8')
    if (text.trim() === '') continue
    const payloads = kind === 'stream' ? text.split('\n').filter((line) => line.trim() !== '') : []
    found.push({ name, kind, payloads, text })
  }
  return found
}

/** Why replays cannot run here, or false. */
export const noRecordings: string | false =
  globSync('*', { cwd: RECORDED }).length > 0 ? false : `no recordings in ${RECORDED} (set STOCKYARD_FIXTURES)`

export interface Sending {
  /** A last payload that the vendor sends and the recording leaves out, e.g. `[DONE]`. */
  readonly last?: string
  /** The `event:` line of a payload, for vendors that write one. */
  readonly event?: (payload: string) => string | undefined
}

/** The payloads as the server-sent events the vendor sent. */
export function streamOf(payloads: readonly string[], sending: Sending = {}): Buffer {
  let text = ''
  for (const data of sending.last === undefined ? payloads : [...payloads, sending.last]) {
    const event = sending.event?.(data)
    text += `${event === undefined ? '' : `event: ${event}\n`}data: ${data}\n\n`
  }
  return Buffer.from(text)
}

/** What a reply says, however it was cut: the same for a stream and for the body it would have been. */
export interface Meaning {
  readonly text: string
  readonly reasoning: string
  readonly refusal: string
  readonly toolCalls: readonly { readonly name: string; readonly args: unknown }[]
  /** Signatures and redacted thoughts, in order. */
  readonly signatures: readonly string[]
  /** Kinds of the parts that only their own vendor understands, as `dialect:type`. */
  readonly opaque: readonly string[]
  readonly finish: FinishReason | undefined
  readonly usage: Usage | undefined
}

/** The meaning of one choice. Asserts on the way that every part is opened before it grows and closed by the end. */
export function collect(events: readonly ReplyEvent[], choice = 0): Meaning {
  let text = ''
  let reasoning = ''
  let refusal = ''
  let finish: FinishReason | undefined
  let usage: Usage | undefined
  const calls = new Map<number, { name: string; json: string }>()
  const signatures: string[] = []
  const opaque: string[] = []
  const open = new Map<number, string>()
  for (const event of events) {
    if (event.type === 'usage-report') usage = event.usage
    if (event.type === 'reply-start') usage = event.usage ?? usage
    const [kind, step] = kindAndStep(event.type)
    if (kind !== undefined && 'part' in event && event.part !== undefined) {
      if (step === 'start') {
        assert.ok(!open.has(event.part), `part ${event.part} is opened twice`)
        open.set(event.part, kind)
      } else {
        assert.equal(open.get(event.part), kind, `${event.type} for part ${event.part}, which is not open as ${kind}`)
        if (step === 'end') open.delete(event.part)
      }
    }
    if (('choice' in event ? (event.choice ?? 0) : 0) !== choice) continue
    switch (event.type) {
      case 'text-delta':
        text += event.text
        break
      case 'reasoning-start':
        if (event.redacted !== undefined) signatures.push(event.redacted)
        break
      case 'reasoning-delta':
        reasoning += event.text
        break
      case 'reasoning-end':
        if (event.signature !== undefined) signatures.push(event.signature)
        break
      case 'refusal-delta':
        refusal += event.text
        break
      case 'tool-call-start':
        calls.set(event.part, { name: event.name, json: '' })
        if (event.signature !== undefined) signatures.push(event.signature)
        break
      case 'tool-call-delta':
        ;(calls.get(event.part) as { json: string }).json += event.json
        break
      case 'opaque':
        opaque.push(`${event.dialect}:${String(event.value.type ?? '')}`)
        break
      case 'finish':
        finish = event.reason
        break
    }
  }
  assert.equal(open.size, 0, `parts left open: ${[...open].map(([part, kind]) => `${part} (${kind})`).join(', ')}`)
  assert.equal(events.filter((e) => e.type === 'reply-end').length, 1, 'reply-end comes once')
  assert.equal(events.at(-1)?.type, 'reply-end', 'reply-end comes last')
  const toolCalls = [...calls.values()].map(({ name, json }) => ({ name, args: parsed(json) }))
  return { text, reasoning, refusal, toolCalls, signatures, opaque, finish, usage: usage && plain(usage) }
}

function kindAndStep(type: ReplyEvent['type']): [kind: string | undefined, step: string] {
  const match = /^(text|reasoning|tool-call)-(start|delta|end)$/.exec(type)
  return match ? [match[1], match[2] as string] : [undefined, '']
}

function parsed(json: string): unknown {
  if (json === '') return {}
  try {
    return JSON.parse(json)
  } catch {
    return json
  }
}

/** Without empty buckets, so that "none" and "0" compare equal. */
export function plain(usage: Usage): Usage {
  const kept: Record<string, unknown> = { source: usage.source }
  for (const bucket of BUCKETS) if (usage[bucket]) kept[bucket] = usage[bucket]
  if (usage.calls && Object.keys(usage.calls).length > 0) kept.calls = { ...usage.calls }
  return kept as unknown as Usage
}

function upstreamOf(dialect: Dialect) {
  assert.ok(dialect.upstream, `${dialect.id} has no side towards upstreams`)
  return dialect.upstream
}
function clientOf(dialect: Dialect) {
  assert.ok(dialect.client, `${dialect.id} has no side towards clients`)
  return dialect.client
}

/** The bytes in these pieces, framed and read to their end. */
export function readStream(
  dialect: Dialect,
  pieces: Iterable<Buffer>,
  framer: Framer = new SseFramer(),
): readonly ReplyEvent[] {
  const reader = upstreamOf(dialect).streamReader()
  const events: ReplyEvent[] = []
  for (const piece of pieces) {
    for (const { bytes } of framer.push(piece)) {
      if (isComment(bytes)) continue
      const { data, event } = sseData(bytes)
      events.push(...reader.read(data, event))
    }
  }
  events.push(...reader.end())
  return events
}

export const readBody = (dialect: Dialect, text: string): readonly ReplyEvent[] =>
  upstreamOf(dialect).readBody(JSON.parse(text) as JsonValue)

/** What the relay's watcher knows after the bytes in these pieces have passed, and the marks of each frame. */
export function watchStream(
  dialect: Dialect,
  pieces: Iterable<Buffer>,
  asked: JsonObject = {},
): { readonly facts: ReplyFacts; readonly marks: readonly number[] } {
  const watcher = upstreamOf(dialect).watcher(asked)
  const framer = new SseFramer()
  const marks: number[] = []
  for (const piece of pieces) {
    for (const frame of framer.push(piece)) {
      watcher.look(frame)
      marks.push(frame.marks)
    }
  }
  return { facts: watcher.facts, marks }
}

export const replayContext = (asked: JsonObject = {}): ReplyContext => ({
  id: 'req_replay',
  model: 'replayed-model',
  created: 1_700_000_000,
  asked,
})

/** The events as `dialect` streams them to a client. */
export function writtenStream(dialect: Dialect, events: readonly ReplyEvent[], asked: JsonObject = {}): string {
  const writer = clientOf(dialect).streamWriter(replayContext(asked))
  return events.map((event) => writer.write(event)).join('')
}

/** The events as the body `dialect` answers with. */
export const writtenBody = (dialect: Dialect, events: readonly ReplyEvent[], asked: JsonObject = {}): JsonObject =>
  clientOf(dialect).writeBody(events, replayContext(asked))

/** Cut into pieces of `size` bytes. */
export function* pieces(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** Files up to this are cut in two at every offset, larger ones around the places where a cut could matter. */
const EVERY_OFFSET_UP_TO = 4_096
const AROUND = 4

/**
 * Reads `bytes` at chunk sizes 1, 7 and whole, and cut in two at every offset (small) or at every offset within four
 * bytes of an event border, an escape or a multi-byte character (large). Asserts that all give the same meaning and
 * returns it.
 */
export function sameHoweverCut(bytes: Buffer, read: (pieces: Iterable<Buffer>) => Meaning): Meaning {
  const whole = read([bytes])
  assert.deepEqual(read(pieces(bytes, 1)), whole, 'one byte at a time')
  assert.deepEqual(read(pieces(bytes, 7)), whole, 'seven bytes at a time')
  if (bytes.length <= EVERY_OFFSET_UP_TO) {
    for (let at = 1; at < bytes.length; at++) {
      assert.deepEqual(read([bytes.subarray(0, at), bytes.subarray(at)]), whole, `cut at ${at}`)
    }
  } else {
    sameFramesWhereverCut(bytes)
  }
  return whole
}

/**
 * A reader sees nothing but whole frames, and between two events a framer remembers nothing. So for a large file it is
 * enough, and a thousand times cheaper, that each cut leaves the frames of its own neighborhood as they are.
 */
function sameFramesWhereverCut(bytes: Buffer): void {
  const events: { start: number; end: number }[] = []
  for (let start = 0; start < bytes.length; ) {
    const border = bytes.indexOf('\n\n', start)
    const end = border === -1 ? bytes.length : border + 2
    events.push({ start, end })
    start = end
  }
  events.forEach(({ start, end }, number) => {
    const from = events[number - 1]?.start ?? start
    const to = events[number + 1]?.end ?? end
    const window = bytes.subarray(from, to)
    const whole = payloadsOf([window])
    for (const cut of cutsWithin(bytes, start, end)) {
      const at = cut - from
      if (at <= 0 || at >= window.length) continue
      assert.deepEqual(payloadsOf([window.subarray(0, at), window.subarray(at)]), whole, `cut at ${cut}`)
    }
  })
}

function payloadsOf(cut: readonly Buffer[]): string[] {
  const framer = new SseFramer()
  const payloads: string[] = []
  for (const piece of cut) {
    for (const { bytes } of framer.push(piece)) if (!isComment(bytes)) payloads.push(JSON.stringify(sseData(bytes)))
  }
  return payloads
}

/** Offsets within four bytes of the event's end, of an escape or of a byte of a multi-byte character. */
function cutsWithin(bytes: Buffer, start: number, end: number): Set<number> {
  const cuts = new Set<number>()
  const around = (at: number): void => {
    for (let cut = at - AROUND; cut <= at + AROUND; cut++) cuts.add(cut)
  }
  around(end)
  for (let at = start; at < end; at++) if (bytes[at] === 0x5c || (bytes[at] as number) >= 0x80) around(at)
  return cuts
}

/**
 * Turns a reply into the bytes its client asked for: streamed or not, in the client's dialect. Relay where the bytes may
 * pass as they are; translation where the dialects differ, a module's stage must see the text, or a stream is wanted of
 * a body (or the other way round). Both ways meter, keep, and hold the end back until the books are closed.
 */
import type { Books } from './books.ts'
import { outcomeOf } from './books.ts'
import { legs, type Resume } from './continuation.ts'
import type { ClientSide, Dialect, ReplyContext, StreamReader } from './dialect.ts'
import { failure, GatewayError, leftBy, Refusal } from './errors.ts'
import type { Ended, Exchange } from './exchange.ts'
import { guarded, judge, unavailable } from './faults.ts'
import type { Awaitable } from './module.ts'
import { type BoundStage, meter, type Pipeline, stagesOf } from './pipeline.ts'
import { type Frame, MARK, type Reply, type ReplyEvent } from './reply.ts'
import type { ModelRequest } from './request.ts'
import type { Thoughts } from './thoughts.ts'
import { estimateTokens, NO_USAGE } from './usage.ts'
import type { Wire } from './wire.ts'

export interface BodyAnswer {
  readonly kind: 'body'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly contentType?: string
  readonly body: Buffer
  readonly ended: Ended
  readonly reply: Reply
}
export interface StreamAnswer {
  readonly kind: 'stream'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly contentType: string
  /** Groups of whole events. A failure is the dialect's own terminal event; it throws only where the format has none. */
  readonly chunks: AsyncIterable<readonly Buffer[]>
  readonly reply: Reply
}
export type Answer = BodyAnswer | StreamAnswer

export interface DeliveryPorts {
  readonly wire: Wire
  readonly dialects: ReadonlyMap<string, Dialect>
  readonly thoughts: Thoughts
}

/** After the finish reason an upstream that neither ends nor says its usage is not waited for longer than this. */
const GRACE_AFTER_FINISH_MS = 5_000

export function deliver(
  x: Exchange,
  reply: Reply,
  pipeline: Pipeline,
  books: Books,
  ports: DeliveryPorts,
  resume?: Resume,
): Awaitable<Answer> {
  const client = ports.dialects.get(x.dialect)?.client
  const upstream = ports.dialects.get(reply.dialect)?.upstream
  if (!client || !upstream) throw failure('internal_error', { id: x.id })
  const stages = stagesOf(pipeline, x)
  const acting = stages.some(({ hook }) => !hook.observe)
  const asAsked =
    x.relay !== undefined ||
    (x.stream === (reply.batches !== undefined) && (client.takes?.(reply.facts, x.json) ?? true))
  const relay = reply.dialect === x.dialect && (!acting || reply.body?.length === 0) && asAsked && !resume
  const job: Delivery = { x, reply, pipeline, books, ports, client, stages, relay, ...(resume ? { resume } : {}) }
  if (reply.bytes && acting && isText(reply)) return readText(job, reply.bytes)
  if (reply.batches && acting && x.relay) {
    throw failure('invalid_request', {
      problem: 'A module reads the answers here, which cannot be done in this stream; ask without streaming.',
      param: 'stream',
    })
  }
  return reply.bytes || (x.stream && !(x.relay && reply.body)) ? stream(job) : body(job)
}

interface Delivery extends DeliveryPortsHolder {
  readonly x: Exchange
  readonly reply: Reply
  readonly pipeline: Pipeline
  readonly books: Books
  readonly client: ClientSide
  readonly stages: BoundStage[]
  readonly relay: boolean
  /** Where an answer that breaks off may go on. */
  readonly resume?: Resume
  /** How a stream that is being written ends in failure; absent: as one of which nothing is known. */
  fail?: (error: GatewayError) => string
  /** Set when a stage has stopped the reply: nothing more is read. */
  refused?: Refusal
}
interface DeliveryPortsHolder {
  readonly ports: DeliveryPorts
}

const context = ({ x, reply }: Delivery): ReplyContext => ({
  id: x.id,
  model: reply.facts.model ?? reply.target.model,
  created: Math.floor(x.arrivedAt / 1_000),
  asked: x.json,
})

/**
 * Events through the stages, deepest first; `over` says that the reply is. What has passed before a stage refuses goes
 * on through those further out, and the refusal is `job.refused`.
 */
function climb(job: Delivery, events: readonly ReplyEvent[], over: boolean): readonly ReplyEvent[] {
  let flow = events
  for (const step of job.stages) {
    const out: ReplyEvent[] = []
    try {
      for (const event of flow) out.push(...passed(job, step, event))
      if (over) out.push(...passed(job, step, undefined))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      job.refused ??= error
    }
    flow = out
  }
  return flow
}

function passed(job: Delivery, step: BoundStage, event: ReplyEvent | undefined): readonly ReplyEvent[] {
  const untouched = event ? [event] : []
  if (step.broken) return untouched
  const started = performance.now()
  try {
    const out = event ? step.stage.push(event) : (step.stage.end?.() ?? [])
    return step.hook.observe ? untouched : out
  } catch (error) {
    judge(step.hook, job.x, started, undefined, error)
    step.broken = true
    return untouched
  }
}

/** Observing stages beside a relay: they read the events, and nothing of what they say is used. */
function onlooker(job: Delivery): ((frames: readonly Frame[]) => void) | undefined {
  if (job.stages.length === 0) return undefined
  const reader = job.ports.dialects.get(job.reply.dialect)?.upstream?.streamReader()
  if (!reader) return undefined
  const { wire } = job.ports
  return (frames) => {
    for (const frame of frames) {
      if (wire.isComment(frame.bytes)) continue
      const { data, event } = wire.payload(frame.bytes)
      climb(job, reader.read(data, event), false)
    }
  }
}

/** The request as it was translated for this reply's dialect; a relayed one was never taken apart. */
const written = ({ x, reply }: Delivery): ModelRequest | undefined =>
  x.transformed ?? (reply.dialect === x.dialect ? undefined : x.request())

/** Clients of another dialect are given thoughts that they may lose. */
function listenerOf({ x, reply, ports }: Delivery): ((event: ReplyEvent) => void) | undefined {
  const scope = x.principal?.scope
  return reply.dialect === x.dialect || scope === undefined ? undefined : ports.thoughts.listener(scope, reply.dialect)
}

async function eventsOf(job: Delivery): Promise<readonly ReplyEvent[]> {
  const events = await collected(job)
  const listen = listenerOf(job)
  if (listen) for (const event of events) listen(event)
  return events
}

async function collected(job: Delivery): Promise<readonly ReplyEvent[]> {
  const { reply, ports } = job
  const upstream = ports.dialects.get(reply.dialect)?.upstream
  if (!upstream) throw unavailable(reply.dialect, new Error('no reader'))
  if (reply.body) return upstream.readBody(ports.wire.parseJson(reply.body), written(job))
  const reader = upstream.streamReader(written(job))
  const events: ReplyEvent[] = []
  for await (const frames of reply.batches ?? []) {
    for (const frame of frames) {
      if (ports.wire.isComment(frame.bytes)) continue
      const { data, event } = ports.wire.payload(frame.bytes)
      events.push(...reader.read(data, event))
    }
  }
  events.push(...reader.end())
  return events
}

async function body(job: Delivery): Promise<BodyAnswer> {
  const { x, reply, pipeline, books } = job
  try {
    let bytes: Buffer
    if (job.relay && reply.body) {
      bytes = reply.body
      if (job.stages.length > 0) climb(job, await eventsOf(job), true)
    } else {
      const passed = climb(job, await eventsOf(job), true)
      const more = await lastWord(job)
      const events = more.length === 0 ? passed : [...passed.filter(isContentful), ...more, ...passed.filter(isEnd)]
      bytes = Buffer.from(JSON.stringify(job.client.writeBody(events, context(job))))
    }
    meter(pipeline, x, bytes.length, estimateTokens(reply.facts.textBytes))
    if (!keepsHidden(job) && x.keepReplyBytes > 0) x.replyBody.push(bytes.subarray(0, x.keepReplyBytes))
    if (reply.from) books.hit(reply.target, reply.facts.usage ?? NO_USAGE)
    const ended = await books.finish('done', reply.status)
    return bodyAnswer(reply, bytes, ended)
  } catch (error) {
    const known = asGatewayError(error, x)
    await books.finish(outcomeOf(known), known.kind.status, known)
    throw known
  }
}

const bodyAnswer = (reply: Reply, body: Buffer, ended: Ended): BodyAnswer => ({
  kind: 'body',
  status: reply.status,
  headers: reply.headers,
  ...(reply.contentType === undefined ? {} : { contentType: reply.contentType }),
  body,
  ended,
  reply,
})

function stream(job: Delivery): StreamAnswer {
  return {
    kind: 'stream',
    status: reply200(job.reply),
    headers: job.reply.headers,
    contentType: job.reply.contentType ?? job.client.streamType,
    chunks: told(job, job.reply.bytes ? untouched(job.reply.bytes) : job.relay ? relayed(job) : translated(job)),
    reply: job.reply,
  }
}
const reply200 = (reply: Reply): number => (reply.status >= 200 && reply.status < 300 ? reply.status : 200)

/** What goes out now, and what belongs to the end. */
interface Portion {
  readonly now: readonly Buffer[]
  readonly held: readonly Buffer[]
  /** More content came after all: what was held goes first. */
  readonly releases: boolean
}

async function* untouched(bytes: AsyncIterable<Buffer>): AsyncGenerator<Portion> {
  for await (const chunk of bytes) yield { now: [chunk], held: [], releases: true }
}

const MOST_TEXT = 32 * 1024 * 1024
const isText = ({ contentType }: Reply): boolean => /^text\//i.test(contentType ?? '')

/** A reply that is nothing but text (a transcript, subtitles), where a module wants to see it. */
async function readText(job: Delivery, bytes: AsyncIterable<Buffer>): Promise<BodyAnswer> {
  const { x, reply, books } = job
  try {
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of bytes) {
      chunks.push(chunk)
      size += chunk.length
      if (size > MOST_TEXT) {
        throw failure('upstream_invalid', { upstream: reply.target.upstream.id, problem: 'a text too long to be read' })
      }
    }
    const text = Buffer.concat(chunks).toString('utf8')
    const events = climb(
      job,
      [
        { type: 'reply-start' },
        { type: 'text-start', part: 0 },
        { type: 'text-delta', part: 0, text },
        { type: 'text-end', part: 0 },
        { type: 'finish', reason: 'stop' },
        { type: 'reply-end' },
      ],
      true,
    )
    const more = await lastWord(job)
    const said = [...events, ...more].map((event) => (event.type === 'text-delta' ? event.text : '')).join('')
    return bodyAnswer(reply, Buffer.from(said), await books.finish('done', reply.status))
  } catch (error) {
    const known = asGatewayError(error, x)
    await books.finish(outcomeOf(known), known.kind.status, known)
    throw known
  }
}

async function* relayed(job: Delivery): AsyncGenerator<Portion> {
  const { reply, ports } = job
  const watch = onlooker(job)
  for await (const frames of reply.batches ?? []) {
    watch?.(frames)
    let anyFinal = false
    for (const frame of frames) if (frame.marks & MARK.final) anyFinal = true
    if (!anyFinal) {
      yield { now: ports.wire.coalesce(frames, goesOut), held: [], releases: frames.some(isContent) }
      continue
    }
    // Held: everything from the first final frame that no content follows within this batch.
    let end = frames.length
    while (end > 0 && !isContent(frames[end - 1] as Frame)) end--
    let cut = end
    while (cut < frames.length && !((frames[cut] as Frame).marks & MARK.final)) cut++
    if (end > 0 && (frames[end - 1] as Frame).marks & MARK.final) cut = end - 1
    yield {
      now: ports.wire.coalesce(frames.slice(0, cut), goesOut),
      held: ports.wire.coalesce(frames.slice(cut), goesOut),
      releases: frames.slice(0, cut).some(isContent),
    }
  }
}
const goesOut = (frame: Frame): boolean => (frame.marks & MARK.withhold) === 0
const isContent = (frame: Frame): boolean => (frame.marks & MARK.content) !== 0
const FINAL = new Set<ReplyEvent['type']>(['finish', 'usage-report', 'reply-end'])

async function* translated(job: Delivery): AsyncGenerator<Portion> {
  const writer = job.client.streamWriter(context(job))
  job.fail = (error) => writer.fail(error)
  let choices = 1
  const finished = new Set<number>()
  const write = (events: readonly ReplyEvent[]): Portion => {
    let now = ''
    let held = ''
    let releases = false
    for (const event of events) {
      if ('choice' in event && event.choice !== undefined && event.choice >= choices) choices = event.choice + 1
      if (event.type === 'finish') finished.add(event.choice ?? 0)
      const text = writer.write(event)
      if (FINAL.has(event.type)) held += text
      else if (text) {
        now += held + text
        held = ''
        releases = true
      }
    }
    return { now: now ? [Buffer.from(now)] : [], held: held ? [Buffer.from(held)] : [], releases }
  }
  try {
    for await (const events of passing(job)) yield write(events)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    // A stage has stopped the reply: every choice gets the finish that says so, and the error comes after it.
    const { now, held } = write(
      Array.from({ length: choices }, (_, choice) => choice)
        .filter((choice) => !finished.has(choice))
        .map((choice) => ({ type: 'finish', reason: 'content-filter', ...(choice === 0 ? {} : { choice }) })),
    )
    yield { now: [...now, ...held], held: [], releases: true }
    throw error
  }
}

/** The reply's events as they leave the stages. Where a stage has a last word, the end waits for it. */
async function* passing(job: Delivery): AsyncGenerator<readonly ReplyEvent[]> {
  const { reply, ports } = job
  const upstream = ports.dialects.get(reply.dialect)?.upstream
  const waits = job.stages.some(({ hook, stage }) => stage.last && !hook.observe)
  const ends: ReplyEvent[] = []
  const withoutEnd = (events: readonly ReplyEvent[]): readonly ReplyEvent[] => {
    if (!waits) return events
    ends.push(...events.filter(isEnd))
    return events.filter(isContentful)
  }
  const step = (events: readonly ReplyEvent[], over: boolean) => withoutEnd(climb(job, events, over))
  if (reply.body || !upstream || !reply.batches) {
    yield step(await eventsOf(job), true)
  } else if (job.resume) {
    const read = (leg: Reply) => streamEvents({ ...job, reply: leg })
    for await (const events of legs(reply, read, job.resume)) {
      yield step(events, false)
      if (job.refused) throw job.refused
    }
    yield step([], true)
  } else {
    const reader = upstream.streamReader(written(job))
    const listen = listenerOf(job)
    for await (const frames of reply.batches) {
      const events = eventsIn(frames, reader, ports.wire)
      if (listen) for (const event of events) listen(event)
      yield step(events, false)
      if (job.refused) throw job.refused
    }
    yield step(reader.end(), true)
  }
  const more = await lastWord(job)
  if (more.length > 0) yield more
  if (ends.length > 0) yield ends
}
const isEnd = (event: ReplyEvent): boolean => FINAL.has(event.type)
const isContentful = (event: ReplyEvent): boolean => !FINAL.has(event.type)

/**
 * What the stages say of the reply as a whole: a refusal, or what goes out before the end, through the stages that stand
 * further out. Nobody waits for those that only observe.
 */
async function lastWord(job: Delivery): Promise<readonly ReplyEvent[]> {
  const { x, stages } = job
  let more: readonly ReplyEvent[] = []
  if (job.refused) throw job.refused
  for (const [i, { hook, stage, broken }] of stages.entries()) {
    if (!stage.last || broken) continue
    const said = guarded<readonly ReplyEvent[] | undefined>(hook, x, undefined, () => stage.last?.())
    if (hook.observe) continue
    const own = await said
    if (own && own.length > 0) {
      const outer = { ...job, stages: stages.slice(i + 1) }
      more = [...more, ...climb(outer, own, false), ...climb(outer, [], true)]
      if (outer.refused) throw outer.refused
    }
  }
  return more
}

function eventsIn(frames: readonly Frame[], reader: StreamReader, wire: Wire): ReplyEvent[] {
  const events: ReplyEvent[] = []
  for (const frame of frames) {
    if (wire.isComment(frame.bytes)) continue
    const { data, event } = wire.payload(frame.bytes)
    events.push(...reader.read(data, event))
  }
  return events
}

/** One leg of an answer that may go on elsewhere. */
async function* streamEvents(job: Delivery): AsyncGenerator<readonly ReplyEvent[]> {
  const { reply, ports } = job
  const upstream = ports.dialects.get(reply.dialect)?.upstream
  if (!upstream || !reply.batches) {
    yield await eventsOf(job)
    return
  }
  const reader = upstream.streamReader(written(job))
  for await (const frames of reply.batches) yield eventsIn(frames, reader, ports.wire)
  yield reader.end()
}

/** Metering, keeping, the held-back end, and how a stream that fails says so. */
/** Where a stage hides text, logs get what it says may be kept, and never the client's bytes. */
function keepsHidden({ x, stages }: Delivery): boolean {
  let hides = false
  for (const { hook, stage } of stages) {
    if (hook.observe || !stage.keeps) continue
    hides = true
    if (x.keepReplyBytes > 0) x.replyBody = [stage.keeps(x.keepReplyBytes)]
  }
  return hides
}

async function* told(job: Delivery, portions: AsyncGenerator<Portion>): AsyncGenerator<readonly Buffer[]> {
  const { x, reply, books, pipeline, client } = job
  let held: Buffer[] = []
  let bytes = 0
  let kept = 0
  let over = false
  const hides = job.stages.some(({ hook, stage }) => stage.keeps && !hook.observe)
  const keep = (out: readonly Buffer[]): readonly Buffer[] => {
    for (const buffer of out) {
      bytes += buffer.length
      if (!hides && kept < x.keepReplyBytes) {
        const part = buffer.subarray(0, x.keepReplyBytes - kept)
        x.replyBody.push(part)
        kept += part.length
      }
    }
    return out
  }
  try {
    for (;;) {
      const next = held.length > 0 ? await withGrace(portions.next()) : await portions.next()
      if (next === 'grace is over' || next.done) break
      const portion = next.value
      let out = portion.now
      if (held.length > 0) {
        if (portion.releases) {
          out = [...held, ...portion.now]
          held = []
        } else if (portion.now.length > 0) {
          held.push(...portion.now)
          out = []
        }
      }
      held.push(...portion.held)
      if (out.length > 0) {
        yield keep(out)
        if (pipeline.meter.length > 0) meter(pipeline, x, bytes, estimateTokens(reply.facts.textBytes))
      }
    }
    if (reply.from) books.hit(reply.target, reply.facts.usage ?? NO_USAGE)
    void portions.return(undefined)
    if (hides) keepsHidden(job)
    await books.finish('done', reply.status)
    over = true
    if (held.length > 0) yield keep(held)
  } catch (error) {
    const known = x.signal.aborted ? leftBy(x.signal) : asGatewayError(error, x)
    void portions.return(undefined).catch(() => {})
    const judged = outcomeOf(known)
    const begun = bytes > 0 && judged !== 'client_cancel' && !(known instanceof Refusal)
    const outcome = begun ? 'partial' : judged
    if (hides) keepsHidden(job)
    const ended = books.finish(outcome, reply.status, known)
    over = true
    await ended
    if (reply.bytes) throw known
    if (outcome !== 'client_cancel') yield [Buffer.from(job.fail?.(known) ?? client.failStream(known, x.id))]
  } finally {
    if (!over) {
      if (hides) keepsHidden(job)
      void portions.return(undefined).catch(() => {})
      // Whoever left waits for nothing; who stops the gateway does.
      await books.finish('client_cancel', reply.status, failure('client_closed'))
    }
  }
}

async function withGrace<T>(working: Promise<T>): Promise<T | 'grace is over'> {
  let timer: NodeJS.Timeout | undefined
  const grace = new Promise<'grace is over'>((resolve) => {
    timer = setTimeout(resolve, GRACE_AFTER_FINISH_MS, 'grace is over')
  })
  try {
    return await Promise.race([working, grace])
  } finally {
    clearTimeout(timer)
  }
}

export function asGatewayError(error: unknown, x: Exchange): GatewayError {
  if (error instanceof GatewayError) return error
  return failure('internal_error', { id: x.id }, error)
}

/**
 * Work that goes on at an upstream after the call that began it: batches, answers in the background. Each is looked at when
 * its maker asks for it, and now and then besides, and booked once, when it is over: what it used, batches at the vendor's rate
 * for them, to whoever made it. The rows' numbers follow from the call that made it, so booking it twice is booking it once.
 */
import type { Egress, IncomingReply } from './egress.ts'
import { failure } from './errors.ts'
import { type Target, TIMEOUTS, type Upstream } from './exchange.ts'
import { divideRounded, type NanoUsd, nanoUsdOf, ZERO } from './money.ts'
import type { Objects, OwnedObject } from './objects.ts'
import { callUpstream } from './own-call.ts'
import { pathOf } from './provider.ts'
import type { Jobs } from './relay.ts'
import type { JsonObject } from './request.ts'
import type { Snapshot } from './snapshot.ts'
import type { ClosedRow, Ledger } from './store.ts'
import { addUsage, costOf, type Price, type Usage } from './usage.ts'

export interface SettlementPorts {
  readonly egress: Egress
  readonly ledger: Ledger
  readonly objects: Objects
  /** Dialect id → how its jobs are looked at. */
  readonly jobs: ReadonlyMap<string, readonly Jobs[]>
  snapshot(): Snapshot
  now(): number
  warn(message: string, facts: object): void
}

export interface Settlement {
  /** A job as its upstream shows it to its maker. Resolves when it is booked, if it is over. */
  seen(object: OwnedObject, body: JsonObject): Promise<void>
  /** Looks at all that are not booked yet. */
  look(): Promise<void>
}

/** No vendor keeps one open longer than some days; what never said how it ended is given up then. */
const GIVEN_UP_AFTER_MS = 14 * 86_400_000
const AT_ONCE = 100
/** Results may stand in it. */
const MOST_BODY = 64 * 1024 * 1024
const MOST_LINE = 64 * 1024 * 1024
/** More models than this in one job are booked as one. */
const MOST_MODELS = 1_000

export function createSettlement(ports: SettlementPorts): Settlement {
  const running = new Map<string, Promise<void>>()

  /** One at a time for each job: whoever comes second waits for the first. */
  function once(object: OwnedObject, work: () => Promise<void>): Promise<void> {
    const key = `${object.upstream}\n${object.id}`
    const known = running.get(key)
    if (known) return known
    const begun = work()
      .catch((error) => ports.warn('a job could not be booked yet', { job: object.id, error: String(error) }))
      .finally(() => running.delete(key))
    running.set(key, begun)
    return begun
  }

  async function settle(object: OwnedObject, body: JsonObject): Promise<void> {
    const place = placeOf(object, ports)
    if (!place || isSettled(object, ports.objects)) return
    const { over, model, usage, lines = [], results } = place.jobs.read(body)
    if (!over) return
    const used = new Map<string, Used>()
    const add = (name: string, more: Usage, isWhole: boolean): void => {
      const key = used.has(name) || used.size < MOST_MODELS ? name : ''
      const sum = used.get(key) ?? usedOf(key, place)
      used.set(key, sum)
      addTo(sum, more, isWhole)
    }
    const whole = model ?? object.model ?? ''
    const read = (line: JsonObject): void => {
      const said = place.jobs.line?.(line)
      if (said) add(said.model === '' ? whole : said.model, said.usage, false)
    }
    if (usage) add(whole, usage, true)
    else {
      for (const line of lines) read(line)
      for (const path of results) for await (const line of linesOf(await fetched(place, path))) read(line)
    }
    await book(object, place, used)
    ports.objects.note(object, { ...object.facts, settled: true })
  }

  function usedOf(model: string, { upstream, jobs }: Place): Used {
    const snapshot = ports.snapshot()
    const target = snapshot.names.at([upstream], model).targets[0] as Target | undefined
    const price = target && snapshot.prices.of(target, ports.now())
    const percent = jobs.discounted ? (upstream.provider.batchPercent ?? 100) : 100
    return { usage: { source: 'none' }, cost: ZERO, price, percent }
  }

  async function book(object: OwnedObject, place: Place, used: ReadonlyMap<string, Used>): Promise<void> {
    const { facts } = object
    const first = typeof facts?.attempt === 'number' ? facts.attempt : 0
    const snapshot = ports.snapshot()
    const at = ports.now()
    const rows = [...used]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([model, { usage, cost, price, percent }], i): ClosedRow => {
        return {
          kind: 'closed',
          // Below zero, where no attempt is counted.
          attempt: -(first * MOST_MODELS + i + 1),
          at,
          exchange: String(facts?.exchange ?? object.id),
          revision: snapshot.revision,
          ...object.maker,
          model,
          upstream: object.upstream,
          provider: place.upstream.provider.id,
          upstreamModel: model,
          usage,
          cost: share(cost, percent),
          ...(price ? { priceVersion: percent === 100 ? price.version : `${price.version}*${percent}%` } : {}),
          outcome: 'done',
          reason: `${object.kind} ${object.id}`,
        }
      })
    await Promise.all(rows.map((row) => ports.ledger.append(row)))
  }

  async function fetched({ upstream, secret, base }: Place, path: string): Promise<IncomingReply> {
    const { signal } = new AbortController()
    const asked = { method: 'GET', path: base + path, secret, timeouts: TIMEOUTS, signal } as const
    const reply = await callUpstream(ports.egress, upstream, asked)
    if (reply.status === 200) return reply
    reply.abort()
    throw failure('upstream_error', { upstream: upstream.id, problem: `status ${reply.status}` })
  }

  async function look(object: OwnedObject): Promise<void> {
    const place = placeOf(object, ports)
    if (place) {
      const reply = await fetched(place, place.jobs.path(object.id))
      await settle(object, JSON.parse((await reply.collect(MOST_BODY)).toString('utf8')) as JsonObject)
    }
    if (ports.now() - object.madeAt < GIVEN_UP_AFTER_MS || isSettled(object, ports.objects)) return
    ports.warn('a job that never said how it ended is not looked at any more', { job: object.id })
    ports.objects.note(object, { ...object.facts, settled: true })
  }

  return {
    seen: (object, body) => once(object, () => settle(object, body)),
    async look() {
      for (const kind of new Set([...ports.jobs.values()].flat().map((jobs) => jobs.kind))) {
        for (const object of ports.objects.unsettled(kind, AT_ONCE)) await once(object, () => look(object))
      }
    },
  }
}

/** What one model used in a job. */
interface Used {
  usage: Usage
  /** Before the discount. */
  cost: NanoUsd
  readonly price: Price | undefined
  readonly percent: number
}

/** Each answer is priced by itself: how long a prompt was is not seen in a sum. What comes as a sum pays no price of long ones. */
function addTo(sum: Used, more: Usage, isWhole: boolean): void {
  // The discount for batches is not taken twice.
  const { serviceTier, ...plain } = more
  const used = sum.percent === 100 && serviceTier !== undefined ? more : plain
  const { price } = sum
  sum.usage = addUsage(sum.usage, used)
  if (!price) return
  const { tiers: _, ...flat } = price
  sum.cost = nanoUsdOf(sum.cost + costOf(used, isWhole ? flat : price))
}

interface Place {
  readonly upstream: Upstream
  readonly secret: string | undefined
  readonly jobs: Jobs
  /** The provider's endpoint for the family. */
  readonly base: string
}

/** Undefined where the upstream is gone, or serves no jobs of this kind any more. */
function placeOf(object: OwnedObject, ports: SettlementPorts): Place | undefined {
  const upstream = ports.snapshot().upstreams.get(object.upstream)
  if (!upstream) return undefined
  for (const [dialect, endpoint] of Object.entries(upstream.provider.speaks)) {
    const jobs = ports.jobs.get(dialect)?.find(({ kind }) => kind === object.kind)
    const base = pathOf(endpoint, { model: '', stream: false, options: upstream.options })
    if (!jobs || base === undefined) continue
    const { credentials } = upstream
    const key = credentials.find(({ id }) => id === object.credential) ?? credentials[0]
    return { upstream, secret: key?.secret, jobs, base }
  }
  return undefined
}

/** What says nothing of a later settlement was booked with the call that made it. */
const isSettled = ({ id, upstream }: OwnedObject, objects: Objects): boolean =>
  objects.find(id).some((o) => o.upstream === upstream && (o.facts === undefined || o.facts.settled === true))

const share = (cost: NanoUsd, percent: number): NanoUsd =>
  percent === 100 ? cost : nanoUsdOf(divideRounded(cost * BigInt(percent), 100n))

/** The JSON objects of a file of lines, as it arrives. */
async function* linesOf(reply: IncomingReply): AsyncGenerator<JsonObject> {
  let rest: Buffer[] = []
  let size = 0
  const whole = (last: Buffer): JsonObject | undefined => {
    const text = Buffer.concat([...rest, last])
      .toString('utf8')
      .trim()
    rest = []
    size = 0
    return text === '' ? undefined : (JSON.parse(text) as JsonObject)
  }
  for await (const chunk of reply.chunks) {
    let from = 0
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, from)) {
      const line = whole(chunk.subarray(from, at))
      if (line) yield line
      from = at + 1
    }
    rest.push(chunk.subarray(from))
    size += chunk.length - from
    if (size > MOST_LINE) throw new Error('a line of the results is too long')
  }
  const last = whole(Buffer.alloc(0))
  if (last) yield last
}

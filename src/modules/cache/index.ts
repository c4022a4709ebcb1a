/**
 * Exact cache: the same request of the same owner is answered from what an upstream said before, streamed or not, at no
 * cost; identical requests at the same moment share one call (flight.ts). Never keeps an error, a truncated reply, or one
 * that a module refused.
 * The key is the whole body (A78), not a hand-picked list of fields.
 */
import { hash } from 'node:crypto'
import { type Static, Type } from 'typebox'
import type { Exchange, Target } from '../../core/exchange.ts'
import { type Flight, fly } from '../../core/flight.ts'
import { isWhole, type Keep, keeping } from '../../core/kept.ts'
import { defineModule, type Host } from '../../core/module.ts'
import type { Reply } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { canonicalJson } from './canonical.ts'

const settings = Type.Object(
  {
    ttlSeconds: Type.Integer({ default: 3_600, minimum: 1, maximum: 31_536_000, stricter: 'lower' }),
    maxRequestBytes: Type.Integer({ default: 262_144, minimum: 1_024, maximum: 4_194_304, stricter: 'lower' }),
    maxReplyBytes: Type.Integer({ default: 1_048_576, minimum: 1_024, maximum: 33_554_432, stricter: 'lower' }),
    singleFlight: Type.Boolean({ default: true, description: 'Identical requests at the same moment share one call.' }),
  },
  { additionalProperties: false },
)
type Settings = Static<typeof settings>

export default defineModule({
  id: 'cache',
  summary: 'Answers a repeated request from memory, for the same owner only.',
  layer: 'memory',
  after: ['idempotency'],
  overridable: true,
  default: 'off',
  fault: 'open',
  patienceMs: 3_600_000,
  settings,
  start(host, chosen) {
    const ready: Ready = new WeakMap()
    return {
      call: (x, next) => answer(host, chosen, ready, x, next),
      settle(x) {
        const keep = ready.get(x)
        if (keep && x.ended?.outcome !== 'refused') keep()
      },
    }
  },
})

/** Answers that are whole, and are kept unless a module refuses them on their way to the client. */
type Ready = WeakMap<Exchange, () => void>

/** Client headers that change what a vendor answers. */
const TELLING_HEADERS = ['openai-beta', 'anthropic-beta', 'anthropic-version'] as const

interface Wishes {
  readonly lookUp: boolean
  readonly keep: boolean
  readonly maxAgeSeconds: number
}

function wishesOf(x: Exchange): Wishes {
  const text = (x.headers['cache-control'] ?? '').toLowerCase()
  const maxAge = /(?:^|[,\s])max-age=(\d{1,10})/.exec(text)?.[1]
  const noStore = text.includes('no-store')
  return {
    lookUp: !noStore && !text.includes('no-cache'),
    keep: !noStore,
    maxAgeSeconds: maxAge === undefined ? Number.POSITIVE_INFINITY : Number(maxAge),
  }
}

/** Everything that was asked but how the answer travels; an answer serves both a stream and a body. */
function keyBody(x: Exchange): string {
  const { stream: _, stream_options: __, ...asked } = x.json as Record<string, JsonValue>
  const headers = TELLING_HEADERS.map((name) => x.headers[name] ?? null)
  const body = x.transformed ? (JSON.parse(JSON.stringify({ ...x.transformed, stream: false })) as JsonValue) : asked
  return canonicalJson([x.dialect, headers, body])
}
const keyOf = (body: string, target: Target): string =>
  hash(
    'sha256',
    `${target.upstream.id}\n${target.upstream.baseUrl}\n${target.model}\n${JSON.stringify([target.defaults, target.overrides])}\n${body}`,
    'hex',
  )

async function answer(
  host: Host,
  chosen: Settings,
  ready: Ready,
  x: Exchange,
  next: (signal?: AbortSignal) => Promise<Reply>,
): Promise<Reply> {
  const first = x.plan?.targets[0]
  const scope = x.principal?.scope
  const wishes = wishesOf(x)
  if (x.relay || !first || scope === undefined || x.body.length > chosen.maxRequestBytes || !wishes.keep) {
    x.cache = 'bypass'
    return next()
  }
  const cache = host.cacheOf(scope)
  const body = keyBody(x)
  const key = keyOf(body, first)
  if (wishes.lookUp) {
    const kept = cache.get(key)
    const ageSeconds = kept ? Math.max(0, Math.floor((host.now() - kept.storedAt) / 1_000)) : 0
    if (kept && ageSeconds <= wishes.maxAgeSeconds) {
      const meta = kept.meta as { dialect: string; streamed: boolean; headers: Record<string, string> }
      x.cache = 'hit'
      x.cacheAgeSeconds = ageSeconds
      x.trace.push({ phase: 'call', module: 'cache', decision: 'hit', reason: `${ageSeconds} s old` })
      const { dialect, headers } = meta
      return host.replay(x, {
        dialect,
        headers,
        status: 200,
        target: first,
        ...(meta.streamed ? { frames: kept.body } : { body: kept.body }),
      })
    }
  }
  const store: Keep = (reply, bytes, streamed) => {
    if (!bytes || reply.bytes || !isWhole(reply)) return
    const whole = Buffer.concat(bytes)
    const meta: JsonObject = { dialect: reply.dialect, streamed, headers: withoutMoment(reply.headers) }
    const keep = () =>
      cache.set(keyOf(body, reply.target), { meta, body: whole, storedAt: host.now() }, chosen.ttlSeconds * 1_000)
    if (!x.ended) ready.set(x, keep)
    // Whoever called has left, and others wait for the same answer.
    else if (x.ended.outcome !== 'refused') keep()
  }
  x.cache = 'miss'
  if (!chosen.singleFlight || !wishes.lookUp) return keeping(await next(), store, chosen.maxReplyBytes)

  let flights = host.memory.get('flights') as Map<string, Flight> | undefined
  if (!flights) {
    flights = new Map()
    host.memory.set('flights', flights)
  }
  const share = async (signal: AbortSignal): Promise<Reply> => keeping(await next(signal), store, chosen.maxReplyBytes)
  return fly(flights, `${scope}\n${key}`, x, host.replay, share, () => {
    x.cache = 'hit'
    x.cacheAgeSeconds = 0
    x.trace.push({ phase: 'call', module: 'cache', decision: 'shared', reason: 'an identical request was running' })
  })
}

/** Rate limits and ids belong to the one call they came with. */
function withoutMoment(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !/ratelimit|retry-after|request-id|processing-ms/.test(name)),
  )
}

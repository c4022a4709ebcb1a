/**
 * `Idempotency-Key`: the same request again is answered with what the first was answered, at no cost; another one under the
 * same key is refused; one that comes while the first is running waits for it. Keys are their owner's alone. Only whole
 * answers are kept: after a failure the same key tries again. An answer ends only when it is kept for good: whoever has seen
 * its end is never charged for it again, whatever happens to the gateway.
 */
import { hash } from 'node:crypto'
import { type Static, Type } from 'typebox'
import type { Exchange } from '../../core/exchange.ts'
import { type Flight, fly } from '../../core/flight.ts'
import { isWhole, type Keep, keeping } from '../../core/kept.ts'
import { defineModule, type Host } from '../../core/module.ts'
import type { Reply } from '../../core/reply.ts'

const settings = Type.Object(
  {
    ttlSeconds: Type.Integer({
      default: 86_400,
      minimum: 60,
      maximum: 604_800,
      description: 'How long an answer is kept, as far as there is room.',
    }),
    maxReplyBytes: Type.Integer({
      default: 8_388_608,
      minimum: 1_024,
      maximum: 16_000_000,
      description: 'A longer answer is not kept; the same request again under its key is refused then.',
    }),
  },
  { additionalProperties: false },
)
type Settings = Static<typeof settings>

/** What is kept beside an answer; `gone`: the answer itself is not. */
interface Meta {
  readonly request: string
  readonly dialect: string
  readonly streamed: boolean
  readonly headers: Readonly<Record<string, string>>
  readonly contentType?: string
  readonly gone?: true
}

/** A running call under its key, and which request it is for. */
interface Running extends Flight {
  request?: string
}

export default defineModule({
  id: 'idempotency',
  summary: 'Answers a request that is sent again under its Idempotency-Key as it was answered before.',
  layer: 'memory',
  default: 'enforce',
  fault: 'closed',
  patienceMs: 3_600_000,
  settings,
  errors: {
    idempotency_key_invalid: {
      status: 400,
      blame: 'client',
      retry: 'never',
      message: 'An Idempotency-Key has 1 to 255 visible characters.',
    },
    idempotency_answer_gone: {
      status: 409,
      blame: 'client',
      retry: 'never',
      final: true,
      message:
        'This request was answered under its Idempotency-Key before, and the answer was too long to be kept. Use a new key to have it made, and charged, again.',
    },
    idempotency_key_reused: {
      status: 422,
      blame: 'client',
      retry: 'never',
      final: true,
      message: 'This Idempotency-Key was sent with another request before. Use a new key for a new request.',
    },
  },
  start: (host, chosen) => ({
    // Of a body that passes as it comes nobody can say whether it is the same one again.
    wantsCall: (x) => x.headers['idempotency-key'] !== undefined && !x.relay?.rest,
    call: (x, next) => answer(host, chosen, x, next),
  }),
})

async function answer(
  host: Host,
  chosen: Settings,
  x: Exchange,
  next: (signal?: AbortSignal) => Promise<Reply>,
): Promise<Reply> {
  const key = x.headers['idempotency-key'] ?? ''
  const scope = x.principal?.scope
  if (scope === undefined) return next()
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) host.refuse('idempotency_key_invalid')
  const request = hash('sha256', Buffer.concat([Buffer.from(`${x.dialect}\n${x.path}\n`), x.body]), 'hex')
  const cache = host.cacheOf(scope)
  const name = hash('sha256', key, 'hex')
  const kept = cache.get(name)
  if (kept) {
    const meta = kept.meta as unknown as Meta
    if (meta.request !== request) host.refuse('idempotency_key_reused')
    if (meta.gone) host.refuse('idempotency_answer_gone')
    const target = x.plan?.targets[0]
    if (target) {
      x.trace.push({ phase: 'call', module: 'idempotency', decision: 'replayed' })
      const headers = { ...meta.headers, 'idempotent-replayed': 'true' }
      const { contentType } = meta
      const content = meta.streamed
        ? { frames: kept.body }
        : { body: kept.body, ...(contentType === undefined ? {} : { contentType }) }
      return host.replay(x, { dialect: meta.dialect, status: 200, headers, target, ...content })
    }
  }
  let flights = host.memory.get('flights') as Map<string, Running> | undefined
  if (!flights) {
    flights = new Map()
    host.memory.set('flights', flights)
  }
  const place = `${scope}\n${name}`
  const running = flights.get(place)
  if (running?.open && running.request !== request) host.refuse('idempotency_key_reused')
  const store: Keep = (reply, bytes, streamed) => {
    if (!isWhole(reply)) return undefined
    const headers = Object.fromEntries(Object.entries(reply.headers).filter(([n]) => !/ratelimit|retry-after/.test(n)))
    // Texts that modules may want to see again are not kept as bytes.
    const isGone = !bytes || (reply.bytes !== undefined && /^text\//i.test(reply.contentType ?? ''))
    const meta = {
      request,
      dialect: reply.dialect,
      streamed,
      headers,
      ...(isGone ? { gone: true } : {}),
      ...(reply.bytes && reply.contentType !== undefined ? { contentType: reply.contentType } : {}),
    }
    const body = isGone ? Buffer.alloc(0) : Buffer.concat(bytes)
    cache.set(name, { meta, body, storedAt: host.now() }, chosen.ttlSeconds * 1_000)
    return cache.written()
  }
  const call = async (signal: AbortSignal): Promise<Reply> => keeping(await next(signal), store, chosen.maxReplyBytes)
  const flying = fly(flights, place, x, host.replay, call, () => {
    x.trace.push({ phase: 'call', module: 'idempotency', decision: 'shared', reason: 'the first was still running' })
  })
  const mine = flights.get(place)
  if (mine) mine.request ??= request
  return flying
}

/** Liveness, readiness and metrics. Off this machine they say a bare status; details need the admin key. */
import type { FastifyInstance } from 'fastify'
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { failure } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Gateway } from '../core/gateway.ts'
import type { Metrics } from '../core/module.ts'
import { inputTokens, outputTokens } from '../core/usage.ts'
import { type Identity, judgeLocal, sentKey } from './identity.ts'

export interface HealthParts {
  readonly gateway: Gateway
  readonly identity: Identity
  readonly registry: Registry
  readonly draining: () => boolean
  readonly port: () => number
  /** Why no exchange would be taken at the moment. */
  readonly trouble: () => string | undefined
}

export function health(app: FastifyInstance, parts: HealthParts): void {
  app.get('/health/live', async (_, reply) => reply.type('application/json').send('{"status":"live"}'))
  app.get('/health/ready', async (_, reply) => {
    const problem = parts.draining() ? 'shutting_down' : parts.trouble()
    reply.code(problem ? 503 : 200).type('application/json')
    return reply.send(JSON.stringify(problem ? { status: 'not ready', problem } : { status: 'ready' }))
  })
  app.get('/metrics', async (request, reply) => {
    const known = parts.identity.isAdmin(sentKey(request.headers as Record<string, string | undefined>))
    if (!known && judgeLocal(request.raw, parts.port()) !== 'local') throw failure('authentication_required')
    return reply.type(parts.registry.contentType).send(await parts.registry.metrics())
  })
}

export function createMetrics(): { readonly registry: Registry; readonly metrics: Metrics; count(x: Exchange): void } {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  // Labels are configuration (upstreams) or closed sets, never what a client may invent (A102).
  const exchanges = new Counter({
    name: 'stockyard_exchanges_total',
    help: 'Requests that are over, by how they ended.',
    labelNames: ['outcome', 'operation'],
    registers,
  })
  const attempts = new Counter({
    name: 'stockyard_attempts_total',
    help: 'Calls to upstreams, by how they ended.',
    labelNames: ['upstream', 'outcome'],
    registers,
  })
  const tokens = new Counter({
    name: 'stockyard_tokens_total',
    help: 'Tokens, as booked.',
    labelNames: ['upstream', 'direction'],
    registers,
  })
  const dollars = new Counter({
    name: 'stockyard_cost_usd_total',
    help: 'Cost, as booked.',
    labelNames: ['upstream'],
    registers,
  })
  const unpriced = new Counter({
    name: 'unpriced_requests_total',
    help: 'Requests whose price nobody knows.',
    registers,
  })
  const own = new Map<string, Counter | Gauge>()
  return {
    registry,
    metrics: {
      counter(name, help) {
        let counter = own.get(name) as Counter | undefined
        if (!counter) {
          counter = new Counter({ name, help, registers })
          own.set(name, counter)
        }
        return { add: (n = 1) => (counter as Counter).inc(n) }
      },
      gauge(name, help, read) {
        if (own.has(name)) return
        own.set(
          name,
          new Gauge({
            name,
            help,
            registers,
            collect() {
              this.set(read())
            },
          }),
        )
      },
    },
    count(x) {
      if (!x.ended) return
      exchanges.inc({ outcome: x.ended.outcome, operation: x.operation })
      if (x.ended.unpriced) unpriced.inc()
      for (const a of x.attempts) {
        const upstream = a.target.upstream.id
        attempts.inc({ upstream, outcome: a.outcome ?? 'unknown' })
        if (!a.usage) continue
        tokens.inc({ upstream, direction: 'input' }, inputTokens(a.usage))
        tokens.inc({ upstream, direction: 'output' }, outputTokens(a.usage))
        if (a.cost) dollars.inc({ upstream }, Number(a.cost) / 1e9)
      }
    },
  }
}

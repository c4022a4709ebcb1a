/** Liveness, readiness and metrics. Off this machine they say a bare status; details need the admin key. */
import type { FastifyInstance } from 'fastify'
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { failure } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Gateway } from '../core/gateway.ts'
import { sentKey } from '../core/keys.ts'
import type { Metrics } from '../core/module.ts'
import type { TargetHealth } from '../core/routing/health.ts'
import type { Ledger } from '../core/store.ts'
import { inputTokens, outputTokens } from '../core/usage.ts'
import { type Identity, judgeLocal } from './identity.ts'

export interface HealthParts {
  readonly gateway: Gateway
  readonly identity: Identity
  readonly registry: Registry
  readonly draining: () => boolean
  readonly port: () => number
  /** Why no exchange would be taken at the moment. */
  readonly trouble: () => Ledger['trouble']
}

/** Throws why no exchange would be taken at the moment, if so. */
export function assertReady({ draining, trouble, gateway }: Omit<HealthParts, 'identity' | 'registry' | 'port'>): void {
  if (draining()) throw failure('shutting_down')
  const storage = trouble()
  if (storage) throw failure(storage)
  const blocked = [...gateway.troubles].find(([, { blocks }]) => blocks)?.[0]
  if (blocked !== undefined) throw failure('module_unavailable', { module: blocked })
}

export function health(app: FastifyInstance, parts: HealthParts): void {
  // Load balancers also ask with HEAD.
  const asked = { exposeHeadRoute: true }
  app.get('/health/live', asked, async (_, reply) => reply.type('application/json').send('{"status":"live"}'))
  app.get('/health/ready', asked, async (_, reply) => {
    const troubles = [...parts.gateway.troubles]
    const blocked = troubles.find(([, { blocks }]) => blocks)?.[0]
    const problem = parts.draining() ? 'shutting_down' : (parts.trouble() ?? (blocked && `module ${blocked}`))
    reply.code(problem ? 503 : 200).type('application/json')
    const known =
      troubles.length > 0 ? { problems: Object.fromEntries(troubles.map(([id, t]) => [id, t.problem])) } : {}
    return reply.send(
      JSON.stringify(problem ? { status: 'not ready', problem, ...known } : { status: 'ready', ...known }),
    )
  })
  app.get('/metrics', async (request, reply) => {
    const known = parts.identity.isAdmin(sentKey(request.headers as Record<string, string | undefined>))
    if (!known && judgeLocal(request.raw, parts.port()) !== 'local') throw failure('authentication_required')
    return reply.type(parts.registry.contentType).send(await parts.registry.metrics())
  })
}

/** How targets are doing, as series: only those that configuration names, never what a client may invent (A102). */
export function targetMetrics(registry: Registry, gateway: Gateway, now: () => number): void {
  const labelNames = ['upstream', 'model']
  const each = (name: string, help: string, read: (health: TargetHealth) => number): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset()
        for (const { upstream, model, health } of routedTargets(gateway)) this.set({ upstream, model }, read(health))
      },
    })
  }
  const states = { closed: 0, 'half-open': 0.5, open: 1 }
  each(
    'stockyard_target_out',
    'Whether a target of a route is left alone: 1, or 0.5 while it is tried again.',
    (h) => states[h.circuit.state(now())],
  )
  each('stockyard_target_in_flight', 'Calls that are running at a target of a route.', (h) => h.inFlight)
  each('stockyard_target_first_token_ms', 'Time to the first token, averaged, peaks at once.', (h) =>
    h.firstTokenMs(now()),
  )
  new Gauge({
    name: 'stockyard_key_out',
    help: 'Whether a key of an upstream is left alone: 1, or 0.5 while it is tried again.',
    labelNames: ['upstream', 'credential'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { upstream, id, circuit } of gateway.health.keys()) {
        this.set({ upstream, credential: id }, states[circuit.state(now())])
      }
    },
  })
}

function* routedTargets({ snapshot }: Gateway) {
  const seen = new Set<TargetHealth>()
  for (const name of Object.keys(snapshot.configuration.routes)) {
    for (const { upstream, model, health } of snapshot.names.resolve(name).targets) {
      if (seen.has(health)) continue
      seen.add(health)
      yield { upstream: upstream.id, model, health }
    }
  }
}

export function createMetrics(): { readonly registry: Registry; readonly metrics: Metrics; count(x: Exchange): void } {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  // Counted in plain numbers on the request's way and turned into labeled series only when somebody asks. Labels are
  // configuration (upstreams) or closed sets, never what a client may invent (A102).
  const tallies = (name: string, help: string, labelNames: readonly string[]) => {
    const sums = new Map<string, number>()
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset()
        for (const [key, sum] of sums) {
          const values = key.split('\n')
          this.inc(Object.fromEntries(labelNames.map((label, i) => [label, values[i] ?? ''])), sum)
        }
      },
    })
    return (n: number, first: string, second?: string): void => {
      const key = second === undefined ? first : `${first}\n${second}`
      sums.set(key, (sums.get(key) ?? 0) + n)
    }
  }
  const exchanges = tallies('stockyard_exchanges_total', 'Requests that are over, by how they ended.', [
    'outcome',
    'operation',
  ])
  const attempts = tallies('stockyard_attempts_total', 'Calls to upstreams, by how they ended.', [
    'upstream',
    'outcome',
  ])
  const tokens = tallies('stockyard_tokens_total', 'Tokens, as booked.', ['upstream', 'direction'])
  const dollars = tallies('stockyard_cost_usd_total', 'Cost, as booked.', ['upstream'])
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
      exchanges(1, x.ended.outcome, x.operation)
      if (x.ended.unpriced) unpriced.inc()
      for (const a of x.attempts) {
        // One that a module stopped was not made.
        if (!a.opened) continue
        const upstream = a.target.upstream.id
        attempts(1, upstream, a.outcome ?? 'unknown')
        if (!a.usage) continue
        tokens(inputTokens(a.usage), upstream, 'input')
        tokens(outputTokens(a.usage), upstream, 'output')
        if (a.cost) dollars(Number(a.cost) / 1e9, upstream)
      }
    },
  }
}

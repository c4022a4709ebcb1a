/**
 * Lets requests wait instead of refusing them: for a place, as so many run at once for each model, and for a rate limit that
 * is used up. The lines are bounded in length and time, fair between tenants, with priorities.
 */
import { Type } from 'typebox'
import type { Refusal } from '../../core/errors.ts'
import type { Exchange } from '../../core/exchange.ts'
import { defineModule, type Hold } from '../../core/module.ts'
import { type Lines, type Patience, waitFor } from './limited.ts'
import { Line, type Waiter } from './line.ts'

const PRIORITIES: Readonly<Record<string, number>> = { low: 0, normal: 1, high: 2 }

/** A header may only step back; who goes first is said by a tag of the key. */
function priorityOf({ headers, principal }: Exchange): number {
  const tagged = principal?.tags?.includes('priority:high') ? 2 : principal?.tags?.includes('priority:low') ? 0 : 1
  return Math.min(tagged, PRIORITIES[headers['x-stockyard-priority'] ?? 'high'] ?? 2)
}

const tenantOf = ({ principal }: Exchange): string => principal?.organization ?? principal?.scope ?? ''

/** What an organization has for itself, its keys share fairly. */
const isOneTenants = ({ details }: Refusal): boolean =>
  (details.facts?.scope as { organization?: string } | undefined)?.organization !== undefined

export default defineModule({
  id: 'queue',
  summary: 'Lets requests wait for a place or for a rate limit instead of refusing them, fair between tenants.',
  layer: 'limits',
  after: ['rate-limits', 'budgets'],
  overridable: true,
  default: 'off',
  fault: 'open',
  patienceMs: 3_600_000,
  settings: Type.Object(
    {
      concurrent: Type.Integer({
        instance: true,
        default: 64,
        minimum: 1,
        maximum: 100_000,
        description: 'Running at once, for each model.',
      }),
      maxWaiting: Type.Integer({
        stricter: 'lower',
        default: 1_000,
        minimum: 0,
        maximum: 100_000,
        description: 'Waiting at once, for each model and for each limit.',
      }),
      maxWaitMs: Type.Integer({
        stricter: 'lower',
        default: 30_000,
        minimum: 1,
        maximum: 3_600_000,
        description: 'Whoever has waited so long, or until its own deadline, is refused.',
      }),
      limits: Type.Boolean({
        default: true,
        description: 'Whether requests also wait for a rate limit that is used up, if it has room again in time.',
      }),
    },
    { additionalProperties: false },
  ),
  errors: {
    queue_full: {
      status: 429,
      blame: 'client',
      retry: 'same',
      message: '{waiting} requests are waiting already. Try again in {retryAfterMs} ms.',
    },
    queue_timeout: {
      status: 503,
      blame: 'gateway',
      retry: 'same',
      message: 'No place became free within {waitedMs} ms.',
    },
  },
  start(host, { concurrent, maxWaiting, maxWaitMs, limits }) {
    let lines = host.memory.get('lines') as Map<string, Line> | undefined
    if (!lines) {
      lines = new Map()
      host.memory.set('lines', lines)
    }
    const known = lines
    let limited = host.memory.get('limited') as Lines | undefined
    if (!limited) {
      limited = new Map()
      host.memory.set('limited', limited)
    }
    const spent = limited
    const total = (of: (line: Line) => number) => () => [...known.values()].reduce((sum, line) => sum + of(line), 0)
    host.metrics.gauge(
      'stockyard_queue_waiting',
      'Requests that wait for a place.',
      total((line) => line.waiting),
    )
    host.metrics.gauge(
      'stockyard_queue_running',
      'Requests that have a place.',
      total((line) => line.running),
    )
    host.metrics.gauge('stockyard_queue_limited', 'Requests that wait for a rate limit.', () =>
      [...spent.values()].reduce((sum, line) => sum + line.waiting + line.running, 0),
    )

    const leftMs = ({ deadline }: Exchange): number =>
      Math.max(1, deadline === undefined ? maxWaitMs : Math.min(maxWaitMs, deadline - performance.now()))
    const stands = (x: Exchange, behind: number): void => {
      x.answerHeaders = { ...x.answerHeaders, 'x-stockyard-queue-position': String(behind + 1) }
      x.trace.push({ phase: 'admit', module: 'queue', decision: 'waits', reason: `at place ${behind + 1}` })
    }
    const waitedFor = (x: Exchange, ms: number): void => {
      const before = Number(x.answerHeaders?.['x-stockyard-queue-wait-ms'] ?? 0)
      x.answerHeaders = { ...x.answerHeaders, 'x-stockyard-queue-wait-ms': String(before + Math.round(ms)) }
    }
    const patience: Patience = {
      maxWaiting,
      leftMs,
      full: (waiting) => host.refusal('queue_full', { waiting, retryAfterMs: 1_000 }),
      as: (x, refusal) => ({
        tenant: isOneTenants(refusal) ? (x.principal?.id ?? '') : tenantOf(x),
        priority: priorityOf(x),
      }),
      stands,
      waited: waitedFor,
    }

    const placeIn = (line: Line, model: string): Hold => {
      let held = true
      const giveBack = (): void => {
        if (!held) return
        held = false
        line.running--
        line.advance(concurrent)
        if (line.running === 0 && line.waiting === 0) known.delete(model)
      }
      return { settle: giveBack, release: giveBack }
    }

    return {
      admit(x) {
        const { model } = x
        let line = known.get(model)
        if (!line) {
          line = new Line()
          known.set(model, line)
        }
        if (line.running < concurrent && line.waiting === 0) {
          line.running++
          return placeIn(line, model)
        }
        if (line.waiting >= maxWaiting) host.refuse('queue_full', { waiting: line.waiting, retryAfterMs: 1_000 })
        return waited(x, line, leftMs(x))
      },
      ...(limits ? { wait: (x, refusal, turn) => waitFor(spent, patience, x, refusal, turn) } : {}),
      // More places than before are filled at once.
      stop: () => {
        for (const line of known.values()) line.advance(line.running)
      },
    }

    function waited(x: Exchange, line: Line, mostMs: number): Promise<Hold | undefined> {
      const began = performance.now()
      return new Promise((resolve, reject) => {
        const over = (): void => {
          clearTimeout(timer)
          x.signal.removeEventListener('abort', left)
        }
        const waiter: Waiter = {
          tenant: tenantOf(x),
          priority: priorityOf(x),
          go() {
            over()
            waitedFor(x, performance.now() - began)
            resolve(placeIn(line, x.model))
          },
        }
        const left = (): void => {
          over()
          line.leave(waiter)
          resolve(undefined)
        }
        const timer = setTimeout(() => {
          over()
          line.leave(waiter)
          const waitedMs = Math.round(mostMs)
          reject(host.refusal('queue_timeout', { waitedMs, retryAfterMs: 1_000 }))
        }, mostMs)
        x.signal.addEventListener('abort', left, { once: true })
        stands(x, line.join(waiter))
        if (x.signal.aborted) left()
      })
    }
  },
})

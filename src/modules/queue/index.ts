/**
 * Lets requests wait for a place instead of refusing them: so many run at once for each model, the others stand in a line
 * that is bounded in length and time, fair between tenants, with priorities.
 */
import { Type } from 'typebox'
import type { Exchange } from '../../core/exchange.ts'
import { defineModule, type Hold } from '../../core/module.ts'
import { Line, type Waiter } from './line.ts'

const PRIORITIES: Readonly<Record<string, number>> = { low: 0, normal: 1, high: 2 }

/** A header may only step back; who goes first is said by a tag of the key. */
function priorityOf({ headers, principal }: Exchange): number {
  const tagged = principal?.tags?.includes('priority:high') ? 2 : principal?.tags?.includes('priority:low') ? 0 : 1
  return Math.min(tagged, PRIORITIES[headers['x-stockyard-priority'] ?? 'high'] ?? 2)
}

const tenantOf = ({ principal }: Exchange): string => principal?.organization ?? principal?.scope ?? ''

export default defineModule({
  id: 'queue',
  summary: 'Lets requests wait for a place instead of refusing them, fair between tenants.',
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
        description: 'Waiting at once, for each model.',
      }),
      maxWaitMs: Type.Integer({
        stricter: 'lower',
        default: 30_000,
        minimum: 1,
        maximum: 3_600_000,
        description: 'Whoever has waited so long, or until its own deadline, is refused.',
      }),
    },
    { additionalProperties: false },
  ),
  errors: {
    queue_full: {
      status: 429,
      blame: 'client',
      retry: 'same',
      message: '{waiting} requests are waiting for this model already. Try again in {retryAfterMs} ms.',
    },
    queue_timeout: {
      status: 503,
      blame: 'gateway',
      retry: 'same',
      message: 'No place became free within {waitedMs} ms.',
    },
  },
  start(host, { concurrent, maxWaiting, maxWaitMs }) {
    let lines = host.memory.get('lines') as Map<string, Line> | undefined
    if (!lines) {
      lines = new Map()
      host.memory.set('lines', lines)
    }
    const known = lines
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
        const left = x.deadline === undefined ? maxWaitMs : Math.min(maxWaitMs, x.deadline - performance.now())
        return waited(x, line, Math.max(1, left))
      },
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
            const ms = Math.round(performance.now() - began)
            x.answerHeaders = { ...x.answerHeaders, 'x-stockyard-queue-wait-ms': String(ms) }
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
        const position = line.join(waiter) + 1
        x.answerHeaders = { ...x.answerHeaders, 'x-stockyard-queue-position': String(position) }
        x.trace.push({ phase: 'admit', module: 'queue', decision: 'waits', reason: `at place ${position}` })
        if (x.signal.aborted) left()
      })
    }
  },
})

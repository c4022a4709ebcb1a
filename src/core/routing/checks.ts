/**
 * Looks at resting targets and keys by a free call, the vendor's list of models, where an upstream's `healthCheck` asks for
 * it (A77). A look that goes well never says that all is well: it only lets the next call find out before its time, once
 * per rest. What rests until a moment that was named, or for want of money, is not looked at: the list tells nothing of it.
 */
import type { Egress } from '../egress.ts'
import { GatewayError } from '../errors.ts'
import { type Credential, TIMEOUTS, type Upstream } from '../exchange.ts'
import { callUpstream } from '../own-call.ts'
import type { HealthBook } from './health.ts'

export interface HealthCheck {
  readonly everyMs: number
  /** After the base URL. */
  readonly path: string
}

/** How the last look at an upstream went. */
export interface Look {
  readonly upstream: string
  readonly path: string
  readonly at: number
  /** Absent: it could not be reached, and `problem` says why. */
  readonly status?: number
  readonly problem?: string
  readonly ms: number
}

export interface Checks {
  /** From now on these upstreams. */
  follow(upstreams: Iterable<Upstream>): void
  looks(): Iterable<Look>
  stop(): void
}

const PATIENCE_MS = 10_000
const MOST_ANSWER = 16 * 1024 * 1024

export function createChecks(health: HealthBook, egress: Egress, now: () => number): Checks {
  const looks = new Map<string, Look>()
  let timers: NodeJS.Timeout[] = []
  const under = new Set<string>()
  const ending = new AbortController()

  async function ask(upstream: Upstream, path: string, key: Credential | undefined): Promise<boolean> {
    const began = performance.now()
    const seen = (facts: Pick<Look, 'status' | 'problem'>): void => {
      const ms = Math.round(performance.now() - began)
      looks.set(upstream.id, { upstream: upstream.id, path, at: now(), ...facts, ms })
    }
    try {
      const reply = await callUpstream(egress, upstream, {
        method: 'GET',
        path,
        headers: { accept: 'application/json' },
        secret: key?.secret,
        timeouts: { ...TIMEOUTS, headersUnstreamedMs: PATIENCE_MS, totalMs: PATIENCE_MS },
        signal: ending.signal,
      })
      await reply.collect(MOST_ANSWER)
      seen({ status: reply.status })
      return reply.status === 200
    } catch (error) {
      seen({ problem: error instanceof GatewayError ? error.message : 'it failed' })
      return false
    }
  }

  async function look(upstream: Upstream, { path }: HealthCheck): Promise<void> {
    const waits = (circuit: { mayBeLookedAt(now: number): boolean }): boolean => circuit.mayBeLookedAt(now())
    const keys = upstream.credentials.filter((key) => waits(key.health.circuit))
    for (const key of keys) if (await ask(upstream, path, key)) key.health.circuit.looked(now())
    const targets = [...health.targets()].filter((t) => t.upstream === upstream.id && waits(t.circuit))
    if (targets.length === 0) return
    const key = upstream.credentials.find(({ health: h }) => h.circuit.admits(now())) ?? upstream.credentials[0]
    if (await ask(upstream, path, key)) for (const target of targets) target.circuit.looked(now())
  }

  function stop(): void {
    for (const timer of timers) clearInterval(timer)
    timers = []
  }

  return {
    follow(upstreams) {
      stop()
      for (const upstream of upstreams) {
        const check = upstream.healthCheck
        if (!check) {
          looks.delete(upstream.id)
          continue
        }
        const timer = setInterval(async () => {
          if (under.has(upstream.id)) return
          under.add(upstream.id)
          await look(upstream, check).finally(() => under.delete(upstream.id))
        }, check.everyMs)
        timer.unref()
        timers.push(timer)
      }
    },
    looks: () => looks.values(),
    stop() {
      stop()
      ending.abort()
    },
  }
}

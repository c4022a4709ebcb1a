/** `GET /v1/key`: what callers may know about themselves — what they spent, and what is left of limits and budgets. */
import type { FastifyInstance } from 'fastify'
import type { Gateway } from '../core/gateway.ts'
import { formatDollars, type NanoUsd, ZERO } from '../core/money.ts'
import type { JsonObject } from '../core/request.ts'
import type { Identity } from './identity.ts'

const DAY_MS = 86_400_000

export function ownKey(app: FastifyInstance, gateway: Gateway, identity: Identity, now: () => number): void {
  app.get('/v1/key', async (request, reply) => {
    const who = await identity.ask(request.raw, gateway.snapshot)
    const { ledger, directory } = gateway.store
    const key = who.kind === 'key' ? directory.get('key', who.id) : undefined
    const midnight = Math.floor(now() / DAY_MS) * DAY_MS
    const today = new Date(midnight)
    const since = {
      usageDailyUsd: midnight,
      usageWeeklyUsd: midnight - ((today.getUTCDay() + 6) % 7) * DAY_MS,
      usageMonthlyUsd: Date.UTC(today.getUTCFullYear(), today.getUTCMonth()),
      usageUsd: 0,
    }
    const spent = await Promise.all(
      Object.entries(since).map(async ([name, from]) => {
        const sums = await ledger.sums({ from, where: { key: who.id } })
        return [name, formatDollars(sums.reduce((sum, { cost }) => (sum + cost) as NanoUsd, ZERO))] as const
      }),
    )
    const data: Record<string, unknown> = {
      id: who.id,
      label: key?.name ?? null,
      kind: who.kind,
      organization: who.organization ?? null,
      team: who.team ?? null,
      user: who.user ?? null,
      tags: who.tags ?? [],
      expiresAt: key?.expiresAt === undefined ? null : new Date(key.expiresAt).toISOString(),
      models: key?.models ?? null,
      ...Object.fromEntries(spent),
    }
    for (const { module, mode } of gateway.snapshot.live) {
      if (mode !== 'enforce' || !module.aboutCaller) continue
      const more: JsonObject = await module.aboutCaller(gateway.hostOf(module.id), who)
      Object.assign(data, more)
    }
    return reply.type('application/json').header('cache-control', 'no-store').send(JSON.stringify({ data }))
  })
}

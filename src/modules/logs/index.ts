/**
 * One searchable row per exchange, with its attempts and its decision trace. Bodies only when asked for, and for a shorter
 * time. Written by the store's worker, bounded and droppable: the log is never the source of money, and never in the way.
 */
import { type Static, Type } from 'typebox'
import type { Attempt, Exchange } from '../../core/exchange.ts'
import { defineModule, type Host } from '../../core/module.ts'
import { formatDollars } from '../../core/money.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { writtenScopes } from '../../core/scopes.ts'
import { parseStrict } from '../../core/settings.ts'
import type { JournalRow } from '../../core/store.ts'
import { inputTokens, outputTokens } from '../../core/usage.ts'
import { admin } from './admin.ts'
import { forgetOld } from './retention.ts'
import { tables } from './tables.ts'

const settings = Type.Object(
  {
    bodies: Type.Boolean({
      default: false,
      stricter: 'false',
      description: 'Keep what was asked and answered, not only that it was.',
    }),
    maxBodyBytes: Type.Integer({ default: 262_144, minimum: 256, maximum: 16_777_216, stricter: 'lower' }),
    metadataDays: Type.Integer({ stricter: 'lower', default: 90, minimum: 1, maximum: 3_650 }),
    bodyDays: Type.Integer({ stricter: 'lower', default: 7, minimum: 1, maximum: 3_650 }),
    maxFileBytes: Type.Integer({
      instance: true,
      default: 2_147_483_648,
      minimum: 1_048_576,
      description: 'Oldest bodies go first.',
    }),
  },
  { additionalProperties: false },
)
type Settings = Static<typeof settings>

const TIDY_MS = 60_000

export default defineModule({
  id: 'logs',
  summary: 'Remembers each request: where it went, what it cost, and why.',
  layer: 'books',
  overridable: true,
  default: 'enforce',
  fault: 'open',
  patienceMs: 10_000,
  settings,
  tables,
  admin,
  /** The bodies; that there was an exchange, and what it cost, stays. */
  async erase(host, { exchange, principal, user, endUser }) {
    // The log does not know users: what is narrower than it can tell must not take others' with it.
    if (exchange === undefined && (user !== undefined || endUser !== undefined)) return 0
    await host.tables.run('secureDelete')
    const { changes } = await host.tables.run('eraseBodies', {
      exchange: exchange ?? null,
      principal: principal ?? null,
    })
    await host.tables.run('emptyLog')
    return changes
  },
  start(host, chosen) {
    const entries = host.tables.journal('add')
    const bodies = host.tables.journal('addBody')
    host.jobs.every(TIDY_MS, () => tidy(host, chosen))
    const record = (ended: readonly Exchange[]): void => {
      entries.append(ended.map(rowOf))
      const kept = chosen.bodies ? ended.filter((x) => wentOn(x) && !wantsNoBodies(x)) : []
      if (kept.length > 0) bodies.append(kept.map((x) => bodyOf(x, chosen.maxBodyBytes)))
    }
    if (!chosen.bodies) return { record }
    return {
      admit(x) {
        if (!wantsNoBodies(x)) x.keepReplyBytes = Math.max(x.keepReplyBytes, chosen.maxBodyBytes)
        return undefined
      },
      record,
    }
  },
})

/** The headers with which clients of other gateways ask that their text is not kept. They only make it stricter. */
function wantsNoBodies({ headers }: Exchange): boolean {
  return (
    headers['cf-aig-collect-log-payload'] === 'false' ||
    headers['cf-aig-collect-log'] === 'false' ||
    headers['x-litellm-enable-message-redaction'] === 'true' ||
    headers['x-portkey-debug'] === 'false' ||
    headers['x-bf-disable-content-logging'] === 'true' ||
    headers['helicone-omit-request'] === 'true' ||
    headers['helicone-omit-response'] === 'true'
  )
}

/** What was stopped on its way may have been stopped for what it says, before a content module hid it. */
const wentOn = (x: Exchange): boolean => x.attempts.length > 0 || x.cache === 'hit'

function attemptOf(a: Attempt): JsonObject {
  return {
    number: a.number,
    upstream: a.target.upstream.id,
    model: a.target.model,
    credential: a.credential ?? null,
    at: a.startedAt,
    status: a.status ?? null,
    outcome: a.outcome ?? null,
    error: a.error?.code ?? null,
    reason: a.error?.message ?? null,
    servedModel: a.servedModel ?? null,
    upstreamRequestId: a.upstreamRequestId ?? null,
    finish: a.finish ?? null,
    usage: (a.usage as unknown as JsonValue) ?? null,
    costUsd: a.cost === undefined ? null : formatDollars(a.cost),
    headersMs: a.headersMs ?? null,
    firstContentMs: a.firstContentMs ?? null,
    totalMs: a.totalMs ?? null,
  }
}

/** In the order of the columns that statement `add` names. */
function rowOf(x: Exchange): JournalRow {
  const { organization, team, user, endUser } = writtenScopes(x)
  const ended = x.ended as NonNullable<Exchange['ended']>
  const served = x.attempts.findLast((a) => a.outcome === 'done') ?? x.attempts.at(-1)
  const target = served?.target ?? (x.cache === 'hit' ? x.plan?.targets[0] : undefined)
  return [
    x.id,
    x.arrivedAt,
    x.revision,
    x.operation,
    x.dialect,
    x.path.split('?', 1)[0] ?? '',
    x.stream ? 1 : 0,
    x.principal?.id ?? 'unknown',
    x.peer,
    x.model,
    target?.upstream.id ?? null,
    target?.model ?? null,
    served?.servedModel ?? null,
    ended.status,
    ended.outcome,
    ended.error?.code ?? null,
    x.attempts.length,
    x.cache ?? null,
    inputTokens(ended.usage),
    outputTokens(ended.usage),
    ended.usage.source,
    Number(ended.cost),
    ended.unpriced ? 1 : 0,
    ended.totalMs,
    ended.firstContentMs ?? null,
    ended.overheadMs,
    JSON.stringify({
      attemptList: x.attempts.map(attemptOf),
      trace: x.trace,
      unsupported: [...x.unsupported],
      message: ended.error?.message ?? null,
    }),
    organization ?? null,
    team ?? null,
    user ?? null,
    endUser ?? null,
  ]
}

/** In the order of the columns that statement `addBody` names. */
const bodyOf = (x: Exchange, most: number): JournalRow => [
  x.id,
  x.arrivedAt,
  // Where a module hid something, what it made of the request is all that may be kept.
  (x.transformed ? Buffer.from(JSON.stringify(x.transformed)) : x.body).subarray(0, most).toString('utf8'),
  Buffer.concat(x.replyBody).toString('utf8'),
  x.principal?.id ?? 'unknown',
  x.principal?.organization ?? null,
  x.principal?.team ?? null,
]

/** Deletes what is too old, then, while the file is too large, the oldest bodies and only then the oldest rows. */
async function tidy(host: Host, chosen: Settings): Promise<void> {
  // By what is chosen for each place, whichever place's instance of the module this is.
  await forgetOld(host, parseStrict(settings, {}))
  for (const forget of ['forgetOldestBodies', 'forgetOldestExchanges']) {
    while ((await size(host)) > chosen.maxFileBytes) {
      if ((await host.tables.run(forget)).changes === 0) break
    }
  }
  await host.tables.run('shrink')
}

async function size(host: Host): Promise<number> {
  const [row] = await host.tables.query('size')
  return Number(row?.bytes ?? 0)
}

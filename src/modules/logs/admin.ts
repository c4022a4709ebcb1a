/** What an administrator reads of the log: a page by filter and cursor, and one exchange whole. */
import { Type } from 'typebox'
import { badRequest, failure } from '../../core/errors.ts'
import type { Outcome } from '../../core/exchange.ts'
import type { AdminRoute } from '../../core/module.ts'
import { formatDollars, nanoUsdOf } from '../../core/money.ts'
import { type Actor, may, type View, viewOf } from '../../core/roles.ts'
import type { SqlValue } from '../../core/store.ts'

const optional = (description: string, pattern?: string) =>
  Type.Optional(Type.String({ description, ...(pattern === undefined ? {} : { pattern }) }))
const OUTCOMES: readonly Outcome[] = ['done', 'refused', 'failed', 'client_cancel', 'partial']
const query = Type.Object(
  {
    since: optional('ISO time'),
    until: optional('ISO time'),
    model: optional('The public name that was asked for.'),
    upstream: optional('Upstream id.'),
    principal: optional('`local`, `proxy` or a key id.'),
    organization: optional('Organization id.'),
    team: optional('Team id.'),
    user: optional('User id.'),
    endUser: optional('For whom was asked.'),
    outcome: Type.Optional(Type.Union(OUTCOMES.map((outcome) => Type.Literal(outcome)))),
    status: optional('HTTP status.', '^\\d{3}$'),
    cursor: optional('From the page before.'),
    limit: optional('At most 200; default 50.', '^\\d{1,9}$'),
  },
  { additionalProperties: false },
)
const entry = Type.Object({ requestId: Type.String() }, { additionalProperties: true })

type Row = Readonly<Record<string, SqlValue>>

export function entryOf(row: Row) {
  return {
    requestId: row.request_id,
    at: new Date(Number(row.at)).toISOString(),
    revision: Number(row.revision),
    operation: row.operation,
    dialect: row.dialect,
    path: row.path,
    stream: row.stream === 1 || row.stream === 1n,
    principal: row.principal,
    organization: row.organization,
    team: row.team,
    user: row.user,
    endUser: row.end_user,
    peer: row.peer,
    model: row.model,
    upstream: row.upstream,
    upstreamModel: row.upstream_model,
    servedModel: row.served_model,
    status: Number(row.status),
    outcome: row.outcome,
    error: row.error,
    attempts: Number(row.attempts),
    cache: row.cache,
    inputTokens: Number(row.input_tokens),
    outputTokens: Number(row.output_tokens),
    usageSource: row.usage_source,
    costUsd: Number(row.unpriced) === 1 ? null : formatDollars(nanoUsdOf(BigInt(row.cost_nanos as bigint | number))),
    totalMs: Number(row.total_ms),
    firstContentMs: row.first_content_ms === null ? null : Number(row.first_content_ms),
    overheadMs: Number(row.overhead_ms),
  }
}

/** A filter that cannot be read is a mistake to point out, not one to ignore. */
function read(asked: Readonly<Record<string, unknown>>, name: string, how: (text: string) => number): number | null {
  const text = asked[name]
  if (typeof text !== 'string') return null
  const value = how(text)
  if (Number.isNaN(value)) throw badRequest(`"${name}" cannot be read: "${text.slice(0, 100)}"`, name)
  return value
}

const textOf = (value: SqlValue | undefined): string | undefined => (typeof value === 'string' ? value : undefined)

function sees(who: Actor, row: Row): boolean {
  const user = textOf(row.user)
  const place = { organization: textOf(row.organization), team: textOf(row.team) }
  return may(who, 'usage', place) || (user !== undefined && user === who.user)
}

export const admin: readonly AdminRoute[] = [
  {
    method: 'GET',
    path: 'logs',
    summary: 'The newest exchanges that match, newest first.',
    query,
    answer: Type.Object({ entries: Type.Array(entry), cursor: Type.Union([Type.String(), Type.Null()]) }),
    example: {
      entries: [{ requestId: 'req_1', model: 'gpt-4o-mini', status: 200, costUsd: '0.000023' }],
      cursor: null,
    },
    needs: 'signed-in',
    async handle(host, { query, who }) {
      const asked = { ...query, ...viewOf(who, query as View) } as Record<string, string | undefined>
      const limit = Math.min(200, Math.max(1, Number(asked.limit ?? 50)))
      const rows = await host.tables.query('list', {
        since: read(asked, 'since', Date.parse),
        until: read(asked, 'until', Date.parse),
        before: read(asked, 'cursor', Number),
        model: asked.model ?? null,
        upstream: asked.upstream ?? null,
        principal: asked.principal ?? null,
        organization: asked.organization ?? null,
        team: asked.team ?? null,
        user: asked.user ?? null,
        end_user: asked.endUser ?? null,
        outcome: asked.outcome ?? null,
        status: asked.status === undefined ? null : Number(asked.status),
        limit,
      })
      const last = rows.at(-1)
      return { entries: rows.map(entryOf), cursor: rows.length === limit && last ? String(last.id) : null }
    },
  },
  {
    method: 'GET',
    path: 'logs/:requestId',
    summary: 'One exchange whole: attempts, decision trace and, where kept, the bodies.',
    told: true,
    answer: entry,
    example: { requestId: 'req_1', attemptList: [{ upstream: 'openai', status: 200 }], trace: [] },
    needs: 'signed-in',
    async handle(host, { params, who }) {
      const requestId = params.requestId ?? ''
      const [row] = await host.tables.query('one', { request_id: requestId })
      if (!row || !sees(who, row)) throw failure('not_found', { what: `logged exchange "${requestId}"` })
      const [body] = await host.tables.query('body', { request_id: requestId })
      const { attemptList, ...detail } = JSON.parse(String(row.detail)) as { attemptList: { at: number }[] }
      const attempts = attemptList.map((attempt) => ({ ...attempt, at: new Date(attempt.at).toISOString() }))
      const bodies = body ? { request: body.request, reply: body.reply } : {}
      return { ...entryOf(row), attemptList: attempts, ...detail, ...bodies }
    },
  },
]

/** The settled rows themselves, page by page, for files that leave the house. */
import { type Kysely, sql } from 'kysely'
import { formatDollars, type NanoUsd } from '../../core/money.ts'
import type { LedgerFact } from '../../core/store.ts'
import { BUCKETS, type Bucket } from '../../core/usage.ts'
import { COLUMN_OF, type LedgerTables } from './ledger-table.ts'
import { filtered, type UsageQuestion } from './usage-query.ts'

/** After which row to go on; rows are in the order of their time, then of their number. */
export interface ExportCursor {
  readonly at: number
  readonly seq: number
}
export interface ExportQuestion extends Pick<UsageQuestion, 'from' | 'to' | 'filters'> {
  readonly after?: ExportCursor
}
const ROWS_PER_PAGE = 5_000

export async function exported(db: Kysely<LedgerTables>, question: ExportQuestion): Promise<readonly LedgerFact[]> {
  const { from, to, after, filters } = question
  let query = db
    .selectFrom('ledger')
    .selectAll()
    .where('kind', '<>', sql.lit('opened'))
    .where('at', '>=', BigInt(after?.at ?? from))
    .where('at', '<', BigInt(to))
    .orderBy('at')
    .orderBy('seq')
    .limit(ROWS_PER_PAGE)
  if (after) query = query.where(sql<boolean>`(at > ${BigInt(after.at)} OR seq > ${BigInt(after.seq)})`)
  const rows = await filtered(query, filters).execute()
  return rows.map((row) => ({
    seq: Number(row.seq),
    at: Number(row.at),
    kind: row.kind,
    attempt: Number(row.attempt),
    exchange: row.exchange,
    revision: Number(row.revision),
    principal: row.principal,
    organization: row.organization,
    team: row.team,
    user: row.user,
    endUser: row.end_user,
    tags: row.tags === null ? [] : (JSON.parse(row.tags) as string[]),
    model: row.model,
    upstream: row.upstream,
    provider: row.provider,
    upstreamModel: row.upstream_model,
    servedModel: row.served_model,
    ...(Object.fromEntries(BUCKETS.map((b) => [b, Number(row[COLUMN_OF[b]] ?? 0n)])) as Record<Bucket, number>),
    costUsd: formatDollars((row.cost ?? 0n) as NanoUsd),
    priceVersion: row.price_version,
    chargeUsd: row.charge === null ? null : formatDollars(row.charge as NanoUsd),
    terms: row.terms,
    usageSource: row.usage_source,
    outcome: row.outcome,
    status: row.status === null ? null : Number(row.status),
    reason: row.reason,
    upstreamRequestId: row.upstream_request_id,
  }))
}

/** Single facts out of the ledger: the attempts of one exchange, what has no price yet, and what another price makes of it. */
import { type Kysely, type SqlBool, sql } from 'kysely'
import type { AttemptOutcome } from '../../core/exchange.ts'
import { formatDollars, type NanoUsd, nanoUsdOf } from '../../core/money.ts'
import { PAID_BY_CALLER } from '../../core/prices.ts'
import type { AdjustmentRow } from '../../core/store.ts'
import { costOf, type Price, type Usage } from '../../core/usage.ts'
import { type LedgerColumns, type LedgerTables, usageOf } from './ledger-table.ts'
import { filtered, slices } from './usage-query.ts'

export interface AttemptsQuestion {
  readonly exchange: string
  /** Where in time to look (milliseconds since 1970): from the exchange's arrival to its end. */
  readonly from: number
  readonly to: number
}
export interface SettledAttempt {
  readonly kind: 'closed' | 'hit' | 'adjustment'
  readonly attempt: number
  readonly at: number
  readonly upstream: string
  readonly upstreamModel: string
  readonly usage: Usage
  readonly costUsd: string
  readonly priceVersion: string | null
  readonly outcome: AttemptOutcome | null
  readonly status: number | null
  readonly reason: string | null
}

export async function attempts(db: Kysely<LedgerTables>, question: AttemptsQuestion): Promise<SettledAttempt[]> {
  const rows: LedgerColumns[] = []
  for await (const slice of slices(db, question.from, question.to)) {
    rows.push(...(await settled(db, slice).where('exchange', '=', question.exchange).orderBy('seq').execute()))
  }
  return rows.map((row) => ({
    kind: row.kind as SettledAttempt['kind'],
    attempt: Number(row.attempt),
    at: Number(row.at),
    upstream: row.upstream,
    upstreamModel: row.upstream_model,
    usage: usageOf(row),
    costUsd: formatDollars((row.cost ?? 0n) as NanoUsd),
    priceVersion: row.price_version,
    outcome: row.outcome,
    status: row.status === null ? null : Number(row.status),
    reason: row.reason,
  }))
}

const ADJUSTED = sql<bigint>`coalesce((
  SELECT sum(a.cost) FROM ledger AS a WHERE a.attempt = ledger.attempt AND a.kind = 'adjustment'), 0)`

/** Calls that used something at an upstream's model without a price, the latest last. */
export interface Unpriced {
  readonly upstream: string
  readonly provider: string
  readonly upstreamModel: string
  readonly attempts: number
  readonly firstAt: number
  readonly lastAt: number
}

export async function unpriced(db: Kysely<LedgerTables>): Promise<Unpriced[]> {
  const rows = await db
    .selectFrom('ledger')
    .select(['upstream', 'provider', 'upstream_model'])
    .select((e) => [e.fn.countAll<bigint>().as('attempts'), e.fn.min('at').as('firstAt'), e.fn.max('at').as('lastAt')])
    // Written as in the index on exactly these rows, so that it is used.
    .where(sql<boolean>`kind = 'closed' AND price_version IS NULL AND usage_source <> 'none'`)
    .where(NOT_ADJUSTED)
    .groupBy(['upstream', 'provider', 'upstream_model'])
    .orderBy('lastAt')
    .execute()
  return rows.map((row) => ({
    upstream: row.upstream,
    provider: row.provider,
    upstreamModel: row.upstream_model,
    attempts: Number(row.attempts),
    firstAt: Number(row.firstAt),
    lastAt: Number(row.lastAt),
  }))
}

const NOT_ADJUSTED = sql<boolean>`NOT EXISTS (
  SELECT 1 FROM ledger AS a WHERE a.attempt = ledger.attempt AND a.kind = 'adjustment')`

export interface RepriceSelection {
  /** Milliseconds since 1970: from (inclusive) to (exclusive). */
  readonly from: number
  readonly to: number
  readonly upstream: string
  readonly upstreamModel: string
  /** Only calls of one organization, or with one key. */
  readonly filters?: Readonly<Partial<Record<'organization' | 'key', string>>>
  /** Leaves alone what had a price, or was corrected before. */
  readonly unpricedOnly: boolean
}
export interface RepriceQuestion extends RepriceSelection {
  readonly price: Price
  readonly writtenAt: number
  readonly reason: string
}
export interface RepriceAnswer {
  /** What is to be written so that each row costs what the price says. */
  readonly adjustments: readonly AdjustmentRow[]
  /** Rows that were computed, whether they changed or not. */
  readonly examined: number
  /** The instant from which to go on; absent at the end. */
  readonly next?: number
}

/** Few enough that writing their corrections is no pause for anybody else. */
const ROWS_PER_REPRICE = 1_000

/** Computes one slice of the selection. */
export async function reprice(db: Kysely<LedgerTables>, question: RepriceQuestion): Promise<RepriceAnswer> {
  const adjustments: AdjustmentRow[] = []
  for await (const slice of slices(db, question.from, question.to, ROWS_PER_REPRICE)) {
    let query = settled(db, slice)
      .select(ADJUSTED.as('adjusted'))
      .select(sql<bigint>`${NOT_ADJUSTED}`.as('untouched'))
      .where('kind', '=', sql.lit('closed'))
      .where('usage_source', '<>', sql.lit('none'))
      .where('upstream', '=', question.upstream)
      .where('upstream_model', '=', question.upstreamModel)
      .where(sql<SqlBool>`price_version IS NOT ${PAID_BY_CALLER.version}`)
    query = filtered(query, question.filters)
    if (question.unpricedOnly) query = query.where('price_version', 'is', null).where(NOT_ADJUSTED)
    const rows = await query.execute()
    for (const row of rows) {
      const difference = nanoUsdOf(costOf(usageOf(row), question.price) - (row.cost ?? 0n) - row.adjusted)
      const nowPriced = row.price_version === null && row.untouched === 1n
      if (difference !== 0n || nowPriced) adjustments.push(adjustmentOf(row, difference, question))
    }
    const next = Number(slice.to)
    return { adjustments, examined: rows.length, ...(next < question.to && { next }) }
  }
  return { adjustments, examined: 0 }
}

function adjustmentOf(
  row: LedgerColumns & { readonly adjusted: bigint },
  cost: NanoUsd,
  question: RepriceQuestion,
): AdjustmentRow {
  return {
    kind: 'adjustment',
    attempt: Number(row.attempt),
    at: Number(row.at),
    exchange: row.exchange,
    revision: Number(row.revision),
    principal: row.principal,
    ...(row.organization !== null && { organization: row.organization }),
    ...(row.team !== null && { team: row.team }),
    ...(row.user !== null && { user: row.user }),
    ...(row.end_user !== null && { endUser: row.end_user }),
    ...(row.tags !== null && { tags: JSON.parse(row.tags) as string[] }),
    model: row.model,
    upstream: row.upstream,
    provider: row.provider,
    upstreamModel: row.upstream_model,
    cost,
    priceVersion: question.price.version,
    reason: question.reason,
    writtenAt: question.writtenAt,
    ...(row.terms !== null && {
      corrects: {
        terms: row.terms,
        outcome: row.outcome as AttemptOutcome,
        cost: nanoUsdOf((row.cost ?? 0n) + row.adjusted),
      },
    }),
  }
}

const settled = (db: Kysely<LedgerTables>, slice: { readonly from: bigint; readonly to: bigint }) =>
  db
    .selectFrom('ledger')
    .selectAll()
    .where('kind', '<>', sql.lit('opened'))
    .where('at', '>=', slice.from)
    .where('at', '<', slice.to)

/**
 * What counters in memory begin with: sums over the settled rows of one scope, up to a row that was committed when they
 * were asked for. Asked once for each counter, never on behalf of each request.
 */
import { type Kysely, sql } from 'kysely'
import type { Dimension } from '../../core/directory.ts'
import type { NanoUsd } from '../../core/money.ts'
import type { Sums, SumsQuestion } from '../../core/store.ts'
import { BUCKETS, type Bucket, type UsageSource } from '../../core/usage.ts'
import { COLUMN_OF, type LedgerTables } from './ledger-table.ts'
import { slices } from './usage-query.ts'

const COLUMN = {
  organization: 'organization',
  team: 'team',
  user: 'user',
  key: 'principal',
  endUser: 'end_user',
  model: 'model',
  upstream: 'upstream',
} as const satisfies Record<Exclude<Dimension, 'tag'>, string>

export type BoundedSums = SumsQuestion & { readonly lastSeq: number }

interface Found {
  readonly slot: bigint
  readonly requests: bigint
  readonly cost: bigint
  readonly [column: string]: bigint
}

export async function sums(db: Kysely<LedgerTables>, question: BoundedSums): Promise<Sums[]> {
  const bySlot = new Map<number, Found[]>()
  const collect = (rows: readonly Found[]): void => {
    for (const row of rows) {
      const slot = Number(row.slot)
      bySlot.set(slot, [...(bySlot.get(slot) ?? []), row])
    }
  }
  const end = question.to ?? Number.MAX_SAFE_INTEGER
  // A key's rows have an index of their own; of anything else all rows are looked through, a slice at a time.
  if (question.where.key !== undefined)
    collect(await found(db, question, { from: BigInt(question.from), to: BigInt(end) }))
  else for await (const slice of slices(db, question.from, end)) collect(await found(db, question, slice))
  return [...bySlot].map(([slot, rows]) => {
    const total = (column: string): bigint => rows.reduce((sum, row) => sum + (row[column] as bigint), 0n)
    const usage: Partial<Record<Bucket, number>> & { source: UsageSource } = { source: 'provider' }
    for (const bucket of BUCKETS) usage[bucket] = Number(total(COLUMN_OF[bucket]))
    return { slot, requests: Number(total('requests')), usage, cost: total('cost') as NanoUsd }
  })
}

async function found(
  db: Kysely<LedgerTables>,
  { where, slotMs, lastSeq }: BoundedSums,
  slice: { readonly from: bigint; readonly to: bigint },
): Promise<readonly Found[]> {
  const slot = slotMs === undefined ? sql<bigint>`at * 0` : sql<bigint>`at / ${sql.lit(slotMs)}`
  let query = db
    .selectFrom('ledger')
    .where('kind', '<>', sql.lit('opened'))
    .where('at', '>=', slice.from)
    .where('at', '<', slice.to)
    .where('seq', '<=', BigInt(lastSeq))
    .select(slot.as('slot'))
    .select(sql<bigint>`count(DISTINCT CASE WHEN kind IN ('closed', 'hit') THEN exchange END)`.as('requests'))
    .select(
      [...Object.values(COLUMN_OF), 'cost' as const].map((column) =>
        sql<bigint>`coalesce(sum(${sql.ref(column)}), 0)`.as(column),
      ),
    )
    .groupBy(slot)
  for (const [dimension, value] of Object.entries(where)) {
    query =
      dimension === 'tag'
        ? query.where(sql<boolean>`EXISTS (SELECT 1 FROM json_each(ledger.tags) WHERE value = ${value})`)
        : query.where(COLUMN[dimension as keyof typeof COLUMN], '=', value)
  }
  return (await query.execute()) as unknown as readonly Found[]
}

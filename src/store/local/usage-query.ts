/**
 * Sums over the ledger for people: by model, day, principal… Every read covers a bounded slice of time, so that no
 * transaction lasts long enough to keep the write-ahead log from starting anew, however long the history is.
 */
import { type Kysely, type SqlBool, sql } from 'kysely'
import { formatDollars, type NanoUsd } from '../../core/money.ts'
import { BUCKETS, type Bucket } from '../../core/usage.ts'
import { COLUMN_OF, type LedgerTables } from './ledger-table.ts'
import type { UsageKey } from './usage-keys.ts'

/** Whatever a row may have to have a value of. */
type FilterKey = Exclude<UsageKey, 'day' | 'hour'>
type PlainKey = Exclude<FilterKey, 'tag'>

export interface UsageQuestion {
  /** Milliseconds since 1970: from (inclusive) to (exclusive). */
  readonly from: number
  readonly to: number
  readonly groupBy: readonly UsageKey[]
  /** Only rows that have exactly these values. */
  readonly filters?: Readonly<Partial<Record<FilterKey, string>>>
}

export interface UsageSum {
  /** The values grouped by; `day` as `2026-01-31`, `hour` as `2026-01-31T23:00Z`; null where a row has none. */
  readonly group: Readonly<Partial<Record<UsageKey, string | null>>>
  /** Settled calls to upstreams, and replies served from what was kept. */
  readonly attempts: number
  readonly hits: number
  readonly failed: number
  readonly inDoubt: number
  /** Calls that used something but had no price, and are still not priced. */
  readonly unpriced: number
  /** Calls whose tokens had to be estimated. */
  readonly estimated: number
  readonly tokens: Readonly<Record<Bucket, number>>
  /** A decimal string of dollars, exact, corrections included. */
  readonly costUsd: string
  /** What was charged for it; of what nobody was charged for, nothing. */
  readonly chargeUsd: string
}

const ROWS_PER_SLICE = 50_000

const COLUMN_OF_KEY = {
  model: 'model',
  upstream: 'upstream',
  provider: 'provider',
  upstreamModel: 'upstream_model',
  principal: 'principal',
  key: 'principal',
  organization: 'organization',
  team: 'team',
  user: 'user',
  endUser: 'end_user',
} as const satisfies Record<PlainKey, string>

const MS_OF = { day: 86_400_000, hour: 3_600_000 } as const

/** The instants at which slices of the settled rows end, the last one being `to`. */
export async function* slices(db: Kysely<LedgerTables>, from: number, to: number, rows = ROWS_PER_SLICE) {
  for (let start = from; start < to; ) {
    const border = await db
      .selectFrom('ledger')
      .select('at')
      .where('kind', '<>', sql.lit('opened'))
      .where('at', '>=', BigInt(start))
      .where('at', '<', BigInt(to))
      .orderBy('at')
      .limit(1)
      .offset(rows)
      .executeTakeFirst()
    // More rows at one instant than a slice holds: the slice is that instant.
    const end = border === undefined ? to : Math.max(Number(border.at), start + 1)
    yield { from: BigInt(start), to: BigInt(end) }
    start = end
  }
}

type Sums = Record<string, bigint>

export async function usage(db: Kysely<LedgerTables>, question: UsageQuestion): Promise<UsageSum[]> {
  const found = new Map<string, { group: UsageSum['group']; sums: Sums }>()
  for await (const slice of slices(db, question.from, question.to)) {
    for (const row of await sumsOf(db, question, slice)) {
      const group: Partial<Record<UsageKey, string | null>> = {}
      for (const key of question.groupBy) group[key] = shown(key, row[`key_${key}`] as string | bigint | null)
      const id = JSON.stringify(question.groupBy.map((key) => group[key]))
      const known = found.get(id)
      if (known === undefined) found.set(id, { group, sums: row as Sums })
      else for (const name of SUMS) known.sums[name] = (known.sums[name] as bigint) + (row[name] as bigint)
    }
  }
  return [...found.values()].map(({ group, sums }) => ({
    group,
    attempts: Number(sums.attempts),
    hits: Number(sums.hits),
    failed: Number(sums.failed),
    inDoubt: Number(sums.in_doubt),
    unpriced: Number(sums.unpriced),
    estimated: Number(sums.estimated),
    tokens: Object.fromEntries(BUCKETS.map((b) => [b, Number(sums[COLUMN_OF[b]])])) as Record<Bucket, number>,
    costUsd: formatDollars(sums.cost as NanoUsd),
    chargeUsd: formatDollars(sums.charge as NanoUsd),
  }))
}

const COUNTS = {
  attempts: sql<SqlBool>`kind = 'closed'`,
  hits: sql<SqlBool>`kind = 'hit'`,
  failed: sql<SqlBool>`kind = 'closed' AND outcome = 'failed'`,
  in_doubt: sql<SqlBool>`kind = 'closed' AND outcome = 'in-doubt'`,
  unpriced: sql<SqlBool>`kind = 'closed' AND price_version IS NULL AND usage_source <> 'none' AND NOT EXISTS (
    SELECT 1 FROM ledger AS a WHERE a.attempt = ledger.attempt AND a.kind = 'adjustment')`,
  estimated: sql<SqlBool>`kind = 'closed' AND usage_source = 'estimated'`,
} as const
const SUMS: readonly string[] = [...Object.keys(COUNTS), ...Object.values(COLUMN_OF), 'cost', 'charge']

function sumsOf(db: Kysely<LedgerTables>, question: UsageQuestion, slice: { from: bigint; to: bigint }) {
  let query = db
    .selectFrom('ledger')
    .where('kind', '<>', sql.lit('opened'))
    .where('at', '>=', slice.from)
    .where('at', '<', slice.to)
    .select(
      Object.entries(COUNTS).map(([name, condition]) =>
        sql<bigint>`coalesce(sum(CASE WHEN ${condition} THEN 1 ELSE 0 END), 0)`.as(name),
      ),
    )
    .select(
      [...Object.values(COLUMN_OF), 'cost' as const, 'charge' as const].map((column) =>
        sql<bigint>`coalesce(sum(${sql.ref(column)}), 0)`.as(column),
      ),
    )
  if (question.groupBy.includes('tag')) {
    query = query.leftJoin(sql`json_each(ledger.tags)`.as('tagged'), (join) => join.onTrue()) as typeof query
  }
  for (const key of question.groupBy) {
    const value =
      key === 'day' || key === 'hour'
        ? sql<bigint | string | null>`at / ${sql.lit(MS_OF[key])}`
        : key === 'tag'
          ? sql<string | null>`tagged.value`
          : sql.ref<bigint | string | null>(COLUMN_OF_KEY[key])
    query = query.select(value.as(`key_${key}`)).groupBy(value)
  }
  return filtered(query, question.filters).execute() as Promise<Record<string, unknown>[]>
}

/** Only rows that have these values. */
export function filtered<Query extends { where(...args: never[]): Query }>(
  query: Query,
  filters: UsageQuestion['filters'] = {},
): Query {
  // biome-ignore lint/suspicious/noExplicitAny: the builder's own type says nothing more here
  let narrowed: any = query
  for (const [key, value] of Object.entries(filters)) {
    narrowed =
      key === 'tag'
        ? narrowed.where(sql<boolean>`EXISTS (SELECT 1 FROM json_each(ledger.tags) AS own WHERE own.value = ${value})`)
        : narrowed.where(COLUMN_OF_KEY[key as PlainKey], '=', value)
  }
  return narrowed as Query
}

function shown(key: UsageKey, value: string | bigint | null): string | null {
  if (typeof value !== 'bigint') return value
  const instant = new Date(Number(value) * MS_OF[key as 'day' | 'hour']).toISOString()
  return key === 'day' ? instant.slice(0, 10) : `${instant.slice(0, 13)}:00Z`
}

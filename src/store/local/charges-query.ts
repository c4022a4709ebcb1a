/** What was charged under some terms, by terms, team and model: what credits are taken from and statements are made of. */
import { type Kysely, sql } from 'kysely'
import type { NanoUsd } from '../../core/money.ts'
import type { Charges, ChargesQuestion } from '../../core/store.ts'
import { INPUT_BUCKETS, OUTPUT_BUCKETS } from '../../core/usage.ts'
import { COLUMN_OF, type LedgerTables } from './ledger-table.ts'
import { slices } from './usage-query.ts'

const total = (buckets: readonly (keyof typeof COLUMN_OF)[]) =>
  sql.join(
    buckets.map((bucket) => sql`coalesce(sum(${sql.ref(COLUMN_OF[bucket])}), 0)`),
    sql` + `,
  )

export async function charges(db: Kysely<LedgerTables>, question: ChargesQuestion): Promise<Charges[]> {
  const { borders = [], ...rest } = question
  const all: Charges[] = []
  let from = question.from ?? 0
  for (const [stretch, to] of [...borders, question.to ?? Number.MAX_SAFE_INTEGER].entries()) {
    all.push(...(await within(db, { ...rest, from, to }, stretch)))
    from = to
  }
  return all
}

async function within(
  db: Kysely<LedgerTables>,
  question: ChargesQuestion & { readonly from: number; readonly to: number },
  stretch: number,
): Promise<Charges[]> {
  const { terms, through, from, to } = question
  const found = new Map<string, Charges>()
  if (terms.length === 0) return []
  for await (const slice of question.after === undefined ? slices(db, from, to) : numbers(question.after, through)) {
    let query = db
      .selectFrom('ledger')
      .where('terms', 'in', [...terms])
      .where('at', '>=', 'seq' in slice ? BigInt(from) : slice.from)
      .where('at', '<', 'seq' in slice ? BigInt(to) : slice.to)
      .where('seq', '<=', BigInt('seq' in slice ? slice.seq : through))
    if ('seq' in slice) query = query.where('seq', '>', BigInt(slice.after))
    const rows = await query
      .select(['terms', 'team', 'model'])
      .select(sql<bigint>`sum(kind = 'closed')`.as('calls'))
      .select(sql<bigint>`${total(INPUT_BUCKETS)}`.as('inputTokens'))
      .select(sql<bigint>`${total(OUTPUT_BUCKETS)}`.as('outputTokens'))
      .select(sql<bigint>`sum(charge)`.as('charge'))
      .groupBy(['terms', 'team', 'model'])
      .execute()
    for (const row of rows) {
      const name = JSON.stringify([row.terms, row.team, row.model])
      const known = found.get(name)
      found.set(name, {
        stretch,
        terms: row.terms as string,
        team: row.team,
        model: row.model,
        calls: Number(row.calls) + (known?.calls ?? 0),
        inputTokens: Number(row.inputTokens) + (known?.inputTokens ?? 0),
        outputTokens: Number(row.outputTokens) + (known?.outputTokens ?? 0),
        charge: (row.charge + (known?.charge ?? 0n)) as NanoUsd,
      })
    }
  }
  return [...found.values()]
}

/** No transaction lasts long: of what is asked by the rows' numbers, so many at once. */
function* numbers(after: number, through: number) {
  for (let start = after; start < through; start += ROWS_PER_SLICE)
    yield { after: start, seq: Math.min(through, start + ROWS_PER_SLICE) }
}
const ROWS_PER_SLICE = 50_000

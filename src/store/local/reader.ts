/** The reader: the worker role for administrative queries. Read-only connections, so no statement can write. */
import type { DatabaseSync } from 'node:sqlite'
import type { Charges, ChargesQuestion, LedgerFact, SqlValue, Sums } from '../../core/store.ts'
import { charges } from './charges-query.ts'
import { connect } from './database.ts'
import { type ExportQuestion, exported } from './export-query.ts'
import { type DatabaseName, databasePath } from './files.ts'
import { builder } from './kysely.ts'
import * as ledger from './ledger-query.ts'
import type { LedgerTables } from './ledger-table.ts'
import { type AllTables, type StatementCall, Statements } from './statements.ts'
import { type BoundedSums, sums } from './sums-query.ts'
import { type UsageQuestion, type UsageSum, usage } from './usage-query.ts'

export interface ReaderOpening {
  readonly dataDir: string
  readonly tables: AllTables
}

export type ReaderCalls = {
  query(call: StatementCall): readonly Record<string, SqlValue>[]
  usage(question: UsageQuestion): Promise<readonly UsageSum[]>
  attempts(question: ledger.AttemptsQuestion): Promise<readonly ledger.SettledAttempt[]>
  sums(question: BoundedSums): Promise<readonly Sums[]>
  charges(question: ChargesQuestion): Promise<readonly Charges[]>
  exported(question: ExportQuestion): Promise<readonly LedgerFact[]>
  unpriced(argument: undefined): Promise<readonly ledger.Unpriced[]>
  reprice(question: ledger.RepriceQuestion): Promise<ledger.RepriceAnswer>
}

const BUSY_MS = 1_000

export function openReader({ dataDir, tables }: ReaderOpening): ReaderCalls {
  const open = new Map<DatabaseName, DatabaseSync>()
  const readOnly = (name: DatabaseName): DatabaseSync => {
    let db = open.get(name)
    if (db === undefined) {
      db = connect({ path: databasePath(dataDir, name), readOnly: true, busyMs: BUSY_MS })
      open.set(name, db)
    }
    return db
  }
  const statements = new Statements(tables, readOnly)
  const rows = builder<LedgerTables>(readOnly('ledger'))
  return {
    query: (call) => statements.query(call),
    usage: (question) => usage(rows, question),
    attempts: (question) => ledger.attempts(rows, question),
    sums: (question) => sums(rows, question),
    charges: (question) => charges(rows, question),
    exported: (question) => exported(rows, question),
    unpriced: () => ledger.unpriced(rows),
    reprice: (question) => ledger.reprice(rows, question),
  }
}

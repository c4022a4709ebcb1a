/** The ledger's writer in a thread of its own: for `power-loss` durability, where a commit waits for the disk. */
import { connect } from './database.ts'
import { databasePath } from './files.ts'
import { LedgerFile, type StoredRow } from './ledger-file.ts'

export interface LedgerWriterOpening {
  readonly dataDir: string
}

export type LedgerWriterCalls = {
  write(rows: readonly StoredRow[]): number
  close(argument: undefined): void
}

export function openLedgerWriter({ dataDir }: LedgerWriterOpening): LedgerWriterCalls {
  const file = new LedgerFile(
    connect({ path: databasePath(dataDir, 'ledger'), busyMs: 0, synchronous: 'FULL', checkpoints: false }),
  )
  return { write: (rows) => file.write(rows), close: () => file.close() }
}

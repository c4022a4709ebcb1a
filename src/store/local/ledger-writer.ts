/** The ledger's writer in a thread of its own: for `power-loss` durability, where a commit waits for the disk. */

import type { LedgerRow } from '../../core/store.ts'
import { connect } from './database.ts'
import { databasePath } from './files.ts'
import { LedgerFile } from './ledger-file.ts'

export interface LedgerWriterOpening {
  readonly dataDir: string
}

export type LedgerWriterCalls = {
  write(rows: readonly LedgerRow[]): number
  close(argument: undefined): void
}

export function openLedgerWriter({ dataDir }: LedgerWriterOpening): LedgerWriterCalls {
  const file = new LedgerFile(
    connect({ path: databasePath(dataDir, 'ledger'), busyMs: 0, synchronous: 'FULL', checkpoints: false }),
  )
  return { write: (rows) => file.write(rows), close: () => file.close() }
}

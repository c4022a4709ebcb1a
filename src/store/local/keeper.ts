/**
 * The keeper: the worker role that writes what may wait. Checkpoints every half second, log rows and cache entries in
 * batches, module statements, the ballast, backups, and giving back the space of deleted rows.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { JournalRow } from '../../core/store.ts'
import { type BackupManifest, backUp } from './backup.ts'
import { writeBallast } from './ballast.ts'
import { CacheFile, type CacheSize, type CacheWrite } from './cache-file.ts'
import { Checkpoints } from './checkpoints.ts'
import { connect, inTransaction } from './database.ts'
import { complaintOf } from './fault.ts'
import { type DatabaseName, databasePath } from './files.ts'
import { type AllTables, type StatementCall, Statements } from './statements.ts'

export interface KeeperOpening {
  readonly dataDir: string
  readonly tables: AllTables
  readonly cacheBytes: number
}

export interface JournalBatch {
  readonly module: string
  readonly statement: string
  readonly rows: readonly JournalRow[]
}

export type KeeperCalls = {
  journal(batch: JournalBatch): void
  run(call: StatementCall): { readonly changes: number }
  cacheWrite(batch: { readonly writes: readonly CacheWrite[]; readonly at: number }): CacheSize
  cacheClear(argument: undefined): CacheSize
  cacheSize(argument: undefined): CacheSize
  ballast(argument: { readonly dataDir: string; readonly bytes: number }): void
  backup(argument: { readonly dataDir: string; readonly toDir: string; readonly at: number }): Promise<BackupManifest>
  close(argument: undefined): void
}

const CHECKPOINT_MS = 500
/** How many free pages of a file are given back at once. */
const PAGES_PER_SHRINK = 2_048
/** How long the keeper waits for a lock: it may, the serving thread may not. */
const BUSY_MS = 5_000

export function openKeeper(
  { dataDir, tables, cacheBytes }: KeeperOpening,
  alarm: (error: unknown) => void,
): KeeperCalls {
  const writers = new Map<DatabaseName, DatabaseSync>()
  const writer = (name: DatabaseName): DatabaseSync => {
    let db = writers.get(name)
    if (db === undefined) {
      db = connect({
        path: databasePath(dataDir, name),
        busyMs: BUSY_MS,
        synchronous: name === 'logs' || name === 'cache' ? 'NORMAL' : 'FULL',
        checkpoints: name !== 'stockyard',
      })
      writers.set(name, db)
    }
    return db
  }
  const statements = new Statements(tables, writer)
  const cache = new CacheFile(writer('cache'), cacheBytes)
  const checkpoints = [
    new Checkpoints(databasePath(dataDir, 'ledger'), 'UPDATE marks SET seq = seq'),
    new Checkpoints(databasePath(dataDir, 'stockyard')),
    new Checkpoints(databasePath(dataDir, 'objects')),
  ]

  const tidy = (): void => {
    try {
      for (const c of checkpoints) c.run()
    } catch (error) {
      clearInterval(timer)
      alarm(error)
      return
    }
    try {
      for (const [name, db] of writers) if (name === 'logs' || name === 'cache') shrink(db)
    } catch (error) {
      // Droppable files: whatever is wrong shows in the next batch, which is counted as dropped.
      if (complaintOf(error) === 'sync') alarm(error)
    }
  }
  const timer = setInterval(tidy, CHECKPOINT_MS)

  return {
    journal: ({ module, statement, rows }) =>
      inTransaction(statements.database(module), () => statements.runEach(module, statement, rows)),
    run: (call) => statements.run(call),
    cacheWrite: ({ writes, at }) => cache.write(writes, at),
    cacheClear: () => cache.clear(),
    cacheSize: () => cache.size(),
    ballast: ({ dataDir, bytes }) => writeBallast(dataDir, bytes),
    backup: ({ dataDir, toDir, at }) => backUp(dataDir, toDir, at),
    close: () => {
      clearInterval(timer)
      for (const c of checkpoints) c.close()
      for (const db of writers.values()) db.close()
    },
  }
}

/** Gives free pages at the end of a file back to the file system, a bounded number at a time. */
function shrink(db: DatabaseSync): void {
  const free = db.prepare('PRAGMA freelist_count').get()?.freelist_count as number
  // Some free pages are kept: the next rows would only make the file grow again.
  if (free > PAGES_PER_SHRINK / 2) db.prepare('PRAGMA incremental_vacuum(2048)').all()
}

/**
 * Opens one SQLite file with the pragmas of its role. Every connection of the store comes from here.
 * Nothing else may open these files while they are in use: closing any other descriptor of a file drops the locks that
 * SQLite holds on it (POSIX), so headers are read and copies are hashed only where no connection is open.
 */
import { chmodSync, closeSync, existsSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { complaintOf, storageFailure } from './fault.ts'

export interface Connection {
  readonly path: string
  readonly readOnly?: boolean
  /** Milliseconds SQLite itself waits for a lock; 0 on the serving thread's way. */
  readonly busyMs: number
  /** FULL: a commit is on the disk. NORMAL: it survives the process, not the power. */
  readonly synchronous?: 'FULL' | 'NORMAL'
  /** Checkpoints at the end of its own commits. Off where the worker does it. */
  readonly checkpoints?: boolean
  /** Half the usual page: a small commit touches a page of each index, and all of them go through the log. Of a new file. */
  readonly smallPages?: boolean
  /** The file shrinks as rows go; takes effect on a new file only. */
  readonly shrinks?: boolean
}

export function connect(c: Connection): DatabaseSync {
  if (!c.readOnly) ownerOnly(c.path)
  const db = new DatabaseSync(c.path, { readOnly: c.readOnly ?? false, timeout: c.busyMs })
  try {
    if (c.readOnly) {
      db.exec('PRAGMA query_only = ON')
      return db
    }
    if (c.smallPages) db.exec('PRAGMA page_size = 2048')
    if (c.shrinks) db.exec('PRAGMA auto_vacuum = INCREMENTAL')
    db.exec('PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF')
    db.exec(c.synchronous === 'FULL' ? 'PRAGMA synchronous = FULL' : 'PRAGMA synchronous = NORMAL')
    if (!c.checkpoints) db.exec('PRAGMA wal_autocheckpoint = 0')
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** SQLite gives what it makes beside a file (-wal, -shm, -journal) the mode of the file itself. */
export function ownerOnly(path: string): void {
  if (existsSync(path)) chmodSync(path, 0o600)
  else closeSync(openSync(path, 'a', 0o600))
}

/** Runs `work` as one transaction; takes the write lock at once, so that it cannot fail half-way for a reader. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    db.exec('COMMIT')
    return result
  } catch (error) {
    // After a full disk or an I/O error SQLite may have rolled back already.
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

/** One transaction on stockyard.db, whose failure is one that an administrator can be shown. */
export type Transact = <T>(work: () => T) => T

/** `lost` hears of a failed fsync: what SQLite holds for written may be gone, so the process should end. */
export function administrative(db: DatabaseSync, lost: (error: Error) => void): Transact {
  return (work) => {
    try {
      return inTransaction(db, work)
    } catch (error) {
      if (complaintOf(error) === 'sync') lost(error as Error)
      throw storageFailure(error)
    }
  }
}

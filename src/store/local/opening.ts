/**
 * Opens the files of a data directory for the serving thread: checked, migrated, in the order that a kill at any point
 * leaves in a state which the next start understands (configuration first, then the ledger, then what may be lost).
 */
import { existsSync, renameSync, rmSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import type { Log } from '../../core/module.ts'
import { CACHE_MIGRATIONS } from '../migrations/cache.ts'
import { LEDGER_MIGRATIONS } from '../migrations/ledger.ts'
import { OBJECTS_MIGRATIONS } from '../migrations/objects.ts'
import { STOCKYARD_MIGRATIONS } from '../migrations/stockyard.ts'
import { type Connection, connect } from './database.ts'
import { complaintOf, StoreError } from './fault.ts'
import { type DatabaseName, databasePath } from './files.ts'
import { checkFile, sizeOf } from './integrity.ts'
import { type Migrations, migrate } from './migrate.ts'
import type { AllTables } from './statements.ts'

export interface OpeningOptions {
  readonly dataDir: string
  readonly tables: AllTables
  readonly now: () => number
  readonly log: Log
}
export interface Opened {
  readonly stockyard: DatabaseSync
  readonly ledger: DatabaseSync
  readonly objects: DatabaseSync
  /** Read-only. */
  readonly cache: DatabaseSync
}

/**
 * How long an administrative write waits, on the serving thread, for the short transaction of a module or a checkpoint.
 * The ledger waits in the event loop instead.
 */
const STOCKYARD_BUSY_MS = 100

const ANOTHER_TRAIL = ', or put the trail aside and begin another with "stockyard audit restart --reason <why>"'

/** Throws StoreError; leaves nothing open then. Only under the lock, before any other thread opens a file. */
export function openFiles(options: OpeningOptions): Opened {
  const { dataDir, now } = options
  const open: DatabaseSync[] = []
  const migrated = (connection: Connection, name: DatabaseName, core: readonly string[]): DatabaseSync => {
    const db = connect(connection)
    open.push(db)
    migrate(db, connection.path, migrationsOf(options.tables, name, core), now)
    return db
  }
  try {
    const path = (name: DatabaseName): string => databasePath(dataDir, name)
    const audited = declares(options.tables, 'audit')
    const needed = ['stockyard', 'ledger', 'objects', ...(audited ? (['audit'] as const) : [])] as const
    for (const name of needed) checkFile(path(name), name === 'audit' ? ANOTHER_TRAIL : '')
    if (sizeOf(path('stockyard')) === 0 && sizeOf(path('ledger')) > 0) throw missing(path('stockyard'))

    const stockyard = migrated(
      { path: path('stockyard'), busyMs: STOCKYARD_BUSY_MS, synchronous: 'FULL', checkpoints: false },
      'stockyard',
      STOCKYARD_MIGRATIONS,
    )
    const created = stockyard.prepare("SELECT 1 FROM facts WHERE name = 'created'").get() !== undefined
    if (created && sizeOf(path('ledger')) === 0) throw missing(path('ledger'))
    const ledger = migrated(
      { path: path('ledger'), busyMs: 0, synchronous: 'NORMAL', checkpoints: false, smallPages: true },
      'ledger',
      LEDGER_MIGRATIONS,
    )
    const objects = migrated(
      { path: path('objects'), busyMs: STOCKYARD_BUSY_MS, synchronous: 'NORMAL', checkpoints: false },
      'objects',
      OBJECTS_MIGRATIONS,
    )
    if (!created) stockyard.exec("INSERT INTO facts (name, value) VALUES ('created', 1)")
    if (audited) {
      migrated({ path: path('audit'), busyMs: 1_000, synchronous: 'FULL', checkpoints: true }, 'audit', []).close()
    }

    prepareDroppable(options, 'logs', [])
    prepareDroppable(options, 'cache', CACHE_MIGRATIONS)
    const cache = connect({ path: path('cache'), readOnly: true, busyMs: 0 })
    return { stockyard, ledger, objects, cache }
  } catch (error) {
    for (const db of open) if (db.isOpen) db.close()
    throw error
  }
}

/** A file that may be lost is put aside when it is damaged, and begun anew. */
function prepareDroppable(options: OpeningOptions, name: 'logs' | 'cache', core: readonly string[]): void {
  const path = databasePath(options.dataDir, name)
  const prepare = (): void => {
    const db = connect({ path, busyMs: 1_000, synchronous: 'NORMAL', checkpoints: true, shrinks: true })
    try {
      migrate(db, path, migrationsOf(options.tables, name, core), options.now)
    } finally {
      db.close()
    }
  }
  try {
    prepare()
  } catch (error) {
    const damaged = complaintOf(error instanceof StoreError ? error.cause : error) === 'corrupt'
    const newerCache = name === 'cache' && error instanceof StoreError && error.code === 'newer_schema'
    if (!damaged && !newerCache) throw error
    const aside = `${path}.damaged-${options.now()}`
    options.log.warn(`${path} could not be read and was begun anew`, {
      aside: name === 'logs' ? aside : undefined,
      error,
    })
    if (name === 'logs' && existsSync(path)) renameSync(path, aside)
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true })
    prepare()
  }
}

const declares = (tables: AllTables, file: DatabaseName): boolean => Object.values(tables).some((t) => t.file === file)

function migrationsOf(tables: AllTables, file: DatabaseName, core: readonly string[]): Migrations[] {
  const all: Migrations[] = core.length > 0 ? [{ owner: 'core', steps: core }] : []
  for (const [owner, definition] of Object.entries(tables)) {
    if (definition.file === file) all.push({ owner, steps: definition.migrations })
  }
  return all
}

const missing = (path: string): StoreError =>
  new StoreError(
    'corrupt',
    `${path} is missing or empty, although this data directory was in use before. Restore a backup with "stockyard restore <backup directory>".`,
  )

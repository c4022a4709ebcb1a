/** The data directory: which files it holds, who may read them, and that only one instance uses it. */
import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ownerOnly } from './database.ts'
import { complaintOf, StoreError } from './fault.ts'

export type DatabaseName = 'stockyard' | 'ledger' | 'objects' | 'logs' | 'cache' | 'audit'
export const DATABASES: readonly DatabaseName[] = ['stockyard', 'ledger', 'objects', 'logs', 'cache', 'audit']

export const databasePath = (dataDir: string, name: DatabaseName): string => join(dataDir, `${name}.db`)

/** What a module keeps outside any database. */
export const keyFilePath = (dataDir: string, module: string): string => join(dataDir, `${module}.key`)

export const LOCK_FILE = 'lock.db'
export const BALLAST_FILE = 'ballast'
export const MASTER_KEY_FILE = 'master.key'

export function prepareDirectory(dataDir: string): void {
  make(resolve(dataDir))
  chmodSync(dataDir, 0o700)
}

/** Parents first. `recursive` of mkdir tries for ever where a file system lets nobody make directories, as /proc. */
function make(path: string): void {
  if (existsSync(path)) return
  if (path !== dirname(path)) make(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}

export interface Lock {
  release(): void
}

/**
 * Holds an exclusive transaction for as long as the instance lives; the system gives it back after a kill.
 * Throws `in_use` if another instance has it.
 */
export function takeLock(dataDir: string): Lock {
  const path = join(dataDir, LOCK_FILE)
  ownerOnly(path)
  const db = new DatabaseSync(path, { timeout: 0 })
  try {
    db.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    db.close()
    if (complaintOf(error) !== 'busy') throw error
    throw new StoreError(
      'in_use',
      `The data directory ${dataDir} is in use by another running instance. Stop that one, or give this one its own --data-dir.`,
    )
  }
  return { release: () => db.close() }
}

/**
 * Brings a file's schema to what the code knows. Steps are numbered per owner (core or a module), each runs in its own
 * transaction together with the row that records it: a kill leaves whole steps only, and the next start goes on.
 */
import type { DatabaseSync } from 'node:sqlite'
import { inTransaction } from './database.ts'
import { StoreError } from './fault.ts'

export interface Migrations {
  /** `core` or a module's id. */
  readonly owner: string
  readonly steps: readonly string[]
}

/** Owner → number of its newest step in the file. */
export type SchemaVersions = Readonly<Record<string, number>>

export function schemaVersions(db: DatabaseSync): SchemaVersions {
  const known = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'").get()
  if (!known) return {}
  const versions: Record<string, number> = {}
  for (const row of db.prepare('SELECT owner, max(number) AS number FROM migrations GROUP BY owner').all()) {
    versions[row.owner as string] = row.number as number
  }
  return versions
}

/** Throws `newer_schema` before it touches anything, `migration_failed` after the last step that held. */
export function migrate(db: DatabaseSync, file: string, all: readonly Migrations[], now: () => number): void {
  const versions = schemaVersions(db)
  for (const { owner, steps } of all) {
    const version = versions[owner] ?? 0
    if (version <= steps.length) continue
    throw new StoreError(
      'newer_schema',
      `${file} was written by a newer version: its "${owner}" tables are at step ${version}, this program knows ${steps.length}. ` +
        'Run the newer version, or restore a backup made with this one.',
    )
  }
  db.exec(
    'CREATE TABLE IF NOT EXISTS migrations (owner TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (owner, number)) STRICT',
  )
  const record = db.prepare('INSERT INTO migrations (owner, number, at) VALUES (?, ?, ?)')
  for (const { owner, steps } of all) {
    for (let number = (versions[owner] ?? 0) + 1; number <= steps.length; number++) {
      try {
        inTransaction(db, () => {
          db.exec(steps[number - 1] as string)
          record.run(owner, number, now())
        })
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error)
        throw new StoreError(
          'migration_failed',
          `${file} could not be brought to step ${number} of its "${owner}" tables: ${problem}. Nothing of that step was kept.`,
          error,
        )
      }
    }
  }
}

/**
 * Small administrative facts with a life of their own (hashes of keys, confirmations): never part of a revision, never
 * rolled back. Every change leaves a line in the record; what it shows is only what the caller says may be shown, because
 * a value may be a secret's hash.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { JsonValue } from '../../core/request.ts'
import { type Change, recordChange } from './changes.ts'
import type { Transact } from './database.ts'

export class Facts {
  readonly #db: DatabaseSync
  readonly #transact: Transact
  readonly #now: () => number
  readonly #known = new Map<string, JsonValue | undefined>()

  constructor(db: DatabaseSync, transact: Transact, now: () => number) {
    this.#db = db
    this.#transact = transact
    this.#now = now
  }

  get(name: string): JsonValue | undefined {
    if (this.#known.has(name)) return this.#known.get(name)
    const row = this.#db.prepare('SELECT value FROM directory WHERE name = ?').get(name)
    const value = row === undefined ? undefined : (JSON.parse(row.value as string) as JsonValue)
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    this.#known.set(name, value)
    return value
  }

  /** Throws `storage_full` or `storage_unavailable`; then nothing changed. */
  set(name: string, value: JsonValue, change: Change): void {
    this.#change(name, change, () => {
      this.#db
        .prepare(
          'INSERT INTO directory (name, value, version) VALUES (?, ?, 1) ON CONFLICT (name) DO UPDATE SET value = excluded.value, version = version + 1',
        )
        .run(name, JSON.stringify(value))
    })
  }

  /** As `set`. What is not there stays away. */
  remove(name: string, change: Change): void {
    this.#change(name, change, () => {
      this.#db.prepare('DELETE FROM directory WHERE name = ?').run(name)
    })
  }

  /** The names that begin with `prefix`, in order. */
  names(prefix: string): string[] {
    return this.#db
      .prepare('SELECT name FROM directory WHERE substr(name, 1, length(:prefix)) = :prefix ORDER BY name')
      .all({ prefix })
      .map((row) => row.name as string)
  }

  #change(name: string, change: Change, work: () => void): void {
    try {
      this.#transact(() => {
        work()
        recordChange(this.#db, this.#now(), name, change)
      })
    } finally {
      this.#known.delete(name)
    }
  }
}

const MOST_KNOWN = 10_000

/**
 * Small administrative facts with a life of their own (hashes of keys, sessions, confirmations): never part of a
 * revision, never rolled back. Every change leaves a row that says who did what to which object; its `before` and
 * `after` are only what the caller says may be shown, because a value may be a secret's hash.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { JsonValue } from '../../core/request.ts'
import type { Transact } from './database.ts'

export interface DirectoryChange {
  readonly actor: string
  readonly action: string
  readonly before?: JsonValue
  readonly after?: JsonValue
}
export interface DirectoryChangeRow {
  readonly id: number
  readonly at: number
  readonly actor: string
  readonly action: string
  readonly object: string
  readonly before: JsonValue | undefined
  readonly after: JsonValue | undefined
}

export class Directory {
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
  set(name: string, value: JsonValue, change: DirectoryChange): void {
    this.#change(name, change, () => {
      this.#db
        .prepare(
          'INSERT INTO directory (name, value, version) VALUES (?, ?, 1) ON CONFLICT (name) DO UPDATE SET value = excluded.value, version = version + 1',
        )
        .run(name, JSON.stringify(value))
    })
  }

  /** As `set`. What is not there stays away. */
  remove(name: string, change: DirectoryChange): void {
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

  /** In order, those after `afterId`: a reader keeps the last id as its cursor. */
  changes(afterId: number, limit: number): DirectoryChangeRow[] {
    return this.#db
      .prepare(
        'SELECT id, at, actor, action, object, before, after FROM directory_changes WHERE id > ? ORDER BY id LIMIT ?',
      )
      .all(afterId, limit)
      .map((row) => ({
        id: row.id as number,
        at: row.at as number,
        actor: row.actor as string,
        action: row.action as string,
        object: row.object as string,
        before: parsed(row.before),
        after: parsed(row.after),
      }))
  }

  #change(name: string, change: DirectoryChange, work: () => void): void {
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

/** Writes the row of a change, inside the transaction that makes it. */
export function recordChange(db: DatabaseSync, at: number, object: string, change: DirectoryChange): void {
  db.prepare('INSERT INTO directory_changes (at, actor, action, object, before, after) VALUES (?, ?, ?, ?, ?, ?)').run(
    at,
    change.actor,
    change.action,
    object,
    text(change.before),
    text(change.after),
  )
}

const text = (value: JsonValue | undefined): string | null => (value === undefined ? null : JSON.stringify(value))
const parsed = (value: unknown): JsonValue | undefined =>
  typeof value === 'string' ? (JSON.parse(value) as JsonValue) : undefined

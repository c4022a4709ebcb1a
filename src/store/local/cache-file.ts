/** cache.db as its writer (the keeper) sees it: batches in, the expired and the oldest out, never beyond its bound. */
import type { DatabaseSync } from 'node:sqlite'
import { inTransaction } from './database.ts'

export interface CacheWrite {
  readonly module: string
  readonly scope: string
  readonly key: string
  /** Absent: the entry is deleted. */
  readonly entry?: {
    readonly storedAt: number
    readonly expiresAt: number
    readonly meta: string
    readonly body: Uint8Array
    readonly bytes: number
  }
}

export interface CacheSize {
  readonly entries: number
  /** What the entries count for, without the file's own overhead. */
  readonly bytes: number
}

const DELETED_AT_ONCE = 256

export class CacheFile {
  readonly #db: DatabaseSync
  readonly #maxBytes: number
  #entries = 0
  #bytes = 0

  constructor(db: DatabaseSync, maxBytes: number) {
    this.#db = db
    this.#maxBytes = maxBytes
    this.#measure()
  }

  size(): CacheSize {
    return { entries: this.#entries, bytes: this.#bytes }
  }

  /** Also deletes some of what is past its time at `now`. */
  write(writes: readonly CacheWrite[], now: number): CacheSize {
    const remove = this.#db.prepare('DELETE FROM entries WHERE module = ? AND scope = ? AND key = ? RETURNING bytes')
    const insert = this.#db.prepare(
      'INSERT INTO entries (module, scope, key, stored_at, expires_at, bytes, meta, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    )
    const expired = this.#db.prepare(
      'DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires_at <= ? LIMIT ?) RETURNING bytes',
    )
    const oldest = this.#db.prepare(
      'DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY id LIMIT ?) RETURNING bytes',
    )
    this.#changed(() => {
      this.#count(expired.all(now, DELETED_AT_ONCE), -1)
      for (const { module, scope, key, entry } of writes) {
        // Not an update: a new row id puts the entry at the young end.
        this.#count(remove.all(module, scope, key), -1)
        if (entry === undefined) continue
        insert.run(module, scope, key, entry.storedAt, entry.expiresAt, entry.bytes, entry.meta, entry.body)
        this.#count([{ bytes: entry.bytes }], 1)
      }
      while (this.#bytes > this.#maxBytes) {
        const gone = oldest.all(Math.min(DELETED_AT_ONCE, Math.ceil(this.#entries / 16)))
        this.#count(gone, -1)
        if (gone.length === 0) break
      }
    })
    return this.size()
  }

  clear(): CacheSize {
    this.#db.exec('DELETE FROM entries')
    this.#measure()
    return this.size()
  }

  close(): void {
    this.#db.close()
  }

  #changed(work: () => void): void {
    try {
      inTransaction(this.#db, work)
    } catch (error) {
      this.#measure()
      throw error
    }
  }

  #count(rows: readonly Readonly<Record<string, unknown>>[], sign: 1 | -1): void {
    for (const row of rows) this.#bytes += sign * (row.bytes as number)
    this.#entries += sign * rows.length
  }

  #measure(): void {
    const row = this.#db.prepare('SELECT count(*) AS entries, coalesce(sum(bytes), 0) AS bytes FROM entries').get()
    this.#entries = row?.entries as number
    this.#bytes = row?.bytes as number
  }
}

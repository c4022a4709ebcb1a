/**
 * Configuration revisions: each row is a whole configuration together with who changed what and when, so that one
 * insert is the change, its version and its record. The newest row is what is in force.
 */
import type { DatabaseSync } from 'node:sqlite'
import { failure } from '../../core/errors.ts'
import type { JsonValue } from '../../core/request.ts'
import { type Configuration, EMPTY_CONFIGURATION, type Revision } from '../../core/store.ts'
import { circumstances } from './changes.ts'
import type { Transact } from './database.ts'

export interface ConfigurationChange {
  readonly actor: string
  readonly action: string
  readonly before: JsonValue
  readonly after: JsonValue
}

export class ConfigurationFile {
  readonly #db: DatabaseSync
  readonly #transact: Transact
  readonly #now: () => number

  constructor(db: DatabaseSync, transact: Transact, now: () => number) {
    this.#db = db
    this.#transact = transact
    this.#now = now
  }

  /** What is in force; revision 0 is the empty configuration, before anybody said anything. */
  load(): { readonly revision: number; readonly configuration: Configuration } {
    const row = this.#db.prepare('SELECT id, configuration FROM revisions ORDER BY id DESC LIMIT 1').get()
    if (row === undefined) return { revision: 0, configuration: EMPTY_CONFIGURATION }
    return { revision: row.id as number, configuration: JSON.parse(row.configuration as string) as Configuration }
  }

  /**
   * Throws `precondition_failed` if `expected` is given and no longer the newest revision, `storage_full` or
   * `storage_unavailable` if it cannot be written; then nothing changed.
   */
  commit(next: Configuration, change: ConfigurationChange, expected?: number): Revision {
    const { actor, action, before, after } = change
    return this.#transact(() => {
      const current = (this.#db.prepare('SELECT max(id) AS id FROM revisions').get()?.id as number | null) ?? 0
      if (expected !== undefined && expected !== current) {
        throw failure('precondition_failed', { current, sent: expected })
      }
      const id = current + 1
      const at = this.#now()
      this.#db
        .prepare(
          'INSERT INTO revisions (id, at, actor, action, before, after, configuration, context) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
        )
        .run(
          id,
          at,
          actor,
          action,
          JSON.stringify(before),
          JSON.stringify(after),
          JSON.stringify(next),
          circumstances(),
        )
      return { id, at, actor, action, before, after }
    })
  }

  /** Newest first; those older than `before`, if given. */
  revisions(limit: number, before?: number): Revision[] {
    return this.#db
      .prepare(
        'SELECT id, at, actor, action, before, after FROM revisions WHERE (:before IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit',
      )
      .all({ before: before ?? null, limit })
      .map((row) => ({
        id: row.id as number,
        at: row.at as number,
        actor: row.actor as string,
        action: row.action as string,
        before: JSON.parse(row.before as string) as JsonValue,
        after: JSON.parse(row.after as string) as JsonValue,
      }))
  }

  /** The whole configuration as of a revision. Throws `not_found`. */
  at(id: number): Configuration {
    if (id === 0) return EMPTY_CONFIGURATION
    const row = this.#db.prepare('SELECT configuration FROM revisions WHERE id = ?').get(id)
    if (row === undefined) throw failure('not_found', { what: `revision ${id}` })
    return JSON.parse(row.configuration as string) as Configuration
  }
}

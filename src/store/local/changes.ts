/**
 * The record of administrative changes outside revisions: who did what to which object, and what it was before and after.
 * Append-only by trigger; each line is written inside the transaction that makes the change.
 */
import type { DatabaseSync } from 'node:sqlite'
import { acting } from '../../core/acting.ts'
import type { DirectoryChangeRow } from '../../core/directory.ts'
import type { JsonValue } from '../../core/request.ts'

/** `before` and `after` are only what may be shown: never a secret, nor what one is checked with. */
export interface Change {
  readonly actor: string
  readonly action: string
  readonly before?: JsonValue
  readonly after?: JsonValue
}

export function recordChange(db: DatabaseSync, at: number, object: string, change: Change): void {
  db.prepare(
    'INSERT INTO directory_changes (at, actor, action, object, before, after, context) VALUES (?, ?, ?, ?, ?, ?, ?)',
  ).run(at, change.actor, change.action, object, text(change.before), text(change.after), circumstances())
}

/** In order, those after `afterId`: a reader keeps the last id as its cursor. */
export function changesAfter(db: DatabaseSync, afterId: number, limit: number): DirectoryChangeRow[] {
  return db
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

const text = (value: JsonValue | undefined): string | null => (value === undefined ? null : JSON.stringify(value))
const parsed = (value: unknown): JsonValue | undefined =>
  typeof value === 'string' ? (JSON.parse(value) as JsonValue) : undefined

/** How the change that is being made came about, as its row keeps it. */
export function circumstances(): string | null {
  const known = acting.getStore()
  return known === undefined ? null : JSON.stringify(known)
}

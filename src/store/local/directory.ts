/**
 * The directory's rows: one table, each row a JSON value with a version beside the few columns it is found by. Reads of a
 * request go through a bounded memory that a committed change corrects before anything else can run.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import {
  anchorOf,
  type Directory,
  type DirectoryChange,
  type DirectoryChangeRow,
  type Draft,
  type Edit,
  type FigureKind,
  type Listing,
  type RowKind,
  type Rows,
  type Selector,
} from '../../core/directory.ts'
import { failure } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { changesAfter, recordChange } from './changes.ts'
import type { Transact } from './database.ts'
import { complaintOf, problemOf } from './fault.ts'
import { Remembered } from './remembered.ts'

const MOST_ROWS = 20_000
const MOST_ANCHORS = 50_000

interface Kept {
  readonly row: Rows[RowKind]
  readonly proof: JsonObject | undefined
}

/** One for each way to begin, so that each uses an index; what else is asked narrows it down. */
const LISTS = {
  anchor:
    'SELECT * FROM directory_rows WHERE kind = :kind AND anchor = :anchor AND id > :after ORDER BY id LIMIT :limit',
  name: 'SELECT * FROM directory_rows WHERE kind = :kind AND name = :name AND id > :after ORDER BY id LIMIT :limit',
  subject:
    'SELECT * FROM directory_rows WHERE kind = :kind AND subject = :subject AND id > :after ORDER BY id LIMIT :limit',
  memberOf: `SELECT * FROM directory_rows WHERE kind = :kind AND id > :after AND EXISTS (
      SELECT 1 FROM json_each(directory_rows.value, '$.memberships') AS m WHERE m.value ->> '$.organization' = :memberOf
    ) ORDER BY id LIMIT :limit`,
  user: `SELECT * FROM directory_rows WHERE kind = :kind AND user = :user AND id > :after
    AND (:team IS NULL OR team = :team) AND (:organization IS NULL OR organization = :organization) ORDER BY id LIMIT :limit`,
  team: `SELECT * FROM directory_rows WHERE kind = :kind AND team = :team AND id > :after
    AND (:organization IS NULL OR organization = :organization) ORDER BY id LIMIT :limit`,
  organization:
    'SELECT * FROM directory_rows WHERE kind = :kind AND organization = :organization AND id > :after ORDER BY id LIMIT :limit',
  all: 'SELECT * FROM directory_rows WHERE kind = :kind AND id > :after ORDER BY id LIMIT :limit',
} as const

export class DirectoryFile implements Directory {
  readonly #db: DatabaseSync
  readonly #transact: Transact
  readonly #now: () => number
  readonly #one: StatementSync
  readonly #hanging: StatementSync
  readonly #rows = new Remembered<Kept>(MOST_ROWS)
  readonly #figures = new Remembered<readonly Rows[FigureKind][]>(MOST_ANCHORS)
  #epoch = 0

  constructor(db: DatabaseSync, transact: Transact, now: () => number) {
    this.#db = db
    this.#transact = transact
    this.#now = now
    this.#one = db.prepare('SELECT * FROM directory_rows WHERE kind = ? AND id = ?')
    this.#hanging = db.prepare('SELECT * FROM directory_rows WHERE kind = ? AND anchor = ? ORDER BY id')
  }

  get epoch(): number {
    return this.#epoch
  }

  get<K extends RowKind>(kind: K, id: string): Rows[K] | undefined {
    return this.#find(kind, id)?.row as Rows[K] | undefined
  }

  proof(kind: 'key' | 'user', id: string): JsonObject | undefined {
    return this.#find(kind, id)?.proof
  }

  /** Who asks for what is not there pays a read each time, so that guesses push nothing out of the memory. */
  #find(kind: RowKind, id: string): Kept | undefined {
    const name = `${kind}/${id}`
    const known = this.#rows.get(name)
    if (known) return known
    const read = this.#read(kind, id)
    if (read) this.#rows.set(name, read)
    return read
  }

  #read(kind: RowKind, id: string): Kept | undefined {
    const found = reading(() => this.#one.get(kind, id))
    return found && keptOf(found)
  }

  figures<K extends FigureKind>(kind: K, anchor: string): readonly Rows[K][] {
    const name = `${kind}/${anchor}`
    let known = this.#figures.get(name)
    if (!known) {
      known = reading(() => this.#hanging.all(kind, anchor)).map((row) => keptOf(row).row as Rows[FigureKind])
      this.#figures.set(name, known)
    }
    return known as readonly Rows[K][]
  }

  list<K extends RowKind>(kind: K, listing: Listing): readonly Rows[K][] {
    const { limit = 100, after = '' } = listing
    const by = (Object.keys(LISTS) as (keyof typeof LISTS)[]).find(
      (name) => name !== 'all' && listing[name] !== undefined,
    )
    const bound: Record<string, string | null> = by && by !== 'all' ? { [by]: listing[by] as string } : {}
    if (by === 'user') bound.team = listing.team ?? null
    if (by === 'user' || by === 'team') bound.organization = listing.organization ?? null
    const statement = LISTS[by ?? 'all']
    return reading(() => this.#db.prepare(statement).all({ kind, after, limit, ...bound })).map(
      (row) => keptOf(row).row as Rows[K],
    )
  }

  changes(afterId: number, limit: number): readonly DirectoryChangeRow[] {
    return reading(() => changesAfter(this.#db, afterId, limit))
  }

  change<T>(change: DirectoryChange, work: (edit: Edit) => T): T {
    const touched: { kind: RowKind; id: string; anchors: string[] }[] = []
    const result = this.#transact(() => work(this.#edit(change, touched)))
    for (const { kind, id, anchors } of touched) {
      this.#rows.delete(`${kind}/${id}`)
      for (const anchor of anchors) this.#figures.delete(`${kind}/${anchor}`)
    }
    this.#epoch++
    return result
  }

  #edit(change: DirectoryChange, touched: { kind: RowKind; id: string; anchors: string[] }[]): Edit {
    const at = this.#now()
    const note = (object: string, before: JsonValue | undefined, after: JsonValue | undefined): void =>
      recordChange(this.#db, at, object, {
        ...change,
        ...(before === undefined ? {} : { before }),
        ...(after === undefined ? {} : { after }),
      })
    const wrote = (kind: RowKind, before: Rows[RowKind] | undefined, after: Rows[RowKind] | undefined): void => {
      const id = (before ?? after)?.id as string
      const anchors = [before, after].flatMap((row) => (row && 'scope' in row ? [anchorOf(row.scope)] : []))
      touched.push({ kind, id, anchors })
      note(`${kind}/${id}`, before as unknown as JsonValue | undefined, after as unknown as JsonValue | undefined)
    }
    const present = <K extends RowKind>(kind: K, id: string): Kept => {
      const found = this.#read(kind, id)
      if (!found) throw failure('not_found', { what: `${kind} "${id}"` })
      return found
    }
    return {
      get: (kind, id) => this.#read(kind, id)?.row as never,
      list: (kind, listing) => this.list(kind, listing),
      note,
      insert: <K extends RowKind>(kind: K, draft: Draft<K>, proof?: JsonObject): Rows[K] => {
        if (this.#read(kind, draft.id))
          throw failure('conflict', { problem: `The ${kind} "${draft.id}" exists already.` })
        const row = { ...draft, version: 1, createdAt: at, updatedAt: at } as unknown as Rows[K]
        unique(kind, draft, () =>
          this.#db
            .prepare(
              'INSERT INTO directory_rows (kind, id, organization, team, user, anchor, name, subject, value, proof, version, created_at, updated_at) VALUES (:kind, :id, :organization, :team, :user, :anchor, :name, :subject, :value, :proof, 1, :at, :at)',
            )
            .run({ ...found(kind, draft), proof: proof ? JSON.stringify(proof) : null, at }),
        )
        wrote(kind, undefined, row)
        return row
      },
      update: <K extends RowKind>(
        kind: K,
        draft: Draft<K>,
        { expected, proof }: { expected?: number; proof?: JsonObject | null } = {},
      ): Rows[K] => {
        const before = present(kind, draft.id)
        const { version, createdAt } = before.row
        if (expected !== undefined && expected !== version) {
          throw failure('precondition_failed', { current: version, sent: expected })
        }
        const row = { ...draft, version: version + 1, createdAt, updatedAt: at } as unknown as Rows[K]
        const next = proof === undefined ? before.proof : proof
        unique(kind, draft, () =>
          this.#db
            .prepare(
              'UPDATE directory_rows SET organization = :organization, team = :team, user = :user, anchor = :anchor, name = :name, subject = :subject, value = :value, proof = :proof, version = version + 1, updated_at = :at WHERE kind = :kind AND id = :id',
            )
            .run({ ...found(kind, draft), proof: next ? JSON.stringify(next) : null, at }),
        )
        wrote(kind, before.row, row)
        return row
      },
      remove: (kind, id) => {
        const before = present(kind, id)
        this.#db.prepare('DELETE FROM directory_rows WHERE kind = ? AND id = ?').run(kind, id)
        wrote(kind, before.row, undefined)
      },
    }
  }
}

/** The columns that a row is found by, and the row itself. */
function found<K extends RowKind>(kind: K, draft: Draft<K>) {
  const { id, version: _, createdAt: __, updatedAt: ___, ...value } = draft as unknown as JsonObject & { id: string }
  const text = (name: string): string | null => (typeof value[name] === 'string' ? (value[name] as string) : null)
  const { scope } = value as { scope?: Selector }
  return {
    kind,
    id,
    organization: text('organization'),
    team: text('team'),
    user: text('user'),
    anchor: scope ? anchorOf(scope) : null,
    name: kind === 'user' ? text('email') : text('name'),
    subject: text('subject'),
    value: JSON.stringify(value),
  }
}

function keptOf(row: Record<string, unknown>): Kept {
  return {
    row: {
      id: row.id,
      ...(JSON.parse(row.value as string) as JsonObject),
      version: row.version,
      createdAt: row.created_at,
      updatedAt: row.updated_at,
    } as unknown as Rows[RowKind],
    proof: row.proof === null ? undefined : (JSON.parse(row.proof as string) as JsonObject),
  }
}

const UNIQUE = 2067
function unique(kind: RowKind, draft: object, write: () => void): void {
  try {
    write()
  } catch (error) {
    if ((error as { errcode?: number }).errcode !== UNIQUE) throw error
    const { email } = draft as { email?: string }
    throw failure('conflict', {
      problem: `There is another ${kind} with this ${email ? `address ("${email}")` : 'name'}.`,
    })
  }
}

function reading<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    // Whatever it is, it is not an answer about the caller: 503, never "unknown".
    throw failure('storage_unavailable', { problem: problemOf(complaintOf(error)) }, error)
  }
}

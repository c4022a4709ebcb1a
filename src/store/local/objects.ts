/** objects.db as the serving thread sees it: written before the maker learns the id, read when a request names one. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Maker, Objects, OwnedObject } from '../../core/objects.ts'
import type { JsonObject } from '../../core/request.ts'
import { SEALED, SEALS_KEPT_MS } from '../../core/seals.ts'
import type { Transact } from './database.ts'

export class ObjectsFile implements Objects {
  readonly #transact: Transact
  readonly #put: StatementSync
  readonly #find: StatementSync
  readonly #list: StatementSync
  readonly #unsettled: StatementSync
  readonly #note: StatementSync
  readonly #remove: StatementSync
  readonly #expire: StatementSync

  constructor(db: DatabaseSync, transact: Transact) {
    this.#transact = transact
    this.#put = db.prepare(
      'INSERT INTO objects (id, upstream, kind, scope, credential, model, made_at, maker, facts, settled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
    )
    this.#find = db.prepare('SELECT * FROM objects WHERE id = ?')
    this.#list = db.prepare(
      'SELECT * FROM objects WHERE scope = ? AND upstream = ? AND kind = ? ORDER BY made_at DESC, id DESC',
    )
    this.#unsettled = db.prepare('SELECT * FROM objects WHERE kind = ? AND settled = 0 ORDER BY made_at LIMIT ?')
    this.#note = db.prepare('UPDATE objects SET facts = ?, settled = ? WHERE id = ? AND upstream = ?')
    // A few with each new one: there is never much to do at once.
    this.#expire = db.prepare(
      "DELETE FROM objects WHERE (id, upstream) IN (SELECT id, upstream FROM objects WHERE kind = 'sealed' AND made_at < ? LIMIT 3)",
    )
    this.#remove = db.prepare('DELETE FROM objects WHERE id = ? AND upstream = ?')
  }

  put(o: OwnedObject): void {
    this.#transact(() => {
      if (o.kind === SEALED) this.#expire.run(o.madeAt - SEALS_KEPT_MS)
      this.#put.run(
        o.id,
        o.upstream,
        o.kind,
        o.scope,
        o.credential ?? null,
        o.model ?? null,
        o.madeAt,
        JSON.stringify(o.maker),
        o.facts ? JSON.stringify(o.facts) : null,
        isSettled(o.facts),
      )
    })
  }

  find(id: string): OwnedObject[] {
    return this.#find.all(id).map(objectOf)
  }

  list({ scope, upstream, kind }: { scope: string; upstream: string; kind: string }): OwnedObject[] {
    return this.#list.all(scope, upstream, kind).map(objectOf)
  }

  unsettled(kind: string, limit: number): OwnedObject[] {
    return this.#unsettled.all(kind, limit).map(objectOf)
  }

  note(o: OwnedObject, facts: JsonObject): void {
    this.#transact(() => this.#note.run(JSON.stringify(facts), isSettled(facts), o.id, o.upstream))
  }

  remove(o: OwnedObject): void {
    this.#transact(() => this.#remove.run(o.id, o.upstream))
  }
}

/** What has nothing left to settle counts as settled, so that nobody looks for it. */
const isSettled = (facts: JsonObject | undefined): number => (facts === undefined || facts.settled === true ? 1 : 0)

function objectOf(row: Record<string, unknown>): OwnedObject {
  return {
    id: row.id as string,
    upstream: row.upstream as string,
    kind: row.kind as string,
    scope: row.scope as string,
    ...(row.credential === null ? {} : { credential: row.credential as string }),
    ...(row.model === null ? {} : { model: row.model as string }),
    madeAt: row.made_at as number,
    maker: JSON.parse(row.maker as string) as Maker,
    ...(row.facts === null ? {} : { facts: JSON.parse(row.facts as string) as JsonObject }),
  }
}

import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { StoreError } from './fault.ts'
import { migrate, schemaVersions } from './migrate.ts'

const FIRST = 'CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)'
const SECOND = "ALTER TABLE notes ADD COLUMN kind TEXT; UPDATE notes SET kind = 'old'"
const BROKEN = 'CREATE TABLE extra (id INTEGER); INSERT INTO nowhere VALUES (1)'

function scratch(t: TestContext): DatabaseSync {
  const db = new DatabaseSync(':memory:')
  t.after(() => db.close())
  return db
}
const bring = (db: DatabaseSync, owner: string, ...steps: string[]) =>
  migrate(db, 'logs.db', [{ owner, steps }], () => 5)
const refusedWith = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof StoreError && error.code === code && message.test(error.message)

test('T13: steps run once, in order, per owner, and keep what an older version wrote', (t) => {
  const db = scratch(t)
  bring(db, 'logs', FIRST)
  db.exec("INSERT INTO notes (text) VALUES ('kept')")
  bring(db, 'logs', FIRST, SECOND)
  bring(db, 'logs', FIRST, SECOND)
  bring(db, 'audit', 'CREATE TABLE entries (id INTEGER)')
  assert.deepEqual({ ...db.prepare('SELECT text, kind FROM notes').get() }, { text: 'kept', kind: 'old' })
  assert.deepEqual(schemaVersions(db), { logs: 2, audit: 1 })
})

test('A94: a step that fails is not marked, leaves nothing of itself, and is tried by the next start', (t) => {
  const db = scratch(t)
  assert.throws(() => bring(db, 'logs', FIRST, BROKEN), refusedWith('migration_failed', /step 2 .*nowhere.*Nothing/))
  assert.deepEqual(schemaVersions(db), { logs: 1 })
  assert.equal(db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'extra'").get(), undefined)
  bring(db, 'logs', FIRST, SECOND)
  assert.deepEqual(schemaVersions(db), { logs: 2 })
})

test('T13: a file of a newer version is refused before anything is touched', (t) => {
  const db = scratch(t)
  bring(db, 'logs', FIRST, SECOND)
  const before = db.serialize()
  assert.throws(
    () =>
      migrate(
        db,
        'logs.db',
        [
          { owner: 'fresh', steps: [FIRST] },
          { owner: 'logs', steps: [FIRST] },
        ],
        () => 5,
      ),
    refusedWith('newer_schema', /logs\.db was written by a newer version.*step 2.*knows 1/),
  )
  assert.deepEqual(db.serialize(), before)
})

test('a file without migrations has no versions', (t) => {
  assert.deepEqual(schemaVersions(scratch(t)), {})
})

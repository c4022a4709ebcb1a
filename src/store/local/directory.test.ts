import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Draft } from '../../core/directory.ts'
import { STOCKYARD_MIGRATIONS } from '../migrations/stockyard.ts'
import { administrative, connect } from './database.ts'
import { DirectoryFile } from './directory.ts'
import { migrate } from './migrate.ts'
import { Remembered } from './remembered.ts'
import { atEnd, scratchDirectory } from './scratch.ts'

function scratch(t: Parameters<typeof atEnd>[0]) {
  const db = connect({ path: `${scratchDirectory(t)}/stockyard.db`, busyMs: 0, synchronous: 'NORMAL' })
  atEnd(t, () => db.isOpen && db.close())
  let clock = 100
  const now = () => clock++
  migrate(db, 'stockyard.db', [{ owner: 'core', steps: STOCKYARD_MIGRATIONS }], now)
  const transact = administrative(db, () => {})
  return { db, directory: new DirectoryFile(db, transact, now) }
}
const by = (action: string) => ({ actor: 'admin', action })
const key = (id: string, more: Partial<Draft<'key'>> = {}): Draft<'key'> => ({ id, ...more })

test('a row is made, changed with its version, and removed, and each change is a line of the record', (t) => {
  const { directory } = scratch(t)
  const made = directory.change(by('key.create'), (e) =>
    e.insert('key', key('k1', { name: 'one' }), { mac: 'the-mac' }),
  )
  const { createdAt } = made
  assert.deepEqual(made, { id: 'k1', name: 'one', version: 1, createdAt, updatedAt: createdAt })
  const epoch = directory.epoch
  const blocked = directory.change(by('key.block'), (e) =>
    e.update('key', key('k1', { name: 'one', blocked: true }), { expected: 1 }),
  )
  assert.notEqual(directory.epoch, epoch)
  assert.equal(blocked.version, 2)
  assert.deepEqual(directory.proof('key', 'k1'), { mac: 'the-mac' })
  assert.throws(() => directory.change(by('key.update'), (e) => e.update('key', key('k1'), { expected: 1 })), {
    code: 'precondition_failed',
  })
  directory.change(by('key.delete'), (e) => e.remove('key', 'k1'))
  assert.equal(directory.get('key', 'k1'), undefined)
  const record = directory.changes(0, 10)
  assert.deepEqual(
    record.map(({ actor, action, object }) => [actor, action, object]),
    ['key.create', 'key.block', 'key.delete'].map((action) => ['admin', action, 'key/k1']),
  )
  assert.deepEqual(record[1]?.before, { ...made })
  assert.deepEqual(record[1]?.after, { ...blocked })
  assert.doesNotMatch(JSON.stringify(record), /the-mac/)
})

test('a change acts at once on what was read before, and one that fails has no effect', (t) => {
  const { directory } = scratch(t)
  directory.change(by('x'), (e) => {
    e.insert('key', key('k1'))
    e.insert('limit', { id: 'l1', scope: { key: 'k1' }, counts: 'requests', per: 'minute', amount: 1 })
  })
  assert.equal(directory.get('key', 'k1')?.blocked, undefined)
  assert.equal(directory.figures('limit', 'key:k1').length, 1)
  assert.deepEqual(directory.figures('limit', 'instance'), [])
  directory.change(by('x'), (e) => {
    e.update('key', key('k1', { blocked: true }))
    e.update('limit', { id: 'l1', scope: {}, counts: 'requests', per: 'minute', amount: 2 })
  })
  assert.equal(directory.get('key', 'k1')?.blocked, true)
  assert.deepEqual(directory.figures('limit', 'key:k1'), [])
  assert.equal(directory.figures('limit', 'instance')[0]?.amount, 2)
  assert.throws(
    () =>
      directory.change(by('x'), (e) => {
        e.remove('key', 'k1')
        e.insert('limit', { id: 'l1', scope: {}, counts: 'requests', amount: 3 })
      }),
    { code: 'conflict' },
  )
  assert.equal(directory.get('key', 'k1')?.blocked, true)
  assert.equal(directory.changes(0, 100).length, 4)
})

test('rows are listed by where they belong, page by page', (t) => {
  const { directory } = scratch(t)
  directory.change(by('x'), (e) => {
    for (let i = 0; i < 30; i++) {
      e.insert(
        'key',
        key(`k${String(i).padStart(2, '0')}`, { organization: i % 2 ? 'odd' : 'even', user: `u${i % 3}` }),
      )
    }
  })
  const ids = (rows: readonly { id: string }[]) => rows.map(({ id }) => id).join()
  const first = directory.list('key', { organization: 'odd', limit: 2 })
  assert.equal(ids(first), 'k01,k03')
  assert.equal(ids(directory.list('key', { organization: 'odd', limit: 2, after: 'k03' })), 'k05,k07')
  assert.equal(ids(directory.list('key', { organization: 'odd', user: 'u0' })), 'k03,k09,k15,k21,k27')
})

test('an e-mail address belongs to one user', (t) => {
  const { directory } = scratch(t)
  const user = (id: string, email: string): Draft<'user'> => ({ id, kind: 'user', email, memberships: [] })
  directory.change(by('x'), (e) => e.insert('user', user('a', 'a@example.com')))
  assert.throws(() => directory.change(by('x'), (e) => e.insert('user', user('b', 'a@example.com'))), {
    code: 'conflict',
  })
  assert.equal(directory.list('user', { name: 'a@example.com' })[0]?.id, 'a')
})

test('A14: what is remembered is answered when the file cannot be read, and the rest is no "unknown"', (t) => {
  const { db, directory } = scratch(t)
  directory.change(by('x'), (e) => {
    e.insert('key', key('known'), { mac: 'm' })
    e.insert('key', key('cold'), { mac: 'm' })
  })
  assert.ok(directory.get('key', 'known'))
  db.exec('ALTER TABLE directory_rows RENAME TO gone')
  assert.ok(directory.get('key', 'known'))
  assert.deepEqual(directory.proof('key', 'known'), { mac: 'm' })
  assert.throws(() => directory.get('key', 'cold'), { code: 'storage_unavailable' })
  db.exec('ALTER TABLE gone RENAME TO directory_rows')
  assert.ok(directory.get('key', 'cold'))
})

test('what is remembered is bounded, and what is asked for again stays', () => {
  const remembered = new Remembered<number>(10)
  for (let i = 0; i < 1_000; i++) {
    remembered.set(`n${i}`, i)
    assert.equal(remembered.get('n0'), 0)
    assert.ok(remembered.size <= 20)
  }
  assert.equal(remembered.get('n500'), undefined)
})

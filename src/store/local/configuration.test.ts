import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { GatewayError } from '../../core/errors.ts'
import { type Configuration, EMPTY_CONFIGURATION } from '../../core/store.ts'
import { STOCKYARD_MIGRATIONS } from '../migrations/stockyard.ts'
import { changesAfter } from './changes.ts'
import { ConfigurationFile } from './configuration.ts'
import { administrative } from './database.ts'
import { Facts } from './facts.ts'

function scratch(t: TestContext) {
  const db = new DatabaseSync(':memory:')
  t.after(() => db.close())
  for (const step of STOCKYARD_MIGRATIONS) db.exec(step)
  let clock = 100
  const transact = administrative(db, () => {})
  const now = () => clock++
  return { db, configuration: new ConfigurationFile(db, transact, now), facts: new Facts(db, transact, now) }
}
const withCache = (mode: 'off' | 'enforce'): Configuration => ({
  ...EMPTY_CONFIGURATION,
  modules: { cache: { mode, settings: {} } },
})
const by = (action: string) => ({ actor: 'admin', action, before: { mode: 'off' }, after: { mode: 'enforce' } })

test('before anybody said anything the configuration is empty, at revision 0', (t) => {
  const { configuration } = scratch(t)
  assert.deepEqual(configuration.load(), { revision: 0, configuration: EMPTY_CONFIGURATION })
  assert.deepEqual(configuration.at(0), EMPTY_CONFIGURATION)
})

test('a change is in force, and in the list with who, when, before and after', (t) => {
  const { configuration } = scratch(t)
  const revision = configuration.commit(withCache('enforce'), by('modules.cache'))
  assert.deepEqual(revision, { id: 1, at: 100, ...by('modules.cache') })
  assert.deepEqual(configuration.load(), { revision: 1, configuration: withCache('enforce') })
  assert.deepEqual(configuration.revisions(10), [revision])
})

test('revisions are listed newest first and by cursor, and each can be had whole', (t) => {
  const { configuration } = scratch(t)
  for (let i = 0; i < 5; i++) configuration.commit(withCache(i % 2 ? 'off' : 'enforce'), by(`step ${i}`))
  assert.deepEqual(
    configuration.revisions(2).map((r) => r.id),
    [5, 4],
  )
  assert.deepEqual(
    configuration.revisions(2, 4).map((r) => r.id),
    [3, 2],
  )
  assert.deepEqual(configuration.at(2), withCache('off'))
  assert.throws(
    () => configuration.at(6),
    (e) => e instanceof GatewayError && e.code === 'not_found',
  )
})

test('a change on top of a stale revision is refused and leaves nothing', (t) => {
  const { configuration } = scratch(t)
  configuration.commit(withCache('enforce'), by('first'), 0)
  assert.throws(
    () => configuration.commit(withCache('off'), by('second'), 0),
    (e) => e instanceof GatewayError && e.code === 'precondition_failed' && e.details.current === 1,
  )
  assert.equal(configuration.load().revision, 1)
  assert.equal(configuration.commit(withCache('off'), by('third'), 1).id, 2)
})

test('revisions and directory changes cannot be rewritten', (t) => {
  const { db, configuration, facts } = scratch(t)
  configuration.commit(withCache('enforce'), by('first'))
  facts.set('proxy-key', 'hash', { actor: 'admin', action: 'set' })
  for (const statement of [
    "UPDATE revisions SET actor = 'nobody'",
    'DELETE FROM revisions',
    "UPDATE directory_changes SET actor = 'nobody'",
    'DELETE FROM directory_changes',
  ]) {
    assert.throws(() => db.exec(statement), /append-only/, statement)
  }
})

test('a fact is read back, replaced and removed', (t) => {
  const { facts } = scratch(t)
  assert.equal(facts.get('local-trust'), undefined)
  facts.set('local-trust', { on: true }, { actor: 'admin', action: 'confirm' })
  assert.deepEqual(facts.get('local-trust'), { on: true })
  facts.set('local-trust', null, { actor: 'admin', action: 'forget' })
  assert.equal(facts.get('local-trust'), null)
  facts.remove('local-trust', { actor: 'admin', action: 'remove' })
  assert.equal(facts.get('local-trust'), undefined)
})

test('names are found by prefix, in which no character has a meaning of its own', (t) => {
  const { facts } = scratch(t)
  for (const name of ['session:2', 'session:1', 'session%', 'other']) {
    facts.set(name, 1, { actor: 'a', action: 'b' })
  }
  assert.deepEqual(facts.names('session:'), ['session:1', 'session:2'])
  assert.deepEqual(facts.names('session%'), ['session%'])
})

test('every change of the directory leaves a row in order, which shows only what may be shown', (t) => {
  const { db, facts } = scratch(t)
  facts.set('admin-key', 'the-secret-hash', { actor: 'setup', action: 'set', after: { hint: 'ab' } })
  facts.remove('admin-key', { actor: 'admin', action: 'remove', before: { hint: 'ab' } })
  assert.deepEqual(changesAfter(db, 0, 10), [
    { id: 1, at: 100, actor: 'setup', action: 'set', object: 'admin-key', before: undefined, after: { hint: 'ab' } },
    { id: 2, at: 101, actor: 'admin', action: 'remove', object: 'admin-key', before: { hint: 'ab' }, after: undefined },
  ])
  assert.deepEqual(
    changesAfter(db, 1, 10).map((c) => c.id),
    [2],
  )
  assert.ok(!JSON.stringify(db.prepare('SELECT * FROM directory_changes').all()).includes('the-secret-hash'))
})

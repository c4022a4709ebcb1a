import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { GatewayError } from '../../core/errors.ts'
import { STOCKYARD_MIGRATIONS } from '../migrations/stockyard.ts'
import { administrative } from './database.ts'
import { StoreError } from './fault.ts'
import { atEnd, scratchDirectory } from './scratch.ts'
import { Secrets } from './secrets.ts'

function scratch(t: TestContext) {
  const db = new DatabaseSync(':memory:')
  atEnd(t, () => db.close())
  for (const step of STOCKYARD_MIGRATIONS) db.exec(step)
  const dataDir = scratchDirectory(t)
  const transact = administrative(db, () => {})
  const secrets = (masterKey?: string) => new Secrets(db, { dataDir, masterKey, transact, now: () => 7 })
  return { db, dataDir, secrets }
}
const isMasterKeyError = (error: unknown) => error instanceof StoreError && error.code === 'master_key'

test('a secret opens for its owner and name, and the file holds no trace of it', (t) => {
  const { db, secrets } = scratch(t)
  const s = secrets()
  s.seal('acme', 'main', 'sk-very-secret')
  s.seal('acme', 'main', 'sk-even-more-secret')
  assert.equal(s.open('acme', 'main'), 'sk-even-more-secret')
  assert.equal(s.open('acme', 'other'), undefined)
  assert.ok(!Buffer.from(db.serialize()).includes('sk-'))
  s.remove('acme', 'main')
  assert.equal(s.open('acme', 'main'), undefined)
})

test('a list names secrets with their key and time, never their value', (t) => {
  const s = scratch(t).secrets('ab'.repeat(32))
  s.seal('acme', 'b', '2')
  s.seal('acme', 'a', '1')
  s.seal('other', 'c', '3')
  const list = s.list('acme')
  assert.deepEqual(
    list.map((f) => [f.name, f.updatedAt]),
    [
      ['a', 7],
      ['b', 7],
    ],
  )
  assert.match(list[0]?.keyId ?? '', /^[0-9a-f]{16}$/)
})

test('a row that was moved, exchanged or altered does not open', (t) => {
  const { db, secrets } = scratch(t)
  const s = secrets()
  s.seal('acme', 'main', 'one')
  s.seal('attacker', 'main', 'two')
  db.exec(
    "UPDATE secrets SET (nonce, sealed) = (SELECT nonce, sealed FROM secrets WHERE owner = 'acme') WHERE owner = 'attacker'",
  )
  assert.equal(s.open('attacker', 'main'), undefined)
  const { sealed } = db.prepare("SELECT sealed FROM secrets WHERE owner = 'acme'").get() as { sealed: Uint8Array }
  for (let i = 0; i < sealed.length; i++) {
    const altered = Uint8Array.from(sealed)
    altered[i] = (altered[i] as number) ^ 1
    db.prepare("UPDATE secrets SET sealed = ? WHERE owner = 'acme'").run(altered)
    assert.equal(s.open('acme', 'main'), undefined, `byte ${i}`)
  }
  assert.deepEqual(s.undecryptable(), ['acme/main', 'attacker/main'])
})

test('the key file is made once, for its owner only, and opens the secrets of the last run', (t) => {
  const { dataDir, secrets } = scratch(t)
  secrets().seal('u', 'n', 'plain')
  assert.equal(statSync(join(dataDir, 'master.key')).mode & 0o777, 0o600)
  assert.equal(secrets().open('u', 'n'), 'plain')
})

test('a master key is accepted as hex, base64, base64url or a passphrase, and nothing weaker', (t) => {
  const { secrets } = scratch(t)
  const bytes = Buffer.alloc(32, 0xfb)
  secrets(bytes.toString('hex')).seal('u', 'n', 'plain')
  for (const text of [
    bytes.toString('base64'),
    bytes.toString('base64url'),
    ` ${bytes.toString('hex').toUpperCase()}\n`,
  ]) {
    assert.equal(secrets(text).open('u', 'n'), 'plain', text)
  }
  secrets('correct horse battery staple').seal('u', 'p', 'phrase')
  assert.equal(secrets('correct horse battery staple').open('u', 'p'), 'phrase')
  assert.equal(secrets('correct horse battery stapler').open('u', 'p'), undefined)
  for (const weak of ['', 'short', 'fifteen letters']) assert.throws(() => secrets(weak), isMasterKeyError, weak)
})

test('A82: a wrong master key names every secret it does not open', (t) => {
  const { secrets } = scratch(t)
  secrets('11'.repeat(32)).seal('acme', 'main', 'x')
  const wrong = secrets('22'.repeat(32))
  wrong.seal('zeta', 'main', 'y')
  assert.equal(wrong.open('acme', 'main'), undefined)
  assert.deepEqual(wrong.undecryptable(), ['acme/main'])
})

test('A82: rotation seals everything anew in one transaction, and a dry run changes nothing', (t) => {
  const { db, secrets } = scratch(t)
  const s = secrets('11'.repeat(32))
  s.seal('acme', 'main', 'x')
  s.seal('zeta', 'main', 'y')
  const sealed = () => JSON.stringify(db.prepare('SELECT * FROM secrets ORDER BY owner').all())
  const before = sealed()
  const next = randomBytes(32)
  assert.equal(s.rotate(next, { dryRun: true }), 2)
  assert.equal(sealed(), before)
  assert.equal(s.rotate(next, { actor: 'admin' }), 2)
  assert.equal(s.open('acme', 'main'), 'x')
  assert.deepEqual(secrets('11'.repeat(32)).undecryptable(), ['acme/main', 'zeta/main'])
  assert.deepEqual(secrets(next.toString('hex')).undecryptable(), [])
  const change = db.prepare('SELECT * FROM directory_changes').get()
  assert.deepEqual([change?.actor, change?.action, change?.object], ['admin', 'rotate', 'master-key'])
})

test('A82: rotation refuses to lose a secret that does not open', (t) => {
  const { secrets } = scratch(t)
  secrets('11'.repeat(32)).seal('acme', 'main', 'x')
  const s = secrets('22'.repeat(32))
  s.seal('zeta', 'main', 'y')
  for (const dryRun of [true, false]) {
    assert.throws(
      () => s.rotate(randomBytes(32), { dryRun }),
      (e) => e instanceof GatewayError && e.code === 'conflict',
    )
  }
  assert.equal(s.open('zeta', 'main'), 'y')
})

test('A82: rotation of the key file survives a kill before and after the rows were written', (t) => {
  const { dataDir, secrets } = scratch(t)
  const path = join(dataDir, 'master.key')
  const s = secrets()
  s.seal('u', 'n', 'plain')
  const old = readFileSync(path)
  const next = randomBytes(32)

  writeFileSync(`${path}.next`, `${next.toString('base64')}\n`)
  assert.equal(secrets().open('u', 'n'), 'plain', 'killed before the rows: the old key still holds')
  assert.ok(!existsSync(`${path}.next`))

  secrets().rotate(next)
  const rotated = readFileSync(path)
  assert.notDeepEqual(rotated, old)
  writeFileSync(`${path}.next`, rotated)
  writeFileSync(path, old)
  assert.equal(secrets().open('u', 'n'), 'plain', 'killed after the rows: the new key takes over')
  assert.deepEqual(readFileSync(path), rotated)
})

test('who sealed or removed a secret is recorded when it is said, without the secret', (t) => {
  const { db, secrets } = scratch(t)
  const s = secrets()
  s.seal('acme', 'main', 'sk-hidden', { actor: 'admin', action: 'replace' })
  s.remove('acme', 'main', { actor: 'admin', action: 'remove' })
  const changes = db.prepare('SELECT actor, action, object, before, after FROM directory_changes').all()
  assert.deepEqual(
    changes.map((c) => [c.action, c.object]),
    [
      ['replace', 'secret:acme/main'],
      ['remove', 'secret:acme/main'],
    ],
  )
  assert.ok(!JSON.stringify(changes).includes('sk-hidden'))
})

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { EMPTY_CONFIGURATION } from '../../core/store.ts'
import { StoreError } from './fault.ts'
import { checkLibrary } from './integrity.ts'
import { closedRow, keptLog, openedRow, scratchDirectory, scratchStore } from './scratch.ts'

const refusedAs = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof StoreError && error.code === code && message.test(error.message)

/** A data directory with something in every file, closed. */
async function used(t: TestContext): Promise<string> {
  const dataDir = join(scratchDirectory(t), 'data')
  const store = await scratchStore(t, dataDir)
  store.configuration.commit(EMPTY_CONFIGURATION, { actor: 'a', action: 'b', before: null, after: null })
  for (let i = 0; i < 200; i++) {
    const attempt = store.ledger.nextId()
    await Promise.all([store.ledger.append(openedRow(attempt)), store.ledger.append(closedRow(attempt))])
  }
  await store.close()
  return dataDir
}

function overwrite(path: string, at: number, bytes: Buffer): void {
  const file = openSync(path, 'r+')
  writeSync(file, bytes, 0, bytes.length, at)
  closeSync(file)
}

test('T11: a SQLite that can damage its log is refused, from 3.7.0 to 3.51.2', () => {
  for (const version of ['3.7.0', '3.7.17', '3.45.1', '3.51.2']) {
    assert.throws(
      () => checkLibrary(version),
      refusedAs('old_sqlite', new RegExp(`SQLite ${version} .*3\\.51\\.3`)),
      version,
    )
  }
  for (const version of ['3.6.23', '3.51.3', '3.53.4', '4.0.0']) checkLibrary(version)
})

test('T11: the check stands before the first byte', async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  await assert.rejects(scratchStore(t, dataDir, { sqliteVersion: '3.50.0' }), refusedAs('old_sqlite', /3\.50\.0/))
  assert.ok(!existsSync(dataDir))
})

test('T10: a damaged file is refused by name with the way out, and left as it is', async (t) => {
  const zeros = Buffer.alloc(4096)
  const noise = Buffer.alloc(2048, 0xa5)
  const damage: Readonly<Record<string, readonly [string, (path: string) => void]>> = {
    'stockyard: header zeroed': ['stockyard.db', (path) => overwrite(path, 0, zeros.subarray(0, 100))],
    'stockyard: first page zeroed': ['stockyard.db', (path) => overwrite(path, 0, zeros)],
    'stockyard: second page noise': ['stockyard.db', (path) => overwrite(path, 4096, noise)],
    'stockyard: cut in half': ['stockyard.db', (path) => truncateSync(path, 4096 * 2)],
    'stockyard: emptied': ['stockyard.db', (path) => truncateSync(path, 0)],
    'stockyard: another format': [
      'stockyard.db',
      (path) => writeFileSync(path, 'this is a letter, not a database\n'.repeat(200)),
    ],
    'ledger: header zeroed': ['ledger.db', (path) => overwrite(path, 0, zeros.subarray(0, 100))],
    'ledger: impossible page size': ['ledger.db', (path) => overwrite(path, 16, Buffer.from([0x03, 0xe7]))],
    'ledger: a page in the middle noise': ['ledger.db', (path) => overwrite(path, 2048 * 3, noise)],
    'ledger: last page missing': ['ledger.db', (path) => truncateSync(path, statSync(path).size - 2048)],
    'ledger: cut within the header': ['ledger.db', (path) => truncateSync(path, 60)],
    'ledger: emptied': ['ledger.db', (path) => truncateSync(path, 0)],
  }
  for (const [what, [name, harm]] of Object.entries(damage)) {
    const dataDir = await used(t)
    const path = join(dataDir, name)
    harm(path)
    const hash = () => createHash('sha256').update(readFileSync(path)).digest('hex')
    const before = hash()
    await assert.rejects(
      scratchStore(t, dataDir),
      refusedAs('corrupt', new RegExp(`${name.replace('.', '\\.')} .*stockyard restore <backup directory>`)),
      what,
    )
    assert.equal(hash(), before, `${what}: untouched`)
  }
})

test('T10: a file that was there and is gone is not begun anew in silence', async (t) => {
  for (const name of ['stockyard.db', 'ledger.db']) {
    const dataDir = await used(t)
    rmSync(join(dataDir, name))
    await assert.rejects(scratchStore(t, dataDir), refusedAs('corrupt', /is missing or empty/), name)
  }
})

test('damaged logs are put aside and begun anew; a damaged cache is dropped', async (t) => {
  const dataDir = await used(t)
  for (const name of ['logs.db', 'cache.db']) writeFileSync(join(dataDir, name), 'no database '.repeat(1000))
  const log = keptLog()
  const store = await scratchStore(t, dataDir, { log })
  const kept = readdirSync(dataDir).filter((name) => name.includes('damaged'))
  assert.equal(kept.length, 1)
  assert.match(kept[0] ?? '', /^logs\.db\.damaged-\d+$/)
  assert.equal(log.lines.filter((line) => /begun anew/.test(line)).length, 2)
  store.cache.of('cache', 'local').set('k', { meta: {}, body: Buffer.from('x'), storedAt: 1 }, 60_000)
})

test('A94: a data directory of a newer version is refused with clear text, and can be used again by that version', async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  const tables = (...migrations: string[]) => ({ notes: { file: 'stockyard' as const, migrations, statements: {} } })
  const [one, two] = ['CREATE TABLE notes (id INTEGER)', 'ALTER TABLE notes ADD COLUMN text TEXT']
  await (await scratchStore(t, dataDir, { tables: tables(one, two) })).close()
  await assert.rejects(
    scratchStore(t, dataDir, { tables: tables(one) }),
    refusedAs('newer_schema', /newer version: its "notes" tables are at step 2, this program knows 1/),
  )
  await (await scratchStore(t, dataDir, { tables: tables(one, two) })).close()
})

test('only the owner may read the data directory and its files', async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  const store = await scratchStore(t, dataDir, { ballastBytes: 4096 })
  await store.ledger.append(openedRow(store.ledger.nextId()))
  await store.backup(join(dataDir, '..', 'backup'))
  for (const directory of [dataDir, join(dataDir, '..', 'backup')]) {
    assert.equal(statSync(directory).mode & 0o777, 0o700)
    for (const name of readdirSync(directory)) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name)
  }
})

test('a second instance on the same data directory is refused by name, and may come when the first has left', async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  const first = await scratchStore(t, dataDir)
  await assert.rejects(
    scratchStore(t, dataDir),
    (error) => refusedAs('in_use', /is in use/)(error) && String(error).includes(dataDir),
  )
  await first.ledger.append(openedRow(first.ledger.nextId()))
  await first.close()
  await scratchStore(t, dataDir)
})

test('a refused start leaves nothing locked', async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  await assert.rejects(scratchStore(t, dataDir, { masterKey: 'weak' }), refusedAs('master_key', /32 bytes/))
  await scratchStore(t, dataDir)
})

import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { acting } from '../../core/acting.ts'
import { nanoUsdOf } from '../../core/money.ts'
import type { CoreSource } from '../../core/program.ts'
import { EMPTY_CONFIGURATION } from '../../core/store.ts'
import { coreRows } from './core-rows.ts'
import { ownedFile } from './program.ts'
import { atEnd, openedRow, scratchDirectory, scratchStore } from './scratch.ts'

test('core rows come in order, with how they came about, money as text', async (t) => {
  const dataDir = scratchDirectory(t)
  const store = await scratchStore(t, dataDir)
  acting.run({ requestId: 'req_1', source: '127.0.0.1', reason: 'a test' }, () =>
    store.directory.change({ actor: 'admin', action: 'proxy-key.set' }, (edit) =>
      edit.note('proxy-key', undefined, 'set'),
    ),
  )
  const attempt = store.ledger.nextId()
  await store.ledger.append(openedRow(attempt, { held: nanoUsdOf(9_007_199_254_740_993n) }))
  const rows = coreRows(dataDir)
  atEnd(t, () => rows.close())
  const [change] = rows.after('directory', 0, 10).slice(-1)
  assert.equal(change?.action, 'proxy-key.set')
  assert.deepEqual(JSON.parse(String(change?.context)), { requestId: 'req_1', source: '127.0.0.1', reason: 'a test' })
  const [opened] = rows.after('ledger', 0, 10)
  assert.equal(opened?.held, '9007199254740993')
  assert.equal(opened?.attempt, String(attempt))
  assert.equal(rows.newest('ledger'), 1)
  assert.deepEqual(rows.after('ledger', 1, 10), [])
})

test('a key file is replaced whole, readable by its owner only, and survives an end between the two steps', async (t) => {
  const dataDir = scratchDirectory(t)
  const path = join(dataDir, 'x.key')
  const file = ownedFile(path)
  assert.equal(file.read(), undefined)
  file.replace('first')
  file.replace('second')
  assert.equal(file.read(), 'second')
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.ok(!existsSync(`${path}.new`))
  writeFileSync(`${path}.new`, 'third')
  writeFileSync(path, '0'.repeat(readFileSync(path).length))
  assert.equal(file.read(), 'third')
})

test('no column of core’s append-only tables is left out of what is read of them', async (t) => {
  const dataDir = scratchDirectory(t)
  const store = await scratchStore(t, dataDir)
  store.configuration.commit(EMPTY_CONFIGURATION, { actor: 'a', action: 'b', before: null, after: null })
  store.directory.change({ actor: 'a', action: 'b' }, (edit) => edit.note('x', undefined, 'y'))
  await store.ledger.append(openedRow(store.ledger.nextId()))
  const rows = coreRows(dataDir)
  atEnd(t, () => rows.close())
  const columnsOf = (file: string, table: string): string[] => {
    const db = new DatabaseSync(join(dataDir, file), { readOnly: true })
    const columns = db.prepare('SELECT name FROM pragma_table_info(?)').all(table)
    db.close()
    return columns.map(({ name }) => String(name).replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()))
  }
  const left = (source: CoreSource, file: string, table: string): string[] => {
    const [row = {}] = rows.after(source, 0, 1)
    return columnsOf(file, table).filter((column) => !(column in row))
  }
  // The number is called `row`; a revision's whole configuration follows from its before and after.
  assert.deepEqual(left('ledger', 'ledger.db', 'ledger'), ['seq'])
  assert.deepEqual(left('revisions', 'stockyard.db', 'revisions'), ['id', 'configuration'])
  assert.deepEqual(left('directory', 'stockyard.db', 'directory_changes'), ['id'])
})

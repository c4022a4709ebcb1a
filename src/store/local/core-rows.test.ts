import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { acting } from '../../core/acting.ts'
import { nanoUsdOf } from '../../core/money.ts'
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

import assert from 'node:assert/strict'
import { appendFileSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { nanoUsdOf } from '../../core/money.ts'
import { EMPTY_CONFIGURATION, type TablesDefinition } from '../../core/store.ts'
import { costOf, type Price } from '../../core/usage.ts'
import { StoreError } from './fault.ts'
import { type LocalStore, restore } from './index.ts'
import { closedRow, eventually, hitRow, openedRow, scratchDirectory, scratchStore } from './scratch.ts'

const DAY = 86_400_000
const NOTES: TablesDefinition = {
  file: 'logs',
  migrations: ['CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, flag INTEGER, facts TEXT)'],
  statements: {
    add: 'INSERT INTO notes (text, flag, facts) VALUES (?, ?, ?)',
    addNamed: 'INSERT INTO notes (text, flag, facts) VALUES (:text, :flag, :facts)',
    all: 'SELECT * FROM notes ORDER BY id',
    big: 'SELECT 9007199254740993 AS big, 7 AS small',
    some: 'SELECT text FROM notes WHERE (:text IS NULL OR text = :text) ORDER BY id',
    drop: 'DELETE FROM notes WHERE id <= :id',
    size: 'SELECT page_count FROM pragma_page_count',
  },
}
const RATES: Price = { version: 'override:1', rates: { input: 2_000_000n, output: 3_000_000n } }

/** An attempt that was opened and settled. */
async function settle(store: LocalStore, more: Parameters<typeof closedRow>[1] = {}): Promise<number> {
  const attempt = store.ledger.nextId()
  await store.ledger.append(openedRow(attempt))
  await store.ledger.append(closedRow(attempt, more))
  return attempt
}
const unpricedRow = { cost: nanoUsdOf(0), priceVersion: undefined } as unknown as Parameters<typeof closedRow>[1]
const SINCE_EVER = { from: 0, to: 100 * DAY }

test('usage is summed by what was asked for, exactly, with hits, failures and estimates counted', async (t) => {
  const store = await scratchStore(t, scratchDirectory(t))
  const huge = nanoUsdOf(4_000_000_000_000_000_001n)
  await settle(store, { at: DAY + 1, cost: huge })
  await settle(store, { at: DAY + 2, cost: huge, model: 'fast' })
  await settle(store, { at: 2 * DAY, outcome: 'failed', usage: { source: 'none' }, cost: nanoUsdOf(0) })
  await settle(store, { at: 2 * DAY, model: 'slow', usage: { source: 'estimated', cacheRead: 4 } })
  await store.ledger.append(hitRow(store.ledger.nextId(), { at: 2 * DAY + 1 }))

  const byDay = await store.query.usage({ ...SINCE_EVER, groupBy: ['model', 'day'] })
  assert.deepEqual(
    byDay.map((s) => [
      s.group.model,
      s.group.day,
      s.attempts,
      s.hits,
      s.failed,
      s.estimated,
      s.tokens.input,
      s.costUsd,
    ]),
    [
      ['fast', '1970-01-02', 2, 0, 0, 0, 20, '8000000000.000000002'],
      ['fast', '1970-01-03', 1, 1, 1, 0, 10, '0'],
      ['slow', '1970-01-03', 1, 0, 0, 1, 0, '0.00000007'],
    ],
  )
  const [all] = await store.query.usage({ ...SINCE_EVER, groupBy: [] })
  assert.deepEqual([all?.attempts, all?.tokens.cacheRead, all?.costUsd], [4, 4, '8000000000.000000072'])
  const [slow] = await store.query.usage({ ...SINCE_EVER, groupBy: ['hour'], filters: { model: 'slow' } })
  assert.deepEqual([slow?.group.hour, slow?.attempts], ['1970-01-03T00:00Z', 1])
  const [later] = await store.query.usage({ from: 2 * DAY, to: 2 * DAY + 1, groupBy: [] })
  assert.deepEqual([later?.attempts, later?.hits], [2, 0], 'from is inclusive, to is not')
})

test('A5: a filter is a value, whatever it looks like', async (t) => {
  const store = await scratchStore(t, scratchDirectory(t))
  await settle(store)
  for (const model of ["fast' OR '1'='1", 'fast"; DROP TABLE ledger; --', '%', "'"]) {
    assert.deepEqual(await store.query.usage({ ...SINCE_EVER, groupBy: ['model'], filters: { model } }), [])
  }
  assert.equal((await store.query.usage({ ...SINCE_EVER, groupBy: ['model'] })).length, 1)
})

test('the attempts of an exchange are found with their usage, in order', async (t) => {
  const store = await scratchStore(t, scratchDirectory(t))
  const first = await settle(store, { exchange: 'x9', outcome: 'failed', status: 500, usage: { source: 'none' } })
  const second = await settle(store, { exchange: 'x9', usage: { source: 'provider', input: 3, calls: { search: 1 } } })
  await settle(store, { exchange: 'x10' })
  const found = await store.query.attempts({ exchange: 'x9', from: 2_000, to: 2_001 })
  assert.deepEqual(
    found.map((a) => [a.attempt, a.outcome, a.status, a.usage]),
    [
      [first, 'failed', 500, { source: 'none' }],
      [second, 'done', 200, { source: 'provider', input: 3, calls: { search: 1 } }],
    ],
  )
})

test('A21: unpriced calls are listed, priced later, and counted at the day they belong to', async (t) => {
  const store = await scratchStore(t, scratchDirectory(t), { now: () => 50 * DAY })
  await settle(store, { ...unpricedRow, at: DAY })
  await settle(store, { ...unpricedRow, at: 3 * DAY })
  await settle(store, { at: 3 * DAY })
  await settle(store, { ...unpricedRow, at: 4 * DAY, upstreamModel: 'other' })
  const selection = { ...SINCE_EVER, upstream: 'acme-eu', upstreamModel: 'model-1', unpricedOnly: true }

  const unpriced = () => store.query.unpriced()
  assert.deepEqual(
    (await unpriced()).map((u) => [u.upstream, u.upstreamModel, u.attempts, u.firstAt, u.lastAt]),
    [
      ['acme-eu', 'model-1', 2, DAY, 3 * DAY],
      ['acme-eu', 'other', 1, 4 * DAY, 4 * DAY],
    ],
  )
  const repriced = await store.query.reprice(selection, RATES, 'admin')
  assert.deepEqual(repriced, { examined: 2, adjusted: 2, differenceUsd: '0.00000007' })
  assert.equal((await unpriced()).length, 1)
  const byDay = await store.query.usage({ ...SINCE_EVER, groupBy: ['day'] })
  assert.deepEqual(
    byDay.map((s) => [s.group.day, s.unpriced, s.costUsd]),
    [
      ['1970-01-02', 0, '0.000000035'],
      ['1970-01-04', 0, '0.000000105'],
      ['1970-01-05', 1, '0'],
    ],
  )
  assert.equal((await store.query.reprice(selection, RATES, 'admin')).adjusted, 0, 'a second time changes nothing')
})

test('A21: a call priced at nothing counts as priced from then on', async (t) => {
  const store = await scratchStore(t, scratchDirectory(t))
  await settle(store, unpricedRow)
  const selection = { ...SINCE_EVER, upstream: 'acme-eu', upstreamModel: 'model-1', unpricedOnly: true }
  const free: Price = { version: 'override:free', rates: {} }
  assert.deepEqual(await store.query.reprice(selection, free, 'admin'), {
    examined: 1,
    adjusted: 1,
    differenceUsd: '0',
  })
  assert.deepEqual(await store.query.unpriced(), [])
})

test('T26: rating history again from its counts under the same price differs in nothing', async (t) => {
  const store = await scratchStore(t, scratchDirectory(t))
  const rows: Promise<void>[] = []
  for (let n = 0; n < 12_000; n++) {
    const usage = { source: 'provider', input: (n * 7919) % 100_003, output: (n * 104_729) % 9_973 } as const
    const attempt = store.ledger.nextId()
    rows.push(store.ledger.append(closedRow(attempt, { at: n, usage, cost: costOf(usage, RATES) })))
  }
  await Promise.all(rows)
  const selection = { ...SINCE_EVER, upstream: 'acme-eu', upstreamModel: 'model-1', unpricedOnly: false }
  assert.deepEqual(await store.query.reprice(selection, RATES, 'admin'), {
    examined: 12_000,
    adjusted: 0,
    differenceUsd: '0',
  })
  const dearer: Price = { version: 'override:2', rates: { input: 4_000_000n, output: 6_000_000n } }
  const [up, down] = [
    await store.query.reprice(selection, dearer, 'admin'),
    await store.query.reprice(selection, RATES, 'admin'),
  ]
  assert.equal(down.differenceUsd, `-${up.differenceUsd}`, 'and back again to the nano-dollar')
})

test("a module's rows are written in batches, values bound by place, and read by name, values bound by name", async (t) => {
  const store = await scratchStore(t, scratchDirectory(t), { tables: { notes: NOTES } })
  const notes = store.tables('notes')
  notes.journal('add').append([
    ["Robert'); DROP TABLE notes;--", 1, '{"a":[1]}'],
    [null, 0, null],
  ])
  await eventually(async () => (await notes.query('all')).length === 2)
  assert.deepEqual(await notes.query('all'), [
    { id: 1, text: "Robert'); DROP TABLE notes;--", flag: 1, facts: '{"a":[1]}' },
    { id: 2, text: null, flag: 0, facts: null },
  ])
  assert.deepEqual(await notes.run('addNamed', { text: 'x', unused: 'ignored' }), { changes: 1 })
  assert.deepEqual(await notes.query('some', { text: 'x' }), [{ text: 'x' }])
  assert.equal((await notes.query('some')).length, 3)
  assert.deepEqual(await notes.query('big'), [{ big: 9_007_199_254_740_993n, small: 7 }])
  await assert.rejects(notes.query('addNamed', { text: 'y' }), /readonly/)
  await assert.rejects(notes.query('SELECT 1'), /declared no statement "SELECT 1"/)
  assert.throws(() => notes.journal('nothing'), /declared no statement/)
  assert.throws(() => store.tables('other'), /declared no tables/)
})

test('A12: a log file gives its space back when its rows go, while the ledger is not touched', async (t) => {
  const dataDir = scratchDirectory(t)
  const store = await scratchStore(t, dataDir, { tables: { notes: NOTES } })
  const attempt = await settle(store)
  const notes = store.tables('notes')
  const text = 'x'.repeat(10_000)
  const pages = async () => (await notes.query('size'))[0]?.page_count as number
  // A journal drops what it cannot write in time, so each part is waited for.
  for (let n = 1; n <= 10; n++) {
    notes.journal('add').append(Array.from({ length: 200 }, () => [text, null, null]))
    await eventually(async () => (await pages()) > 450 * n)
  }
  const full = await pages()
  assert.ok(full > 4_500, `${full} pages`)
  await notes.run('drop', { id: 1_900 })
  await eventually(async () => (await pages()) < full / 2)
  assert.equal((await notes.query('all')).length, 100)
  assert.equal((await store.query.attempts({ exchange: 'x1', ...SINCE_EVER }))[0]?.attempt, attempt)
})

test('T12: a backup under load opens elsewhere with everything that was acknowledged before it', async (t) => {
  const directory = scratchDirectory(t)
  const store = await scratchStore(t, join(directory, 'data'), { tables: { notes: NOTES } })
  store.configuration.commit(EMPTY_CONFIGURATION, { actor: 'a', action: 'b', before: null, after: { n: 1 } })
  store.secrets.seal('acme', 'main', 'sk-kept')
  store.cache.of('cache', 'local').set('k', { meta: {}, body: Buffer.from('kept'), storedAt: 1 }, DAY)
  store
    .tables('notes')
    .journal('add')
    .append([['kept', null, null]])
  let writing = true
  let acknowledged = 0
  const load = (async () => {
    while (writing) {
      await Promise.all(Array.from({ length: 20 }, () => settle(store)))
      acknowledged += 20
    }
  })()
  await eventually(() => acknowledged > 0)
  const before = acknowledged
  const manifest = await store.backup(join(directory, 'backup'))
  writing = false
  await load
  assert.deepEqual(
    manifest.files.map((f) => f.name),
    ['stockyard.db', 'ledger.db', 'objects.db', 'logs.db', 'cache.db'],
  )
  await store.close()

  await restore(join(directory, 'backup'), join(directory, 'restored'))
  const restored = await scratchStore(t, join(directory, 'restored'), { tables: { notes: NOTES } })
  assert.equal(restored.configuration.load().revision, 1)
  assert.equal(restored.secrets.open('acme', 'main'), 'sk-kept')
  assert.ok(restored.cache.of('cache', 'local').get('k'))
  assert.deepEqual(
    (await restored.tables('notes').query('all')).map((row) => row.text),
    ['kept'],
  )
  const [sum] = await restored.query.usage({ ...SINCE_EVER, groupBy: [] })
  assert.ok(before > 0 && (sum?.attempts ?? 0) >= before, `${sum?.attempts} of at least ${before}`)
})

test('T12: a backup that was altered is refused, and nothing is restored over what is there', async (t) => {
  const directory = scratchDirectory(t)
  const [data, backup, target] = ['data', 'backup', 'target'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  const store = await scratchStore(t, data, { masterKey: undefined } as never)
  const attempt = await settle(store)
  await store.backup(backup)
  const is = (code: string) => (error: unknown) => error instanceof StoreError && error.code === code
  await assert.rejects(store.backup(backup), is('not_empty'))
  await assert.rejects(restore(backup, data, { replace: true }), is('in_use'))
  await store.close()
  await assert.rejects(restore(backup, data), is('not_empty'))
  assert.ok(existsSync(join(data, 'ledger.db')))

  await restore(backup, data, { replace: true, now: () => 77 })
  assert.ok(existsSync(join(data, 'replaced-77', 'ledger.db')))
  const again = await scratchStore(t, data)
  assert.equal(again.ledger.nextId(), attempt + 1)
  await again.close()

  appendFileSync(join(backup, 'ledger.db'), 'x')
  await assert.rejects(restore(backup, target), is('bad_backup'))
  writeFileSync(join(backup, 'manifest.json'), '{"format":1,"files":[{"name":"../evil","sha256":""}]}')
  await assert.rejects(restore(backup, target), is('bad_backup'))
  await assert.rejects(restore(directory, target), is('bad_backup'))
  assert.ok(!existsSync(target))
})

test('what was acknowledged with power-loss durability is in the file, and attempts stay unique over restarts', async (t) => {
  const dataDir = scratchDirectory(t)
  const store = await scratchStore(t, dataDir, { durability: 'power-loss' })
  const attempts = await Promise.all(Array.from({ length: 50 }, () => settle(store)))
  await store.ledger.append(openedRow(store.ledger.nextId()))
  await store.close()
  const next = await scratchStore(t, dataDir, { durability: 'power-loss' })
  assert.equal(next.ledger.inDoubt(), 1)
  assert.equal(next.ledger.nextId(), Math.max(...attempts) + 2)
  const [sum] = await next.query.usage({ from: 0, to: Date.now() + 1, groupBy: [] })
  assert.deepEqual([sum?.attempts, sum?.inDoubt], [51, 1])
})

test('the write-ahead log stays short under load', async (t) => {
  const store = await scratchStore(t, scratchDirectory(t))
  let longest = 0
  for (let n = 0; n < 60; n++) {
    const rows: Promise<void>[] = []
    for (let i = 0; i < 400; i++) rows.push(store.ledger.append(closedRow(store.ledger.nextId())))
    await Promise.all(rows)
    await sleep(30)
    longest = Math.max(longest, store.health().walBytes.ledger)
  }
  assert.ok(longest < 20_000_000, `${longest} bytes`)
})

test('health names the state, and a closed store leaves short files and no lock', async (t) => {
  const dataDir = scratchDirectory(t)
  const store = await scratchStore(t, dataDir, { ballastBytes: 100_000 })
  await settle(store)
  for (let n = 0; n < 50 && !existsSync(join(dataDir, 'ballast')); n++) await sleep(20)
  assert.equal(statSync(join(dataDir, 'ballast')).size, 100_000)
  const { ledger, ledgerBacklog, inDoubt, logsDropped } = store.health()
  assert.deepEqual(
    { ledger, ledgerBacklog, inDoubt, logsDropped },
    { ledger: 'ok', ledgerBacklog: 0, inDoubt: 0, logsDropped: 0 },
  )
  await Promise.all([store.close(), store.close()])
  assert.deepEqual(
    readdirSync(dataDir).filter((name) => /^(ledger|stockyard|logs).*-wal$/.test(name)),
    [],
  )
})

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { nanoUsdOf } from '../../core/money.ts'
import { LEDGER_MIGRATIONS } from '../migrations/ledger.ts'
import { connect } from './database.ts'
import { LedgerFile } from './ledger-file.ts'
import { migrate } from './migrate.ts'
import { atEnd, closedRow, hitRow, openedRow, scratchDirectory } from './scratch.ts'

function open(path: string): { db: DatabaseSync; file: LedgerFile } {
  const db = connect({ path, busyMs: 0, synchronous: 'NORMAL', smallPages: true })
  migrate(db, path, [{ owner: 'core', steps: LEDGER_MIGRATIONS }], () => 0)
  return { db, file: new LedgerFile(db) }
}
function scratchFile(t: TestContext) {
  const path = join(scratchDirectory(t), 'ledger.db')
  const opened = open(path)
  atEnd(t, () => {
    if (opened.db.isOpen) opened.db.close()
  })
  return { path, ...opened }
}
const rowsOf = (db: DatabaseSync) => db.prepare('SELECT * FROM ledger ORDER BY seq').all()

test('every field of a row comes back as it was written', (t) => {
  const { db, file } = scratchFile(t)
  const scope = { organization: 'o', team: 't', user: 'u', endUser: 'e', tags: ['a', 'b'], revision: 9 }
  file.write([
    openedRow(1, { ...scope, held: nanoUsdOf(9_007_199_254_740_993n) }),
    closedRow(1, {
      ...scope,
      usage: {
        source: 'estimated',
        input: 1,
        cacheRead: 2,
        cacheWrite5m: 3,
        cacheWrite1h: 4,
        output: 5,
        reasoning: 6,
        imageInput: 7,
        imageOutput: 8,
        audioInput: 9,
        audioOutput: 10,
        calls: { web_search: 2 },
        serviceTier: 'flex',
      },
      reason: 'r',
      charge: nanoUsdOf(84),
      terms: 'gold',
      servedModel: 's',
      upstreamRequestId: 'q',
    }),
  ])
  const held = db.prepare("SELECT held FROM ledger WHERE kind = 'opened'", { readBigInts: true }).get()
  assert.equal(held?.held, 9_007_199_254_740_993n)
  assert.deepEqual(
    { ...db.prepare("SELECT * FROM ledger WHERE kind = 'closed'").get() },
    {
      seq: 2,
      kind: 'closed',
      attempt: 1,
      at: 2_000,
      exchange: 'x1',
      revision: 9,
      principal: 'local',
      organization: 'o',
      team: 't',
      user: 'u',
      end_user: 'e',
      tags: '["a","b"]',
      model: 'fast',
      upstream: 'acme-eu',
      provider: 'vendor',
      upstream_model: 'model-1',
      held: null,
      input: 1,
      cache_read: 2,
      cache_write_5m: 3,
      cache_write_1h: 4,
      output: 5,
      reasoning: 6,
      image_input: 7,
      image_output: 8,
      audio_input: 9,
      audio_output: 10,
      calls: '{"web_search":2}',
      service_tier: 'flex',
      charge: 84,
      terms: 'gold',
      cost: 70,
      price_version: 'table:1',
      usage_source: 'estimated',
      outcome: 'done',
      status: 200,
      reason: 'r',
      served_model: 's',
      upstream_request_id: 'q',
      written_at: null,
    },
  )
})

test('T20: an attempt is opened once and settled once, whatever is called twice', (t) => {
  const { db, file } = scratchFile(t)
  assert.equal(file.write([openedRow(1), closedRow(1)]), 0)
  assert.equal(file.write([openedRow(1), closedRow(1, { cost: nanoUsdOf(999) }), hitRow(1), closedRow(2)]), 3)
  assert.deepEqual(
    rowsOf(db).map((row) => [row.kind, row.attempt, row.cost]),
    [
      ['opened', 1, null],
      ['closed', 1, 70],
      ['closed', 2, 70],
    ],
  )
})

test('a group is written whole or not at all', (t) => {
  const { db, file } = scratchFile(t)
  assert.throws(() => file.write([openedRow(1), openedRow(2, { held: nanoUsdOf(2n ** 70n) })]))
  assert.equal(rowsOf(db).length, 0)
  file.write([openedRow(3)])
  assert.equal(rowsOf(db).length, 1)
})

test('the ledger refuses to change or delete a row', (t) => {
  const { db, file } = scratchFile(t)
  file.write([openedRow(1), closedRow(1)])
  assert.throws(() => db.exec('UPDATE ledger SET cost = 0'), /append-only/)
  assert.throws(() => db.exec('DELETE FROM ledger'), /append-only/)
  assert.equal(rowsOf(db).length, 2)
})

test('what a crash left open is settled at its hold, flagged, once', (t) => {
  const { db, file, path } = scratchFile(t)
  file.write([openedRow(1), closedRow(1), openedRow(2, { team: 'a' }), hitRow(3), openedRow(4)])
  db.close() // as a kill would: without the ledger's own farewell

  const next = open(path)
  atEnd(t, () => next.db.close())
  assert.equal(next.file.closeInDoubt(5_000), 2)
  assert.deepEqual(
    rowsOf(next.db)
      .slice(-2)
      .map((row) => [row.kind, row.attempt, row.at, row.team, row.cost, row.outcome, row.reason, row.usage_source]),
    [
      ['closed', 2, 5_000, 'a', 500, 'in-doubt', 'in-doubt', 'none'],
      ['closed', 4, 5_000, null, 500, 'in-doubt', 'in-doubt', 'none'],
    ],
  )
  assert.equal(next.file.closeInDoubt(6_000), 0)
  assert.equal(next.file.lastAttempt(), 4)
})

test('a start looks only behind the place up to which everything was settled, and misses nothing open', (t) => {
  const { db, file, path } = scratchFile(t)
  file.write([openedRow(1)])
  for (let first = 2; first < 12_002; first += 500) {
    file.write(Array.from({ length: 500 }, (_, i) => openedRow(first + i)))
    file.write(Array.from({ length: 500 }, (_, i) => closedRow(first + i)))
  }
  const mark = () => db.prepare("SELECT seq FROM marks WHERE name = 'settled'").get()?.seq
  assert.equal(mark(), 1, 'attempt 1 is still open')
  file.write([closedRow(1)])
  file.write(Array.from({ length: 10_000 }, (_, i) => hitRow(20_000 + i)))
  file.write([openedRow(50_000)])
  assert.equal(mark(), 24_003, 'all that was written before the group is settled')
  db.close()

  const next = open(path)
  atEnd(t, () => next.db.close())
  assert.equal(next.file.closeInDoubt(1), 1)
})

test('the search for open attempts and the reports use their indexes', (t) => {
  const { db } = scratchFile(t)
  const plan = (statement: string) =>
    db
      .prepare(`EXPLAIN QUERY PLAN ${statement}`)
      .all()
      .map((row) => row.detail)
      .join('; ')
  assert.match(plan("SELECT max(attempt) FROM ledger WHERE kind = 'opened'"), /ledger_opened/)
  assert.match(plan("SELECT sum(cost) FROM ledger WHERE kind <> 'opened' AND at >= 1 AND at < 2"), /ledger_at/)
  assert.match(plan("SELECT sum(cost) FROM ledger WHERE kind <> 'opened' AND principal = 'a' AND at >= 1"), /ledger_at/)
})

test('closing waits for a checkpoint that keeps the writer out', async (t) => {
  const { path, file } = scratchFile(t)
  file.write([openedRow(1), closedRow(1)])
  const other = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
     const db = new (require('node:sqlite').DatabaseSync)(workerData)
     db.exec('BEGIN IMMEDIATE')
     parentPort.postMessage('held')
     setTimeout(() => { db.exec('ROLLBACK'); db.close() }, 200)`,
    { eval: true, workerData: path },
  )
  const ended = once(other, 'exit')
  await once(other, 'message')
  file.close()
  await ended
  const db = connect({ path, readOnly: true, busyMs: 0 })
  atEnd(t, () => db.close())
  assert.deepEqual({ ...db.prepare("SELECT seq FROM marks WHERE name = 'settled'").get() }, { seq: 3 })
})

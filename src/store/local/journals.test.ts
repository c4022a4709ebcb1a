import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JournalRow } from '../../core/store.ts'
import { BatchedJournal } from './journals.ts'
import type { JournalBatch } from './keeper.ts'
import { keptLog } from './scratch.ts'

function journalTo(send: (batch: JournalBatch) => Promise<unknown>, paused = () => false) {
  const log = keptLog()
  return { log, journal: new BatchedJournal({ module: 'logs', statement: 'add', send, paused, log }) }
}
const rows = (count: number): JournalRow[] => Array.from({ length: count }, (_, n) => [n])

test('rows go in batches of 64, the rest after a moment, in order', async () => {
  const batches: JournalBatch[] = []
  const { journal } = journalTo(async (batch) => void batches.push(batch))
  journal.append(rows(150))
  assert.deepEqual(
    batches.map((b) => b.rows.length),
    [64, 64],
  )
  await journal.flush()
  assert.deepEqual(
    batches.flatMap((b) => b.rows),
    rows(150),
  )
  assert.equal(journal.dropped, 0)
})

test('A100: at most 10,000 rows wait, four batches are under way, and every row beyond is counted', async () => {
  const release: (() => void)[] = []
  let underWay = 0
  let most = 0
  const { journal, log } = journalTo(
    () =>
      new Promise<void>((resolve) => {
        most = Math.max(most, ++underWay)
        release.push(() => {
          underWay--
          resolve()
        })
      }),
  )
  journal.append(rows(10_500))
  assert.equal(journal.dropped, 500)
  assert.equal(log.lines.length, 1, 'one complaint, however many rows')
  assert.equal(most, 4)
  const done = journal.flush()
  while (release.length > 0) {
    release.shift()?.()
    await new Promise(setImmediate)
  }
  await done
  assert.equal(most, 4)
  journal.append(rows(1))
  assert.equal(journal.dropped, 500, 'there is room again')
})

test('rows wait for at most 32 MiB', () => {
  const { journal } = journalTo(() => new Promise(() => {}))
  const megabyte = 'x'.repeat(1024 * 1024)
  journal.append(Array.from({ length: 20 }, () => [megabyte]))
  assert.equal(journal.dropped, 5)
})

test('a batch that cannot be written is dropped and counted, and the next one is tried', async () => {
  let full = true
  const { journal } = journalTo(async () => {
    if (full) throw Object.assign(new Error('full'), { errcode: 13 })
  })
  journal.append(rows(3))
  await journal.flush()
  assert.equal(journal.dropped, 3)
  full = false
  journal.append(rows(2))
  await journal.flush()
  assert.equal(journal.dropped, 3)
})

test('T07: while the space is needed for the ledger, rows are dropped at once', () => {
  const { journal } = journalTo(
    () => Promise.reject(new Error('must not be sent')),
    () => true,
  )
  journal.append(rows(2))
  assert.equal(journal.dropped, 2)
})

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { GatewayError } from '../../core/errors.ts'
import type { LedgerRow } from '../../core/store.ts'
import { GroupLedger, type GroupLedgerOptions } from './group-ledger.ts'
import { closedRow, eventually, keptLog, openedRow } from './scratch.ts'

const sqliteError = (errcode: number) => Object.assign(new Error('from SQLite'), { errcode })
const BUSY = 5
const FULL = 13
const IOERR_FSYNC = 1034

/** A ledger over a file that answers as told; `written` holds the groups that were committed. */
function ledgerOver(
  t: TestContext,
  answer: () => number | Promise<number> = () => 0,
  more: Partial<GroupLedgerOptions> = {},
) {
  const written: (readonly LedgerRow[])[] = []
  const log = keptLog()
  const fatal: Error[] = []
  const ledger = new GroupLedger({
    diskIsFull: () => false,
    lastAttempt: 41,
    lastSeq: 100,
    sums: async () => [],
    charges: async () => [],
    inDoubt: 0,
    write(rows) {
      const repeated = answer()
      written.push(rows)
      return repeated
    },
    ballast: { release: () => false, stands: () => true, ensure: async () => true },
    log,
    fatal: (error) => void fatal.push(error),
    ...more,
  })
  t.after(() => ledger.close())
  return { ledger, written, log, fatal }
}

const refusedWith = (code: string) => (error: unknown) => error instanceof GatewayError && error.code === code

test('rows of one turn of the event loop are one group, and the next turn is the next group', async (t) => {
  const { ledger, written } = ledgerOver(t)
  await Promise.all([ledger.append(openedRow(1)), ledger.append(openedRow(2)), ledger.append(openedRow(3))])
  await ledger.append(openedRow(4))
  assert.deepEqual(
    written.map((rows) => rows.map((row) => row.attempt)),
    [[1, 2, 3], [4]],
  )
})

test('watchers hear of rows when they are committed and before who waits; sums are bounded by what was heard', async (t) => {
  const asked: number[] = []
  let repeated = 0
  const { ledger } = ledgerOver(t, () => repeated, {
    sums: async (_, lastSeq) => {
      asked.push(lastSeq)
      return []
    },
  })
  const heard: (number | string)[] = []
  const stop = ledger.watch({
    committed: (rows) => heard.push(...rows.map((row) => row.attempt)),
    doubtful: () => heard.push('doubtful'),
  })
  const waiting = ledger.append(openedRow(1)).then(() => heard.push('told'))
  assert.deepEqual(heard, [])
  await Promise.all([waiting, ledger.append(openedRow(2))])
  assert.deepEqual(heard, [1, 2, 'told'])
  await ledger.sums({ from: 0, where: {} })
  repeated = 1
  await ledger.append(openedRow(2))
  await ledger.sums({ from: 0, where: {} })
  assert.deepEqual(heard, [1, 2, 'told', 2, 'doubtful'])
  assert.deepEqual(asked, [102, 102], 'a row that was there before gets no number')
  stop()
  await ledger.append(openedRow(3))
  assert.equal(heard.length, 5)
})

test('a full group does not wait for the turn to end', (t) => {
  const { ledger, written } = ledgerOver(t)
  for (let attempt = 1; attempt <= 512; attempt++) void ledger.append(openedRow(attempt))
  assert.equal(written[0]?.length, 512)
})

test('ids start above the highest that was ever used and never repeat', (t) => {
  const { ledger } = ledgerOver(t)
  assert.deepEqual([ledger.nextId(), ledger.nextId()], [42, 43])
})

test('T09: a locked file is waited for, and the rows are written when the lock is gone', async (t) => {
  let tries = 0
  const { ledger, written } = ledgerOver(t, () => {
    if (++tries < 5) throw sqliteError(BUSY)
    return 0
  })
  await ledger.append(openedRow(1))
  assert.equal(written.length, 1)
  assert.equal(ledger.trouble, undefined)
})

test('T09: after two seconds the waiters are refused, what happened is kept, and recovery is at once', async (t) => {
  let locked = true
  const { ledger, written } = ledgerOver(t, () => {
    if (locked) throw sqliteError(BUSY)
    return 0
  })
  const started = performance.now()
  const both = await Promise.allSettled([ledger.append(openedRow(7)), ledger.append(closedRow(6))])
  const waitedMs = performance.now() - started
  assert.ok(waitedMs >= 1_900 && waitedMs < 30_000, `refused after ${waitedMs} ms`)
  for (const result of both)
    assert.ok(result.status === 'rejected' && refusedWith('storage_unavailable')(result.reason))
  assert.equal(ledger.trouble, 'storage_unavailable')
  assert.equal(ledger.backlog, 1)

  const again = performance.now()
  await assert.rejects(ledger.append(openedRow(8)), refusedWith('storage_unavailable'))
  assert.ok(performance.now() - again < 1_900, 'nobody waits two seconds once the trouble is known')

  locked = false
  await eventually(() => ledger.trouble === undefined)
  assert.equal(ledger.backlog, 0)
  assert.deepEqual(
    written.flat().map((row) => `${row.kind} ${row.attempt}`),
    ['closed 6'],
    'a refused opening leaves no row',
  )
})

test('T07: a full disk frees the ballast, books what runs, and resumes when the ballast stands again', async (t) => {
  let full = true
  let ballast = true
  const room = { now: false }
  const { ledger, written } = ledgerOver(
    t,
    () => {
      if (full) throw sqliteError(FULL)
      return 0
    },
    {
      ballast: {
        release() {
          const stood = ballast
          ballast = false
          full = false
          return stood
        },
        stands: () => ballast,
        async ensure() {
          ballast = room.now
          return ballast
        },
      },
    },
  )
  await ledger.append(closedRow(1))
  assert.equal(written.length, 1, 'the space of the ballast carried the row')
  assert.equal(ledger.trouble, 'storage_full')
  await sleep(1_200)
  assert.equal(ledger.trouble, 'storage_full', 'still no room')
  room.now = true
  await eventually(() => ledger.trouble === undefined)
})

test('T07: with no ballast left a row is refused as storage_full, and a settled fact is written later', async (t) => {
  let full = true
  const { ledger, written } = ledgerOver(t, () => {
    if (full) throw sqliteError(FULL)
    return 0
  })
  await assert.rejects(ledger.append(closedRow(1)), refusedWith('storage_full'))
  full = false
  await eventually(() => ledger.trouble === undefined)
  assert.deepEqual(
    written.flat().map((row) => row.attempt),
    [1],
  )
})

test('T06: after a failed fsync nothing is tried again and the process is told to end', async (t) => {
  let tries = 0
  const { ledger, fatal } = ledgerOver(t, () => {
    tries++
    throw sqliteError(IOERR_FSYNC)
  })
  await assert.rejects(ledger.append(openedRow(1)), refusedWith('storage_unavailable'))
  await assert.rejects(ledger.append(openedRow(2)), refusedWith('storage_unavailable'))
  await sleep(300)
  assert.equal(tries, 1)
  assert.equal(fatal.length, 1)
  assert.equal(ledger.trouble, 'storage_unavailable')
})

test('a row that cannot be stored is an internal error of its group, not a trouble of the disk', async (t) => {
  let first = true
  const { ledger, log } = ledgerOver(t, () => {
    if (!first) return 0
    first = false
    throw new TypeError('Provided value cannot be bound')
  })
  await assert.rejects(ledger.append(openedRow(1)), refusedWith('internal_error'))
  await ledger.append(openedRow(2))
  assert.equal(ledger.trouble, undefined)
  assert.equal(log.lines.length, 1)
})

test('T20: a repeated settlement is said aloud', async (t) => {
  const { ledger, log } = ledgerOver(t, () => 1)
  await ledger.append(closedRow(1))
  assert.match(log.lines[0] ?? '', /appended twice/)
})

test('a writer elsewhere gets one group at a time, and what comes meanwhile is the next', async (t) => {
  const release: (() => void)[] = []
  const { ledger, written } = ledgerOver(t, () => new Promise<number>((resolve) => release.push(() => resolve(0))))
  const first = ledger.append(openedRow(1))
  await turn()
  const second = ledger.append(openedRow(2))
  const third = ledger.append(openedRow(3))
  await turn()
  assert.equal(written.length, 1)
  release[0]?.()
  await first
  await turn()
  await turn()
  release[1]?.()
  await Promise.all([second, third])
  assert.deepEqual(
    written.map((rows) => rows.length),
    [1, 2],
  )
})

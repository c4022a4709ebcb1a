/** Sums that counters begin with, beside rows that are being committed: every row is counted once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LedgerRow } from '../../core/store.ts'
import { closedRow, openedRow, scratchDirectory, scratchStore } from './scratch.ts'

test('A32: sums and what watchers hear after them count every row once, whenever they are asked', async (t) => {
  const store = await scratchStore(t, scratchDirectory(t))
  const { ledger } = store
  let going = true
  let all = 0n
  const writer = (async () => {
    for (let n = 0; going; n++) {
      const attempt = ledger.nextId()
      await ledger.append(openedRow(attempt))
      const row = closedRow(attempt, {
        at: 1_000 + n,
        organization: n % 3 === 0 ? 'acme' : 'other',
        tags: ['x', `n${n % 2}`],
      })
      await ledger.append(row)
      if (row.organization === 'acme') all += row.cost
    }
  })()
  const counters = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 5))
      let heard = 0n
      ledger.watch({
        committed(rows: readonly LedgerRow[]) {
          for (const row of rows) if (row.kind === 'closed' && row.organization === 'acme') heard += row.cost
        },
        doubtful: () => assert.fail('nothing was repeated'),
      })
      const [before] = await ledger.sums({ from: 0, where: { organization: 'acme' } })
      return () => (before?.cost ?? 0n) + heard
    }),
  )
  going = false
  await writer
  assert.ok(all > 0n)
  for (const total of counters) assert.equal(total(), all)
})

test('sums are of one scope, apart by time, with requests counted once however many attempts they took', async (t) => {
  const store = await scratchStore(t, scratchDirectory(t))
  const { ledger } = store
  const rows = [
    { at: 1_000, exchange: 'a', principal: 'k1', endUser: 'e', tags: ['red', 'blue'] },
    { at: 1_500, exchange: 'a', principal: 'k1', upstream: 'second', tags: ['red'] },
    { at: 2_500, exchange: 'b', principal: 'k1', model: 'slow' },
    { at: 2_600, exchange: 'c', principal: 'k2', team: 't', tags: ['blue'] },
  ]
  for (const more of rows) {
    const attempt = ledger.nextId()
    await ledger.append(openedRow(attempt))
    await ledger.append(closedRow(attempt, more))
  }
  const requests = async (question: Parameters<typeof ledger.sums>[0]) =>
    (await ledger.sums(question)).map(({ slot, requests, usage }) => [slot, requests, usage.input])
  assert.deepEqual(await requests({ from: 0, where: { key: 'k1' } }), [[0, 2, 30]])
  assert.deepEqual(await requests({ from: 0, where: { key: 'k1' }, slotMs: 1_000 }), [
    [1, 1, 20],
    [2, 1, 10],
  ])
  assert.deepEqual(await requests({ from: 1_001, where: { key: 'k1', upstream: 'second' } }), [[0, 1, 10]])
  assert.deepEqual(await requests({ from: 0, where: { tag: 'blue' } }), [[0, 2, 20]])
  assert.deepEqual(await requests({ from: 0, where: { team: 't', tag: 'red' } }), [[0, 0, 0]].slice(1))
  assert.deepEqual(await requests({ from: 0, where: {} }), [[0, 3, 40]])
})

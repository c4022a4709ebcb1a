/** The line for a limit, with a limit that the test holds in its hand. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Refusal } from '../../core/errors.ts'
import type { Exchange } from '../../core/exchange.ts'
import type { Scarce, Turn } from '../../core/module.ts'
import { type Lines, type Patience, waitFor } from './limited.ts'

const kind = { status: 429, blame: 'client', retry: 'never', message: 'spent' } as const
const refused = (scarce: Scarce, retryAfterMs: number): Refusal =>
  new Refusal('limits', 'spent', kind, { scarce, retryAfterMs })
const full = new Refusal('queue', 'queue_full', kind)

function asking(tenant: string, leave = new AbortController()) {
  return { principal: { id: tenant }, signal: leave.signal } as unknown as Exchange
}

const patienceOf = (mostMs: number, maxWaiting = 100): Patience & { readonly places: number[] } => {
  const places: number[] = []
  return {
    places,
    maxWaiting,
    leftMs: () => mostMs,
    full: () => full,
    as: ({ principal }) => ({ tenant: principal?.id ?? '', priority: 1 }),
    stands: (_, behind) => void places.push(behind),
    waited: () => {},
  }
}

/** Admission as core has it: asks until there is room, then its turn is over. */
async function admitted(lines: Lines, patience: Patience, x: Exchange, scarce: Scarce, take: () => number | undefined) {
  let turn: Turn | undefined
  try {
    for (;;) {
      const waitMs = scarce.turn === undefined || scarce.turn === x ? take() : 1
      if (waitMs === undefined) return
      turn = await waitFor(lines, patience, x, refused(scarce, waitMs), turn)
    }
  } finally {
    turn?.over()
  }
}

test('A114: whoever waits for a limit is served when it has room, in turns between tenants, before whoever comes later', async () => {
  const lines: Lines = new Map()
  const scarce: Scarce = { lent: 1 }
  const patience = patienceOf(10_000)
  const order: string[] = []
  let room = 0
  const ask = (tenant: string) =>
    admitted(lines, patience, asking(tenant), scarce, () => {
      if (room === 0) return 60_000
      room--
      order.push(tenant)
      return undefined
    })
  const all = [...Array.from({ length: 20 }, () => ask('flood')), ask('quiet'), ask('quiet')]
  assert.deepEqual(patience.places.slice(0, 3), [0, 1, 2])
  assert.equal(patience.places[20], 2, 'behind the first and one more of the flood, not behind twenty')
  const free = (): void => {
    room++
    scarce.freed?.()
  }
  free()
  const late = ask('late')
  for (let i = 0; i < 22; i++) {
    await new Promise(setImmediate)
    free()
  }
  await Promise.all([...all, late])
  assert.deepEqual(order.slice(0, 2), ['flood', 'flood'], 'the one that stood there, and the next in turn')
  assert.ok(order.indexOf('quiet') <= 3 && order.indexOf('late') <= 5, order.join(' '))
  assert.equal(lines.size, 0)
  assert.equal(scarce.turn, undefined)
  assert.equal(scarce.freed, undefined)
})

test('A114: nobody waits for what comes back too late, unless a part of it is lent; the line is bounded', async () => {
  const lines: Lines = new Map()
  const scarce: Scarce = { lent: 0 }
  await assert.rejects(
    admitted(lines, patienceOf(1_000), asking('a'), scarce, () => 60_000),
    { code: 'spent' },
  )
  assert.equal(lines.size, 0)
  scarce.lent = 1
  const patience = patienceOf(50, 1)
  const first = assert.rejects(
    admitted(lines, patience, asking('a'), scarce, () => 60_000),
    { code: 'spent' },
  )
  const second = assert.rejects(
    admitted(lines, patience, asking('b'), scarce, () => 60_000),
    { code: 'spent' },
  )
  await assert.rejects(
    admitted(lines, patience, asking('c'), scarce, () => 60_000),
    { code: 'queue_full' },
  )
  await Promise.all([first, second])
  assert.equal(lines.size, 0)
})

test('A114: who leaves gives its turn to the next', async () => {
  const lines: Lines = new Map()
  const scarce: Scarce = { lent: 1 }
  const patience = patienceOf(10_000)
  let room = 0
  const take = (): number | undefined => (room-- > 0 ? undefined : 60_000)
  const leaving = new AbortController()
  const first = assert.rejects(admitted(lines, patience, asking('a', leaving), scarce, take), { code: 'client_closed' })
  const gone = new AbortController()
  const second = assert.rejects(admitted(lines, patience, asking('b', gone), scarce, take), { code: 'client_closed' })
  const third = admitted(lines, patience, asking('c'), scarce, take)
  gone.abort()
  leaving.abort()
  await Promise.all([first, second])
  await new Promise(setImmediate)
  room = 1
  scarce.freed?.()
  await third
  assert.equal(lines.size, 0)
})

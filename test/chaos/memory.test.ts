/**
 * Memory under hostile replies and impatient clients, as the system sees it: the resident size of the gateway's process.
 * The bounds are wide, because garbage is collected when it pleases; without the limits each of these would grow by
 * hundreds of megabytes.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../running/index.ts'
import {
  attemptsIn,
  MODEL,
  openStream,
  residentBytes,
  type Spawned,
  scratch,
  spawnGateway,
  upstreamFor,
} from './spawned.ts'

const MEBIBYTE = 1024 * 1024
const MOST_GROWTH = 96 * MEBIBYTE

/** A gateway that has served enough to have its code and pools in memory. */
async function warm(t: TestContext) {
  const upstream = await upstreamFor(t)
  const dataDir = join(scratch(t), 'data')
  const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
  for (let n = 0; n < 50; n++) {
    await gateway.chat(MODEL, `warm ${n}`)
    await (await openStream(gateway.url, MODEL, `warm ${n}`)).over
  }
  return { upstream, gateway, dataDir }
}

/** The largest resident size while `work` runs, above what it was before. */
async function growth(gateway: Spawned, work: () => Promise<unknown>): Promise<number> {
  const size = () => residentBytes(gateway.process.pid) as number
  const before = size()
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, size())
  }, 20)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  return Math.max(most, size()) - before
}

const megabytes = (bytes: number): string => `${Math.round(bytes / MEBIBYTE)} MiB`

test('T44, T48: bombs, endless bodies and oversized lines are cut before they are held', async (t) => {
  const { gateway, upstream } = await warm(t)
  if (residentBytes(gateway.process.pid) === undefined) return t.skip('this system does not tell a resident size')
  for (const behaviour of ['gzip-bomb=512m', 'oversized-line=64m']) {
    upstream.reset()
    const grown = await growth(gateway, async () => {
      const stream = await openStream(gateway.url, `${MODEL}+${behaviour}`, 'streamed')
      const { text } = await stream.over
      assert.ok(stream.status === 502 || /"error"/.test(text), `${behaviour}: ${stream.status} ${text.slice(-300)}`)
      assert.doesNotMatch(text, /\[DONE\]/)
      assert.ok(text.length < 16 * MEBIBYTE)
    })
    t.diagnostic(`${behaviour}, streamed: ${megabytes(grown)}`)
    assert.ok(grown < MOST_GROWTH, `${behaviour}: ${megabytes(grown)}`)
    await upstream.until(({ ledger }) => ledger.rows[0]?.clientHungUpAt)
  }
  const grown = await growth(gateway, async () => {
    const bomb = await gateway.chat(`${MODEL}+gzip-bomb=512m`, 'unstreamed')
    assert.equal(bomb.status, 502, bomb.text.slice(0, 300))
  })
  t.diagnostic(`gzip-bomb, unstreamed: ${megabytes(grown)}`)
  assert.ok(grown < MOST_GROWTH, `unstreamed bomb: ${megabytes(grown)}`)
  assert.equal((await gateway.chat(MODEL, 'after')).status, 200)
})

test('T44: a client that stops reading an endless stream stops the upstream, and holds next to nothing', async (t) => {
  const { gateway, upstream } = await warm(t)
  upstream.reset()
  const grown = await growth(gateway, async () => {
    const stream = await openStream(gateway.url, `${MODEL}+endless`, 'on and on', true)
    const sent = () => upstream.ledger.rows[0]?.bytesSent ?? 0
    await until(() => sent() > 0, 'it flows')
    let last = -1
    // It fills the buffers of three sockets, and then stands still.
    await until(
      async () => {
        last = sent()
        await sleep(300)
        return sent() === last
      },
      'the upstream is held back',
      15_000,
    )
    t.diagnostic(`stands still after ${megabytes(last)}`)
    assert.ok(last < 64 * MEBIBYTE)
    assert.equal((await gateway.chat(MODEL, 'meanwhile')).status, 200, 'others are served')
    stream.leave()
    await upstream.until(({ ledger }) => ledger.rows[0]?.clientHungUpAt, 2_000)
  })
  t.diagnostic(`grew by ${megabytes(grown)}`)
  if (!Number.isNaN(grown)) assert.ok(grown < MOST_GROWTH, megabytes(grown))
})

test('A11: 500 streams left in their middle leave no connection, no exchange and little memory', async (t) => {
  const { gateway, upstream, dataDir } = await warm(t)
  const leave = async (count: number) => {
    const stream = await openStream(gateway.url, `${MODEL}+size=64k+chunks=64+stall=32`, `left ${count}`)
    await until(() => stream.text().length > 1_000, 'it has begun')
    stream.leave()
    await stream.over
  }
  const round = async (count: number) => {
    for (let n = 0; n < count; n += 10) await Promise.all(Array.from({ length: 10 }, (_, i) => leave(n + i)))
  }
  await round(100)
  const size = () => residentBytes(gateway.process.pid) ?? 0
  const before = size()
  await round(400)
  const grown = size() - before
  t.diagnostic(`grew by ${megabytes(grown)}`)
  assert.ok(grown < MOST_GROWTH, megabytes(grown))
  await until(async () => (await gateway.admin('GET', 'health')).exchanges === 0, 'no exchange is open')
  // Those of finished calls are kept for the next ones; of those that were left none is.
  await until(() => upstream.connections <= 1, 'the connections are closed')
  const left = attemptsIn(dataDir).filter((a) => a.outcome === 'client_cancel')
  assert.equal(left.length, 500, 'each is booked')
})

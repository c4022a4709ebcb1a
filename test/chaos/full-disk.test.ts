/**
 * A full disk as clients and probes of the running gateway see it: what runs ends well and is booked, what is new is
 * refused before it costs anything, reading goes on, and service comes back by itself.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { exchange, until } from '../running/index.ts'
import { atEnd, attemptsIn, MODEL, openStream, scratch, spawnGateway, upstreamFor } from './spawned.ts'

/** Room for the reserve that the store keeps for this case, and some more. */
const DISK = '128m'

/** A small file system of its own, or undefined where none may be made. */
function smallDisk(t: TestContext): string | undefined {
  const path = join(scratch(t), 'disk')
  mkdirSync(path)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', path]).status !== 0) return undefined
  atEnd(t, () => void spawnSync('umount', ['-l', path]))
  return path
}

/** Takes all the space that is left, to the last byte. */
function fill(file: string): void {
  const to = openSync(file, 'a')
  try {
    for (const bytes of [1 << 20, 4096, 1]) {
      const chunk = Buffer.alloc(bytes)
      try {
        for (;;) writeSync(to, chunk)
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENOSPC') throw error
      }
    }
  } finally {
    closeSync(to)
  }
}

test('T07: on a full disk running streams end and are booked, new requests are 503, and service resumes by itself', async (t) => {
  const disk = smallDisk(t)
  if (disk === undefined) return t.skip('a file system of its own needs root')
  const dataDir = join(disk, 'data')
  const upstream = await upstreamFor(t)
  const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
  const ready = async () => {
    const { status, json } = await exchange(`${gateway.url}/health/ready`, 'GET')
    return status === 200 ? 'ready' : `${status} ${json.problem}`
  }
  assert.equal((await gateway.chat(MODEL, 'before')).status, 200)
  await until(() => existsSync(join(dataDir, 'ballast')), 'the reserve stands', 10_000)
  const running = await Promise.all(
    [1, 2, 3].map((n) => openStream(gateway.url, `${MODEL}+chunks=20+pace=200`, `running ${n}`)),
  )
  await until(() => running.every((s) => s.text().includes('data: ')), 'they run')

  const filler = join(disk, 'filler')
  fill(filler)
  // What is new uses up the space inside the files, until the first row that does not fit.
  let sent = 0
  let refused = await gateway.chat(MODEL, 'filling up')
  await until(
    async () => {
      if (refused.status !== 200) return true
      sent++
      refused = await gateway.chat(MODEL, 'x'.repeat(2_000))
      return refused.status !== 200
    },
    'the ledger does not fit any more',
    20_000,
  )
  assert.equal(refused.status, 503, refused.text)
  assert.equal(refused.json.error.code, 'storage_full')
  assert.equal(await ready(), '503 storage_full')
  assert.ok(
    running.some((s) => !s.text().includes('[DONE]')),
    'streams are still running',
  )

  const seen = upstream.ledger.totals.requests
  for (const stream of [false, true]) {
    const answer = await gateway.chat(MODEL, 'while it is full', stream ? { stream } : {})
    assert.equal(answer.status, 503, answer.text)
  }
  assert.equal(upstream.ledger.totals.requests, seen, 'nothing goes upstream unbooked')
  assert.equal((await exchange(`${gateway.url}/health/live`, 'GET')).status, 200, 'it lives')
  assert.ok((await gateway.admin('GET', 'usage?groupBy=upstream')).rows.length > 0, 'reading goes on')
  for (const { text, whole } of await Promise.all(running.map((s) => s.over))) {
    assert.ok(whole)
    assert.match(text, /data: \[DONE\]\n\n$/, 'what ran ends well')
  }

  rmSync(filler)
  await until(async () => (await ready()) === 'ready', 'it is ready again', 5_000)
  assert.equal((await gateway.chat(MODEL, 'after')).status, 200)
  gateway.process.kill('SIGTERM')
  assert.equal(await gateway.ended, 0, gateway.output())
  const attempts = attemptsIn(dataDir)
  assert.deepEqual(
    attempts.filter((a) => a.outcome !== 'done'),
    [],
    'every call is booked to its end',
  )
  assert.equal(attempts.length, upstream.ledger.totals.requests, 'and no other')
  t.diagnostic(`${sent} requests until it was full`)
})

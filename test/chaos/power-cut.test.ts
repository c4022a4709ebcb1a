/**
 * The power goes: what was written and not yet on the disk is gone. The data directory stands on a file system in a file,
 * behind which nothing arrives but what was synchronized; at the cut the process is halted, that file is copied, and the
 * copy is looked into and started on. `npm run test:power-cuts` does so a hundred times.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../running/index.ts'
import { atEnd, attemptsIn, load, MODEL, type Spawned, scratch, spawnGateway, upstreamFor } from './spawned.ts'

const CUTS = Number(process.env.STOCKYARD_KILLS ?? 2)
const CLIENTS = 6
/** Room for the reserve, the files and their logs. */
const DISK = '256M'
/** The file system writes nothing by itself for longer than a round takes. */
const MOUNT = 'loop,commit=600'

/** Mounts the image for the test's time, or says that it may not. */
function mounted(t: TestContext, image: string): { path: string; unmount(): void } | undefined {
  const path = mkdtempSync(join(scratch(t), 'disk-'))
  if (spawnSync('mount', ['-o', MOUNT, image, path], { stdio: 'ignore' }).status !== 0) return undefined
  let there = true
  const unmount = () => {
    if (there) execFileSync('umount', ['-l', path])
    there = false
  }
  atEnd(t, unmount)
  return { path, unmount }
}

/** Halts every thread of the process, also one that is waiting for the disk at this moment. */
async function halt(gateway: Spawned): Promise<void> {
  gateway.process.kill('SIGSTOP')
  const tasks = `/proc/${gateway.process.pid}/task`
  const stands = (id: string) => / T /.test(readFileSync(join(tasks, id, 'stat'), 'utf8').replace(/^.*\)/, ''))
  await until(() => readdirSync(tasks).every(stands), 'it stands still', 30_000)
}

/** What clients and administrators were told. */
interface Told {
  readonly answered: Set<string>
  readonly made: Set<string>
}

async function administrate(gateway: Spawned, { made }: Told, round: number, goOn: () => boolean): Promise<void> {
  for (let n = 0; goOn(); n++) {
    const id = `round-${round}-${n}`
    try {
      await gateway.admin('PUT', `upstreams/${id}`, { provider: 'openai', baseUrl: 'http://127.0.0.1:9/v1' })
    } catch {
      return
    }
    made.add(id)
    await sleep(10)
  }
}

test(`T03: ${CUTS} power cuts under load lose no acknowledged change and, where the power is planned for, no answered request`, async (t) => {
  const directory = scratch(t)
  const image = join(directory, 'disk.img')
  writeFileSync(image, '')
  execFileSync('truncate', ['-s', DISK, image])
  if (spawnSync('mkfs.ext4', ['-q', '-F', image]).status !== 0) return t.skip('needs mkfs.ext4')
  const first = mounted(t, image)
  if (first === undefined) return t.skip('a file system of its own needs root and a loop device')
  first.unmount()
  const upstream = await upstreamFor(t)
  const told: Told = { answered: new Set(), made: new Set() }
  for (let round = 0; round < CUTS; round++) {
    const disk = mounted(t, image)
    assert.ok(disk)
    const dataDir = join(disk.path, 'data')
    mkdirSync(dataDir, { recursive: true })
    const durability = round % 2 === 0 ? 'power-loss' : 'process'
    const environment = { STOCKYARD_DURABILITY: durability }
    const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url, environment })
    const before = told.answered.size
    let over = false
    const goOn = () => !over
    const running = [
      ...Array.from({ length: CLIENTS }, (_, client) => load(gateway, told.answered, goOn, client)),
      administrate(gateway, told, round, goOn),
    ]
    await until(() => told.answered.size > before + 10 && told.made.size > round, 'it is under load', 20_000)
    await sleep((round * 37) % 700)
    // What the cut does, seen on two files: one that was synchronized, and one that was only written.
    const safe = openSync(join(disk.path, 'kept'), 'w')
    writeFileSync(safe, `round ${round}`)
    fsyncSync(safe)
    closeSync(safe)
    writeFileSync(join(disk.path, `lost-${round}`), 'never on the disk')
    await halt(gateway)
    // What left it before it stood still still arrives, and counts.
    await sleep(100)
    over = true
    const cut = join(directory, 'cut.img')
    execFileSync('cp', ['--sparse=always', image, cut])
    gateway.process.kill('SIGKILL')
    await gateway.ended
    await Promise.all(running)
    disk.unmount()

    const after = mounted(t, cut)
    assert.ok(after)
    assert.equal(readFileSync(join(after.path, 'kept'), 'utf8'), `round ${round}`)
    const lost = readdirSync(after.path).includes(`lost-${round}`)
      ? readFileSync(join(after.path, `lost-${round}`))
      : ''
    assert.equal(String(lost), '', 'the cut takes what was not synchronized')
    const found = join(after.path, 'data')
    if (durability === 'power-loss') {
      const booked = new Map(attemptsIn(found).map((a) => [a.exchange, a.outcome]))
      const unbooked = [...told.answered].filter((id) => booked.get(id) !== 'done')
      assert.deepEqual(unbooked, [], `of ${told.answered.size} answered requests some are not booked`)
    }
    for (const name of ['ledger', 'stockyard', 'objects', 'logs']) {
      const db = new DatabaseSync(join(found, `${name}.db`))
      assert.equal(db.prepare('PRAGMA integrity_check').get()?.integrity_check, 'ok', name)
      db.close()
    }
    const again = await spawnGateway(t, { dataDir: found, upstream: upstream.url, environment })
    const upstreams = new Set((await again.admin('GET', 'upstreams')).upstreams.map((u: { id: string }) => u.id))
    assert.deepEqual(
      [...told.made].filter((id) => !upstreams.has(id)),
      [],
      'every change that was acknowledged is there',
    )
    assert.equal((await again.chat(MODEL, 'after')).status, 200)
    assert.deepEqual(
      attemptsIn(found).filter((a) => a.outcome === null),
      [],
      'nothing is left open',
    )
    // Whoever does not plan for the power may lose the last of them, once.
    const kept = new Set(attemptsIn(found).map((a) => a.exchange))
    for (const id of told.answered) if (!kept.has(id)) told.answered.delete(id)
    again.process.kill('SIGTERM')
    await again.ended
    after.unmount()
    // The next round goes on with what the cut left.
    rmSync(image)
    execFileSync('cp', ['--sparse=always', cut, image])
    rmSync(cut)
  }
  t.diagnostic(`${told.answered.size} answered, ${told.made.size} changes`)
})

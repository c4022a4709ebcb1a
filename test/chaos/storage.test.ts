/**
 * The store under harm from outside: kills, a full disk, a lock, failing system calls. Each loop is short here;
 * STOCKYARD_KILLS and STOCKYARD_FAULTS make it as long as wanted.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { GatewayError } from '../../src/core/errors.ts'
import { atEnd, closedRow, openedRow, scratchDirectory, scratchStore } from '../../src/store/local/scratch.ts'
import { migrated } from './storage-child.ts'

const CHILD = new URL('./storage-child.ts', import.meta.url).pathname
const KILLS = Number(process.env.STOCKYARD_KILLS ?? 5)
const FAULTS = Number(process.env.STOCKYARD_FAULTS ?? 6)

interface Child {
  readonly process: ChildProcess
  readonly lines: string[]
  /** Resolves with the first line that begins so; rejects when the child ends without one. */
  said(beginning: string): Promise<string>
  readonly ended: Promise<number | null>
}

function start(t: TestContext, what: string, dataDir: string): Child {
  const child = spawn(process.execPath, [CHILD, what, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] })
  atEnd(t, () => child.kill('SIGKILL'))
  const lines: string[] = []
  const hears = new Set<() => void>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    for (const hear of hears) hear()
  })
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const said = (beginning: string) =>
    new Promise<string>((resolve, reject) => {
      const hear = () => {
        const line = lines.find((l) => l.startsWith(beginning))
        if (line !== undefined) resolve(line)
      }
      hears.add(hear)
      hear()
      void ended.then(() => reject(new Error(`the child ended without "${beginning}": ${lines.slice(-3)}`)))
    })
  return { process: child, lines, said, ended }
}

const acknowledged = (lines: readonly string[], kind: string): number[] =>
  lines.filter((line) => line.startsWith(`${kind} `)).map((line) => Number(line.split(' ')[1]))

/** Looks into the files of a directory that nobody uses. */
function inspect(dataDir: string) {
  const ledger = new DatabaseSync(join(dataDir, 'ledger.db'))
  const stockyard = new DatabaseSync(join(dataDir, 'stockyard.db'))
  try {
    const attempts = (kind: string) =>
      new Set(
        ledger
          .prepare('SELECT attempt FROM ledger WHERE kind = ?')
          .all(kind)
          .map((row) => row.attempt as number),
      )
    return {
      integrity: [ledger, stockyard].map((db) => db.prepare('PRAGMA integrity_check').get()?.integrity_check),
      opened: attempts('opened'),
      closed: attempts('closed'),
      inDoubt: ledger.prepare("SELECT count(*) AS n FROM ledger WHERE outcome = 'in-doubt'").get()?.n as number,
      revision: stockyard.prepare('SELECT coalesce(max(id), 0) AS id FROM revisions').get()?.id as number,
    }
  } finally {
    ledger.close()
    stockyard.close()
  }
}

/** Opens and closes the store, and then demands: whole files, every acknowledged row there, nothing left open. */
async function demandWhole(t: TestContext, dataDir: string, lines: readonly string[]): Promise<void> {
  const began = performance.now()
  const store = await scratchStore(t, dataDir)
  assert.ok(performance.now() - began <= 2_000, 'opens within two seconds')
  await store.close()
  const found = inspect(dataDir)
  assert.deepEqual(found.integrity, ['ok', 'ok'])
  for (const kind of ['opened', 'closed'] as const) {
    const lost = acknowledged(lines, kind).filter((attempt) => !found[kind].has(attempt))
    assert.deepEqual(lost, [], `acknowledged ${kind} rows are lost`)
  }
  assert.ok(found.revision >= Math.max(0, ...acknowledged(lines, 'revision')), 'an acknowledged revision is lost')
  for (const attempt of found.opened) assert.ok(found.closed.has(attempt), `attempt ${attempt} is left open`)
}

test(`T01: ${KILLS} kills at random moments lose no acknowledged row and no file`, async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  const lines: string[] = []
  for (let kill = 0; kill < KILLS; kill++) {
    const highest = Math.max(0, ...acknowledged(lines, 'opened'))
    const child = start(t, 'write', dataDir)
    await child.said('closed')
    await sleep(Math.random() * 400)
    child.process.kill('SIGKILL')
    await child.ended
    const ids = acknowledged(child.lines, 'opened')
    assert.ok(Math.min(...ids) > highest, 'no id comes twice')
    assert.equal(new Set(ids).size, ids.length)
    lines.push(...child.lines)
  }
  await demandWhole(t, dataDir, lines)
  assert.ok(acknowledged(lines, 'revision').length > 0 && acknowledged(lines, 'closed').length > 100)
})

test('T09: a lock from outside is a 503 after two seconds, and over at once when it goes', async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  const store = await scratchStore(t, dataDir)
  const running = store.ledger.nextId()
  await store.ledger.append(openedRow(running))
  const child = start(t, 'lock', dataDir)
  await child.said('locked')
  const began = performance.now()
  await assert.rejects(store.ledger.append(closedRow(running)), isRefused('storage_unavailable'))
  const waitedMs = performance.now() - began
  assert.ok(waitedMs > 1_800 && waitedMs < 15_000, `${waitedMs} ms`)
  assert.equal(store.ledger.trouble, 'storage_unavailable')
  assert.equal(store.configuration.load().revision, 0, 'reading goes on')
  await child.said('released')
  await until(() => store.ledger.trouble === undefined, 20_000)
  await store.ledger.append(openedRow(store.ledger.nextId()))
  await store.close()
  assert.ok(inspect(dataDir).closed.has(running), 'what happened meanwhile is booked')
})

test('T09: a second process on the same data directory is refused, also until a killed one is gone', async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  const holder = start(t, 'hold', dataDir)
  await holder.said('open')
  const second = start(t, 'hold', dataDir)
  assert.match(await second.said('failed'), /in_use .*in use by another running instance/)
  assert.equal(await second.ended, 2)
  holder.process.kill('SIGKILL')
  await holder.ended
  await scratchStore(t, dataDir)
})

test('T04: a kill in the middle of a migration leaves whole steps, and the next start goes on', async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  const child = start(t, 'migrate', dataDir)
  await child.said('begin')
  const log = join(dataDir, 'logs.db-wal')
  while (!(statSync(log, { throwIfNoEntry: false })?.size ?? 0 > 200_000)) await sleep(5)
  child.process.kill('SIGKILL')
  await child.ended
  assert.ok(!child.lines.includes('migrated'), 'killed in time')
  const store = await scratchStore(t, dataDir, { tables: migrated })
  assert.deepEqual(await store.tables('numbers').query('count'), [{ n: 3_000_000 }])
})

const isRefused = (code: string) => (error: unknown) => error instanceof GatewayError && error.code === code

/** A small file system of its own, or undefined where none may be made. */
function smallDisk(t: TestContext, megabytes: number): string | undefined {
  const path = join(scratchDirectory(t), 'disk')
  mkdirSync(path)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path]).status !== 0) return undefined
  atEnd(t, () => execFileSync('umount', ['-l', path]))
  return path
}

/** Takes all the space that is left. */
function fill(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (const bytes of [1 << 20, 4096, 512, 1]) {
      const chunk = Buffer.alloc(bytes)
      try {
        for (;;) writeSync(file, chunk)
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENOSPC') throw error
      }
    }
  } finally {
    closeSync(file)
  }
}

test('T07: a full disk books what runs, refuses what is new, keeps reading, and resumes by itself', async (t) => {
  const disk = smallDisk(t, 24)
  if (disk === undefined) return t.skip('a file system of its own needs root')
  const dataDir = join(disk, 'data')
  const ballastBytes = 4 * 1024 * 1024
  const ballast = () => statSync(join(dataDir, 'ballast'), { throwIfNoEntry: false })?.size === ballastBytes
  const store = await scratchStore(t, dataDir, { ballastBytes })
  await until(ballast, 2_000)
  const running = Array.from({ length: 200 }, () => store.ledger.nextId())
  await Promise.all(running.map((attempt) => store.ledger.append(openedRow(attempt))))

  fill(join(disk, 'filler'))
  let appended = 0
  while (store.ledger.trouble === undefined) {
    await store.ledger.append(openedRow(store.ledger.nextId()))
    assert.ok(++appended < 20_000, 'the disk fills up')
  }
  assert.equal(store.ledger.trouble, 'storage_full')
  assert.ok(!ballast(), 'the ballast is given up')
  await Promise.all(running.map((attempt) => store.ledger.append(closedRow(attempt))))
  assert.equal(store.configuration.load().revision, 0)
  const [sum] = await store.query.usage({ from: 0, to: 10_000, groupBy: [] })
  assert.equal(sum?.attempts, running.length, 'reading goes on')
  assert.equal(store.health().ledger, 'storage_full')

  rmSync(join(disk, 'filler'))
  await until(() => store.ledger.trouble === undefined, 20_000)
  assert.ok(ballast(), 'the ballast stands again')
  await store.ledger.append(openedRow(store.ledger.nextId()))
  await store.close()
  assert.deepEqual(inspect(dataDir).integrity, ['ok', 'ok'])
})

test('T07: when even the ballast is used up, rows are refused and none is half written', async (t) => {
  const disk = smallDisk(t, 8)
  if (disk === undefined) return t.skip('a file system of its own needs root')
  const dataDir = join(disk, 'data')
  const store = await scratchStore(t, dataDir)
  const running = store.ledger.nextId()
  await store.ledger.append(openedRow(running))
  fill(join(disk, 'filler'))
  const written: number[] = []
  let refused: unknown
  while (refused === undefined) {
    const attempt = store.ledger.nextId()
    await store.ledger.append(openedRow(attempt)).then(
      () => written.push(attempt),
      (error) => {
        refused = error
      },
    )
    assert.ok(written.length < 20_000, 'the disk fills up')
  }
  assert.ok(isRefused('storage_full')(refused), String(refused))
  await assert.rejects(store.ledger.append(closedRow(running)), isRefused('storage_full'))
  rmSync(join(disk, 'filler'))
  await until(() => store.ledger.trouble === undefined, 20_000)
  await store.close()
  const found = inspect(dataDir)
  assert.deepEqual([...found.opened], [running, ...written])
  assert.ok(found.closed.has(running), 'the settled fact came in later')
})

async function until(holds: () => boolean, limitMs: number): Promise<void> {
  const end = performance.now() + limitMs
  while (!holds()) {
    assert.ok(performance.now() < end, `not within ${limitMs} ms`)
    await sleep(20)
  }
}

/** Runs the counting child while system calls fail as told; undefined where that is not possible. */
function underStrace(dataDir: string, injection: string): { lines: string[]; status: number | null } | undefined {
  if (spawnSync('strace', ['-o', '/dev/null', 'true']).status !== 0) return undefined
  const trace = injection.split(':')[0] as string
  const args = ['-f', '-o', '/dev/null', '-e', `trace=${trace}`, '-e', `inject=${injection}`]
  const run = spawnSync('strace', [...args, process.execPath, CHILD, 'count', dataDir], { timeout: 60_000 })
  return { lines: run.stdout.toString().split('\n').filter(Boolean), status: run.status }
}

test(`T05: a write that fails once, at ${FAULTS} different places, is success or a clean refusal, never a lost row`, async (t) => {
  let harmed = 0
  for (let fault = 0; fault < FAULTS; fault++) {
    const dataDir = join(scratchDirectory(t), 'data')
    await (await scratchStore(t, dataDir)).close()
    const run = underStrace(dataDir, `pwrite64:error=ENOSPC:when=${3 + fault * 37}`)
    if (run === undefined) return t.skip('strace is not there or may not trace')
    const { lines, status } = run
    assert.ok(
      status === 0 || lines.some((line) => line.startsWith('failed ')),
      `ended with ${status}: ${lines.slice(-3)}`,
    )
    if (lines.some((line) => line.startsWith('refused '))) harmed++
    for (const line of lines) assert.match(line, /^(opened|closed|revision) \d+$|^refused storage_|^failed |^end$/)
    await demandWhole(t, dataDir, lines)
  }
  t.diagnostic(`${harmed} of ${FAULTS} faults met a waiting row`)
})

test('T05: a disk that stays full from a moment on refuses, and what was acknowledged before is there', async (t) => {
  const dataDir = join(scratchDirectory(t), 'data')
  await (await scratchStore(t, dataDir)).close()
  const run = underStrace(dataDir, 'pwrite64:error=ENOSPC:when=100+')
  if (run === undefined) return t.skip('strace is not there or may not trace')
  assert.ok(run.lines.includes('refused storage_full'), run.lines.slice(-3).join())
  assert.ok(acknowledged(run.lines, 'closed').length > 0)
  await demandWhole(t, dataDir, run.lines)
})

test('T06: a failed fsync is no success, ends the process where the ledger is concerned, and the restart is consistent', async (t) => {
  for (const when of ['1+', '3', '8']) {
    const dataDir = join(scratchDirectory(t), 'data')
    await (await scratchStore(t, dataDir)).close()
    const run = underStrace(dataDir, `fsync,fdatasync:error=EIO:when=${when}`)
    if (run === undefined) return t.skip('strace is not there or may not trace')
    const told = run.lines.some((line) => /^(fatal |failed )/.test(line))
    assert.ok(told, `nobody was told: ${run.lines.slice(-3)}`)
    assert.ok(run.status === 2 || run.status === 3, `ended with ${run.status}`)
    assert.ok(!run.lines.includes('end'))
    await demandWhole(t, dataDir, run.lines)
  }
})

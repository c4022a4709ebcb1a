/** Strict mode: nothing goes upstream before its intent is taken, whatever is wrong with the places that take it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { type Sealed, textOf } from '../../src/modules/audit/record.ts'
import { Recorder } from '../../src/modules/audit/recorder.ts'
import { ADMIN_KEY, MAIN, MODEL, scratch, spawnGateway, upstreamFor } from '../chaos/spawned.ts'
import { exchange, type Running, runGateway, until } from '../running/index.ts'
import { draft } from './log.ts'

const strict = (gateway: Running, devices: object[] = [], anchors: object[] = []) =>
  gateway.admin('PUT', 'modules/audit', { mode: 'enforce', settings: { mode: 'strict', devices, anchors } })
const records = async (gateway: Running, query: string) => (await gateway.admin('GET', `audit?${query}`)).records
const arrived = (gateway: Running): number => gateway.upstream.ledger.rows.length

const NOBODY = 65_534

/** Another process's write lock: the database hangs for whoever wants to write. Undone by the returned function. */
const seize = (t: TestContext, gateway: Running): (() => void) => seizeIn(t, gateway.dataDir)

function seizeIn(t: TestContext, dataDir: string): () => void {
  const db = new DatabaseSync(join(dataDir, 'audit.db'))
  db.exec('BEGIN IMMEDIATE')
  let held = true
  const release = (): void => {
    if (held) db.close()
    held = false
  }
  t.after(release)
  return release
}

async function refused(gateway: Running, more = {}): Promise<number> {
  const before = arrived(gateway)
  const started = performance.now()
  const answer = await gateway.chat('openai/gpt-4o-mini', 'strictly', more)
  const took = performance.now() - started
  assert.equal(answer.status, 503, answer.text)
  assert.equal(answer.json.error.code, 'audit_unavailable')
  assert.equal(arrived(gateway), before, 'not a byte went upstream')
  return took
}

test('strict: the intent is on the disk before the upstream hears of the request, streamed and not', async (t) => {
  const gateway = await runGateway(t)
  await strict(gateway)
  for (const stream of [false, true]) {
    const answer = await gateway.chat('openai/gpt-4o-mini', 'strictly', { stream })
    assert.equal(answer.status, 200)
    const id = String(answer.headers['x-stockyard-request-id'])
    const db = new DatabaseSync(join(gateway.dataDir, 'audit.db'), { readOnly: true })
    const found = db.prepare("SELECT record FROM records WHERE exchange = ? AND kind = 'intent'").get(id)
    db.close()
    assert.deepEqual(JSON.parse(String(found?.record)).targets, ['openai/gpt-4o-mini'])
  }
})

test('T35, T36: a database that hangs: refused within the limit, never stuck, and served again when it comes back', async (t) => {
  const gateway = await runGateway(t)
  await strict(gateway)
  assert.equal((await gateway.chat('openai/gpt-4o-mini', 'strictly')).status, 200)
  const release = seize(t, gateway)
  const first = await refused(gateway)
  // 250 ms at most; the rest is what a busy machine may add.
  assert.ok(first < 2_500, `${first} ms`)
  await refused(gateway, { stream: true })
  release()
  await until(async () => (await gateway.chat('openai/gpt-4o-mini', 'strictly')).status === 200, 'it is served again')
})

test('T35: another device takes the intent while the database cannot: served, and an alarm', async (t) => {
  const gateway = await runGateway(t)
  const path = join(gateway.dataDir, 'intents.log')
  await strict(gateway, [{ kind: 'file', path }])
  const release = seize(t, gateway)
  const answer = await gateway.chat('openai/gpt-4o-mini', 'strictly')
  assert.equal(answer.status, 200)
  const lines = readFileSync(path, 'utf8').trim().split('\n')
  const intent = JSON.parse(lines.at(-1) ?? '')
  assert.equal(intent.kind, 'intent')
  assert.equal(intent.exchange, answer.headers['x-stockyard-request-id'])
  await until(async () => (await exchange(`${gateway.url}/metrics`, 'GET')).text.includes('audit_broken 1'), 'an alarm')
  release()
  await until(async () => (await records(gateway, `exchange=${intent.exchange}`)).length > 0, 'it is written later')
})

test('T35: a socket that is closed and a file that cannot be written do not hold up a database that can', async (t) => {
  const gateway = await runGateway(t)
  const server = net.createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  t.after(() => server.close())
  await strict(
    gateway,
    [{ kind: 'file', path: '/proc/no-such-folder/intents.log' }],
    [{ kind: 'syslog', url: `syslog+tcp://127.0.0.1:${port}` }],
  )
  assert.equal((await gateway.chat('openai/gpt-4o-mini', 'strictly')).status, 200)
  await until(
    async () => /audit_device_failures [1-9]/.test((await exchange(`${gateway.url}/metrics`, 'GET')).text),
    'an alarm',
  )
})

test('T35: a device that may not be written (chmod): the database is enough, without it nothing goes upstream, with it again', async (t) => {
  const root = process.getuid?.() === 0
  const uid = root ? NOBODY : undefined
  if (process.getuid === undefined) return t.skip('no modes here')
  // Modes mean nothing to root, so the gateway runs as somebody else.
  if (root && spawnSync(process.execPath, [MAIN, '--version'], { uid: NOBODY, gid: NOBODY }).status !== 0)
    return t.skip('another user cannot run this program here')
  const base = scratch(t)
  const [dataDir, device] = [join(base, 'data'), join(base, 'device')]
  for (const directory of [base, dataDir, device]) {
    mkdirSync(directory, { recursive: true })
    chmodSync(directory, 0o755)
  }
  if (root) chownSync(dataDir, NOBODY, NOBODY)
  const path = join(device, 'intents.log')
  writeFileSync(path, '')
  if (root) chownSync(path, NOBODY, NOBODY)
  chmodSync(path, 0o444)
  const upstream = await upstreamFor(t)
  // To another user's gateway nobody here is local.
  const environment = { STOCKYARD_PROXY_KEY: 'proxy-key-of-this-test' }
  const headers = { authorization: 'Bearer proxy-key-of-this-test' }
  const gateway = await spawnGateway(t, {
    dataDir,
    upstream: upstream.url,
    environment,
    ...(uid === undefined ? {} : { uid }),
  })
  const settings = { mode: 'strict', devices: [{ kind: 'file', path }] }
  await gateway.admin('PUT', 'modules/audit', { mode: 'enforce', settings })
  const chat = async (): Promise<number> => (await gateway.chat(MODEL, 'strictly', {}, headers)).status
  const metrics = async () =>
    (await exchange(`${gateway.url}/metrics`, 'GET', undefined, { authorization: `Bearer ${ADMIN_KEY}` })).text
  assert.equal(await chat(), 200, 'the database takes it')
  await until(async () => /audit_device_failures [1-9]/.test(await metrics()), 'an alarm', 20_000)
  const release = seizeIn(t, dataDir)
  const before = upstream.ledger.rows.length
  for (const stream of [false, true]) {
    const answer = await gateway.chat(MODEL, 'strictly', { stream }, headers)
    assert.equal(answer.status, 503, answer.text)
    assert.equal(answer.json.error.code, 'audit_unavailable')
  }
  assert.equal(upstream.ledger.rows.length, before, 'not a byte went upstream')
  chmodSync(path, 0o644)
  await until(async () => (await chat()) === 200, 'the device takes it', 20_000)
  assert.match(readFileSync(path, 'utf8'), /"kind":"intent"/)
  await until(async () => (await metrics()).includes('audit_broken 1'), 'the database is an alarm', 20_000)
  chmodSync(path, 0o444)
  chmodSync(device, 0o555)
  await until(async () => (await chat()) === 503, 'it may not be written again', 20_000)
  release()
  await until(async () => (await chat()) === 200, 'the database is back', 20_000)
})

test('T36: a pipe that nobody reads, a receiver that hangs up: refused in time when the database hangs too', async (t) => {
  const gateway = await runGateway(t)
  const pipe = join(gateway.dataDir, 'pipe')
  const made = spawnSync('mkfifo', [pipe])
  if (made.status !== 0) return t.skip('there is no mkfifo here')
  // A receiver that closes each connection as it comes: nothing is ever taken there.
  const hole = net.createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve))
  t.after(() => hole.close())
  const syslog = { kind: 'syslog', url: `syslog+tcp://127.0.0.1:${(hole.address() as AddressInfo).port}` }
  await strict(gateway, [{ kind: 'file', path: pipe }], [syslog, { kind: 'file', path: pipe }])
  assert.equal((await gateway.chat('openai/gpt-4o-mini', 'strictly')).status, 200, 'the database is enough')
  seize(t, gateway)
  for (let i = 0; i < 3; i++) assert.ok((await refused(gateway)) < 2_500)
})

test('T35: a full disk under the trail: nothing goes upstream, and service comes back with the space', async (t) => {
  const disk = mkdtempSync(join(tmpdir(), 'stockyard-audit-disk-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]).status === 0
  t.after(() => {
    if (mounted) spawnSync('umount', ['-l', disk])
    rmSync(disk, { recursive: true, force: true })
  })
  if (!mounted) return t.skip('a file system of its own needs root')
  const gateway = await runGateway(t)
  // The trail alone stands on the small disk.
  await gateway.restart(() => {
    for (const name of readdirSync(gateway.dataDir).filter((file) => file.startsWith('audit.db'))) {
      cpSync(join(gateway.dataDir, name), join(disk, name))
      rmSync(join(gateway.dataDir, name))
    }
    symlinkSync(join(disk, 'audit.db'), join(gateway.dataDir, 'audit.db'))
  })
  await strict(gateway)
  assert.equal((await gateway.chat('openai/gpt-4o-mini', 'strictly')).status, 200)
  const filler = join(disk, 'filler')
  for (let bytes = 1 << 20; bytes > 0; bytes >>= 1) {
    try {
      for (;;) appendFileSync(filler, Buffer.alloc(bytes))
    } catch {}
  }
  let before = 0
  await until(async () => {
    before = arrived(gateway)
    return (await gateway.chat('openai/gpt-4o-mini', 'strictly')).status === 503
  }, 'it is refused')
  assert.equal(arrived(gateway), before, 'not a byte went upstream')
  assert.equal((await exchange(`${gateway.url}/health/ready`, 'GET')).status, 503)
  rmSync(filler)
  await until(async () => (await gateway.chat('openai/gpt-4o-mini', 'strictly')).status === 200, 'it is served again')
})

test('T36: async: a database that hangs holds up nobody, what waits is bounded, and the gap is a record', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/audit', { mode: 'enforce', settings: {} })
  const recorder = Recorder.of(gateway.served.gateway.hostOf('audit'))
  const release = seize(t, gateway)
  for (let i = 0; i < 25_000; i++) recorder.note(draft(i))
  const { dropped } = recorder
  assert.ok(dropped >= 5_000, String(dropped))
  for (const stream of [false, true]) {
    assert.equal((await gateway.chat('openai/gpt-4o-mini', 'on', { stream })).status, 200)
  }
  await until(
    async () => (await exchange(`${gateway.url}/metrics`, 'GET')).text.includes('audit_broken 1'),
    'an alarm',
    20_000,
  )
  assert.match((await exchange(`${gateway.url}/health/ready`, 'GET')).json.problems.audit, /./)
  release()
  await until(async () => (await records(gateway, 'action=audit.gap')).length > 0, 'the gap is a record', 30_000)
  const gaps = await records(gateway, 'action=audit.gap')
  const told = gaps.reduce((sum: number, gap: { records: number }) => sum + gap.records, 0)
  assert.equal(told, recorder.dropped)
  assert.ok(gaps.every(({ since }: { since: string }) => Date.parse(since) > 0))
  assert.equal((await exchange(`${gateway.url}/health/ready`, 'GET')).json.problems, undefined)
})

test('async: a queue that is full drops the newest, and a record says how many', async () => {
  const appended: { action?: string; records?: number }[] = []
  let release = (): void => {}
  const gate = new Promise<void>((resolve) => (release = resolve))
  const recorder = new Recorder({
    now: Date.now,
    trouble() {},
    log: { error() {}, info() {}, warn() {}, debug() {} },
    worker: {
      async call(name: string, { records }: { records: Sealed[] }) {
        if (name !== 'append') return undefined
        await gate
        appended.push(...records.map((record) => JSON.parse(textOf(1, record))))
        return 0
      },
    },
  } as never)
  for (let i = 0; i < 25_000; i++) recorder.note(draft(i))
  recorder.send()
  assert.equal(recorder.dropped, 5_000)
  release()
  await until(async () => appended.length >= 20_000, 'all that waited')
  recorder.note(draft(1))
  recorder.send()
  await until(async () => appended.some(({ action }) => action === 'audit.gap'), 'the gap')
  assert.equal(appended.find(({ action }) => action === 'audit.gap')?.records, 5_000)
})

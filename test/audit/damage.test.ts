/**
 * A trail whose files are damaged or gone: what the start and the readiness say, that nothing of what is left is touched, and
 * the way forward: what was there is put aside, and another trail begins that names the one before and says why.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ADMIN_KEY, launch, MAIN, MODEL, scratch, spawnGateway, upstreamFor } from '../chaos/spawned.ts'
import { exchange, until } from '../running/index.ts'

const cli = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    env: { ...process.env, STOCKYARD_ADMIN_KEY: ADMIN_KEY },
  })

/** A directory with a trail that was closed properly; `lastCheckpoint` is what its key file remembers. */
async function trail(t: TestContext) {
  const dataDir = join(scratch(t), 'data')
  const upstream = await upstreamFor(t)
  const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
  await gateway.admin('PUT', 'modules/audit', { mode: 'enforce', settings: {} })
  for (let i = 0; i < 20; i++) await gateway.chat(MODEL, 'hello')
  await until(
    async () => (await gateway.admin('GET', 'audit/status')).behind === 0,
    'all of it is in the trail',
    30_000,
  )
  gateway.process.kill('SIGTERM')
  assert.equal(await gateway.ended, 0)
  const { origin } = JSON.parse(readFileSync(join(dataDir, 'audit.key'), 'utf8'))
  return { dataDir, origin, upstream: upstream.url }
}

function flipPages(path: string): void {
  const bytes = readFileSync(path)
  for (let page = 2; page < bytes.length / 4_096; page++) {
    for (let i = 0; i < 64; i++) bytes[page * 4_096 + i] = 0xa5 ^ i
  }
  writeFileSync(path, bytes)
}

const DAMAGES: Readonly<Record<string, (dataDir: string) => void>> = {
  'cut in half': (dataDir) => {
    const path = join(dataDir, 'audit.db')
    truncateSync(path, Math.floor(readFileSync(path).length / 8_192) * 4_096)
  },
  'with flipped pages': (dataDir) => flipPages(join(dataDir, 'audit.db')),
}

test('a damaged trail: the start is refused and says what to do, the file stays as it is, and another trail can begin', async (t) => {
  const { dataDir: whole, origin, upstream } = await trail(t)
  for (const [how, damage] of Object.entries(DAMAGES)) {
    const dataDir = `${whole}-${how.replaceAll(' ', '-')}`
    cpSync(whole, dataDir, { recursive: true })
    damage(dataDir)
    const damaged = readFileSync(join(dataDir, 'audit.db'))
    const refused = launch(t, { dataDir, upstream })
    assert.notEqual(await refused.ended, 0, how)
    assert.match(
      refused.output(),
      /audit\.db is damaged .*left as it is.*stockyard restore.*stockyard audit restart/s,
      how,
    )
    assert.ok(readFileSync(join(dataDir, 'audit.db')).equals(damaged), `${how}: not a byte was written`)
    assert.notEqual(cli('audit', 'verify', '--data-dir', dataDir).status, 0, how)

    const restarted = cli('audit', 'restart', '--data-dir', dataDir, '--reason', `it was ${how}`)
    assert.equal(restarted.status, 0, restarted.stderr)
    const aside = readdirSync(dataDir).find((name) => name.startsWith('audit-replaced-')) ?? ''
    assert.ok(readFileSync(join(dataDir, aside, 'audit.db')).equals(damaged), 'what was there can be looked at')
    await anew(t, { dataDir, upstream, origin, reason: `it was ${how}` })
    rmSync(dataDir, { recursive: true, force: true })
  }
})

test('a trail that is gone, or whose key file cannot be read: served on, not extended, and readiness says so', async (t) => {
  const { dataDir: whole, origin, upstream } = await trail(t)
  for (const [how, file, damage, says] of [
    [
      'gone',
      'audit.db',
      (path: string) => rmSync(path),
      /the log ends before its checkpoint of \d+ records: audit\.db is empty/,
    ],
    [
      'unreadable',
      'audit.key',
      (path: string) => writeFileSync(path, '{"origin":'),
      /the key file of the audit trail cannot be read/,
    ],
  ] as const) {
    const dataDir = `${whole}-${how}`
    cpSync(whole, dataDir, { recursive: true })
    damage(join(dataDir, file))
    const gateway = await spawnGateway(t, { dataDir, upstream })
    const ready = await exchange(`${gateway.url}/health/ready`, 'GET')
    assert.equal(ready.status, 200, how)
    assert.match(ready.json.problems.audit, says)
    const { problem } = await gateway.admin('GET', 'audit/status')
    assert.match(problem, says)
    const doctor = cli('doctor', '--url', gateway.url, '--data-dir', dataDir)
    assert.match(doctor.stdout, new RegExp(`look {2}audit: .*${says.source}`))
    assert.equal((await gateway.chat(MODEL, 'on')).status, 200)
    assert.match(gateway.output(), says)
    gateway.process.kill('SIGTERM')
    await gateway.ended
    const restarted = cli('audit', 'restart', '--data-dir', dataDir, '--reason', `it was ${how}`)
    assert.equal(restarted.status, 0, restarted.stderr)
    await anew(t, { dataDir, upstream, origin, reason: `it was ${how}` })
    rmSync(dataDir, { recursive: true, force: true })
  }
})

/** The next trail starts with why, takes all of core's rows again, and verifies. */
async function anew(t: TestContext, of: { dataDir: string; upstream: string; origin: string; reason: string }) {
  const gateway = await spawnGateway(t, of)
  await until(async () => (await gateway.admin('GET', 'audit/status')).behind === 0, 'the rows are there again', 30_000)
  const status = await gateway.admin('GET', 'audit/status')
  assert.equal(status.halted, null)
  assert.equal(status.problem, null)
  const [first] = (await gateway.admin('GET', 'audit?action=audit.continue')).records
  assert.deepEqual([first.seq, first.reason, first.former.origin], ['0', of.reason, of.origin])
  assert.equal((await exchange(`${gateway.url}/health/ready`, 'GET')).json.problems, undefined)
  assert.equal((await gateway.chat(MODEL, 'on')).status, 200)
  gateway.process.kill('SIGTERM')
  assert.equal(await gateway.ended, 0)
  const verified = cli('audit', 'verify', '--data-dir', of.dataDir)
  assert.equal(verified.status, 0, verified.stderr)
}

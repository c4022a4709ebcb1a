/**
 * The trail across kills, restores and a replaced log, with the gateway as a process of its own: each row of core's is one
 * leaf, whenever the process ended.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ADMIN_KEY, MAIN, MODEL, type Spawned, scratch, spawnGateway, upstreamFor } from '../chaos/spawned.ts'
import { until } from '../running/index.ts'

const cli = (...args: string[]) =>
  spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    env: { ...process.env, STOCKYARD_ADMIN_KEY: ADMIN_KEY },
  })
const behind = async (gateway: Spawned): Promise<boolean> => (await gateway.admin('GET', 'audit/status')).behind === 0

/** Of each kind, the numbers of core's rows that the trail holds, in the order in which it holds them. */
function rowsIn(dataDir: string): Record<'configuration' | 'directory' | 'ledger', number[]> {
  const db = new DatabaseSync(join(dataDir, 'audit.db'), { readOnly: true })
  const of = (kind: string): number[] =>
    db
      .prepare(`SELECT CAST(record ->> '$.row' AS INTEGER) AS row FROM records WHERE kind = ? ORDER BY seq`)
      .all(kind)
      .map(({ row }) => row as number)
  try {
    return { configuration: of('configuration'), directory: of('directory'), ledger: of('ledger') }
  } finally {
    db.close()
  }
}

test('a kill at any moment loses no row of the trail and doubles none', async (t) => {
  const dataDir = join(scratch(t), 'data')
  const upstream = await upstreamFor(t)
  for (let round = 0; round < 4; round++) {
    const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
    if (round === 0) await gateway.admin('PUT', 'modules/audit', { mode: 'enforce', settings: {} })
    let goOn = true
    const clients = Array.from({ length: 4 }, async (_, n) => {
      for (let i = 0; goOn; i++) {
        try {
          if (n === 0) await gateway.admin('PUT', `aliases/r${round}-${i}`, { model: MODEL })
          else await gateway.chat(MODEL, `round ${round}`)
        } catch {
          return
        }
      }
    })
    await sleep(700 + round * 130)
    gateway.process.kill('SIGKILL')
    await gateway.ended
    goOn = false
    await Promise.all(clients)
  }
  const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
  await until(() => behind(gateway), 'everything is in the trail', 20_000)
  const { records } = await gateway.admin('GET', 'audit?action=audit.start&limit=10')
  assert.deepEqual(
    records.map((r: { interrupted?: true }) => r.interrupted ?? false),
    [true, true, true, true, false],
  )
  gateway.process.kill('SIGTERM')
  assert.equal(await gateway.ended, 0)
  const rows = rowsIn(dataDir)
  for (const [kind, found] of Object.entries(rows)) {
    assert.ok(found.length > (kind === 'directory' ? 0 : 5), `${kind}: ${found.length}`)
    assert.deepEqual(
      found,
      Array.from(found, (_, i) => i + 1),
      `${kind}: each once, in order`,
    )
  }
  const ledger = new DatabaseSync(join(dataDir, 'ledger.db'), { readOnly: true })
  assert.equal(rows.ledger.length, ledger.prepare('SELECT max(seq) AS n FROM ledger').get()?.n)
  ledger.close()
  const verified = cli('audit', 'verify', '--data-dir', dataDir)
  assert.equal(verified.status, 0, verified.stderr)
  assert.match(verified.stdout, /^\d+ records, all as they were signed/)
})

test('a file and the command line say of their changes that they were it', async (t) => {
  const base = scratch(t)
  const file = join(base, 'stockyard.yaml')
  writeFileSync(file, 'modules:\n  audit: { mode: enforce }\n')
  const dataDir = join(base, 'data')
  const environment = { STOCKYARD_CONFIG: file }
  const gateway = await spawnGateway(t, { dataDir, environment })
  const set = cli('modules', 'set', 'cache', 'enforce', '--url', gateway.url, '--data-dir', dataDir)
  assert.equal(set.status, 0, set.stderr)
  const found = async (action: string) =>
    (await gateway.admin('GET', `audit?kind=configuration&action=${encodeURIComponent(action)}`)).records[0]
  await until(async () => (await found('modules/cache *')) !== undefined, 'the command is in the trail')
  const command = await found('modules/cache *')
  assert.deepEqual([command.actor, command.source, command.after.mode], ['admin', '127.0.0.1', 'enforce'])
  assert.match(command.requestId, /^req_/)
  const applied = await found(`apply ${file}`)
  assert.deepEqual([applied.actor, applied.revision], ['file', 1])
  assert.match(JSON.stringify(applied.after), /"audit"/)
})

test('T12: the commands: checkpoint, export, verify, restore of a backup with its trail checked, and a new beginning', async (t) => {
  const base = scratch(t)
  const dataDir = join(base, 'data')
  const anchor = join(base, 'anchor.log')
  const upstream = await upstreamFor(t)
  const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
  const settings = { anchors: [{ kind: 'file', path: anchor }] }
  await gateway.admin('PUT', 'modules/audit', { mode: 'enforce', settings })
  await gateway.chat(MODEL, 'hello')
  const address = ['--url', gateway.url, '--data-dir', dataDir]
  const kept = cli('audit', 'checkpoint', ...address)
  assert.equal(kept.status, 0, kept.stderr)
  writeFileSync(join(base, 'kept.txt'), kept.stdout)
  const [key = ''] = cli('audit', 'checkpoint', '--keys', ...address).stdout.split('\n')
  const backup = join(base, 'backup')
  await gateway.admin('POST', 'backup', { directory: backup })
  assert.ok(!readdirSync(backup).includes('audit.key'), 'no private key leaves the data directory')
  await gateway.chat(MODEL, 'after the backup')
  await until(() => behind(gateway), 'everything is in the trail')
  for (const format of ['jsonl', 'csv']) {
    const out = cli('audit', 'export', '--format', format, '--continues', join(base, 'kept.txt'), ...address)
    writeFileSync(join(base, `export.${format}`), out.stdout)
    const right = cli(
      'audit',
      'verify',
      join(base, `export.${format}`),
      '--key',
      key,
      '--checkpoint',
      join(base, 'kept.txt'),
    )
    assert.equal(right.status, 0, right.stderr)
    assert.match(right.stdout, /held against the checkpoint that was kept/)
    writeFileSync(
      join(base, `bad.${format}`),
      out.stdout
        .replace('"outcome":"done"', '"outcome":"gone"')
        .replace('""outcome"":""done""', '""outcome"":""gone""'),
    )
    const wrong = cli('audit', 'verify', join(base, `bad.${format}`), '--key', key)
    assert.equal(wrong.status, 1)
    assert.match(wrong.stderr, /WRONG {2}record \d+ at leaf \d+ is not what was written/)
  }
  gateway.process.kill('SIGTERM')
  await gateway.ended

  const restored = cli('restore', backup, '--data-dir', dataDir, '--replace')
  assert.equal(restored.status, 0, restored.stderr)
  const tampered = new DatabaseSync(join(dataDir, 'audit.db'))
  tampered.exec(
    `DROP TRIGGER records_keep; UPDATE records SET record = replace(record, 'admin', 'nobody') WHERE seq = 2`,
  )
  tampered.close()
  assert.equal(cli('audit', 'verify', '--data-dir', dataDir).status, 1)
  assert.equal(cli('restore', backup, '--data-dir', dataDir, '--replace').status, 0)
  const again = await spawnGateway(t, { dataDir, upstream: upstream.url })
  assert.match((await again.admin('GET', 'audit/status')).halted, /its end was cut off/, 'the anchor knows better')
  again.process.kill('SIGTERM')
  await again.ended
  assert.equal(
    cli('audit', 'restart', '--data-dir', dataDir, '--reason', 'the disk died, this is the backup').status,
    0,
  )
  const anew = await spawnGateway(t, { dataDir, upstream: upstream.url })
  await until(() => behind(anew), 'the rows of the backup are in the new trail')
  assert.equal((await anew.admin('GET', 'audit/status')).halted, null)
  const [first] = (await anew.admin('GET', 'audit?action=audit.continue')).records
  assert.equal(first.seq, '0')
  assert.equal(first.reason, 'the disk died, this is the backup')
  anew.process.kill('SIGTERM')
  await anew.ended
  rmSync(join(dataDir, 'audit.db'))
  for (const end of ['-wal', '-shm']) rmSync(join(dataDir, `audit.db${end}`), { force: true })
  const wiped = await spawnGateway(t, { dataDir, upstream: upstream.url })
  assert.match((await wiped.admin('GET', 'audit/status')).halted, /audit\.db is empty/)
})

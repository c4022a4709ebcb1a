/**
 * What is watched beside the traffic stays beside it: usage queries, searches, backups, metrics and the log, also when
 * it cannot be written or has reached its size.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { exchange, type Running, runGateway, until } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'

async function entriesOf(gateway: Running): Promise<number> {
  const db = new DatabaseSync(join(gateway.dataDir, 'logs.db'), { readOnly: true })
  try {
    return Number(db.prepare('SELECT count(*) AS n FROM exchanges').get()?.n)
  } finally {
    db.close()
  }
}

test('A100: traffic, usage queries, log searches and backups at once: no error, nothing lost', async (t) => {
  const gateway = await runGateway(t)
  const place = mkdtempSync(join(tmpdir(), 'stockyard-backup-'))
  t.after(() => rmSync(place, { recursive: true, force: true }))
  const wrong: string[] = []
  let asked = 0
  let on = true
  const traffic = async (stream: boolean): Promise<void> => {
    for (let n = 0; n < 100; n++) {
      const answer = await gateway.chat(MODEL, `n ${n}`, { stream })
      asked++
      if (answer.status !== 200) wrong.push(answer.text)
    }
  }
  // With pauses: a disk that is slow to synchronize would else do nothing but that.
  const again = async (pauseMs: number, work: (n: number) => Promise<unknown>): Promise<number> => {
    let n = 0
    for (; on; n++) {
      await work(n)
      await sleep(pauseMs)
    }
    return n
  }
  const beside = [
    ...['usage?groupBy=model,hour', 'logs', 'usage/unpriced'].map((path) => again(5, () => gateway.admin('GET', path))),
    again(300, (n) => gateway.admin('POST', 'backup', { directory: join(place, String(n)) })),
    again(50, (n) => gateway.admin('PUT', `aliases/a${n % 5}`, { model: MODEL })),
  ]
  await Promise.all([traffic(false), traffic(true), traffic(false), traffic(true)])
  on = false
  const counts = await Promise.all(beside)
  assert.ok(
    counts.every((n) => n > 0),
    `each came to its turn: ${counts}`,
  )
  assert.deepEqual(wrong, [])
  assert.equal(Number((await gateway.usage())[0]?.attempts), asked)
  await until(async () => (await entriesOf(gateway)) === asked, 'every exchange is in the log')
  const db = new DatabaseSync(join(place, '0', 'ledger.db'))
  assert.equal(db.prepare('PRAGMA integrity_check').get()?.integrity_check, 'ok')
  db.close()
})

const seriesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))

test('A102: a thousand models and users that clients made up add no series to the metrics', async (t) => {
  const gateway = await runGateway(t)
  const metrics = async () => (await exchange(`${gateway.url}/metrics`, 'GET')).text
  const ask = async (n: number | string): Promise<void> => {
    await gateway.chat(`openai/model-${n}`, 'hello', { user: `user-${n}`, metadata: { tenant: `tenant-${n}` } })
    await gateway.chat(`made-up-${n}`, 'hello', { user: `user-${n}` })
  }
  await ask('first')
  const names = (text: string) => seriesOf(text).map((line) => line.replace(/ \S+$/, ''))
  const before = new Set(names(await metrics()).filter((name) => name.startsWith('stockyard_')))
  assert.ok(before.size > 3)
  for (let n = 0; n < 500; n += 10) await Promise.all(Array.from({ length: 10 }, (_, i) => ask(n + i)))
  const after = await metrics()
  assert.deepEqual(
    names(after).filter((name) => name.startsWith('stockyard_') && !before.has(name)),
    [],
  )
  assert.ok(!/made-up|model-\d|user-\d|tenant-\d/.test(after))
})

test('A101: a log that cannot be written costs no request its answer and no call its record', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/logs', { mode: 'enforce', settings: { bodies: true } })
  // Whoever holds the file keeps the worker from writing the log; the ledger is another file.
  const holder = new DatabaseSync(join(gateway.dataDir, 'logs.db'))
  holder.exec('BEGIN EXCLUSIVE')
  const wrong: string[] = []
  for (let n = 0; n < 100; n++) {
    const answer = await gateway.chat(MODEL, `n ${n}`)
    if (answer.status !== 200) wrong.push(answer.text)
  }
  assert.deepEqual(wrong, [])
  assert.equal(Number((await gateway.usage())[0]?.attempts), 100)
  holder.exec('ROLLBACK')
  holder.close()
  assert.equal((await gateway.chat(MODEL, 'after')).status, 200)
  await until(async () => (await entriesOf(gateway)) > 0, 'the log goes on', 15_000)
})

test('A12: over its size the log loses its oldest bodies first; the newest, the rows and the ledger stay', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/logs', {
    mode: 'enforce',
    settings: { bodies: true, maxFileBytes: 4_194_304, maxBodyBytes: 16_384 },
  })
  // Bodies of 600 are about 9 MB, those of 100 about 1.5 MB; the rows about 1 MB. They go by 500.
  const rounds = 600
  for (let n = 0; n < rounds; n += 10) {
    const some = Array.from({ length: 10 }, (_, i) => gateway.chat(MODEL, `${n + i} ${'x'.repeat(6_000)}`))
    for (const answer of await Promise.all(some)) assert.equal(answer.status, 200)
  }
  const look = () => {
    const db = new DatabaseSync(join(gateway.dataDir, 'logs.db'), { readOnly: true })
    try {
      const bodies = db.prepare('SELECT count(*) AS n, min(id) AS first, max(id) AS last FROM bodies').get()
      return { bodies: Number(bodies?.n), first: Number(bodies?.first), last: Number(bodies?.last) }
    } finally {
      db.close()
    }
  }
  const written = async () => (await entriesOf(gateway)) === rounds && look().bodies === rounds
  await until(written, 'all are in the log', 5_000)
  t.mock.timers.tick(61_000)
  await until(() => look().bodies < rounds, 'bodies went', 5_000)
  const left = look()
  assert.equal(left.last, rounds, 'the newest stay')
  assert.equal(left.first, 501, 'the oldest went')
  assert.equal(await entriesOf(gateway), rounds, 'what happened is still known')
  assert.equal(Number((await gateway.usage())[0]?.attempts), rounds)
  assert.equal((await gateway.chat(MODEL, 'still here')).status, 200)
})

test('A116: text and rows are kept apart, and as long as each team says: the shorter of a team, the longer of one that may', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const present = Date.now
  let ahead = 0
  t.mock.method(Date, 'now', () => present() + ahead)
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  await gateway.admin('PUT', 'modules/logs', {
    mode: 'enforce',
    settings: { bodies: true, bodyDays: 7, metadataDays: 30 },
    unlocked: true,
  })
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  const keyOf = async (team: string) => {
    await gateway.admin('POST', 'teams', { id: team, organization: 'acme' })
    return { authorization: `Bearer ${(await gateway.admin('POST', 'keys', { team })).key}` }
  }
  const callers = { usual: await keyOf('usual'), brief: await keyOf('brief'), long: await keyOf('long') }
  await gateway.admin('PUT', 'overrides/team:brief', {
    modules: { logs: { settings: { bodyDays: 1, metadataDays: 3 } } },
  })
  await gateway.admin('PUT', 'overrides/team:long', {
    modules: { logs: { settings: { bodyDays: 20, metadataDays: 60 } } },
  })
  const effective = await gateway.admin('GET', 'effective?team=brief')
  assert.deepEqual(effective.modules.logs.settings.bodyDays, { value: 1, source: 'team:brief' })
  const ids: Record<string, string> = {}
  for (const [team, headers] of Object.entries(callers)) {
    const answer = await gateway.chat('gpt-4o-mini', `of ${team}`, {}, headers)
    ids[team] = String(answer.headers['x-stockyard-request-id'])
  }
  /** What is left of each: its row, and its text. */
  const left = async () => {
    const out: Record<string, string> = {}
    for (const [team, id] of Object.entries(ids)) {
      const { status, json } = await exchange(`${gateway.url}/api/logs/${id}`, 'GET', undefined, {
        authorization: `Bearer ${gateway.adminKey}`,
      })
      out[team] = status === 404 ? 'nothing' : json.request === undefined ? 'row' : 'row and text'
    }
    return out
  }
  await until(async () => Object.values(await left()).every((what) => what === 'row and text'), 'all is logged', 10_000)
  const after = async (days: number, expected: Record<string, string>) => {
    ahead = days * 86_400_000
    t.mock.timers.tick(61_000)
    await until(
      async () => JSON.stringify(await left()) === JSON.stringify(expected),
      `after ${days} days it is ${JSON.stringify(expected)}`,
      10_000,
    )
  }
  const [both, row, nothing] = ['row and text', 'row', 'nothing'] as [string, string, string]
  await after(2, { usual: both, brief: row, long: both })
  await after(4, { usual: both, brief: nothing, long: both })
  await after(8, { usual: row, brief: nothing, long: both })
  await after(31, { usual: nothing, brief: nothing, long: row })
  await gateway.admin('DELETE', 'overrides/team:long')
  await after(32, { usual: nothing, brief: nothing, long: nothing })
})

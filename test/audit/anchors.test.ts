/** Anchors outside the database, over real sockets and files: that they get every checkpoint, and what they find out. */
import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import { startWitness } from '../../src/cli/witness.ts'
import { parseCheckpoint, parseNote } from '../../src/modules/audit/note.ts'
import { exchange, type Running, runGateway, until } from '../running/index.ts'
import { DAY_MS, draft, NOW, openLog } from './log.ts'

const on = (gateway: Running, settings: object) => gateway.admin('PUT', 'modules/audit', { mode: 'enforce', settings })
const status = (gateway: Running) => gateway.admin('GET', 'audit/status')
const sizeOf = (note: string): number => parseCheckpoint(parseNote(note).text).size

interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}
async function receiver(t: TestContext, answer: (seen: Seen) => string = () => 'ok') {
  const seen: Seen[] = []
  const server = http.createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      seen.push({ method, path: url, headers, body: Buffer.concat(parts).toString() })
      response.end(answer(seen.at(-1) as Seen))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

test('T32: a data directory rolled back to an old copy is found out at the next start, and the log not extended', async (t) => {
  const gateway = await runGateway(t)
  const anchor = join(gateway.dataDir, 'anchor.log')
  await on(gateway, { anchors: [{ kind: 'file', path: anchor }] })
  await until(async () => existsSync(anchor) && readFileSync(anchor, 'utf8').includes('\n'), 'the first checkpoint')
  const old = `${gateway.dataDir}-old`
  t.after(() => rmSync(old, { recursive: true, force: true }))
  await gateway.restart(() => cpSync(gateway.dataDir, old, { recursive: true }))
  await gateway.chat('openai/gpt-4o-mini', 'later')
  await until(async () => (await status(gateway)).size > 8, 'more records')
  assert.equal((await exchange(`${gateway.url}/health/ready`, 'GET')).json.problems, undefined)
  await gateway.restart(() => {
    for (const name of ['audit.db', 'audit.key', 'ledger.db', 'stockyard.db']) {
      rmSync(join(gateway.dataDir, `${name}-wal`), { force: true })
      rmSync(join(gateway.dataDir, `${name}-shm`), { force: true })
      cpSync(join(old, name), join(gateway.dataDir, name))
    }
  })
  const { halted, size } = await status(gateway)
  assert.match(halted, /anchor\.log: the log has \d+ records and had \d+: its end was cut off/)
  const ready = await exchange(`${gateway.url}/health/ready`, 'GET')
  assert.equal(ready.status, 200, 'in async mode it is served on')
  assert.match(ready.json.problems.audit, /its end was cut off/)
  assert.match((await gateway.admin('GET', 'health')).problems.audit, /its end was cut off/)
  assert.equal((await gateway.chat('openai/gpt-4o-mini', 'on')).status, 200)
  assert.equal((await status(gateway)).size, size)
  await gateway.admin('PUT', 'modules/audit', {
    settings: { mode: 'strict', anchors: [{ kind: 'file', path: anchor }] },
  })
  assert.equal((await gateway.chat('openai/gpt-4o-mini', 'no')).status, 503)
  assert.equal((await exchange(`${gateway.url}/health/ready`, 'GET')).status, 503)
})

test('a webhook gets signed checkpoints, a bucket locked objects, and is asked for the newest at start', async (t) => {
  const hook = await receiver(t)
  const objects = new Map<string, string>()
  const bucket = await receiver(t, ({ method, path, body }) => {
    const [name = '', query] = path.split('?')
    if (method === 'PUT') objects.set(name, body)
    else if (query === undefined) return objects.get(name) ?? ''
    const first = [...objects.keys()].sort()[0]?.slice('/vault/'.length)
    return first === undefined ? '<ListBucketResult/>' : `<ListBucketResult><Key>${first}</Key></ListBucketResult>`
  })
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/audit/secrets/hook', { secret: 'hook-secret' })
  await gateway.admin('PUT', 'modules/audit/secrets/s3', { secret: 'bucket-secret' })
  await on(gateway, {
    anchors: [
      { kind: 'webhook', url: `${hook.url}/checkpoints`, secret: 'hook' },
      { kind: 's3', endpoint: bucket.url, bucket: 'vault', prefix: 'log/', accessKeyId: 'AKID', lockDays: 30 },
    ],
  })
  await until(async () => hook.seen.length > 0 && objects.size > 0, 'both have a checkpoint')
  const [called] = hook.seen
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signature } = called?.headers ?? {}
  const wanted = createHmac('sha256', 'hook-secret').update(`${id}.${time}.${called?.body}`).digest('base64')
  assert.equal(signature, `v1,${wanted}`)
  assert.ok(sizeOf(JSON.parse(called?.body ?? '').checkpoint) > 0)
  const put = bucket.seen.find(({ method }) => method === 'PUT') as Seen
  assert.match(put.path, /^\/vault\/log\/\d{13}\.txt$/)
  assert.equal(put.headers['x-amz-object-lock-mode'], 'COMPLIANCE')
  assert.ok(Date.parse(String(put.headers['x-amz-object-lock-retain-until-date'])) > Date.now() + 29 * DAY_MS)
  assert.equal(put.headers['content-md5'], createHash('md5').update(put.body).digest('base64'))
  for (const seen of bucket.seen) assert.equal(seen.headers.authorization, awsSignature(seen, 'bucket-secret'))
  assert.ok(!JSON.stringify(await gateway.admin('GET', 'audit')).includes('bucket-secret'))
  await gateway.restart()
  await until(async () => objects.size > 1, 'the checkpoints of the stop and of the start')
  assert.equal((await status(gateway)).halted, null)
  const newest = objects.get([...objects.keys()].sort()[0] ?? '') ?? ''
  for (const note of objects.values()) assert.ok(sizeOf(newest) >= sizeOf(note))
  // A checkpoint that this log never made: somebody else's log, or another history of it.
  const other = await openLog(t)
  other.add([draft(1)])
  objects.set('/vault/log/0000000000000.txt', other.call('checkpoint', { now: NOW }).note)
  await gateway.restart()
  assert.match((await status(gateway)).halted, /s3:\/\/vault\/log\/: a checkpoint of another log/)
})

/** As AWS documents signature version 4, from what arrived. */
function awsSignature({ method, path, headers, body }: Seen, secret: string): string {
  const [, credential = '', names = ''] =
    /Credential=([^,]+), SignedHeaders=([^,]+)/.exec(headers.authorization ?? '') ?? []
  const [name = '', query = ''] = path.split('?')
  const sha = (text: string): string => createHash('sha256').update(text).digest('hex')
  const lines = names.split(';').map((header) => `${header}:${headers[header]}\n`)
  const request = [method, name, query, lines.join(''), names, sha(body)].join('\n')
  const [keyId, ...scope] = credential.split('/')
  const text = `AWS4-HMAC-SHA256\n${headers['x-amz-date']}\n${scope.join('/')}\n${sha(request)}`
  let key: Buffer = Buffer.from(`AWS4${secret}`)
  for (const part of scope) key = createHmac('sha256', key).update(part).digest()
  const signature = createHmac('sha256', key).update(text).digest('hex')
  return `AWS4-HMAC-SHA256 Credential=${keyId}/${scope.join('/')}, SignedHeaders=${names}, Signature=${signature}`
}

test('T36: anchors that take connections and never answer: nobody waits for them, and the status says which they are', async (t) => {
  const sockets = new Set<net.Socket>()
  let calls = 0
  const hole = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('data', () => calls++)
  })
  await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    hole.close()
  })
  const at = `127.0.0.1:${(hole.address() as AddressInfo).port}`
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/audit/secrets/s3', { secret: 'bucket-secret' })
  const working = join(gateway.dataDir, 'anchor.log')
  await on(gateway, {
    mode: 'strict',
    anchors: [
      { kind: 'webhook', url: `http://${at}/checkpoints` },
      { kind: 's3', endpoint: `http://${at}`, bucket: 'vault', accessKeyId: 'AKID' },
      { kind: 'witness', url: `http://${at}/witness` },
      { kind: 'file', path: working },
    ],
  })
  await until(() => existsSync(working) && lastOf(working) !== '', 'the one that works has a checkpoint', 20_000)
  await until(() => calls >= 3, 'the others were called', 20_000)
  for (const stream of [false, true]) {
    assert.equal((await gateway.chat('openai/gpt-4o-mini', 'on', { stream })).status, 200)
  }
  await until(
    async () =>
      (await status(gateway)).anchors.filter(({ problem }: { problem: unknown }) => problem !== null).length === 3,
    'three anchors have a problem',
    30_000,
  )
  const { anchors, problem } = await status(gateway)
  assert.equal(problem, null, 'the trail itself has none')
  assert.deepEqual(
    anchors.map((anchor: { name: string; checkpoint: number | null }) => [anchor.name, anchor.checkpoint === null]),
    [
      [`http://${at}/checkpoints`, true],
      ['s3://vault/', true],
      [`http://${at}/witness`, true],
      [working, false],
    ],
  )
  // One call at a time each, however many checkpoints there were meanwhile.
  assert.ok(sockets.size <= 12, String(sockets.size))
  const began = performance.now()
  await gateway.admin('PUT', 'modules/audit', { mode: 'off' })
  assert.ok(performance.now() - began < 30_000, 'nor is the end held up for ever')
})

const lastOf = (path: string): string => {
  const line = readFileSync(path, 'utf8').trim().split('\n').at(-1) ?? ''
  return line === '' ? '' : (JSON.parse(line) as { checkpoint: string }).checkpoint
}

test('syslog gets each checkpoint as one message, over TCP and UDP', async (t) => {
  const received: Buffer[] = []
  const server = net.createServer((socket) => socket.on('data', (part: Buffer) => received.push(part)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const datagrams: string[] = []
  const socket = createSocket('udp4')
  socket.on('message', (message) => datagrams.push(message.toString()))
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  t.after(() => socket.close())
  const gateway = await runGateway(t)
  await on(gateway, {
    anchors: [
      { kind: 'syslog', url: `syslog://127.0.0.1:${socket.address().port}` },
      { kind: 'syslog', url: `syslog+tcp://127.0.0.1:${(server.address() as AddressInfo).port}` },
    ],
  })
  await until(async () => received.length > 0 && datagrams.length > 0, 'a message each')
  assert.match(datagrams[0] as string, /^<109>1 \S+ \S+ stockyard \d+ audit - \{.*\}$/)
  const [, length = '', message = ''] = /^(\d+) ([\s\S]+)$/.exec(Buffer.concat(received).toString()) ?? []
  assert.equal(Buffer.byteLength(message), Number(length))
  const [, json = ''] = /^<109>1 \S+ \S+ stockyard \d+ audit - (\{.*\})$/.exec(message) ?? []
  assert.ok(sizeOf(JSON.parse(json).checkpoint) > 0)
})

test('T34: a witness follows a log over a change of key, and refuses and keeps a second history of one size', async (t) => {
  const log = await openLog(t)
  log.add(Array.from({ length: 50 }, (_, i) => draft(i)))
  const witness = await startWitness({
    host: '127.0.0.1',
    port: 0,
    dataDir: join(log.dataDir, 'witness'),
    name: 'witness.example',
    logs: [log.status.firstKey],
  })
  t.after(() => witness.close())
  const post = (body: string) =>
    exchange(`${witness.url}/add-checkpoint`, 'POST', body, { 'content-type': 'text/plain' })
  const show = async (of: typeof log, old: number, note: string) => {
    const between = of.call('between', { from: old, to: sizeOf(note) })
    return post(`old ${old}\n${(between?.proof ?? []).map((hash: string) => `${hash}\n`).join('')}\n${note}`)
  }
  const first = log.call('checkpoint', { now: NOW }).note
  const cosigned = await show(log, 0, first)
  assert.equal(cosigned.status, 200, cosigned.text)
  assert.match(cosigned.text, /^\u2014 witness\.example \S{104,}\n$/)
  assert.equal((await show(log, 0, first)).status, 409, 'it has moved on')
  assert.equal((await post(`old 50\n\n${first.replace('\n50\n', '\n49\n')}`)).status, 403)
  assert.equal((await post('nonsense')).status, 400)
  const stranger = await openLog(t)
  stranger.add([draft(1)])
  assert.equal((await show(stranger, 0, stranger.call('checkpoint', { now: NOW }).note)).status, 404)

  log.add([draft(50)])
  log.call('step', { now: NOW + DAY_MS })
  log.add([draft(51)])
  let seen = 50
  for (const note of [...log.call('since', { size: 50 }), log.call('checkpoint', { now: NOW + DAY_MS }).note]) {
    const answer = await show(log, seen, note)
    assert.equal(answer.status, 200, answer.text)
    seen = sizeOf(note)
  }
  // The same log as another tenant would be shown it: one record is different, the key and the size are the same.
  const other = await openLog(t)
  other.reopen(() => {
    const db = new DatabaseSync(`${other.dataDir}/audit.db`)
    db.exec(`ATTACH '${log.dataDir}/audit.db' AS whole; DROP TRIGGER records_stay; DELETE FROM records`)
    for (const table of ['facts', 'keys', 'trees'])
      db.exec(`DELETE FROM main.${table}; INSERT INTO main.${table} SELECT * FROM whole.${table}`)
    db.exec('UPDATE trees SET size = 0')
    db.close()
    cpSync(`${log.dataDir}/audit.key`, `${other.dataDir}/audit.key`)
    const { checkpoint: _, ...key } = JSON.parse(readFileSync(`${other.dataDir}/audit.key`, 'utf8'))
    writeFileSync(`${other.dataDir}/audit.key`, JSON.stringify(key))
  })
  other.add(Array.from({ length: seen }, (_, i) => draft(i + 1_000)))
  const forked = other.call('checkpoint', { now: NOW + DAY_MS }).note
  assert.equal(sizeOf(forked), seen)
  assert.equal((await show(other, seen, forked)).status, 409)
  other.add([draft(1)])
  assert.equal((await show(other, seen, other.call('checkpoint', { now: NOW + DAY_MS }).note)).status, 422)
  const conflicts = (await exchange(`${witness.url}/conflicts`, 'GET')).json
  assert.deepEqual(
    conflicts.map((c: { proven: number }) => c.proven),
    [1, 0],
  )
  const [proof] = conflicts
  assert.equal(sizeOf(proof.known), sizeOf(proof.offered))
  assert.notEqual(proof.known, proof.offered)
})

test('a gateway that a witness watches: cosigned, and halted when its log is replaced', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway, {})
  const { firstKey } = await status(gateway)
  const witness = await startWitness({
    host: '127.0.0.1',
    port: 0,
    dataDir: join(gateway.dataDir, 'witness'),
    name: 'w',
    logs: [firstKey],
  })
  t.after(() => witness.close())
  await on(gateway, { anchors: [{ kind: 'witness', url: witness.url, key: witness.key }] })
  await until(async () => (await status(gateway)).anchors[0].checkpoint !== null, 'the witness took a checkpoint')
  assert.equal((await status(gateway)).anchors[0].problem, null)
  const old = `${gateway.dataDir}-old`
  t.after(() => rmSync(old, { recursive: true, force: true }))
  await gateway.restart(() =>
    cpSync(gateway.dataDir, old, { recursive: true, filter: (path) => !path.includes('witness') }),
  )
  await gateway.chat('openai/gpt-4o-mini', 'more')
  await gateway.restart(() => {
    rmSync(join(gateway.dataDir, 'audit.db-wal'), { force: true })
    for (const name of ['audit.db', 'audit.key']) cpSync(join(old, name), join(gateway.dataDir, name))
  })
  assert.match((await status(gateway)).halted, /http:\/\/127.*its end was cut off/)
})

/** What is recorded, over the running gateway: administration, exchanges by level, organizations' trees, erasure. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as auditor from '../../scripts/audit-verifier.mjs'
import { canonical } from '../../src/modules/audit/canonical.ts'
import { verifyConsistency } from '../../src/modules/audit/merkle.ts'
import { verifyExport } from '../../src/modules/audit/verify.ts'
import { exchange, type Running, runGateway, until } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'
const on = (gateway: Running, settings: object = {}) =>
  gateway.admin('PUT', 'modules/audit', { mode: 'enforce', settings })
// biome-ignore lint/suspicious/noExplicitAny: records of many shapes
const records = async (gateway: Running, query = ''): Promise<any[]> =>
  (await gateway.admin('GET', `audit?limit=500&${query}`)).records
const raw = (gateway: Running, path: string, headers: Record<string, string> = {}, method = 'GET', body?: unknown) =>
  exchange(`${gateway.url}/api/${path}`, method, body, { authorization: `Bearer ${gateway.adminKey}`, ...headers })
const exported = async (gateway: Running, query = ''): Promise<string[]> =>
  (await raw(gateway, `audit?format=jsonl&${query}`)).text.split('\n').slice(0, -1)
const idOf = ({ headers }: { headers: Record<string, unknown> }): string => String(headers['x-stockyard-request-id'])

test('administration: changes with how they came about, sign-ins and failed ones, reveals, exports, backups', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  await raw(gateway, 'aliases/fast', { 'x-stockyard-on-behalf-of': 'ada', 'x-stockyard-reason': 'ticket 7' }, 'PUT', {
    model: MODEL,
  })
  await exchange(`${gateway.url}/api/session`, 'POST', { key: gateway.adminKey })
  await exchange(`${gateway.url}/api/session`, 'POST', { key: 'not-the-key-at-all' })
  await exchange(`${gateway.url}/api/modules`, 'GET', undefined, { authorization: 'Bearer wrong' })
  const answer = await gateway.chat(MODEL, 'hello')
  await until(async () => (await raw(gateway, `logs/${idOf(answer)}`)).status === 200, 'it is logged')
  await raw(gateway, 'config/export')
  await exported(gateway)
  const found = async (test: (record: Record<string, unknown>) => boolean, what: string) => {
    await until(async () => (await records(gateway)).some(test), what)
    return (await records(gateway)).find(test)
  }
  const change = await found((r) => r.action === 'aliases/fast create', 'the change')
  assert.equal(change.onBehalfOf, 'ada')
  assert.equal(change.reason, 'ticket 7')
  assert.equal(change.source, '127.0.0.1')
  await found((r) => r.action === 'session.begin', 'the session')
  await found((r) => r.action === 'POST session' && r.status === 401, 'the failed sign-in')
  await found((r) => r.action === 'GET modules' && r.error === 'invalid_api_key', 'the wrong key')
  await found((r) => r.action === `GET logs/${idOf(answer)}` && r.actor === 'admin', 'the reveal')
  await found((r) => r.action === 'GET config/export', 'the export of the configuration')
  await found((r) => r.action === 'audit.export', 'the export of the trail')
  assert.ok(!JSON.stringify(await records(gateway)).includes('not-the-key-at-all'))
  for (let i = 0; i < 100; i++)
    await exchange(`${gateway.url}/api/modules`, 'GET', undefined, { authorization: 'Bearer x' })
  assert.ok((await records(gateway, 'kind=administration&action=GET*')).length < 90, 'strangers cannot flood it')
})

test('levels: off, decisions, metadata and commitments, by the narrowest scope', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  const key = async (name: string) => await gateway.admin('POST', 'keys', { name, permissions: [] })
  const quiet = await key('quiet')
  const terse = await key('terse')
  const plain = await key('plain')
  await on(gateway, { scopes: { [`key/${quiet.id}`]: 'off', [`key/${terse.id}`]: 'decisions' } })
  const as = (made: { secret?: string; key?: string }, model: string) =>
    gateway.chat(model, 'hello', {}, { authorization: `Bearer ${made.secret ?? made.key}` })
  const ids: Record<string, string> = {}
  for (const [name, made] of Object.entries({ quiet, terse, plain })) {
    ids[`${name} done`] = idOf(await as(made, MODEL))
    ids[`${name} refused`] = idOf(await as(made, 'openai/'))
  }
  await until(
    async () => (await records(gateway, `exchange=${ids['plain done']}&kind=exchange`)).length === 1,
    'metadata',
  )
  const kinds = async (id = '') =>
    (await records(gateway, `exchange=${id}`)).map((r) => r.kind).filter((kind) => kind !== 'ledger')
  assert.deepEqual(await kinds(ids['quiet done']), [])
  assert.deepEqual(await kinds(ids['terse done']), [])
  assert.deepEqual(await kinds(ids['plain done']), ['exchange'])
})

for (const stream of [false, true]) {
  test(`T40: ${stream ? 'streamed: ' : ''}a commitment proves a logged body, erasure forgets it everywhere, and proofs still verify`, async (t) => {
    const gateway = await runGateway(t)
    const word = 'unforgettable-canary-word'
    await gateway.admin('PUT', 'modules/logs', { mode: 'enforce', settings: { bodies: true } })
    await on(gateway, { level: 'content-commitment' })
    const ask = { model: MODEL, messages: [{ role: 'user', content: word }] }
    const id = idOf(await gateway.send('/v1/chat/completions', { ...ask, stream }))
    const other = idOf(await gateway.chat(MODEL, 'somebody else', { stream: !stream }))
    const recorded = async (of: string) => (await records(gateway, `exchange=${of}&kind=exchange`))[0]
    await until(async () => (await recorded(id)) && (await recorded(other)), 'both are recorded')
    await until(async () => (await raw(gateway, `logs/${other}`)).json?.reply, 'both are logged')
    const logged = (await raw(gateway, `logs/${id}`)).json
    const { seq } = await recorded(id)
    const check = async (request: string, reply: string) =>
      (await raw(gateway, `audit/${seq}/content`, {}, 'POST', { request, reply })).json
    assert.deepEqual(await check(logged.request, logged.reply), { request: true, reply: true })
    assert.deepEqual(await check(`${logged.request} `, logged.reply), { request: false, reply: true })
    const before = await exported(gateway)
    const key = (await gateway.admin('GET', 'audit/status')).firstKey
    assert.ok((await raw(gateway, `audit/${seq}/proof`)).json.salt)
    const salt = Buffer.from((await raw(gateway, `audit/${seq}/proof`)).json.salt, 'base64')
    const { erased } = await gateway.admin('POST', 'erase', { exchange: id })
    assert.deepEqual(erased, { audit: 1, logs: 1 })
    assert.equal((await raw(gateway, `logs/${id}`)).json.request, undefined)
    assert.ok((await raw(gateway, `logs/${other}`)).json.request)
    assert.equal((await raw(gateway, `audit/${seq}/content`, {}, 'POST', { request: 'x' })).status, 404)
    for (const file of readdirSync(gateway.dataDir)) {
      const bytes = readFileSync(join(gateway.dataDir, file))
      assert.ok(!bytes.includes(word), `${file} still has the text`)
      assert.ok(!bytes.includes(salt), `${file} still has the salt`)
    }
    const after = await exported(gateway)
    assert.deepEqual(after.slice(1, before.length), before.slice(1))
    assert.deepEqual((await verifyExport(after, { keys: [key], checkpoints: [] })).problems, [])
    await until(async () => (await records(gateway, 'action=audit.erase')).length === 1, 'the erasure is a record')
    await gateway.admin('PUT', 'modules/audit', { mode: 'off' })
    assert.deepEqual((await gateway.admin('POST', 'erase', { principal: 'local' })).erased, { audit: 1, logs: 1 })
  })
}

test('T37: whatever stands in prompts, names and headers, there is one record per event, and it parses back equal', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway, { level: 'content-commitment' })
  const evil = [
    'a\r\nb\n{"seq":"1"}',
    '\u001b[31mred\u001b[0m\u0007',
    'x\u2028y\u2029z\u0000',
    '"}],"record":{}}\\',
    'lone \ud800 surrogate',
    'x'.repeat(200_000),
  ]
  const ids: string[] = []
  for (const text of evil) {
    const body = JSON.stringify({ model: `openai/${text}`, user: text, messages: [{ role: 'user', content: text }] })
    ids.push(idOf(await gateway.send('/v1/chat/completions', body, { 'x-litellm-end-user-id': 'a b' })))
  }
  const invalid = Buffer.concat([
    Buffer.from(`{"model":"${MODEL}","user":"`),
    Buffer.from([0xff, 0xfe, 0xc3, 0x28]),
    Buffer.from('","messages":[{"role":"user","content":"x"}]}'),
  ])
  ids.push(idOf(await gateway.send('/v1/chat/completions', invalid, { 'content-type': 'application/json' })))
  await raw(gateway, `aliases/${encodeURIComponent('a\r\nb\u2028\u001b[0m')}`, {}, 'PUT', { model: MODEL })
  const lines = async () => (await exported(gateway)).slice(1)
  await until(async () => {
    const all = await records(gateway, 'kind=exchange')
    return ids.slice(0, -1).every((id) => all.filter((r) => r.exchange === id).length === 1)
  }, 'one record each')
  for (const line of await lines()) {
    const text = /"record":(\{.*\})\}$/s.exec(line)?.[1] ?? ''
    assert.equal(canonical(JSON.parse(text)), text)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be in there
    assert.doesNotMatch(line, /[\u0000-\u001f\u007f]/)
    assert.ok(line.length < 50_000)
  }
  const all = await exported(gateway)
  const key = (await gateway.admin('GET', 'audit/status')).firstKey
  assert.deepEqual((await auditor.verifyExport(all, { keys: [key] })).problems, [])
  assert.equal(all.length - 1, JSON.parse(all[0] as string).size)
})

test('organizations: each has a tree of its own that it can prove whole without seeing another’s', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  await on(gateway)
  const keys: Record<string, string> = {}
  for (const id of ['acme', 'globex']) {
    await gateway.admin('POST', 'organizations', { id, name: id })
    const made = await gateway.admin('POST', 'keys', { name: `key of ${id}`, organization: id })
    keys[id] = made.secret ?? made.key
    for (let i = 0; i < 3; i++) {
      const answer = await gateway.chat(MODEL, 'hello', {}, { authorization: `Bearer ${keys[id]}` })
      assert.equal(answer.status, 200, answer.text)
    }
  }
  await until(
    async () => (await records(gateway, 'organization=globex&kind=exchange')).length === 3,
    'they are recorded',
  )
  await until(async () => (await records(gateway, 'organization=globex&kind=ledger')).length === 6, 'with their money')
  const { firstKey } = await gateway.admin('GET', 'audit/status')
  const kept = (await gateway.admin('GET', 'audit/checkpoint')).checkpoint
  const size = Number(kept.split('\n')[1])
  await gateway.chat(MODEL, 'more', {}, { authorization: `Bearer ${keys.acme}` })
  for (const id of ['acme', 'globex']) {
    const lines = await exported(gateway, `organization=${id}&continues=${size}`)
    assert.ok(lines.length > 10)
    assert.ok(lines.slice(1).every((line) => JSON.parse(line).record.organization === id))
    assert.ok(!lines.join('').includes(id === 'acme' ? 'globex' : 'acme'))
    const trusted = { keys: [firstKey], checkpoints: [kept] }
    assert.deepEqual((await verifyExport(lines, trusted)).problems, [])
    assert.deepEqual((await auditor.verifyExport(lines, trusted)).problems, [])
    const cut = await auditor.verifyExport(lines.slice(0, -1), trusted)
    assert.notDeepEqual(cut.problems, [])
  }
  const [record] = await records(gateway, 'organization=acme&kind=exchange')
  const proof = (await raw(gateway, `audit/${record.seq}/proof`)).json
  assert.equal(proof.frame.organization, 'acme')
  assert.equal((await exported(gateway, 'organization=nobody')).length, 0)
})

test('a page of records: each filter and each pair of them picks what a reader of the whole list would, and the cursor gives each record once', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  for (const name of ['fast', 'smart']) await gateway.admin('PUT', `aliases/${name}`, { model: MODEL })
  const asked = idOf(await gateway.chat('fast', 'hello'))
  await gateway.chat('smart', 'hello')
  await until(async () => (await records(gateway, 'kind=exchange')).length === 2, 'both are recorded', 20_000)
  await until(async () => (await records(gateway, 'kind=ledger')).length === 4, 'with their money', 20_000)
  // A look at the trail is no record, so the list stands still from here on.
  const all = await records(gateway)
  const middle = all[all.length >> 1].at
  // biome-ignore lint/suspicious/noExplicitAny: records of many shapes
  const filters: Record<string, (record: any) => boolean> = {
    'kind=ledger': (r) => r.kind === 'ledger',
    'kind=configuration': (r) => r.kind === 'configuration',
    'actor=admin': (r) => r.actor === 'admin' || r.principal === 'admin',
    'actor=local': (r) => r.actor === 'local' || r.principal === 'local',
    'action=aliases/*': (r) => String(r.action).startsWith('aliases/'),
    'action=nothing?': () => false,
    [`exchange=${asked}`]: (r) => r.exchange === asked,
    [`since=${middle}`]: (r) => r.at >= middle,
    [`until=${middle}`]: (r) => r.at <= middle,
  }
  const seqs = (list: { seq: string }[]) => list.map(({ seq }) => seq)
  for (const [one, first] of Object.entries(filters)) {
    for (const [other, second] of Object.entries(filters)) {
      const expected = all.filter((record) => first(record) && second(record))
      // The same filter twice is the one named last.
      if (one.split('=')[0] === other.split('=')[0] && one !== other) continue
      const query = one === other ? one : `${one}&${other}`
      assert.deepEqual(seqs(await records(gateway, query)), seqs(expected), query)
    }
  }
  assert.ok(Object.values(filters).filter((holds) => all.some(holds) && !all.every(holds)).length >= 7)

  const paged: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = await gateway.admin('GET', `audit?limit=3${cursor && `&cursor=${cursor}`}`)
    paged.push(...seqs(page.records))
    cursor = page.cursor
  }
  assert.deepEqual(paged, seqs(all))
  for (const query of ['since=yesterday', 'limit=many', 'cursor=-1', 'limit=3&limit=4', 'sort=up'])
    assert.equal((await raw(gateway, `audit?${query}`)).status, 400, query)

  const size = (await gateway.admin('GET', 'audit/checkpoint')).size
  for (const [from, to] of [
    [1, size],
    [1, 1],
    [size >> 1, size - 1],
    [size - 1, size],
  ]) {
    const shown = await gateway.admin('GET', `audit/consistency?from=${from}&to=${to}`)
    const [rootFrom, rootTo, ...proof] = [shown.rootFrom, shown.rootTo, ...shown.proof].map((hash) =>
      Buffer.from(hash, 'base64'),
    )
    assert.ok(verifyConsistency(from, to, rootFrom as Buffer, rootTo as Buffer, proof), `${from} to ${to}`)
  }
  for (const sizes of ['from=0', `from=${size}&to=1`, 'from=1&to=99999'])
    assert.equal((await raw(gateway, `audit/consistency?${sizes}`)).status, 404, sizes)
})

test('auditors read, of an organization its own tree and proofs alone; nobody edits', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  await on(gateway)
  for (const id of ['acme', 'globex']) {
    await gateway.admin('POST', 'organizations', { id, name: id })
    const { key } = await gateway.admin('POST', 'keys', { name: `key of ${id}`, organization: id })
    assert.equal((await gateway.chat(MODEL, 'hello', {}, { authorization: `Bearer ${key}` })).status, 200)
  }
  await until(
    async () => (await records(gateway, 'organization=globex&kind=exchange')).length === 1,
    'recorded',
    20_000,
  )
  await until(
    async () => (await records(gateway, 'organization=acme&kind=ledger')).length === 2,
    'with its money',
    20_000,
  )
  const password = 'correct horse battery staple'
  const signIn = async (id: string, membership: object) => {
    const email = `${id}@example.com`
    await gateway.admin('POST', 'users', { id, email, password, memberships: [membership] })
    const session = await exchange(`${gateway.url}/api/session`, 'POST', { email, password })
    const cookie = /^[^;]+/.exec(String(session.headers['set-cookie']))?.[0] ?? ''
    return (method: string, path: string, body?: unknown) =>
      exchange(`${gateway.url}/api/${path}`, method, body, { cookie })
  }
  const own = (await records(gateway, 'organization=acme&kind=exchange'))[0]
  const other = (await records(gateway, 'organization=globex&kind=exchange'))[0]
  const instance = (await records(gateway, 'kind=configuration'))[0]
  const { firstKey } = await gateway.admin('GET', 'audit/status')

  const ours = await signIn('anna', { role: 'auditor', organization: 'acme' })
  const listed = await ours('GET', 'audit?organization=acme')
  assert.equal(listed.status, 200, listed.text)
  assert.ok(listed.json.records.length >= 4)
  assert.ok(listed.json.records.every(({ organization }: { organization: string }) => organization === 'acme'))
  const proof = await ours('GET', `audit/${own.seq}/proof`)
  assert.equal(proof.status, 200)
  assert.equal(proof.json.frame.organization, 'acme')
  for (const format of ['jsonl', 'csv']) {
    const out = await ours('GET', `audit?format=${format}&organization=acme`)
    assert.equal(out.status, 200)
    assert.ok(!out.text.includes('globex'))
    if (format === 'csv') continue
    const lines = out.text.split('\n').slice(0, -1)
    assert.deepEqual((await auditor.verifyExport(lines, { keys: [firstKey] })).problems, [])
  }
  assert.equal((await ours('GET', 'audit/checkpoint')).status, 200)
  assert.equal((await ours('GET', 'audit/consistency?from=1')).status, 200)
  for (const path of [
    'audit',
    'audit?organization=globex',
    'audit?format=jsonl',
    'audit?format=csv&organization=globex',
    'audit/status',
    `audit/${other.seq}/proof`,
    `audit/${instance.seq}/proof`,
  ]) {
    const answer = await ours('GET', path)
    assert.equal(answer.status, 403, `${path}: ${answer.text}`)
    assert.ok(!answer.text.includes('globex'), path)
  }
  assert.equal((await ours('GET', 'audit/999999/proof')).status, 404)

  // Each role at each place: who reads the whole, who its organization, and that there is no verb by which anybody edits.
  for (const role of ['owner', 'admin', 'member', 'viewer', 'auditor'] as const) {
    const reads = role === 'owner' || role === 'admin' || role === 'auditor' ? 200 : 403
    const everywhere = await signIn(`${role}-1`, { role })
    const there = await signIn(`${role}-2`, { role, organization: 'acme' })
    assert.equal((await everywhere('GET', 'audit')).status, reads, role)
    assert.equal((await everywhere('GET', `audit/${own.seq}/proof`)).status, reads, role)
    assert.equal((await everywhere('GET', 'audit/status')).status, reads, role)
    assert.equal((await there('GET', 'audit?organization=acme')).status, reads, role)
    assert.equal((await there('GET', `audit/${own.seq}/proof`)).status, reads, role)
    assert.equal((await there('GET', 'audit')).status, 403, role)
    assert.equal((await there('GET', `audit/${other.seq}/proof`)).status, 403, role)
    for (const who of [everywhere, there]) {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
        for (const path of ['audit', `audit/${own.seq}`, `audit/${own.seq}/proof`, 'audit/checkpoint']) {
          const { status } = await who(method, path, {})
          assert.ok(status === 404 || status === 405, `${role} ${method} ${path}: ${status}`)
        }
      }
    }
  }
  const [again] = await records(gateway, `exchange=${own.exchange}&kind=exchange`)
  assert.deepEqual(again, own)
})

test('a thread of the trail that ended is started again and goes on where the file ends', async (t) => {
  const gateway = await runGateway(t)
  await on(gateway)
  const first = idOf(await gateway.chat(MODEL, 'before'))
  await until(async () => (await records(gateway, `exchange=${first}`)).length === 3, 'it is recorded')
  await gateway.served.gateway.hostOf('audit').worker.close()
  const second = idOf(await gateway.chat(MODEL, 'after'))
  await until(async () => (await records(gateway, `exchange=${second}`)).length === 3, 'the next one, too', 10_000)
  const lines = await exported(gateway)
  const key = (await gateway.admin('GET', 'audit/status')).firstKey
  assert.deepEqual((await verifyExport(lines, { keys: [key], checkpoints: [] })).problems, [])
})

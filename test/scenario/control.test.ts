/** Runtime control: toggles, revisions, ownership, and what happens to a change that cannot be. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Module } from '../../src/core/module.ts'
import { modules } from '../../src/modules/index.ts'
import { exchange, type Running, runGateway } from '../running/index.ts'

/** What a module needs to be on itself. */
async function ready(gateway: Running, { requires = [] }: Module): Promise<void> {
  for (const id of requires) await gateway.admin('PUT', `modules/${id}`, { mode: 'enforce' })
}

for (const module of modules) {
  test(`A93: ${module.id} toggled a hundred times under traffic: no exchange fails, nothing leaks`, async (t) => {
    const gateway = await runGateway(t)
    await ready(gateway, module)
    // Somebody who is known whether identity is asked or not.
    const { headers } = gateway.key()
    let on = true
    const failures: string[] = []
    const worker = async (stream: boolean): Promise<void> => {
      for (let n = 0; on; n++) {
        const answer = await gateway.chat('openai/gpt-4o-mini', `n ${n % 3}`, { stream }, headers)
        if (answer.status !== 200) failures.push(answer.text)
      }
    }
    const workers = [worker(true), worker(false)]
    for (let i = 0; i < 100; i++)
      await gateway.admin('PUT', `modules/${module.id}`, { mode: i % 2 ? 'enforce' : 'off' })
    on = false
    await Promise.all(workers)
    assert.deepEqual(failures, [])
    assert.equal(gateway.served.gateway.snapshot.inside, 0)
    for (const instance of gateway.served.gateway.snapshot.live) assert.equal(instance.uses, 1)
  })

  test(`${module.id}: {} is valid, settings round-trip, an unknown setting is refused with its path`, async (t) => {
    const gateway = await runGateway(t)
    await ready(gateway, module)
    const { settings } = (await gateway.admin('PUT', `modules/${module.id}`, { mode: 'enforce', settings: {} })).module
    const again = (await gateway.admin('PUT', `modules/${module.id}`, { settings })).module
    assert.deepEqual(again.settings, settings)
    const url = `${gateway.url}/api/modules/${module.id}`
    const headers = { authorization: `Bearer ${gateway.adminKey}` }
    const refused = await exchange(url, 'PUT', { settings: { surely_unknown: 1 } }, headers)
    assert.equal(refused.status, 400)
    assert.match(refused.json.error.message, /settings\/surely_unknown/)
    assert.deepEqual((await gateway.admin('GET', `modules/${module.id}`)).settings, settings, 'the old ones are kept')
  })
}

test('a toggle survives a restart and is in the revisions with who, when, before and after', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/cache', { mode: 'enforce', settings: { ttlSeconds: 60 } })
  await gateway.restart()
  const cache = await gateway.admin('GET', 'modules/cache')
  assert.equal(cache.mode, 'enforce')
  assert.equal(cache.settings.ttlSeconds, 60)
  const [newest] = (await gateway.admin('GET', 'revisions')).revisions
  assert.equal(newest.actor, 'admin')
  assert.ok(Date.parse(newest.at) > Date.now() - 60_000)
  assert.equal(newest.before, null)
  assert.equal(newest.after.settings.ttlSeconds, 60)
})

test('roll back: an earlier configuration comes back as a new revision; a dry change changes nothing; a stale one is 412', async (t) => {
  const gateway = await runGateway(t)
  const first = (await gateway.admin('GET', 'revisions')).current
  await gateway.admin('PUT', 'aliases/a', { model: 'openai/gpt-4o' })
  const dry = await gateway.admin('DELETE', 'aliases/a?dry=1')
  assert.equal(dry.dry, true)
  assert.ok((await gateway.admin('GET', 'aliases')).aliases.a)
  const headers = { authorization: `Bearer ${gateway.adminKey}`, 'if-match': `"${first}"` }
  const stale = await exchange(`${gateway.url}/api/aliases/b`, 'PUT', { model: 'openai/gpt-4o' }, headers)
  assert.equal(stale.status, 412)
  assert.equal((await gateway.admin('GET', 'aliases')).aliases.b, undefined)
  const { revision } = await gateway.admin('POST', `revisions/${first}/rollback`, {})
  assert.ok(revision > first + 1)
  assert.equal((await gateway.admin('GET', 'aliases')).aliases.a, undefined)
})

test('A92: what a file owns is read-only elsewhere, and export, plan and apply round-trip', async (t) => {
  const gateway = await runGateway(t)
  const configuration = { aliases: { filed: { model: 'openai/gpt-4o' } }, modules: { cache: { mode: 'enforce' } } }
  const { changes } = await gateway.admin('POST', 'config/plan', { configuration })
  assert.equal(changes.length, 2)
  await gateway.admin('POST', 'config/apply', { name: 'stockyard.yaml', configuration })
  const headers = { authorization: `Bearer ${gateway.adminKey}` }
  const refused = await exchange(`${gateway.url}/api/aliases/filed`, 'PUT', { model: 'openai/other' }, headers)
  assert.equal(refused.status, 409)
  assert.match(refused.json.error.message, /stockyard\.yaml/)
  assert.deepEqual((await gateway.admin('POST', 'config/apply', { name: 'stockyard.yaml', configuration })).changes, [])
  const without = await gateway.admin('POST', 'config/apply', { name: 'stockyard.yaml', configuration: {} })
  assert.equal(without.changes.length, 2)
  assert.equal((await gateway.admin('GET', 'aliases')).aliases.filed, undefined)

  // What stands there becomes the file's without a change, and nothing is lost on the way: no secret, no field.
  await gateway.admin('PUT', 'routes/both', { targets: [{ upstream: 'openai', model: 'gpt-4o-mini', weight: 2 }] })
  await gateway.admin('PUT', 'aliases/gpt-4*', { model: 'both', defaults: { temperature: 0.2 } })
  await gateway.admin('PUT', 'prices/mine', { prices: [{ rates: { input: '0.15', output: '0.6' } }] })
  await gateway.admin('PUT', 'modules/cache', { mode: 'enforce', settings: { ttlSeconds: 60 } })
  const exported = await gateway.admin('GET', 'config/export')
  const plan = (await gateway.admin('POST', 'config/plan', { configuration: exported })).changes
  const objects = ['modules/cache', 'upstreams/openai', 'routes/both', 'aliases/gpt-4*', 'prices/mine']
  assert.deepEqual(
    plan.map(({ change, object }: Record<string, string>) => `${change} ${object}`),
    objects.map((object) => `own ${object}`),
  )
  await gateway.admin('POST', 'config/apply', { name: 'all.yaml', configuration: exported })
  await gateway.restart()
  assert.deepEqual(await gateway.admin('GET', 'config/export'), exported)
  assert.deepEqual((await gateway.admin('POST', 'config/plan', { configuration: exported })).changes, [])
  for (const object of objects) {
    const path = `${gateway.url}/api/${object}`
    const there = await exchange(path, 'GET', undefined, headers)
    for (const method of object.startsWith('modules') ? ['PUT'] : ['PUT', 'DELETE']) {
      const answer = await exchange(
        path,
        method,
        method === 'PUT' ? exported[object.split('/')[0] as string] : undefined,
        headers,
      )
      assert.ok(answer.status === 409 || answer.status === 400, `${method} ${object}: ${answer.status}`)
      if (method === 'DELETE') assert.match(answer.json.error.message, /all\.yaml/)
    }
    assert.deepEqual((await exchange(path, 'GET', undefined, headers)).json, there.json)
  }
  assert.equal((await gateway.chat('gpt-4-turbo', 'with the key of before')).status, 200)
  assert.equal(gateway.upstream.ledger.rows.at(-1)?.headers.authorization, 'Bearer sk-test-secret-openai')
  // A file in which one thing is wrong changes nothing at all.
  for (const wrong of [
    { aliases: { a: { model: 5 } } },
    { modules: { nope: {} } },
    { upstreams: { v1: { provider: 'openai' } } },
  ]) {
    const configuration = { ...exported, ...wrong, routes: {} }
    const answer = await exchange(`${gateway.url}/api/config/apply`, 'POST', { configuration }, headers)
    assert.ok(answer.status >= 400 && answer.status < 500, answer.text)
  }
  assert.deepEqual(await gateway.admin('GET', 'config/export'), exported)
})

test('a change that cannot be is refused whole, and the old configuration goes on', async (t) => {
  const gateway = await runGateway(t)
  const headers = { authorization: `Bearer ${gateway.adminKey}` }
  const before = (await gateway.admin('GET', 'revisions')).current
  for (const [path, body, status] of [
    ['upstreams/bad', { provider: 'nobody' }, 400],
    ['upstreams/api', { provider: 'openai' }, 400],
    ['upstreams/x', { provider: 'openai', baseUrl: 'ftp://x' }, 400],
    ['modules/nothing', { mode: 'off' }, 404],
    ['modules/cache', { mode: 'observe' }, 400],
    ['modules/cache', { mode: 'enforce', settings: { ttlSeconds: 0 } }, 400],
    ['prices/x', { prices: [{ rates: { input: '1,5' } }] }, 400],
  ] as const) {
    const answer = await exchange(`${gateway.url}/api/${path}`, 'PUT', body, headers)
    assert.equal(answer.status, status, `${path} ${JSON.stringify(body)}: ${answer.text}`)
    assert.ok(answer.json.error.code)
  }
  assert.equal((await gateway.admin('GET', 'revisions')).current, before)
  assert.equal((await gateway.chat('openai/gpt-4o-mini', 'hi')).status, 200)
})

test('a module that is off answers 404 module_disabled on its own routes', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/logs', { mode: 'off' })
  const answer = await exchange(`${gateway.url}/api/logs`, 'GET', undefined, {
    authorization: `Bearer ${gateway.adminKey}`,
  })
  assert.equal(answer.status, 404)
  assert.equal(answer.json.error.code, 'module_disabled')
})

test('A83: with bodies off, nothing that was said is kept anywhere; with bodies on, it is, unless the client objects', async (t) => {
  const gateway = await runGateway(t)
  const canary = 'canary-4711-text'
  const answer = await gateway.chat('openai/gpt-4o-mini', canary)
  const id = answer.headers['x-stockyard-request-id']
  const logged = async () => {
    for (let i = 0; i < 100; i++) {
      const found = (await gateway.admin('GET', 'logs')).entries
      if (found.some((e: { requestId: string }) => e.requestId === id)) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return JSON.stringify(await gateway.admin('GET', `logs/${id}`))
  }
  assert.ok(!(await logged()).includes(canary))
  await gateway.admin('PUT', 'modules/logs', { mode: 'enforce', settings: { bodies: true } })
  const kept = await gateway.chat('openai/gpt-4o-mini', canary)
  const objected = await gateway.chat('openai/gpt-4o-mini', canary, {}, { 'cf-aig-collect-log-payload': 'false' })
  await new Promise((resolve) => setTimeout(resolve, 400))
  const one = await gateway.admin('GET', `logs/${kept.headers['x-stockyard-request-id']}`)
  assert.ok(one.request.includes(canary) && one.reply.includes(canary))
  assert.equal((await gateway.admin('GET', `logs/${objected.headers['x-stockyard-request-id']}`)).request, undefined)
})

test('sign-in: the admin key becomes a session cookie; another site cannot use it', async (t) => {
  const gateway = await runGateway(t)
  const signedIn = await gateway.send('/api/session', { key: gateway.adminKey })
  const cookie = String(signedIn.headers['set-cookie']?.[0])
  assert.match(cookie, /HttpOnly; SameSite=Strict/)
  const session = cookie.split(';', 1)[0] as string
  assert.equal((await exchange(`${gateway.url}/api/modules`, 'GET', undefined, { cookie: session })).status, 200)
  const foreign = { cookie: session, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }
  assert.equal((await exchange(`${gateway.url}/api/modules/cache`, 'PUT', { mode: 'enforce' }, foreign)).status, 403)
  assert.equal((await gateway.send('/api/session', { key: 'wrong' })).status, 401)
})

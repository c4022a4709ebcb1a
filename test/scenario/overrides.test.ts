/** A module that differs for an organization, team or key: merged, bounded by what is above, shown with its source. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exchange, type Running, runGateway, until } from '../running/index.ts'

const MODEL = 'gpt-4o-mini'

async function tree(t: Parameters<typeof runGateway>[0]) {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  await gateway.admin('POST', 'organizations', { id: 'acme' })
  for (const team of ['ml', 'sales']) await gateway.admin('POST', 'teams', { id: team, organization: 'acme' })
  const key = async (team?: string) => gateway.admin('POST', 'keys', team ? { team } : {})
  return { gateway, ml: await key('ml'), other: await key('ml'), sales: await key('sales'), alone: await key() }
}
const put = (gateway: Running, path: string, body: object) =>
  exchange(`${gateway.url}/api/${path}`, 'PUT', body, { authorization: `Bearer ${gateway.adminKey}` })
let n = 0
/** Asks the same twice: what the second answer says of the cache. */
async function cached(gateway: Running, { key }: { key: string }, stream = false): Promise<unknown> {
  const text = `words ${n++}`
  const headers = { authorization: `Bearer ${key}` }
  const first = await gateway.chat(MODEL, text, { stream }, headers)
  assert.equal(first.status, 200, first.text)
  if (first.headers['x-stockyard-cache'] === undefined) return undefined
  let seen: unknown
  await until(async () => {
    seen = (await gateway.chat(MODEL, text, { stream }, headers)).headers['x-stockyard-cache']
    return seen === 'hit'
  }, 'the reply is kept')
  return seen
}

test('a module is on for a team or a key alone, streamed and not, and the rest passes by it', async (t) => {
  const { gateway, ml, other, sales, alone } = await tree(t)
  assert.equal(gateway.served.gateway.snapshot.pipelineFor, undefined, 'without overrides nobody looks for one')
  await gateway.admin('PUT', 'overrides/team:ml', { modules: { cache: { mode: 'enforce' } } })
  for (const stream of [false, true]) {
    assert.equal(await cached(gateway, ml, stream), 'hit')
    assert.equal(await cached(gateway, other, stream), 'hit')
    assert.equal(await cached(gateway, sales, stream), undefined)
    assert.equal(await cached(gateway, alone, stream), undefined)
  }
  await gateway.admin('PUT', `overrides/key:${sales.id}`, { modules: { cache: { mode: 'enforce' } } })
  assert.equal(await cached(gateway, sales), 'hit')
  await gateway.restart()
  assert.equal(await cached(gateway, ml), 'hit')
  await gateway.admin('DELETE', 'overrides/team:ml')
  await gateway.admin('DELETE', `overrides/key:${sales.id}`)
  assert.equal(await cached(gateway, ml), undefined)
  const { live } = gateway.served.gateway.snapshot
  await until(() => live.every(({ uses }) => uses === 1), 'what was compiled for places has stopped')
})

test('a lower place may only be stricter, until the one above unlocks the module', async (t) => {
  const { gateway, ml } = await tree(t)
  await gateway.admin('PUT', 'modules/cache', { mode: 'enforce', settings: { ttlSeconds: 600 } })
  const refused = async (place: string, told: object, problem: RegExp) => {
    const answer = await put(gateway, `overrides/${place}`, { modules: { cache: told } })
    assert.equal(answer.status, 400, answer.text)
    assert.match(answer.text, problem)
  }
  await refused('team:ml', { mode: 'off' }, /looser than/)
  await refused('team:ml', { settings: { ttlSeconds: 601 } }, /may only become stricter/)
  await refused('team:ml', { settings: { singleFlight: false } }, /may only become stricter/)
  await refused('team:ml', { settings: { surelyUnknown: 1 } }, /surelyUnknown|stricter/)
  await refused('team:nobody', { mode: 'enforce' }, /no such team/)
  await refused('planet:earth', { mode: 'enforce' }, /no place/)
  await refused('team:ml', { mode: 'observe' }, /looser than|cannot only observe/)
  const identity = await put(gateway, 'overrides/team:ml', { modules: { keys: { mode: 'off' } } })
  assert.match(identity.text, /the same for everybody/)
  const retention = await put(gateway, 'overrides/team:ml', { modules: { logs: { settings: { bodyDays: 8 } } } })
  assert.match(retention.text, /may only become stricter/)
  const size = { logs: { settings: { maxFileBytes: 2_000_000 } } }
  assert.match((await put(gateway, 'overrides/team:ml', { modules: size })).text, /the same for everybody/)
  await gateway.admin('PUT', 'overrides/organization:acme', { modules: { cache: { settings: { ttlSeconds: 60 } } } })
  await refused('team:ml', { settings: { ttlSeconds: 61 } }, /may only become stricter/)
  await refused(`key:${ml.id}`, { settings: { ttlSeconds: 300 } }, /may only become stricter/)
  await gateway.admin('PUT', 'overrides/team:ml', {
    modules: { cache: { settings: { ttlSeconds: 30 }, unlocked: true } },
  })
  await gateway.admin('PUT', `overrides/key:${ml.id}`, {
    modules: { cache: { mode: 'off', settings: { ttlSeconds: 900 } } },
  })
  assert.equal(await cached(gateway, ml), undefined)
  const locking = await put(gateway, 'overrides/team:ml', { modules: { cache: { settings: { ttlSeconds: 30 } } } })
  assert.equal(locking.status, 400, 'what is below would be too loose')
  assert.match(locking.text, /overrides\/key:/)
  const effective = await gateway.admin('GET', `effective?key=${ml.id}`)
  assert.deepEqual(effective.places, ['organization:acme', 'team:ml', `key:${ml.id}`])
  const { mode, settings } = effective.modules.cache
  assert.deepEqual(mode, { value: 'off', source: `key:${ml.id}` })
  assert.deepEqual(settings.ttlSeconds, { value: 900, source: `key:${ml.id}` })
  assert.deepEqual((await gateway.admin('GET', 'effective?team=ml')).modules.cache.settings.ttlSeconds, {
    value: 30,
    source: 'team:ml',
  })
  assert.deepEqual((await gateway.admin('GET', 'effective?organization=acme')).modules.cache.mode, {
    value: 'enforce',
    source: 'instance',
  })
  assert.equal((await gateway.admin('GET', 'effective')).modules.failover.mode.source, 'default')
})

test('overrides are part of the revision: exported, planned, applied, rolled back', async (t) => {
  const { gateway, ml } = await tree(t)
  const before = (await gateway.admin('GET', 'revisions')).current
  await gateway.admin('PUT', 'overrides/team:ml', { modules: { cache: { mode: 'enforce' } } })
  const exported = await gateway.admin('GET', 'config/export')
  assert.deepEqual(exported.overrides, { 'team:ml': { modules: { cache: { mode: 'enforce' } } } })
  assert.equal(await cached(gateway, ml), 'hit')
  await gateway.admin('POST', `revisions/${before}/rollback`)
  assert.equal(await cached(gateway, ml), undefined)
  const { changes } = await gateway.admin('POST', 'config/apply', {
    name: 'stockyard.yaml',
    configuration: { overrides: exported.overrides },
  })
  assert.equal(changes[0].object, 'overrides/team:ml')
  assert.equal(await cached(gateway, ml), 'hit')
  assert.equal((await put(gateway, 'overrides/team:ml', { modules: {} })).status, 409)
})

test('guardrails and personal data are looked after for one team alone, with settings of its own; streams too', async (t) => {
  const { gateway, ml, sales } = await tree(t)
  const rules = [{ id: 'no-goats', type: 'words', words: ['goat'] }]
  await gateway.admin('PUT', 'overrides/team:ml', {
    modules: {
      guardrails: { mode: 'enforce', settings: { rules } },
      pii: { mode: 'enforce', settings: { action: 'mask' } },
    },
  })
  const ask = ({ key }: { key: string }, text: string, stream: boolean) =>
    gateway.chat(MODEL, text, { stream }, { authorization: `Bearer ${key}` })
  for (const stream of [false, true]) {
    assert.equal((await ask(ml, 'a goat', stream)).json.error.code, 'guardrail_blocked')
    assert.equal((await ask(sales, 'a goat', stream)).status, 200)
    assert.match((await ask(ml, 'ada@example.com', stream)).text, /EMAIL/)
    const sent = () => gateway.upstream.ledger.rows.at(-1)?.rawBody ?? ''
    assert.ok(!sent().includes('ada@'))
    await ask(sales, 'ada@example.com', stream)
    assert.ok(sent().includes('ada@'))
  }
  const tried = await gateway.admin('POST', 'modules/pii/try', { text: 'ada@example.com' })
  assert.match(tried.redacted, /^\[EMAIL_\w+\]$/, 'what is tried is tried as it holds for the instance')
  const over = await put(gateway, 'modules/guardrails', { mode: 'enforce' })
  assert.match(over.text, /overrides\/team:ml/, 'it would let the team choose what nobody unlocked')
  await gateway.admin('DELETE', 'overrides/team:ml')
  await gateway.admin('PUT', 'modules/guardrails', { mode: 'enforce', settings: { rules } })
  const loosened = await put(gateway, 'overrides/team:sales', { modules: { guardrails: { settings: { rules: [] } } } })
  assert.match(loosened.text, /unlock the module above first/)
})

test('fewer attempts and a shorter wait for one team; more of them, or of all places, is not a team’s to say', async (t) => {
  const { gateway, ml, sales } = await tree(t)
  await gateway.admin('PUT', 'overrides/team:ml', {
    modules: { failover: { settings: { attempts: 1 } }, queue: { mode: 'enforce', settings: { maxWaiting: 0 } } },
  })
  await gateway.admin('PUT', 'routes/safe', {
    targets: [`${MODEL}+status=503`, MODEL].map((model) => ({ upstream: 'openai', model })),
  })
  const asked = async ({ key }: { key: string }) =>
    (await gateway.chat('safe', 'hi', {}, { authorization: `Bearer ${key}` })).status
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  assert.equal(await asked(ml), 503)
  assert.equal(await asked(sales), 200)
  for (const told of [{ failover: { settings: { attempts: 9 } } }, { queue: { settings: { concurrent: 9 } } }]) {
    assert.equal((await put(gateway, 'overrides/team:sales', { modules: told })).status, 400)
  }
})

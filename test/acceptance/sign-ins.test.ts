/**
 * A69: a client signed in at a vendor sends the gateway's key in a header of its own. Its token reaches that vendor where an
 * administrator allows it there, and no other address, however a request is routed; and what it used is booked.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { exchange, type Running, runGateway } from '../running/index.ts'

const TOKEN = 'sk-ant-oat01-of-somebody-signed-in-4711'
const POOLED = 'sk-ant-of-the-pool'
const MODEL = 'claude-sonnet-4-5'

async function start(t: Parameters<typeof runGateway>[0], more: object = {}): Promise<Running> {
  const gateway = await runGateway(t, { upstreams: { openai: 'openai' } })
  const at = { baseUrl: gateway.upstream.url, credentials: [{ id: 'main', secret: POOLED }] }
  await gateway.admin('PUT', 'upstreams/anthropic', { provider: 'anthropic', ...at, ...more })
  await gateway.admin('PUT', 'upstreams/second', { provider: 'anthropic', ...at })
  await gateway.admin('PUT', 'upstreams/foundry', { provider: 'azure-foundry', ...at, callerKeys: true })
  await gateway.admin('PUT', 'upstreams/custom', { provider: 'custom', ...at, callerKeys: true })
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce', settings: {} })
  await gateway.admin('PUT', 'modules/logs', { mode: 'enforce', settings: { bodies: true } })
  await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: {} })
  return gateway
}

const signedIn = (key: string) => ({
  'x-stockyard-key': key,
  authorization: `Bearer ${TOKEN}`,
  'anthropic-version': '2023-06-01',
  'anthropic-beta': 'claude-code-20250219,oauth-2025-04-20',
})
const ask = (gateway: Running, model: string, headers: Record<string, string>, stream = false) =>
  gateway.send('/v1/messages', { model, stream, max_tokens: 50, messages: [{ role: 'user', content: 'hi' }] }, headers)
const sent = (gateway: Running) =>
  gateway.upstream.ledger.rows.map(({ headers }) => [
    headers.authorization,
    headers['x-api-key'],
    headers['x-stockyard-key'],
  ])

for (const stream of [false, true]) {
  test(`A69: the token goes to its own vendor in place of a pooled key, and is booked to the gateway's key${stream ? ', streamed' : ''}`, async (t) => {
    const gateway = await start(t, { callerKeys: true })
    const { key, id } = gateway.key()
    const answer = await ask(gateway, MODEL, signedIn(key), stream)
    assert.equal(answer.status, 200, answer.text)
    assert.deepEqual(sent(gateway), [[`Bearer ${TOKEN}`, undefined, undefined]])
    assert.equal(gateway.upstream.ledger.rows[0]?.headers['anthropic-beta'], 'claude-code-20250219,oauth-2025-04-20')
    const rows = (await gateway.usage('principal,upstream')) as unknown as { group: object; costUsd: string }[]
    assert.deepEqual(
      rows.map(({ group }) => group),
      [{ principal: id, upstream: 'anthropic' }],
    )
    assert.ok(Number(rows[0]?.costUsd) > 0)
  })
}

test('what a caller’s own sign-in pays costs nothing here: budgets let it through, and its tokens are counted', async (t) => {
  const gateway = await start(t, { callerKeys: true, callerPays: true })
  await gateway.admin('PUT', 'modules/budgets', { mode: 'enforce', settings: { onInsufficient: 'fallback' } })
  const { key, id } = gateway.key()
  const scope = { key: id }
  await gateway.admin('POST', 'budgets', { scope, amountUsd: '0.000001', window: { kind: 'lifetime' } })
  for (const stream of [false, true]) {
    for (const model of [MODEL, 'anthropic/claude-of-tomorrow']) {
      const answer = await ask(gateway, model, signedIn(key), stream)
      assert.equal(answer.status, 200, answer.text)
    }
  }
  const native = await gateway.send(
    '/anthropic/v1/messages',
    { model: MODEL, max_tokens: 50, messages: [{ role: 'user', content: 'hi' }] },
    signedIn(key),
  )
  assert.equal(native.status, 200, native.text)
  assert.deepEqual([...new Set(sent(gateway).map(([token]) => token))], [`Bearer ${TOKEN}`])
  const pooled = { 'x-stockyard-key': key }
  assert.equal((await ask(gateway, MODEL, pooled)).status, 429, 'what the pool would pay does not fit')
  const second = await ask(gateway, `second/${MODEL}`, signedIn(key))
  assert.equal(second.status, 429, 'nor what another upstream would')
  type Sum = { costUsd: string; attempts: number; unpriced: number; tokens: { input: number; output: number } }
  const booked = async () => (await gateway.usage('principal')) as unknown as Sum[]
  const [row] = await booked()
  assert.deepEqual([row?.costUsd, Number(row?.attempts), Number(row?.unpriced)], ['0', 5, 0])
  assert.ok((row?.tokens.input ?? 0) > 0 && (row?.tokens.output ?? 0) > 0)
  await gateway.admin('POST', 'usage/reprice', { upstream: 'anthropic', model: MODEL, all: true })
  assert.equal((await booked())[0]?.costUsd, '0', 'another price changes nothing about it')
})

test('A69: without an administrator’s word the pool pays, and the token goes nowhere', async (t) => {
  const gateway = await start(t)
  const { key } = gateway.key()
  assert.equal((await ask(gateway, MODEL, signedIn(key))).status, 200)
  assert.deepEqual(sent(gateway), [[undefined, POOLED, undefined]])
})

test('A69: it reaches no other address, by name, by failover, in a mirror, natively or for counting', async (t) => {
  const gateway = await start(t, { callerKeys: true })
  const { key } = gateway.key({ endpoints: ['native', 'chat', 'objects'] } as never)
  const targets = ['anthropic', 'second'].map((upstream) => ({ upstream, model: MODEL }))
  await gateway.admin('PUT', 'routes/both', { targets, mirror: { upstream: 'custom', model: 'm', percent: 100 } })
  gateway.upstream.script({
    match: (row) => row.headers.authorization === `Bearer ${TOKEN}`,
    behaviour: 'status=529',
    times: Number.POSITIVE_INFINITY,
  })
  const saved = await ask(gateway, 'both', signedIn(key))
  assert.equal(saved.headers['x-stockyard-upstream'], 'second', saved.text)
  for (const model of ['second/claude-haiku-4-5', 'foundry/claude-sonnet-4-5', 'openai/gpt-4o-mini', 'custom/m']) {
    for (const stream of [false, true]) await ask(gateway, model, signedIn(key), stream)
  }
  await gateway.chat('custom/m', 'hi', {}, signedIn(key))
  for (const path of [
    '/second/v1/messages',
    '/foundry/anthropic/v1/messages',
    '/custom/anything',
    '/openai/v1/anything',
  ]) {
    await gateway.send(path, { model: MODEL, max_tokens: 5, messages: [{ role: 'user', content: 'x' }] }, signedIn(key))
  }
  await gateway.send(
    '/v1/messages/count_tokens',
    { model: 'second/x', messages: [{ role: 'user', content: 'x' }] },
    signedIn(key),
  )
  const rows = gateway.upstream.ledger.rows.filter((row) => JSON.stringify(row).includes(TOKEN))
  assert.ok(gateway.upstream.ledger.rows.length > rows.length + 8)
  for (const row of rows) assert.equal(row.status, 529, `${row.path} had the token`)
  assert.equal(JSON.stringify(gateway.upstream.ledger.rows).includes(key), false)
})

test('A69: the key in the header of its own is the one that counts, and neither is kept anywhere', async (t) => {
  const gateway = await start(t, { callerKeys: true })
  const { key } = gateway.key()
  const wrong = await ask(gateway, MODEL, signedIn('sk-sy-nonsense'))
  assert.equal(wrong.status, 401)
  // The vendor's token alone is no key here.
  const { 'x-stockyard-key': _, ...alone } = signedIn(key)
  assert.equal((await ask(gateway, MODEL, alone)).status, 401)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
  const answer = await ask(gateway, `${MODEL}+echo-key`, signedIn(`Bearer ${key}`))
  assert.equal(answer.status, 502)
  assert.doesNotMatch(answer.text + JSON.stringify(answer.headers), new RegExp(TOKEN))
  const list = await exchange(`${gateway.url}/v1/models`, 'GET', undefined, signedIn(key))
  assert.equal(list.status, 200)
  await gateway.restart()
  for (const file of readdirSync(gateway.dataDir).filter((name) => /\.db/.test(name))) {
    const bytes = readFileSync(join(gateway.dataDir, file))
    for (const secret of [TOKEN, key]) assert.equal(bytes.includes(secret), false, `${file} holds a secret`)
  }
})

test('A69: a program of this machine needs no key of the gateway to use its sign-in', async (t) => {
  const gateway = await start(t, { callerKeys: true })
  await gateway.admin('PUT', 'modules/keys', { mode: 'off', settings: {} })
  const { 'x-stockyard-key': _, ...alone } = signedIn('')
  assert.equal((await ask(gateway, MODEL, alone, true)).status, 200)
  assert.equal((await ask(gateway, 'second/claude-haiku-4-5', alone, true)).status, 200)
  assert.equal((await ask(gateway, 'custom/m', alone)).status, 200)
  assert.deepEqual(
    sent(gateway).map(([authorization]) => authorization?.includes(TOKEN) === true),
    [true, false, false],
  )
})

/** Targets and keys that fail are left alone, are found out to be back, and say when they will be. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Running, runGateway, until } from '../running/index.ts'

const breakers = (gateway: Running, settings: object) =>
  gateway.admin('PUT', 'modules/breakers', { mode: 'enforce', settings })
const failover = (gateway: Running, settings: object) =>
  gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: { firstBackoffMs: 1, ...settings } })
const calls = (gateway: Running): number => gateway.upstream.ledger.rows.length
const keysUsed = (gateway: Running): string[] =>
  gateway.upstream.ledger.rows.map(({ headers }) => String(headers.authorization).replace('Bearer sk-test-secret-', ''))

const oneOf = async (gateway: Running): Promise<{ state: string; reason: string }> =>
  (await gateway.admin('GET', 'health/targets')).targets.find((t: { upstream: string }) => t.upstream === 'one')

const pair = (gateway: Running, first: string, second = 'gpt-4o-mini') =>
  gateway.admin('PUT', 'routes/r', {
    targets: [
      { upstream: 'one', model: first },
      { upstream: 'two', model: second },
    ],
  })
const two = { upstreams: { one: 'openai', two: 'openai' } }

for (const stream of [false, true]) {
  test(`A74: ${stream ? 'streamed: ' : ''}a failing target is left after the window says so, and heals by one probe`, async (t) => {
    const gateway = await runGateway(t, two)
    await failover(gateway, { attemptsPerTarget: 1 })
    await breakers(gateway, { minimumCalls: 4, cooldownMs: 3_000 })
    await pair(gateway, 'gpt-4o-mini+500-then-ok=4')
    for (let i = 0; i < 10; i++) assert.equal((await gateway.chat('r', 'hi', { stream })).status, 200)
    const atOne = () => keysUsed(gateway).filter((key) => key === 'one').length
    assert.equal(atOne(), 4, 'then it is left alone')
    const one = await oneOf(gateway)
    assert.equal(one.state, 'open')
    assert.match(one.reason, /upstream_error/)
    assert.match(
      (await gateway.metrics()).text,
      /stockyard_target_out\{upstream="one",model="gpt-4o-mini\+500-then-ok=4"\} 1/,
    )
    await until(async () => (await oneOf(gateway)).state === 'half-open', 'it has rested')
    const back = await Promise.all(Array.from({ length: 5 }, () => gateway.chat('r', 'hi', { stream })))
    assert.deepEqual(
      back.map(({ status }) => status),
      Array(5).fill(200),
    )
    assert.equal((await gateway.chat('r', 'home again')).headers['x-stockyard-upstream'], 'one', 'traffic returns')
  })
}

test('A74: a probe that fails keeps it closed to others; a longer Retry-After extends, a shorter one never shortens', async (t) => {
  const gateway = await runGateway(t, two)
  await failover(gateway, { attemptsPerTarget: 1, maxRetryAfterMs: 0 })
  await breakers(gateway, { minimumCalls: 1, cooldownMs: 3_000 })
  await gateway.admin('PUT', 'routes/r', { targets: [{ upstream: 'one', model: 'gpt-4o-mini' }] })
  gateway.upstream.script({ behaviour: 'status=500', times: 2 })
  assert.equal((await gateway.chat('r', 'hi')).status, 500)
  assert.equal((await gateway.chat('r', 'hi')).status, 503)
  assert.equal(calls(gateway), 1)
  await until(async () => (await oneOf(gateway)).state === 'half-open', 'it has rested')
  const probing = await Promise.all(Array.from({ length: 4 }, () => gateway.chat('r', 'hi')))
  assert.deepEqual(probing.map(({ status }) => status).sort(), [500, 503, 503, 503], 'one probe')
  assert.equal(calls(gateway), 2)
  await gateway.admin('POST', 'health/targets/reset')
  gateway.upstream.script({ behaviour: 'status=503,retry-after=30' })
  assert.equal((await gateway.chat('r', 'hi')).status, 503)
  const resting = await gateway.chat('r', 'hi')
  assert.equal(resting.status, 503)
  const wait = Number(resting.headers['retry-after'])
  assert.ok(wait > 20 && wait <= 30, `${wait} s`)
})

test('A75: a revoked key among good ones costs nobody an answer, retires at once, and is said to be out', async (t) => {
  const gateway = await runGateway(t, { upstreams: {} })
  await failover(gateway, {})
  const credentials = ['bad', 'good', 'better'].map((id) => ({
    id,
    secret: `sk-test-secret-${id}`,
    weight: id === 'bad' ? 1e9 : 1,
  }))
  const baseUrl = `${gateway.upstream.url}/v1`
  await gateway.admin('PUT', 'upstreams/pool', { provider: 'openai', baseUrl, credentials })
  for (const behaviour of [
    'status=401',
    'status=402',
    'status=429,error-code=insufficient_quota',
    'status=403',
  ] as const) {
    await gateway.admin('POST', 'health/targets/reset')
    gateway.upstream.ledger.reset()
    gateway.upstream.script({
      match: ({ headers }) => String(headers.authorization).endsWith('-bad'),
      behaviour,
      times: 1,
    })
    for (let i = 0; i < 6; i++) {
      const answer = await gateway.chat('pool/gpt-4o-mini', `question ${i}`, { stream: i % 2 === 0 })
      assert.equal(answer.status, 200, `${behaviour}: ${answer.text}`)
    }
    assert.equal(keysUsed(gateway).filter((key) => key === 'bad').length, 1, `${behaviour}: asked once, then retired`)
    assert.equal(calls(gateway), 7)
    const { keys } = await gateway.admin('GET', 'health/targets')
    const bad = keys.find((key: { credential: string }) => key.credential === 'bad')
    assert.equal(bad.state, 'open', JSON.stringify(bad))
    assert.match(bad.reason, /its key was refused|its account has no quota left/)
    assert.match((await gateway.metrics()).text, /stockyard_key_out\{upstream="pool",credential="bad"\} 1/)
  }
  // A new secret under the same id is a new key.
  await gateway.admin('POST', 'health/targets/reset')
  gateway.upstream.script({
    match: ({ headers }) => String(headers.authorization).endsWith('-bad'),
    behaviour: 'status=401',
  })
  assert.equal((await gateway.chat('pool/gpt-4o-mini', 'once more')).status, 200)
  await gateway.admin('PUT', 'upstreams/pool', {
    provider: 'openai',
    baseUrl,
    credentials: credentials.map((c) => (c.id === 'bad' ? { ...c, secret: 'sk-test-secret-renewed' } : c)),
  })
  gateway.upstream.ledger.reset()
  assert.equal((await gateway.chat('pool/gpt-4o-mini', 'with the new one')).status, 200)
  assert.deepEqual(keysUsed(gateway), ['renewed'])
})

for (const stream of [false, true]) {
  test(`A75: ${stream ? 'streamed: ' : ''}a 403 about a model rests the key for that model alone, and another key is asked`, async (t) => {
    const gateway = await runGateway(t, { upstreams: {} })
    const credentials = [
      { id: 'small', secret: 'sk-test-secret-small', weight: 1e9 },
      { id: 'large', secret: 'sk-test-secret-large' },
    ]
    const baseUrl = `${gateway.upstream.url}/v1`
    await gateway.admin('PUT', 'upstreams/pool', { provider: 'openai', baseUrl, credentials })
    gateway.upstream.script({
      match: ({ headers, model }) => String(headers.authorization).endsWith('-small') && model === 'gpt-4o',
      behaviour: `status=403,error-code=model_not_found,error-message=${encodeURIComponent('Project `p` does not have access to model `gpt-4o`')}`,
      times: 100,
    })
    for (let i = 0; i < 3; i++) {
      assert.equal((await gateway.chat('pool/gpt-4o', 'hi', { stream })).status, 200)
      assert.equal((await gateway.chat('pool/gpt-4o-mini', 'hi', { stream })).status, 200)
    }
    assert.deepEqual(keysUsed(gateway), ['small', 'large', 'small', 'large', 'small', 'large', 'small'])
    const { keys } = await gateway.admin('GET', 'health/targets')
    const small = keys.find((key: { credential: string }) => key.credential === 'small')
    assert.equal(small.state, 'closed')
    assert.equal(small.resting[0].model, 'gpt-4o')
    assert.match(small.resting[0].reason, /may not use this model/)
  })
}

test('A75: a 429 moves to the next key; keys keep within their own limits; weights share the calls', async (t) => {
  const gateway = await runGateway(t, { upstreams: {} })
  await failover(gateway, {})
  const baseUrl = `${gateway.upstream.url}/v1`
  const put = (a: object, b: object) =>
    gateway.admin('PUT', 'upstreams/pool', {
      provider: 'openai',
      baseUrl,
      credentials: [
        { id: 'a', secret: 'sk-test-secret-a', ...a },
        { id: 'b', secret: 'sk-test-secret-b', ...b },
      ],
    })
  await put({ weight: 1e9 }, {})
  gateway.upstream.script({ behaviour: 'status=429,retry-after=30' })
  assert.equal((await gateway.chat('pool/gpt-4o-mini', 'hi')).status, 200)
  assert.equal((await gateway.chat('pool/gpt-4o-mini', 'hi')).status, 200)
  assert.deepEqual(keysUsed(gateway), ['a', 'b', 'b'])
  assert.equal((await gateway.chat('pool/gpt-4o', 'another model is not limited')).status, 200)
  assert.equal(keysUsed(gateway).at(-1), 'a')
  await gateway.admin('POST', 'health/targets/reset')
  gateway.upstream.ledger.reset()
  await gateway.admin('DELETE', 'upstreams/pool')
  await put({ weight: 1e9, limits: { requestsPerMinute: 2 } }, {})
  await gateway.admin('PUT', 'upstreams/pool', {
    provider: 'openai',
    baseUrl,
    credentials: [
      { id: 'c', secret: 'sk-test-secret-c', weight: 1e9, limits: { requestsPerMinute: 2 } },
      { id: 'd', secret: 'sk-test-secret-d' },
    ],
  })
  for (let i = 0; i < 5; i++) assert.equal((await gateway.chat('pool/gpt-4o-mini', `hi ${i}`)).status, 200)
  assert.ok(keysUsed(gateway).filter((key) => key === 'd').length >= 1, keysUsed(gateway).join(' '))
})

test('A76: when all rest the answer says why and when: 429 for limits, 503 for faults; a short rest is waited out', async (t) => {
  const gateway = await runGateway(t, two)
  await failover(gateway, { attemptsPerTarget: 1, maxRetryAfterMs: 1_000 })
  await pair(gateway, 'gpt-4o-mini+status=429+retry-after=20', 'gpt-4o-mini+status=429+retry-after=40')
  assert.equal((await gateway.chat('r', 'hi')).status, 429)
  gateway.upstream.ledger.reset()
  for (const stream of [false, true]) {
    const limited = await gateway.chat('r', 'hi', { stream })
    assert.equal(limited.status, 429)
    assert.ok(Number(limited.headers['retry-after']) <= 20, 'the soonest')
    assert.ok(Number(limited.headers['retry-after']) > 10)
    assert.match(limited.json.error.message, /one\/.*rate limited.*two\//)
  }
  assert.equal(calls(gateway), 0, 'nobody is called')
  await gateway.admin('POST', 'health/targets/reset')
  await failover(gateway, { maxRetryAfterMs: 1_000 })
  await gateway.admin('PUT', 'routes/r', { targets: [{ upstream: 'one', model: 'gpt-4o-mini' }] })
  gateway.upstream.script({ behaviour: 'status=429,retry-after-ms=700' })
  const [first, second] = await Promise.all([
    gateway.chat('r', 'the one that is told to wait'),
    sleep(100).then(() => gateway.chat('r', 'the one that comes meanwhile')),
  ])
  assert.deepEqual([first.status, second.status], [200, 200])
  assert.equal(calls(gateway), 3)
})

test('T51: a storm of 429 and 503 is not answered with a storm: at most 1.1 calls a request', async (t) => {
  for (const behaviour of ['status=503', 'status=503+retry-after=1', 'status=429', 'status=500']) {
    const gateway = await runGateway(t, two)
    await failover(gateway, { maxRetryAfterMs: 0 })
    await gateway.admin('PUT', 'routes/r', { targets: [{ upstream: 'one', model: `gpt-4o-mini+${behaviour}` }] })
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        await sleep(i * 5)
        return gateway.chat('r', 'hi', { stream: i % 2 === 0 })
      }),
    )
    assert.ok(answers.every(({ status }) => status === 429 || status >= 500))
    assert.ok(calls(gateway) <= 220, `${behaviour}: ${calls(gateway)} calls for 200 requests`)
  }
})

test('a probe that its client leaves is given back', async (t) => {
  const gateway = await runGateway(t, two)
  await breakers(gateway, { minimumCalls: 1, cooldownMs: 200 })
  await failover(gateway, { attemptsPerTarget: 1, maxRetryAfterMs: 0 })
  await gateway.admin('PUT', 'routes/r', { targets: [{ upstream: 'one', model: 'gpt-4o-mini' }] })
  gateway.upstream.script({ behaviour: 'status=500' })
  assert.equal((await gateway.chat('r', 'hi')).status, 500)
  await until(async () => (await oneOf(gateway)).state === 'half-open', 'it has rested')
  gateway.upstream.script({ behaviour: 'hang-headers' })
  const leaving = new AbortController()
  const left = fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'r', messages: [{ role: 'user', content: 'hi' }] }),
    signal: leaving.signal,
  }).catch(() => undefined)
  await until(() => calls(gateway) === 2, 'the probe is upstream')
  leaving.abort()
  await left
  await until(async () => (await gateway.chat('r', 'hi')).status === 200, 'the next one may probe')
})

const looks = (gateway: Running) => gateway.upstream.ledger.rows.filter(({ method }) => method === 'GET')
const checked = (gateway: Running, everyMs?: number) =>
  gateway.admin('PUT', 'upstreams/one', {
    provider: 'openai',
    baseUrl: `${gateway.upstream.url}/v1`,
    credentials: [{ id: 'main', secret: 'sk-test-secret-one' }],
    ...(everyMs === undefined ? {} : { healthCheck: { everyMs } }),
  })

test('A77: a free look only lets the next call find out sooner, once per rest; nobody is looked at unasked or in health', async (t) => {
  const gateway = await runGateway(t, { upstreams: {} })
  await failover(gateway, { attempts: 1 })
  await breakers(gateway, { minimumCalls: 1, cooldownMs: 60_000 })
  await checked(gateway)
  const fail = () => gateway.upstream.script({ match: ({ method }) => method === 'POST', behaviour: 'status=500' })
  fail()
  assert.equal((await gateway.chat('one/gpt-4o-mini', 'hi')).status, 500)
  await sleep(300)
  assert.equal(looks(gateway).length, 0, 'off unless asked for')
  assert.equal((await gateway.chat('one/gpt-4o-mini', 'hi')).status, 503)
  // The list cannot be read either: the rest goes on.
  gateway.upstream.script({ match: ({ method }) => method === 'GET', behaviour: 'status=503', times: 2 })
  await checked(gateway, 100)
  await until(() => looks(gateway).length >= 2, 'it was looked at twice')
  assert.equal(looks(gateway)[0]?.path, '/v1/models')
  // Then it can: the next call finds out, and what it finds counts.
  fail()
  await until(async () => (await oneOf(gateway)).state === 'half-open', 'a call may find out')
  const { checks } = await gateway.admin('GET', 'health/targets')
  assert.equal(checks[0].upstream, 'one')
  assert.equal(checks[0].status, 200)
  assert.equal((await gateway.chat('one/gpt-4o-mini', 'hi')).status, 500)
  const looked = looks(gateway).length
  await sleep(300)
  assert.equal(
    looks(gateway).length,
    looked,
    'a list that says nothing of the calls does not make the rest shorter again',
  )
  assert.equal((await gateway.chat('one/gpt-4o-mini', 'hi')).status, 503)
  await gateway.admin('POST', 'health/targets/reset')
  assert.equal((await gateway.chat('one/gpt-4o-mini', 'hi')).status, 200)
  await sleep(300)
  assert.equal(looks(gateway).length, looked, 'all is well: nobody is asked')
  assert.equal(
    (await gateway.usage()).reduce((sum, row) => sum + Number(row.attempts), 0),
    3,
    'looks are no attempts',
  )
})

test('A77: a refused key is looked at with itself; one without money, or told when, is not looked at', async (t) => {
  const gateway = await runGateway(t, { upstreams: {} })
  await failover(gateway, { attempts: 1, maxRetryAfterMs: 0 })
  await breakers(gateway, { minimumCalls: 1 })
  await checked(gateway, 100)
  const posts = (behaviour: string) => gateway.upstream.script({ match: ({ method }) => method === 'POST', behaviour })
  for (const behaviour of ['status=402', 'status=429,retry-after=30', 'status=503,retry-after=30']) {
    posts(behaviour)
    await gateway.chat('one/gpt-4o-mini', 'hi')
    await sleep(300)
    assert.equal(looks(gateway).length, 0, behaviour)
    assert.ok((await gateway.chat('one/gpt-4o-mini', 'hi')).status >= 429, behaviour)
    await gateway.admin('POST', 'health/targets/reset')
  }
  gateway.upstream.script({ match: ({ method }) => method === 'GET', behaviour: 'status=401', times: 2 })
  posts('status=401')
  assert.equal((await gateway.chat('one/gpt-4o-mini', 'hi')).status, 502)
  await until(async () => (await gateway.chat('one/gpt-4o-mini', 'hi')).status === 200, 'the key is back')
  assert.equal(looks(gateway).length, 3)
  assert.equal(looks(gateway)[0]?.headers.authorization, 'Bearer sk-test-secret-one')
})

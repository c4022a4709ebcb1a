/** One retry layer, counted where it matters: at the upstream. And connections that an upstream closes on its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Running, runGateway } from '../running/index.ts'

const calls = (gateway: Running): number => gateway.upstream.ledger.rows.length

/** Quick, and without a memory of earlier failures, so that what is counted is what is tested. */
async function quick(gateway: Running, more: object = {}): Promise<void> {
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  await gateway.admin('PUT', 'modules/failover', {
    mode: 'enforce',
    settings: { firstBackoffMs: 1, maxBackoffMs: 1, ...more },
  })
}

const chain = (gateway: Running, first: string, second: string) =>
  gateway.admin('PUT', 'routes/chain', {
    targets: [
      { upstream: 'one', model: first },
      { upstream: 'two', model: second },
    ],
  })

for (const [behaviour, alone, withNext] of [
  ['status=500', 2, 4],
  ['status=502', 2, 4],
  // An overloaded upstream is left alone.
  ['status=503', 1, 2],
  ['status=429+retry-after=0', 2, 4],
  // Longer than is waited for: elsewhere at once.
  ['status=429+retry-after=60', 1, 2],
  ['status=429+error-code=insufficient_quota', 1, 2],
  ['status=401', 1, 2],
  ['status=400', 1, 1],
  ['status=422', 1, 1],
] as const) {
  test(`A73: ${behaviour}: ${alone} calls to one target, ${withNext} to two, none with failover off`, async (t) => {
    const gateway = await runGateway(t, { upstreams: { one: 'openai', two: 'openai' } })
    await quick(gateway)
    const model = `gpt-4o-mini+${behaviour}`
    for (const stream of [false, true]) {
      gateway.upstream.ledger.reset()
      const answer = await gateway.chat(`one/${model}`, 'hello', { stream })
      assert.ok(answer.status >= 400)
      assert.equal(calls(gateway), alone)
    }
    await chain(gateway, model, model)
    gateway.upstream.ledger.reset()
    await gateway.chat('chain', 'hello')
    assert.equal(calls(gateway), withNext)
    await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
    gateway.upstream.ledger.reset()
    await gateway.chat('chain', 'hello')
    assert.equal(calls(gateway), 1)
  })
}

test('A73: the settings bound all calls together, whatever the chain and the headers of clients say', async (t) => {
  const gateway = await runGateway(t, { upstreams: { one: 'openai', two: 'openai' } })
  await quick(gateway, { attempts: 3, attemptsPerTarget: 10 })
  await chain(gateway, 'gpt-4o-mini+status=500', 'gpt-4o-mini+status=500')
  const headers = { 'x-stainless-retry-count': '5', 'x-portkey-retry-count': '5', 'x-litellm-num-retries': '5' }
  const answer = await gateway.chat('chain', 'hello', { num_retries: 5 }, headers)
  assert.equal(answer.status, 500)
  assert.equal(calls(gateway), 3)
})

test('A73: a Retry-After is waited for', async (t) => {
  const gateway = await runGateway(t)
  gateway.upstream.script({ behaviour: { status: 429, 'retry-after-ms': '300' } })
  await quick(gateway)
  const began = performance.now()
  const answer = await gateway.chat('openai/gpt-4o-mini', 'hello')
  assert.equal(answer.status, 200)
  assert.equal(calls(gateway), 2)
  assert.ok(performance.now() - began >= 295, 'it waited')
})

test('A73: an upstream that nobody answers at is passed over', async (t) => {
  const gateway = await runGateway(t)
  await quick(gateway)
  await gateway.admin('PUT', 'upstreams/nobody', {
    provider: 'openai',
    baseUrl: 'http://127.0.0.1:1/v1',
    credentials: [{ id: 'main', secret: 'sk-test-secret-nobody' }],
  })
  await gateway.admin('PUT', 'routes/mended', {
    targets: [
      { upstream: 'nobody', model: 'gpt-4o-mini' },
      { upstream: 'openai', model: 'gpt-4o-mini' },
    ],
  })
  const answer = await gateway.chat('mended', 'hello')
  assert.equal(answer.status, 200)
  assert.equal(calls(gateway), 1)
})

test('A73, A49: a connection that breaks without an answer is an attempt; one that may have been stale is replaced once', async (t) => {
  const gateway = await runGateway(t)
  await quick(gateway)
  assert.ok((await gateway.chat('openai/gpt-4o-mini+reset', 'hello')).status >= 500)
  assert.equal(calls(gateway), 2, 'two attempts on new connections')
  assert.equal((await gateway.chat('openai/gpt-4o-mini', 'hello')).status, 200)
  gateway.upstream.ledger.reset()
  assert.ok((await gateway.chat('openai/gpt-4o-mini+reset', 'hello')).status >= 500)
  assert.equal(calls(gateway), 3, 'the first of two attempts found a connection that had been used')
})

test('A49: an upstream that closes idle connections after 100 ms fails no request, however they are spaced', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  const failures: string[] = []
  let asked = 0
  const lane = async (start: number): Promise<void> => {
    for (let gap = start; gap <= 115; gap += 3) {
      const answer = await gateway.chat('openai/gpt-4o-mini+keepalive=100', 'hello', { stream: gap % 2 === 0 })
      asked++
      if (answer.status !== 200) failures.push(`after ${gap} ms: ${answer.text}`)
      await sleep(gap)
    }
  }
  await Promise.all([lane(85), lane(86), lane(87)])
  assert.deepEqual(failures, [])
  assert.ok(asked > 25)
  assert.equal(Number((await gateway.usage())[0]?.attempts), asked, 'each is booked once')
})

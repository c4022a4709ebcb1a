/** A second call when the first is slow, and copies in the background. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import type { Reply } from '../../src/core/reply.ts'
import { hedged } from '../../src/core/routing/hedge.ts'
import { attemptsIn } from '../chaos/spawned.ts'
import { type Running, runGateway, until } from '../running/index.ts'

const two = { upstreams: { one: 'openai', two: 'openai' } }
const MODEL = 'gpt-4o-mini'
const keyOf = (upstream: string) => `Bearer sk-test-secret-${upstream}`
const callsOf = (gateway: Running, upstream: string): number =>
  gateway.upstream.ledger.rows.filter(({ headers }) => headers.authorization === keyOf(upstream)).length
const pair = (gateway: Running, more: object = {}) =>
  gateway.admin('PUT', 'routes/r', { targets: ['one', 'two'].map((upstream) => ({ upstream, model: MODEL })), ...more })
const slowOnce = (gateway: Running, behaviour: string) =>
  gateway.upstream.script({ match: ({ headers }) => headers.authorization === keyOf('one'), behaviour })

for (const stream of [false, true]) {
  test(`hedging${stream ? ', streamed' : ''}: a second target answers for a slow first, which is let go of and booked`, async (t) => {
    const gateway = await runGateway(t, two)
    await gateway.admin('PUT', 'modules/hedging', { mode: 'enforce', settings: { minDelayMs: 150, maxShare: 1 } })
    await pair(gateway)
    for (let i = 0; i < 10; i++) assert.equal((await gateway.chat('r', 'hi', { stream })).status, 200)
    assert.equal(callsOf(gateway, 'two'), 0, 'a quick first is not doubled')
    slowOnce(gateway, stream ? 'first=20000' : 'delay=20000')
    const began = performance.now()
    const answer = await gateway.chat('r', 'hi', { stream })
    assert.ok(performance.now() - began < 15_000)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['x-stockyard-upstream'], 'two')
    assert.equal(answer.headers['x-stockyard-attempts'], '2')
    await until(() => gateway.upstream.ledger.rows.some(({ clientHungUpAt }) => clientHungUpAt), 'the loser is aborted')
    const rows = await gateway.usage()
    assert.equal(
      rows.reduce((sum, row) => sum + Number(row.attempts), 0),
      12,
      'both are booked',
    )
    assert.equal((await gateway.chat('r', 'hi', { stream })).headers['x-stockyard-upstream'], 'one')
  })
}

test('hedging: within its share of the traffic, and never beyond the attempts that failover allows', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'modules/hedging', { mode: 'enforce', settings: { minDelayMs: 50, maxShare: 0 } })
  await pair(gateway)
  for (let i = 0; i < 10; i++) await gateway.chat('r', 'hi')
  for (let i = 0; i < 3; i++) {
    slowOnce(gateway, 'delay=400')
    assert.equal((await gateway.chat('r', 'hi')).status, 200)
  }
  assert.ok(callsOf(gateway, 'two') <= 1, `${callsOf(gateway, 'two')} hedges`)
})

test('hedging: when both fail the client gets an error, and when the first fails fast the next is simply asked', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'modules/failover', { mode: 'enforce', settings: { attempts: 2, attemptsPerTarget: 1 } })
  await gateway.admin('PUT', 'modules/hedging', { mode: 'enforce', settings: { minDelayMs: 100, maxShare: 1 } })
  await pair(gateway)
  for (let i = 0; i < 10; i++) await gateway.chat('r', 'hi')
  gateway.upstream.script({ behaviour: 'delay=300,status=500', times: 2 })
  assert.equal((await gateway.chat('r', 'hi')).status, 500)
  slowOnce(gateway, 'status=500')
  assert.equal((await gateway.chat('r', 'hi')).headers['x-stockyard-upstream'], 'two')
})

for (const stream of [false, true]) {
  test(`hedging${stream ? ', streamed' : ''}: what one vendor refused is not asked of the other one that runs already`, async (t) => {
    const gateway = await runGateway(t, two)
    await gateway.admin('PUT', 'modules/hedging', { mode: 'enforce', settings: { minDelayMs: 50, maxShare: 1 } })
    await pair(gateway)
    for (let i = 0; i < 10; i++) await gateway.chat('r', 'hi', { stream })
    slowOnce(gateway, 'delay=2500,status=400,error-code=content_filter')
    gateway.upstream.script({ behaviour: 'delay=30000' })
    const answer = await gateway.chat('r', 'hi', { stream })
    assert.equal(answer.status, 400, answer.text)
    assert.equal(answer.headers['x-stockyard-attempts'], '2')
    await until(() => gateway.upstream.ledger.rows.some(({ clientHungUpAt }) => clientHungUpAt), 'the other is ended')
  })

  test(`hedging${stream ? ', streamed' : ''}: a client that leaves meanwhile ends both calls, and nothing stays held for it`, async (t) => {
    const gateway = await runGateway(t, two)
    await gateway.admin('PUT', 'modules/hedging', { mode: 'enforce', settings: { minDelayMs: 50, maxShare: 1 } })
    await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
    await gateway.admin('PUT', 'modules/budgets', { mode: 'enforce' })
    await gateway.admin('POST', 'budgets', { scope: {}, amountUsd: '10', window: { kind: 'calendar', unit: 'month' } })
    const { headers } = gateway.key()
    await pair(gateway)
    for (let i = 0; i < 10; i++) assert.equal((await gateway.chat('r', 'hi', { stream }, headers)).status, 200)
    gateway.upstream.script({ behaviour: 'delay=30000', times: 2 })
    const body = JSON.stringify({ model: 'r', stream, messages: [{ role: 'user', content: 'hi' }] })
    const request = http.request(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      agent: false,
      headers: { ...headers, 'content-type': 'application/json', 'content-length': body.length },
    })
    request.on('error', () => {})
    request.end(body)
    await until(() => callsOf(gateway, 'two') === 1, 'both are asked')
    assert.notEqual((await gateway.admin('GET', 'budget-accounts')).heldUsd, '0')
    request.destroy()
    await until(
      () => gateway.upstream.ledger.rows.filter(({ clientHungUpAt }) => clientHungUpAt).length === 2,
      'both are ended',
    )
    await until(async () => (await gateway.admin('GET', 'budget-accounts')).heldUsd === '0', 'nothing is held')
    const ends = attemptsIn(gateway.dataDir).slice(-2)
    assert.deepEqual(
      ends.map(({ outcome }) => outcome),
      ['client_cancel', 'client_cancel'],
    )
  })
}

test('hedging: of two answers that come in one moment one is let go of, whatever it is', async () => {
  const left: string[] = []
  const source = (name: string) => ({
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ value: undefined, done: true as const }),
      return: async () => {
        left.push(name)
        return { value: undefined, done: true as const }
      },
    }),
  })
  for (const kind of ['batches', 'bytes'] as const) {
    left.length = 0
    let open: (() => void) | undefined
    const gate = new Promise<void>((resolve) => (open = resolve))
    const start = (name: string) => async () => {
      await gate
      return { name, [kind]: source(name) } as unknown as Reply
    }
    const { signal } = new AbortController()
    const won = hedged(
      start('one'),
      () => {
        queueMicrotask(() => open?.())
        return start('two')
      },
      1,
      signal,
      () => false,
    )
    assert.equal(((await won) as unknown as { name: string }).name, 'one')
    await until(() => left.length > 0, 'the other is let go of')
    assert.deepEqual(left, ['two'])
  }
})

for (const stream of [false, true]) {
  test(`mirror${stream ? ', streamed' : ''}: a copy goes to a second target, is logged and booked as its own, and is never returned`, async (t) => {
    const gateway = await runGateway(t, two)
    await gateway.admin('PUT', 'routes/r', {
      targets: [{ upstream: 'one', model: MODEL }],
      mirror: { upstream: 'two', model: `${MODEL}+delay=200` },
    })
    const answer = await gateway.chat('r', 'hi', { stream })
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['x-stockyard-upstream'], 'one')
    assert.equal(answer.headers['x-stockyard-attempts'], '1')
    await until(
      async () => {
        const rows = await gateway.usage('principal,upstream')
        return rows.some(
          (row) => (row.group as { principal: string }).principal === 'mirror' && Number(row.attempts) === 1,
        )
      },
      'the copy is booked',
      5_000,
    )
    assert.equal(callsOf(gateway, 'two'), 1)
    const id = answer.headers['x-stockyard-request-id']
    await until(
      async () => {
        const { entries } = await gateway.admin('GET', 'logs')
        return entries.some((entry: { requestId: string }) => entry.requestId === `${id}-mirror`)
      },
      'the copy is logged',
      5_000,
    )
  })
}

test('mirror: one that fails or hangs harms nobody, and a stop does not wait for it for ever', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'routes/r', {
    targets: [{ upstream: 'one', model: MODEL }],
    mirror: { upstream: 'two', model: `${MODEL}+hang-headers` },
  })
  for (let i = 0; i < 5; i++) assert.equal((await gateway.chat('r', 'hi')).status, 200)
  await until(() => callsOf(gateway, 'two') === 5, 'they are upstream')
  const began = performance.now()
  await gateway.restart()
  assert.ok(performance.now() - began < 20_000)
  assert.equal((await gateway.admin('GET', 'health/targets')).targets.length >= 0, true)
})

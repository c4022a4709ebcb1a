/** Requests that wait for a place instead of being refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type } from 'typebox'
import { defineModule, type Module } from '../../src/core/module.ts'
import { addLimit, as, whoever } from '../running/identity.ts'
import { type Answer, type Running, runGateway, until } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'
const set = (gateway: Running, settings: object) => gateway.admin('PUT', 'modules/queue', { mode: 'enforce', settings })
const running = (gateway: Running): number => gateway.upstream.ledger.rows.filter(({ finished }) => !finished).length

/** A module that lets no call through while it is closed, so that all stand in line however long it takes them to come. */
function gated() {
  let opened = Promise.resolve()
  const gate = defineModule({
    id: 'gate',
    summary: 'Holds calls back.',
    layer: 'books',
    default: 'enforce',
    fault: 'closed',
    patienceMs: 60_000,
    settings: Type.Object({}, { additionalProperties: false }),
    start: () => ({ attempt: (_x, _attempt, next) => opened.then(next) }),
  })
  /** Closes it; returns what opens it again. */
  const closed = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    opened = promise
    return resolve
  }
  return { gate, closed }
}

for (const stream of [false, true]) {
  test(`A114: ${stream ? 'streamed: ' : ''}never more run than may, all are answered, and each knows its place`, async (t) => {
    const { gate, closed } = gated()
    const gateway = await runGateway(t, { extraModules: [gate] })
    await set(gateway, { concurrent: 2 })
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, running(gateway))
    }, 5)
    const open = closed()
    const asked = Array.from({ length: 8 }, () => gateway.chat(`${MODEL}+delay=20`, 'hi', { stream }))
    await until(async () => /stockyard_queue_waiting 6/.test((await gateway.metrics()).text), 'six wait')
    open()
    const answers = await Promise.all(asked)
    clearInterval(watch)
    assert.ok(answers.every(({ status }) => status === 200))
    assert.ok(most <= 2, `${most} at once`)
    const places = answers.flatMap(({ headers }) => headers['x-stockyard-queue-position'] ?? [])
    assert.deepEqual(places.map(Number).sort(), [1, 2, 3, 4, 5, 6])
    assert.match((await gateway.metrics()).text, /stockyard_queue_running 0/)
  })
}

test('A114: the line is bounded in length and in time, and a deadline of the client counts', async (t) => {
  const gateway = await runGateway(t)
  await set(gateway, { concurrent: 1, maxWaiting: 2, maxWaitMs: 2_000 })
  const slow = `${MODEL}+delay=3000`
  const first = gateway.chat(slow, 'hi')
  await until(() => running(gateway) === 1, 'the first runs')
  const timed = async (headers = {}): Promise<{ answer: Answer; ms: number }> => {
    const began = performance.now()
    const answer = await gateway.chat(slow, 'hi', {}, headers)
    return { answer, ms: performance.now() - began }
  }
  const waiting = [timed(), timed({ 'x-stockyard-timeout-ms': '1000' })]
  await until(async () => /stockyard_queue_waiting 2/.test((await gateway.metrics()).text), 'both wait')
  const full = await timed()
  assert.equal(full.answer.status, 429)
  assert.ok(full.answer.headers['retry-after'])
  const [late, own] = await Promise.all(waiting)
  assert.equal(late?.answer.status, 503)
  assert.match(late?.answer.json.error.message, /2000 ms/)
  assert.ok((late?.ms ?? 0) >= 1_980)
  assert.ok([503, 504].includes(own?.answer.status ?? 0))
  assert.ok((own?.ms ?? 9_999) < (late?.ms ?? 0), `${own?.ms} ms`)
  assert.equal((await first).status, 200)
  assert.equal((await gateway.chat(MODEL, 'hi')).status, 200, 'another model has a line of its own')
})

test('A114: who leaves gives its place in the line back, and a failed call its place', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  await set(gateway, { concurrent: 1 })
  const model = `${MODEL}+delay=500`
  const first = gateway.chat(model, 'hi')
  await until(() => running(gateway) === 1, 'the first runs')
  const leaving = new AbortController()
  const left = fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }] }),
    signal: leaving.signal,
  }).catch(() => undefined)
  await until(async () => /stockyard_queue_waiting 1/.test((await gateway.metrics()).text), 'it waits')
  leaving.abort()
  await left
  await until(async () => /stockyard_queue_waiting 0/.test((await gateway.metrics()).text), 'it has left')
  assert.equal((await first).status, 200)
  gateway.upstream.script({ behaviour: 'status=500' })
  assert.equal((await gateway.chat(model, 'hi')).status, 500)
  assert.equal((await gateway.chat(model, 'hi')).status, 200)
  assert.match((await gateway.metrics()).text, /stockyard_queue_running 0/)
})

async function limited(
  t: Parameters<typeof runGateway>[0],
  settings: object,
  more: readonly Module[] = [],
): Promise<Running> {
  const gateway = await runGateway(t, { extraModules: [whoever as never, ...more] })
  await gateway.admin('PUT', 'modules/rate-limits', { mode: 'enforce' })
  await set(gateway, settings)
  return gateway
}

for (const stream of [false, true]) {
  test(`A114: ${stream ? 'streamed: ' : ''}a rate limit that is used up is waited for, and the place in the line is told`, async (t) => {
    const gateway = await limited(t, { maxWaitMs: 20_000 })
    addLimit(gateway, { scope: {}, counts: 'tokens', per: 'minute', amount: 1_000 })
    // Each reserves more than half of it, and gives most of that back when it has its answer.
    const answers = await Promise.all(
      Array.from({ length: 5 }, (_, n) =>
        gateway.chat(`${MODEL}+delay=50`, 'hi', { stream, max_tokens: 600 }, as(`k${n}`)),
      ),
    )
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array(5).fill(200),
    )
    const places = answers.flatMap(({ headers }) => headers['x-stockyard-queue-position'] ?? [])
    assert.deepEqual(places.map(Number).sort(), [1, 2, 3, 4])
    const waits = answers.map(({ headers }) => Number(headers['x-stockyard-queue-wait-ms'] ?? 0)).sort((a, b) => a - b)
    assert.ok((waits[4] ?? 0) >= 150, `the last waits for four: ${waits}`)
    assert.match((await gateway.metrics()).text, /stockyard_queue_limited 0/)
  })
}

test('A114: what will not be there in time is refused at once, also where limits are not waited for; explain never waits', async (t) => {
  const gateway = await limited(t, { maxWaitMs: 10_000 })
  addLimit(gateway, { scope: {}, counts: 'requests', per: 'day', amount: 1 })
  assert.equal((await gateway.chat(MODEL, 'hi', {}, as('k1'))).status, 200)
  const began = performance.now()
  const refused = await gateway.chat(MODEL, 'hi', {}, as('k2'))
  assert.equal(refused.status, 429)
  assert.equal(refused.json.error.code, 'rate_limit_exceeded')
  const body = { model: MODEL, messages: [{ role: 'user', content: 'hi' }] }
  assert.equal(
    (await gateway.admin('POST', 'explain', { body, headers: as('k1') })).refused.code,
    'rate_limit_exceeded',
  )
  assert.ok(performance.now() - began < 5_000)
})

test('A114: a deadline of the client ends the wait for a limit with the refusal itself', async (t) => {
  const gateway = await limited(t, { maxWaitMs: 20_000 })
  addLimit(gateway, { scope: {}, counts: 'parallel', amount: 1 })
  const first = gateway.chat(`${MODEL}+delay=1500`, 'hi', {}, as('k1'))
  await until(() => running(gateway) === 1, 'the first runs')
  const refused = await gateway.chat(MODEL, 'hi', {}, { ...as('k2'), 'x-stockyard-timeout-ms': '200' })
  assert.equal(refused.status, 429, refused.text)
  assert.equal(refused.headers['x-stockyard-queue-position'], '1')
  assert.equal((await first).status, 200)
})

test('A114: a tenant that floods a limit a hundredfold does not raise the p95 wait of another above twice its fair share', async (t) => {
  const { gate, closed } = gated()
  const gateway = await limited(t, { maxWaitMs: 60_000, maxWaiting: 2_000 }, [gate])
  addLimit(gateway, { scope: {}, counts: 'parallel', amount: 4 })
  const model = `${MODEL}+delay=20`
  const inLine = (count: number) =>
    until(async () => (await gateway.metrics()).text.includes(`queue_limited ${count}\n`), `${count} in line`, 30_000)
  const waitOf = (answer: Answer): number => {
    assert.equal(answer.status, 200, answer.text)
    return Number(answer.headers['x-stockyard-queue-wait-ms'] ?? 0)
  }
  const p95 = (waits: number[]): number => waits.sort((a, b) => a - b)[Math.ceil(waits.length * 0.95) - 1] as number
  /** The other tenant's burst behind `others` of the flood; nobody is served before all have come. */
  async function burst(others: number): Promise<{ quiet: number; flood: number }> {
    const open = closed()
    const floods = Array.from({ length: others }, () =>
      gateway.chat(model, 'flood', {}, as('f', { organization: 'f' })),
    )
    await inLine(others - 4)
    const quiet = Array.from({ length: 8 }, () => gateway.chat(model, 'hi', {}, as('q', { organization: 'q' })))
    await inLine(others - 4 + quiet.length)
    open()
    return {
      quiet: p95((await Promise.all(quiet)).map(waitOf)),
      flood: p95((await Promise.all(floods)).map(waitOf)),
    }
  }
  await burst(8)
  // As many of each: that is what a fair share of the limit gives.
  const fair = await burst(8)
  const flooded = await burst(800)
  t.diagnostic(
    `p95 wait: ${fair.quiet} ms beside an equal, ${flooded.quiet} ms beside a hundredfold (its own: ${flooded.flood} ms)`,
  )
  // Counted in calls rather than in time, which a busy machine stretches: eight of each are sixteen calls.
  const who = gateway.upstream.ledger.rows.slice(-808).map(({ rawBody }) => (rawBody.includes('flood') ? 'f' : 'q'))
  const calls = who.lastIndexOf('q') - who.indexOf('q') + 1
  t.diagnostic(`the eight were served within ${calls} calls`)
  assert.ok(calls <= 2 * 16, `${calls} calls`)
  assert.ok(flooded.flood > 2 * flooded.quiet, 'the flood waits for itself')
})

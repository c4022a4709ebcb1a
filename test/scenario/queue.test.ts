/** Requests that wait for a place instead of being refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, type Running, runGateway, until } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'
const set = (gateway: Running, settings: object) => gateway.admin('PUT', 'modules/queue', { mode: 'enforce', settings })
const running = (gateway: Running): number => gateway.upstream.ledger.rows.filter(({ finished }) => !finished).length

for (const stream of [false, true]) {
  test(`A114: ${stream ? 'streamed: ' : ''}never more run than may, all are answered, and each knows its place`, async (t) => {
    const gateway = await runGateway(t)
    await set(gateway, { concurrent: 2 })
    let most = 0
    const watch = setInterval(() => {
      most = Math.max(most, running(gateway))
    }, 5)
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => gateway.chat(`${MODEL}+delay=60`, 'hi', { stream })),
    )
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

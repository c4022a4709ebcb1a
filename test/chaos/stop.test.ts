/**
 * How it stops: running streams go on to their end, new work is turned away, everything is booked, and the exit code says
 * that all is well. Who is in a hurry signals twice. Two gateways never share a data directory.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, exchange, runGateway, until } from '../running/index.ts'
import { attemptsIn, launch, MODEL, openStream, scratch, spawnGateway, upstreamFor } from './spawned.ts'

const STREAMS = process.env.STOCKYARD_LONG ? 200 : 20

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`A20, T62: ${signal} with ${STREAMS} open streams lets them finish, books them, and exits with 0`, async (t) => {
    const dataDir = join(scratch(t), 'data')
    const upstream = await upstreamFor(t)
    const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
    const streams = await Promise.all(
      Array.from({ length: STREAMS }, (_, n) => openStream(gateway.url, `${MODEL}+chunks=15+pace=100`, `stream ${n}`)),
    )
    await until(() => streams.every((s) => s.text().includes('data: ')), 'all have begun', 20_000)
    gateway.process.kill(signal)
    const ready = () =>
      exchange(`${gateway.url}/health/ready`, 'GET').then(
        ({ status }) => status,
        () => 'refused',
      )
    await until(async () => (await ready()) !== 200, 'it is no longer ready', 20_000)
    assert.ok(
      streams.some((s) => !s.text().includes('[DONE]')),
      'streams are still running',
    )
    const late = await gateway.chat(MODEL, 'too late').then(
      ({ status }) => status,
      () => 'refused',
    )
    assert.ok(late === 503 || late === 'refused', `new work is turned away, not ${late}`)
    for (const { text, whole } of await Promise.all(streams.map((s) => s.over))) {
      assert.ok(whole, 'no stream is cut')
      assert.match(text, /data: \[DONE\]\n\n$/)
    }
    assert.equal(await gateway.ended, 0, gateway.output())
    const attempts = attemptsIn(dataDir)
    assert.deepEqual(
      attempts.map((a) => `${a.outcome} ${a.source}`),
      Array.from({ length: STREAMS }, () => 'done provider'),
    )
  })
}

test('A20: at the end of the grace a stream is told so in its own dialect, and what it used is booked', async (t) => {
  const gateway = await runGateway(t)
  const streams = await Promise.all(
    Array.from({ length: 3 }, () => openStream(gateway.url, `${MODEL}+chunks=9+stall=4`, 'tell me a long story')),
  )
  await until(() => streams.every((s) => s.text().includes('data: ')), 'all have begun')
  const unstreamed = gateway.chat(`${MODEL}+hang-headers`, 'unstreamed')
  await until(() => gateway.upstream.ledger.rows.length === 4, 'all are upstream')
  const closed = gateway.served.close(200)
  for (const { text, whole } of await Promise.all(streams.map((s) => s.over))) {
    assert.ok(whole, 'an end, not a cut')
    const last = JSON.parse(text.trimEnd().split('data: ').at(-1) as string) as { error?: { code: string } }
    assert.equal(last.error?.code, 'shutting_down', text)
  }
  assert.equal((await unstreamed).status, 503)
  await closed
  const attempts = attemptsIn(gateway.dataDir)
  assert.deepEqual(
    attempts.map((a) => `${a.outcome} ${a.source}`),
    ['partial estimated', 'partial estimated', 'partial estimated', 'failed none'],
  )
})

test('A20: at the end of the grace every dialect is told, before content and after it, and nobody waits for a reader that stopped', async (t) => {
  const provider = { openai: 'gpt-4o-mini', anthropic: 'claude-haiku-4-5', gemini: 'gemini-2.5-flash' }
  const gateway = await runGateway(t, {
    pingMs: 100,
    upstreams: Object.fromEntries(Object.keys(provider).map((id) => [id, id])),
  })
  const messages = [{ role: 'user', content: 'tell me a long story' }]
  const contents = [{ role: 'user', parts: [{ text: 'tell me a long story' }] }]
  const asked: Promise<readonly [what: string, answer: Answer, failed: RegExp, finished: RegExp]>[] = []
  for (const [upstream, name] of Object.entries(provider)) {
    for (const how of ['chunks=9+stall=5', 'stall=0']) {
      const model = `${upstream}/${name}+${how}`
      const told = async (path: string, body: object, failed: RegExp, finished: RegExp) => {
        const answer = await gateway.send(path, body)
        return [`${path} ${model}`, answer, failed, finished] as const
      }
      asked.push(
        told(
          '/v1/chat/completions',
          { model, stream: true, messages },
          /^\{"error":.*shutting_down/,
          /\[DONE\]|"finish_reason":"/,
        ),
        told('/v1/responses', { model, stream: true, input: 'hi' }, /shutting_down/, /response\.completed/),
        told(
          '/v1/messages',
          { model, stream: true, max_tokens: 99, messages },
          /^\{"type":"error"/,
          /message_stop|"stop_reason":"/,
        ),
        told(`/v1beta/models/${model}:streamGenerateContent?alt=sse`, { contents }, /^\{"error":/, /"finishReason"/),
      )
    }
  }
  await until(() => gateway.upstream.ledger.rows.length === asked.length, 'all are upstream')
  const deaf = await openStream(gateway.url, `${MODEL}+endless`, 'and I do not listen', true)
  await until(() => gateway.upstream.ledger.rows.length === asked.length + 1, 'that one, too')
  // What comes before content has to be pinged for its head to be out.
  await sleep(500)
  const began = performance.now()
  await gateway.served.close(300)
  assert.ok(performance.now() - began < 20_000, 'the stop waits for nobody any longer than its grace')
  for (const each of asked) {
    const [what, answer, failed, finished] = await each
    assert.equal(answer.status, 200, what)
    assert.match(answer.data.at(-1) ?? '', failed, `${what}: ${answer.text.slice(-400)}`)
    assert.doesNotMatch(answer.text, finished, what)
  }
  deaf.leave()
  assert.ok(
    attemptsIn(gateway.dataDir).every(({ outcome }) => outcome),
    'every call is closed',
  )
})

test('A20: a second signal ends it at once; what was open is in doubt at the next start', async (t) => {
  const dataDir = join(scratch(t), 'data')
  const upstream = await upstreamFor(t)
  const gateway = await spawnGateway(t, { dataDir, upstream: upstream.url })
  const stream = await openStream(gateway.url, `${MODEL}+chunks=5+stall=3`, 'never ending')
  await until(() => stream.text().includes('data: '), 'it has begun')
  gateway.process.kill('SIGTERM')
  await until(
    () =>
      exchange(`${gateway.url}/health/live`, 'GET').then(
        () => false,
        () => true,
      ),
    'it is stopping',
  )
  assert.equal(gateway.process.exitCode, null, 'it waits for its stream')
  gateway.process.kill('SIGTERM')
  const began = performance.now()
  assert.equal(await gateway.ended, 1)
  assert.ok(performance.now() - began < 10_000)
  assert.equal((await stream.over).whole, false, 'a stream cut short does not look whole')
  const again = await spawnGateway(t, { dataDir, upstream: upstream.url })
  assert.deepEqual(
    attemptsIn(dataDir).map((a) => a.outcome),
    ['in-doubt'],
  )
  again.process.kill('SIGTERM')
  assert.equal(await again.ended, 0, 'an idle one stops at once')
})

test('T09: a second instance on the same data directory is refused, and names it', async (t) => {
  const dataDir = join(scratch(t), 'data')
  const upstream = await upstreamFor(t)
  const first = await spawnGateway(t, { dataDir, upstream: upstream.url })
  const second = launch(t, { dataDir, upstream: upstream.url })
  assert.equal(await second.ended, 1)
  assert.ok(second.output().includes(dataDir), second.output())
  assert.match(second.output(), /in use/)
  assert.doesNotMatch(second.output(), /listens on|\n\s+at /, 'neither a banner nor a stack')
  assert.equal((await first.chat(MODEL, 'still here')).status, 200)
})

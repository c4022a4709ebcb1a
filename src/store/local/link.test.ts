import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { complaintOf, StoreError } from './fault.ts'
import { Link } from './link.ts'
import { atEnd, keptLog } from './scratch.ts'

type EchoCalls = {
  echo(value: unknown): unknown
  opening(argument: undefined): unknown
  fail(problem: object): never
  alarm(problem: object): void
  hang(argument: undefined): void
  exit(argument: undefined): void
}

/** Speaks the protocol of worker.ts, from a data URL as an executable would start it. */
const ECHO = `
  import { parentPort, workerData } from 'node:worker_threads'
  parentPort.on('message', ({ id, call, argument }) => {
    if (call === 'hang') for (;;);
    if (call === 'exit') process.exit(1)
    if (call === 'alarm') parentPort.postMessage({ alarm: argument })
    if (call === 'fail') return parentPort.postMessage({ id, problem: argument })
    parentPort.postMessage({ id, value: call === 'opening' ? workerData : argument })
  })`

function linked(t: TestContext) {
  const alarms: Error[] = []
  const link = new Link<EchoCalls>({
    url: `data:text/javascript,${encodeURIComponent(ECHO)}`,
    role: 'reader',
    opening: { dataDir: '/somewhere' },
    log: keptLog(),
    alarm: (error) => void alarms.push(error),
  })
  atEnd(t, () => link.close())
  return { link, alarms }
}

test('calls are answered each with its own answer, and the worker knows what to open', async (t) => {
  const { link } = linked(t)
  assert.deepEqual(await Promise.all([1n, 'two', { three: 3 }].map((value) => link.call('echo', value))), [
    1n,
    'two',
    { three: 3 },
  ])
  assert.deepEqual(await link.call('opening', undefined), { role: 'reader', opening: { dataDir: '/somewhere' } })
})

test("a worker's errors keep what they mean: SQLite's code, or the code of a refusal", async (t) => {
  const { link, alarms } = linked(t)
  await assert.rejects(link.call('fail', { message: 'm', errcode: 13 }), (error) => complaintOf(error) === 'full')
  await assert.rejects(
    link.call('fail', { message: 'm', code: 'not_empty' }),
    (error) => error instanceof StoreError && error.code === 'not_empty',
  )
  await link.call('alarm', { message: 'fsync', errcode: 1034 })
  assert.deepEqual(alarms.map(complaintOf), ['sync'])
})

test('A98: a call that takes too long rejects at its limit, and the next worker answers', async (t) => {
  const { link } = linked(t)
  await link.call('echo', 1)
  const began = performance.now()
  await assert.rejects(link.call('hang', undefined, { limitMs: 200 }), /hang took longer than 200 ms/)
  assert.ok(performance.now() - began < 30_000)
  await sleep(1_300)
  assert.equal(await link.call('echo', 2), 2)
})

test('a worker that dies rejects what was under way and is started again', async (t) => {
  const { link } = linked(t)
  const first = link.call('exit', undefined)
  const second = link.call('echo', 1)
  for (const call of [first, second]) await assert.rejects(call, (error) => complaintOf(error) === 'gone')
  await sleep(1_300)
  assert.equal(await link.call('echo', 2), 2)
})

test('after the end nothing is started again', async (t) => {
  const { link } = linked(t)
  await link.call('echo', 1)
  let farewell = false
  await link.close(async () => {
    farewell = true
  })
  assert.ok(farewell)
  await assert.rejects(link.call('echo', 2), (error) => complaintOf(error) === 'gone')
})

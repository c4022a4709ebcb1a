/** Each limit on time fires on its own, says which one it was, and leaves time for the next target. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Running, runGateway } from '../running/index.ts'

const two = { upstreams: { one: 'openai', two: 'openai' } }
const MODEL = 'gpt-4o-mini'
const LIMIT = 600

async function timed<T = Answer>(work: () => Promise<T>): Promise<{ answer: T; ms: number }> {
  const began = performance.now()
  const answer = await work()
  return { answer, ms: performance.now() - began }
}

const alone = (gateway: Running, behaviour: string, timeouts: object) =>
  gateway.admin('PUT', 'routes/r', { targets: [{ upstream: 'one', model: MODEL + behaviour }], timeouts })

for (const [timeout, behaviour, stream, said] of [
  ['headersStreamedMs', '+hang-headers', true, /no first byte within 600 ms/],
  ['headersUnstreamedMs', '+hang-headers', false, /no first byte within 600 ms/],
  ['firstContentMs', '+first=9000', true, /no first content within 600 ms/],
  ['idleMs', '+stall=0', false, /no next byte within 600 ms/],
  ['idleMs', '+chunks=9+stall=5', true, /no next byte within 600 ms/],
  ['totalMs', '+chunks=99+pace=50', true, /no complete answer within 600 ms/],
  ['totalMs', '+hang-headers', false, /no complete answer within 600 ms/],
] as const) {
  test(`A48, T41: ${timeout} fires on ${behaviour}, ${stream ? 'streamed' : 'unstreamed'}, and names itself`, async (t) => {
    const gateway = await runGateway(t, two)
    await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
    await alone(gateway, behaviour, { [timeout]: LIMIT })
    let late = Number.POSITIVE_INFINITY
    // Beside a plain timer, and the best of some: on a busy machine timers are late, all of them.
    for (let i = 0; i < 10 && late > 100; i++) {
      const [{ answer, ms }, timer] = await Promise.all([
        timed(() => gateway.chat('r', 'hi', { stream })),
        timed(() => sleep(LIMIT)),
      ])
      assert.ok(ms >= LIMIT - 20, `${ms} ms`)
      late = Math.min(late, ms - timer.ms)
      const begun = answer.status === 200
      assert.ok(begun || answer.status === 504, answer.text)
      assert.ok(!answer.text.includes('[DONE]'))
      assert.match(answer.text, said)
    }
    assert.ok(late <= 100, `${late} ms late`)
  })
}

test('A115: a first token that is late sends the request elsewhere; the slow call is let go and booked at nothing', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'routes/r', {
    targets: [
      { upstream: 'one', model: `${MODEL}+first=20000`, timeouts: { firstContentMs: 400 } },
      { upstream: 'two', model: MODEL },
    ],
  })
  const { answer, ms } = await timed(() => gateway.chat('r', 'hi', { stream: true }))
  assert.equal(answer.headers['x-stockyard-upstream'], 'two')
  assert.ok(ms < 15_000, `${ms} ms`)
  const rows = await gateway.usage()
  const booked = rows.map((row) => row as { group: { upstream: string }; failed: number; tokens: { output: number } })
  const of = (upstream: string) => booked.find(({ group }) => group.upstream === upstream)
  assert.equal(of('one')?.failed, 1)
  assert.equal(of('one')?.tokens.output, 0)
  assert.ok((of('two')?.tokens.output ?? 0) > 0)
  assert.ok(
    gateway.upstream.ledger.rows.some(({ clientHungUpAt }) => clientHungUpAt),
    'the loser was aborted',
  )
})

test('A48: a client may shorten how long it waits, in the headers it knows, and never lengthen it', async (t) => {
  const gateway = await runGateway(t, two)
  await gateway.admin('PUT', 'modules/breakers', { mode: 'off' })
  await alone(gateway, '+delay=20000', {})
  // One of the headers is a sign of a forwarding proxy, which ends the trust in local callers.
  const { key } = await gateway.admin('PUT', 'proxy-key', {})
  const authorization = `Bearer ${key}`
  for (const [name, value] of [
    ['x-stockyard-timeout-ms', '500'],
    ['x-portkey-request-timeout', '500'],
    ['cf-aig-request-timeout', '500'],
    ['x-litellm-timeout', '0.5'],
  ] as const) {
    const { answer, ms } = await timed(() => gateway.chat('r', 'hi', {}, { authorization, [name]: value }))
    assert.equal(answer.status, 504, answer.text)
    assert.ok(ms >= 480 && ms < 15_000, `${name}: ${ms} ms`)
  }
  await alone(gateway, '+delay=20000', { totalMs: 500 })
  assert.equal((await gateway.chat('r', 'hi', {}, { authorization, 'x-stockyard-timeout-ms': '60000' })).status, 504)
  for (const wrong of ['soon', '-5', '0', '1e3']) {
    const refused = await gateway.chat('r', 'hi', {}, { authorization, 'x-stockyard-timeout-ms': wrong })
    assert.equal(refused.status, 400, wrong)
    assert.match(refused.json.error.message, /x-stockyard-timeout-ms/)
  }
})

for (const stream of [false, true]) {
  test(`A48: ${stream ? 'streamed: ' : ''}a deadline is shared out, so that a silent target leaves time for the next`, async (t) => {
    const gateway = await runGateway(t, two)
    await gateway.admin('PUT', 'routes/r', {
      targets: [
        { upstream: 'one', model: `${MODEL}+hang-headers` },
        { upstream: 'two', model: MODEL },
      ],
    })
    const { answer, ms } = await timed(() => gateway.chat('r', 'hi', { stream }, { 'x-stockyard-timeout-ms': '6000' }))
    assert.equal(answer.status, 200, answer.text)
    assert.equal(answer.headers['x-stockyard-upstream'], 'two')
    assert.ok(ms >= 2_900 && ms < 6_000, `${ms} ms`)
  })
}

/** A silent upstream: the stream stays alive for whatever stands in between, and nothing is decided by it too early. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runGateway, streamedText } from '../running/index.ts'

const two = { upstreams: { one: 'openai', two: 'openai' } }
const MODEL = 'gpt-4o-mini'
const eventsOf = (text: string): string[] => text.split('\n\n').filter(Boolean)

test('A46: while an upstream is silent pings go out between events, before the first content and after it', async (t) => {
  const gateway = await runGateway(t, { ...two, pingMs: 150 })
  for (const behaviour of ['first=1000', 'chunks=4+pace=500', 'delay=1000']) {
    const answer = await gateway.chat(`one/${MODEL}+${behaviour}`, 'hi', { stream: true })
    const events = eventsOf(answer.text)
    assert.ok(events.filter((event) => event.startsWith(':')).length >= 2, answer.text)
    for (const event of events) assert.match(event, /^(?:: ?\S*|data: (?:\{.*\}|\[DONE\]))$/, 'whole events only')
    assert.equal(answer.data.at(-1), '[DONE]')
    assert.ok(streamedText(answer).length > 0)
  }
})

test('A46: other dialects are pinged in their own way', async (t) => {
  const gateway = await runGateway(t, { ...two, pingMs: 150 })
  const messages = [{ role: 'user', content: 'hi' }]
  const body = { model: `one/${MODEL}+first=700`, max_tokens: 50, stream: true, messages }
  const anthropic = await gateway.send('/v1/messages', body)
  assert.match(anthropic.text, /^event: ping\ndata: \{"type": ?"ping"\}\n\n/m)
  assert.match(anthropic.text, /event: message_stop/)
})

const contents = [{ role: 'user', parts: [{ text: 'hi' }] }]
for (const [provider, model] of [
  ['openai', MODEL],
  ['anthropic', 'claude-haiku-4-5'],
  ['gemini', 'gemini-2.5-flash'],
] as const) {
  test(`A46: a silent ${provider} is bridged in every format, and the answer after it is whole`, async (t) => {
    const gateway = await runGateway(t, { upstreams: { one: provider }, pingMs: 100 })
    const name = 'silent'
    await gateway.admin('PUT', `routes/${name}`, { targets: [{ upstream: 'one', model: `${model}+first=1500` }] })
    const [responses, sse, array] = await Promise.all([
      gateway.send('/v1/responses', { model: name, input: 'hi', stream: true }),
      gateway.send(`/v1beta/models/${name}:streamGenerateContent?alt=sse`, { contents }),
      gateway.send(`/v1beta/models/${name}:streamGenerateContent`, { contents }),
    ])
    assert.ok(eventsOf(responses.text).filter((event) => event.startsWith(':')).length >= 2, responses.text)
    assert.match(responses.data.at(-1) ?? '', /"response\.completed"/)
    assert.ok(eventsOf(sse.text).filter((event) => event.startsWith(':')).length >= 2, sse.text)
    assert.match(sse.data.at(-1) ?? '', /"finishReason":"STOP"/)
    // White space before the array or between its elements, which no parser minds.
    assert.match(array.text, /^\s{2,}\[|^\[\s{2,}/, array.text)
    assert.equal(array.json.at(-1).candidates[0].finishReason, 'STOP')
  })
}

for (const [behaviour, status] of [
  ['first=20000', 200],
  ['delay=600+status=503', 200],
] as const) {
  test(`A46, A71: after a ping the target may still change: ${behaviour}`, async (t) => {
    const gateway = await runGateway(t, { ...two, pingMs: 100 })
    await gateway.admin('PUT', 'routes/r', {
      targets: [
        { upstream: 'one', model: `${MODEL}+${behaviour}` },
        { upstream: 'two', model: MODEL },
      ],
      timeouts: { firstContentMs: 800 },
    })
    const answer = await gateway.chat('r', 'hi', { stream: true })
    assert.equal(answer.status, status)
    assert.match(answer.text, /^:/, 'a ping came first')
    assert.equal(answer.data.at(-1), '[DONE]')
    assert.ok(streamedText(answer).length > 0)
  })
}

test('A77: liveness, readiness, metrics and the health of targets call no upstream', async (t) => {
  const gateway = await runGateway(t, two)
  for (let i = 0; i < 3; i++) {
    for (const path of ['health/live', 'health/ready']) {
      assert.equal((await fetch(`${gateway.url}/${path}`)).status, 200)
    }
    await gateway.metrics()
    await gateway.admin('GET', 'health/targets')
  }
  assert.equal(gateway.upstream.ledger.rows.length, 0)
  assert.deepEqual(await gateway.usage(), [])
})

/** A request that is sent again under its Idempotency-Key. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runGateway, until } from '../running/index.ts'

const key = (value: string) => ({ 'idempotency-key': value })
const MODEL = 'openai/gpt-4o-mini'

for (const stream of [false, true]) {
  const how = stream ? 'streamed: ' : ''
  test(`${how}the same request under the same key is answered as before, at no cost and with no call`, async (t) => {
    const gateway = await runGateway(t)
    const first = await gateway.chat(MODEL, 'hello', { stream }, key('a'))
    const again = await gateway.chat(MODEL, 'hello', { stream }, key('a'))
    assert.equal(first.status, 200)
    assert.deepEqual([again.status, again.text], [200, first.text])
    assert.equal(again.headers['idempotent-replayed'], 'true')
    assert.equal(first.headers['idempotent-replayed'], undefined)
    if (!stream) assert.equal(again.headers['x-stockyard-cost-usd'], '0')
    assert.equal(gateway.upstream.ledger.rows.length, 1)
    const [row] = await gateway.usage()
    assert.deepEqual([Number(row?.attempts), Number(row?.hits)], [1, 1])
    assert.notEqual((await gateway.chat(MODEL, 'hello', { stream }, key('b'))).status, 422)
    assert.equal(gateway.upstream.ledger.rows.length, 2, 'another key is another request')
  })

  test(`${how}another body, and the same at another endpoint, is 422 and calls nobody`, async (t) => {
    const gateway = await runGateway(t)
    await gateway.chat(MODEL, 'hello', { stream }, key('a'))
    for (const answer of [
      await gateway.chat(MODEL, 'hello!', { stream }, key('a')),
      await gateway.chat(MODEL, 'hello', { stream: !stream }, key('a')),
      await gateway.send('/v1/messages', { model: MODEL, max_tokens: 5, messages: [] }, key('a')),
    ]) {
      assert.ok([400, 422].includes(answer.status), answer.text)
      if (answer.status === 422) assert.equal(answer.headers['x-should-retry'], 'false')
    }
    assert.equal(gateway.upstream.ledger.rows.length, 1)
  })

  test(`${how}one that comes meanwhile waits for the first; another body is refused meanwhile, too`, async (t) => {
    const gateway = await runGateway(t)
    const slow = `${MODEL}+delay=400`
    const all = Array.from({ length: 4 }, () => gateway.chat(slow, 'hello', { stream }, key('a')))
    await until(() => gateway.upstream.ledger.rows.length === 1, 'the first is upstream')
    assert.equal((await gateway.chat(slow, 'another', { stream }, key('a'))).status, 422)
    const answers = await Promise.all(all)
    assert.deepEqual(new Set(answers.map(({ text }) => text)).size, 1)
    assert.ok(answers.every(({ status }) => status === 200))
    assert.equal(gateway.upstream.ledger.rows.length, 1)
  })
}

test('after a failure the same key tries again; strange keys are 400; keys of others are theirs', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/failover', { mode: 'off' })
  gateway.upstream.script({ behaviour: 'status=500' })
  assert.equal((await gateway.chat(MODEL, 'hello', {}, key('a'))).status, 500)
  assert.equal((await gateway.chat(MODEL, 'hello', {}, key('a'))).status, 200)
  assert.equal((await gateway.chat(MODEL, 'hello', {}, key('x'.repeat(256)))).status, 400)
  assert.equal((await gateway.chat(MODEL, 'hello', {}, key('a b'))).status, 400)
  const { key: proxy } = await gateway.admin('PUT', 'proxy-key', {})
  const other = await gateway.chat(MODEL, 'hello', {}, { ...key('a'), authorization: `Bearer ${proxy}` })
  assert.equal(other.headers['idempotent-replayed'], undefined, 'another owner is another key')
  await gateway.restart()
  const later = await gateway.chat(MODEL, 'hello', {}, key('a'))
  assert.equal(later.headers['idempotent-replayed'], 'true', 'a restart forgets nothing')
})

test('a stream that was cut off is not kept under its key', async (t) => {
  const gateway = await runGateway(t)
  gateway.upstream.script({ behaviour: 'chunks=9,truncate=5' })
  const cut = await gateway.chat(MODEL, 'hello', { stream: true }, key('a'))
  assert.ok(!cut.text.includes('[DONE]'))
  const again = await gateway.chat(MODEL, 'hello', { stream: true }, key('a'))
  assert.ok(again.text.includes('[DONE]'))
  assert.equal(again.headers['idempotent-replayed'], undefined)
})

for (const stream of [false, true]) {
  test(`${stream ? 'streamed: ' : ''}an answer that was too long to be kept is never made twice under its key`, async (t) => {
    const gateway = await runGateway(t)
    await gateway.admin('PUT', 'modules/idempotency', { mode: 'enforce', settings: { maxReplyBytes: 2_048 } })
    const ask = (more = {}) => gateway.chat(`${MODEL}+size=20k`, 'hello', { stream, ...more }, key('a'))
    assert.equal((await ask()).status, 200)
    const again = await ask()
    assert.equal(again.status, 409, again.text)
    assert.equal(again.json.error.code, 'idempotency_answer_gone')
    assert.equal(again.headers['x-should-retry'], 'false')
    assert.equal((await ask({ max_tokens: 5 })).status, 422)
    assert.equal(gateway.upstream.ledger.rows.length, 1)
  })
}

test('sound is answered again under its key, too; one that comes meanwhile is told so', async (t) => {
  const gateway = await runGateway(t)
  const slow = { upstream: 'openai', model: 'gpt-4o-mini-tts' }
  await gateway.admin('PUT', 'routes/voice', { targets: [slow] })
  const ask = (name: string) =>
    gateway.send('/v1/audio/speech', { model: 'voice', voice: 'alloy', input: 'hello' }, key(name))
  const first = await ask('a')
  const again = await ask('a')
  assert.equal(first.status, 200, first.text)
  assert.deepEqual(
    [again.status, again.text, again.headers['content-type']],
    [200, first.text, first.headers['content-type']],
  )
  assert.equal(again.headers['idempotent-replayed'], 'true')
  assert.equal(gateway.upstream.ledger.rows.length, 1)
  gateway.upstream.script({ behaviour: 'delay=500' })
  const both = await Promise.all([ask('b'), ask('b')])
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 409])
  assert.equal(gateway.upstream.ledger.rows.length, 2, 'and no second call is made')
})

/** The cache: whose answers it gives to whom, when it must not, and one call for many. */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { type Running, runGateway, streamedText, until } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'
async function cached(t: Parameters<typeof runGateway>[0]): Promise<Running> {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/cache', { mode: 'enforce' })
  return gateway
}

test('A10: an answer is never served to another owner', async (t) => {
  const gateway = await cached(t)
  const { key } = await gateway.admin('PUT', 'proxy-key', {})
  assert.equal((await gateway.chat(MODEL, 'same')).headers['x-stockyard-cache'], 'miss')
  const other = await gateway.chat(MODEL, 'same', {}, { authorization: `Bearer ${key}` })
  assert.equal(other.headers['x-stockyard-cache'], 'miss')
})

test('A78: every field of the body is in the key, unknown ones too; the order of fields is not', async (t) => {
  const gateway = await cached(t)
  const base = { temperature: 0.5, user: 'u', unknown: { deep: [1] } }
  await gateway.chat(MODEL, 'q', base)
  const verdict = async (more: object) => (await gateway.chat(MODEL, 'q', more)).headers['x-stockyard-cache']
  assert.equal(await verdict({ unknown: { deep: [1] }, user: 'u', temperature: 0.5 }), 'hit')
  for (const change of [{ temperature: 0.6 }, { user: 'v' }, { unknown: { deep: [2] } }, { seed: 1 }, { tools: [] }]) {
    assert.equal(await verdict({ ...base, ...change }), 'miss', JSON.stringify(change))
  }
})

test('A79: a kept stream is replayed event by event, with tools and usage, and costs nothing', async (t) => {
  const gateway = await cached(t)
  const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }]
  const more = { stream: true, tools, stream_options: { include_usage: true } }
  const first = await gateway.chat(MODEL, 'call:weather{"city":"Graz"}', more)
  const second = await gateway.chat(MODEL, 'call:weather{"city":"Graz"}', more)
  assert.equal(second.headers['x-stockyard-cache'], 'hit')
  assert.match(String(second.headers.age), /^\d+$/)
  assert.equal(second.text, first.text)
  const body = await gateway.chat(MODEL, 'call:weather{"city":"Graz"}', { tools })
  assert.equal(body.headers['x-stockyard-cache'], 'hit')
  assert.equal(body.json.choices[0].message.tool_calls[0].function.arguments, '{"city":"Graz"}')
  const [row] = await gateway.usage()
  assert.equal(Number(row?.attempts), 1)
  assert.equal(Number(row?.hits), 2)
})

test('a hit for a client that did not ask for usage has none, whoever asked first', async (t) => {
  const gateway = await cached(t)
  const asked = await gateway.chat(MODEL, 'q', { stream: true, stream_options: { include_usage: true } })
  assert.ok(asked.text.includes('"usage":{'))
  const silent = await gateway.chat(MODEL, 'q', { stream: true })
  assert.equal(silent.headers['x-stockyard-cache'], 'hit')
  assert.ok(!silent.text.includes('"usage":{'))
})

test('errors and truncated answers are not kept', async (t) => {
  const gateway = await cached(t)
  for (const fault of ['status=500', 'chunks=5+truncate=3']) {
    for (let i = 0; i < 2; i++) {
      const answer = await gateway.chat(`${MODEL}+${fault}`, 'q', { stream: true })
      assert.notEqual(answer.headers['x-stockyard-cache'], 'hit', fault)
    }
  }
})

test('Cache-Control of the client: no-store, no-cache, max-age', async (t) => {
  const gateway = await cached(t)
  const ask = async (value?: string) =>
    (await gateway.chat(MODEL, 'q', {}, value ? { 'cache-control': value } : {})).headers['x-stockyard-cache']
  assert.equal(await ask('no-store'), 'bypass')
  assert.equal(await ask(), 'miss')
  assert.equal(await ask('no-cache'), 'miss')
  assert.equal(await ask('max-age=60'), 'hit')
})

test('what was kept survives a restart', async (t) => {
  const gateway = await cached(t)
  await gateway.chat(MODEL, 'q')
  await gateway.restart()
  assert.equal((await gateway.chat(MODEL, 'q')).headers['x-stockyard-cache'], 'hit')
})

test('single-flight: identical requests at once are one call, streamed and not', async (t) => {
  const gateway = await cached(t)
  for (const stream of [true, false]) {
    const before = gateway.upstream.ledger.rows.length
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => gateway.chat(`${MODEL}+delay=100+chunks=5+pace=10`, `q ${stream}`, { stream })),
    )
    assert.equal(gateway.upstream.ledger.rows.length - before, 1)
    const texts = answers.map((a) => (stream ? streamedText(a) : a.json.choices[0].message.content))
    assert.equal(new Set(texts).size, 1)
    assert.equal(answers.filter((a) => a.headers['x-stockyard-cache'] === 'hit').length, 4)
  }
})

test('single-flight: a client that leaves does not cut the others off; the last one to leave ends the call', async (t) => {
  const gateway = await cached(t)
  const model = `${MODEL}+chunks=100+pace=20`
  const start = () => {
    const request = http.request(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json' },
    })
    request.on('error', () => {})
    const begun = new Promise<void>((resolve) => {
      request.on('response', (response) => {
        response.on('error', () => {})
        response.once('data', () => resolve())
        response.resume()
      })
    })
    request.end(JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'q' }] }))
    return { request, begun }
  }
  const first = start()
  await first.begun
  const second = start()
  await second.begun
  first.request.destroy()
  await new Promise((resolve) => setTimeout(resolve, 200))
  assert.equal(gateway.upstream.ledger.rows.at(-1)?.clientHungUpAt, undefined, 'the other one still listens')
  second.request.destroy()
  await until(
    () => gateway.upstream.ledger.rows.at(-1)?.clientHungUpAt !== undefined,
    'the upstream saw them leave',
    1_000,
  )
})

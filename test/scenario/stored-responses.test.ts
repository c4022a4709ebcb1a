/**
 * What the Responses API keeps, over two upstreams and two tenants: fetched whole or as a stream from any event on, listed,
 * cancelled and deleted where it is, by whoever made it; and one in the background is booked once, when it is over.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exchange, type Running, runGateway, until } from '../running/index.ts'

const OTHER = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }
const MODEL = 'gpt-4o-mini'

async function start(t: Parameters<typeof runGateway>[0], batchesMs = 3_600_000): Promise<Running> {
  const gateway = await runGateway(t, { upstreams: { one: 'openai', two: 'openai' }, batchesMs })
  await gateway.admin('PUT', 'proxy-key', { key: OTHER.authorization.slice('Bearer '.length) })
  await gateway.admin('PUT', `prices/${MODEL}`, { prices: [{ rates: { input: '100', output: '200' } }] })
  return gateway
}

for (const upstream of ['one', 'two']) {
  for (const mine of [{}, OTHER]) {
    const who = mine === OTHER ? 'a key' : 'this machine'
    test(`a response at "${upstream}", made by ${who}: every call about it reaches it, a stranger's none`, async (t) => {
      const gateway = await start(t)
      const theirs = mine === OTHER ? {} : OTHER
      const call = (method: string, path: string, headers: Record<string, string> = mine) =>
        exchange(`${gateway.url}/v1/responses/${path}`, method, method === 'POST' ? {} : undefined, headers)
      const made = await gateway.send('/v1/responses', { model: `${upstream}/${MODEL}`, input: 'one two three' }, mine)
      const { id } = made.json
      const key = `Bearer sk-test-secret-${upstream}`
      const reached = () => gateway.upstream.ledger.rows.at(-1)

      const whole = await call('GET', id)
      assert.deepEqual(whole.json, made.json)
      assert.equal(reached()?.headers.authorization, key)
      const stream = await call('GET', `${id}?stream=true`)
      assert.match(String(stream.headers['content-type']), /event-stream/)
      const numbers = stream.data.map((data) => JSON.parse(data).sequence_number as number)
      assert.deepEqual(
        numbers,
        numbers.map((_, i) => i),
      )
      assert.equal(JSON.parse(stream.data.at(-1) as string).type, 'response.completed')
      const rest = await call('GET', `${id}?stream=true&starting_after=4`)
      assert.deepEqual(rest.data, stream.data.slice(5))
      const items = await call('GET', `${id}/input_items`)
      assert.equal(items.json.data[0].content, 'one two three')
      const sync = await call('POST', `${id}/cancel`)
      assert.equal(sync.status, 400)
      assert.match(sync.json.error.message, /synchronous/)

      const before = gateway.upstream.ledger.rows.length
      for (const [method, path] of [
        ['GET', id],
        ['GET', `${id}?stream=true`],
        ['GET', `${id}/input_items`],
        ['POST', `${id}/cancel`],
        ['DELETE', id],
      ] as const) {
        const refused = await call(method, path, theirs)
        assert.equal(refused.status, 404, `${method} ${path}`)
        assert.equal(refused.json.error.code, 'not_found')
      }
      assert.equal(gateway.upstream.ledger.rows.length, before)

      const gone = await call('DELETE', id)
      assert.equal(gone.json.deleted, true)
      assert.equal(reached()?.headers.authorization, key)
      assert.equal((await call('GET', id)).status, 404)
      const follow = { model: `${upstream}/${MODEL}`, input: 'x', previous_response_id: id }
      assert.equal((await gateway.send('/v1/responses', follow, mine)).status, 404)
      // Reading it again cost nothing.
      const [row, ...more] = (await gateway.usage('principal')) as unknown as { costUsd: string }[]
      assert.deepEqual(more, [])
      assert.equal(row?.costUsd, made.headers['x-stockyard-cost-usd'])
    })
  }
}

const spent = async (gateway: Running) => {
  const rows = (await gateway.usage('principal')) as unknown as { group: { principal: string }; costUsd: string }[]
  return Object.fromEntries(rows.map(({ group, costUsd }) => [group.principal, Number(costUsd)]))
}

test('in the background: asked for until it is over, and booked then, once, at its whole price', async (t) => {
  const gateway = await start(t)
  const asked = { model: `two/${MODEL}`, input: 'one two three', background: true }
  const made = await gateway.send('/v1/responses', asked, OTHER)
  assert.equal(made.json.status, 'queued', made.text)
  assert.deepEqual(await spent(gateway), { proxy: 0 })
  const get = () => exchange(`${gateway.url}/v1/responses/${made.json.id}`, 'GET', undefined, OTHER)
  assert.equal((await get()).json.status, 'in_progress')
  const done = (await get()).json
  assert.equal(done.status, 'completed')
  const price = (done.usage.input_tokens * 100 + done.usage.output_tokens * 200) / 1e6
  await until(async () => (await spent(gateway)).proxy === price, 'it is booked', 10_000)
  for (let i = 0; i < 3; i++) await get()
  await gateway.restart()
  await get()
  assert.deepEqual(await spent(gateway), { proxy: price })
})

test('in the background: booked also when nobody asks, and nothing when it is cancelled', async (t) => {
  const gateway = await start(t, 100)
  const ask = async (upstream: string) => {
    const body = { model: `${upstream}/${MODEL}`, input: 'one two three', background: true }
    return (await gateway.send('/v1/responses', body)).json.id as string
  }
  const cancelled = await ask('one')
  const stopped = await exchange(`${gateway.url}/v1/responses/${cancelled}/cancel`, 'POST', {})
  assert.equal(stopped.json.status, 'cancelled', stopped.text)
  await ask('two')
  await until(async () => ((await spent(gateway)).local ?? 0) > 0, 'it is booked', 10_000)
  const { local } = await spent(gateway)
  const looks = () => gateway.upstream.ledger.rows.filter(({ method }) => method === 'GET').length
  await until(
    () => gateway.served.gateway.store.objects.unsettled('response', 10).length === 0,
    'all is settled',
    10_000,
  )
  const after = looks()
  await new Promise((resolve) => setTimeout(resolve, 400))
  assert.equal(looks(), after)
  assert.deepEqual(await spent(gateway), { local })
})

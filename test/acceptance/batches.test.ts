/**
 * A33: what a batch used is booked once, when it is over, at the vendor's rate for batches, to whoever made it; asked for
 * again, asked for by nobody, or over a restart.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exchange, type Running, type RunningOptions, runGateway, until } from '../running/index.ts'

const OTHER = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }
const NEVER = 3_600_000

async function start(t: Parameters<typeof runGateway>[0], options: RunningOptions): Promise<Running> {
  const gateway = await runGateway(t, options)
  await gateway.admin('PUT', 'proxy-key', { key: OTHER.authorization.slice('Bearer '.length) })
  await gateway.admin('PUT', 'prices/gpt-4o-mini', { prices: [{ rates: { input: '100', output: '200' } }] })
  return gateway
}

async function batch(gateway: Running, metadata: object, models: readonly string[], headers = {}): Promise<string> {
  const lines = models.map((model, i) =>
    JSON.stringify({
      custom_id: `${i}`,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model, messages: ['hello'] },
    }),
  )
  const boundary = 'of-this-test'
  const form = [
    `--${boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n`,
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n${lines.join('\n')}\r\n`,
    `--${boundary}--\r\n`,
  ].join('')
  const type = { 'content-type': `multipart/form-data; boundary=${boundary}` }
  const file = await gateway.send('/v1/files', form, { ...headers, ...type })
  const asked = { input_file_id: file.json.id, endpoint: '/v1/chat/completions', completion_window: '24h', metadata }
  const made = await gateway.send('/v1/batches', asked, headers)
  assert.equal(made.status, 200, made.text)
  return made.json.id
}

const get = (gateway: Running, id: string, headers = {}) =>
  exchange(`${gateway.url}/v1/batches/${id}`, 'GET', undefined, headers)

type Row = { group: Record<string, string>; tokens: Record<string, number>; costUsd: string; unpriced: number }
const rows = async (gateway: Running) =>
  ((await gateway.usage('principal,upstreamModel')) as unknown as Row[]).filter((row) => row.group.upstreamModel !== '')

for (const [way, metadata] of [
  ['its own usage', {}],
  ['its results', { usage: 'none' }],
] as const) {
  test(`A33: a batch is booked once by ${way}, at half the price, to its maker`, async (t) => {
    const gateway = await start(t, { batchesMs: NEVER })
    const id = await batch(gateway, metadata, ['gpt-4o-mini', 'gpt-4o-mini', 'gpt-4o-mini'], OTHER)
    assert.equal((await get(gateway, id)).status, 404)
    for (let i = 0; i < 4; i++) await get(gateway, id, OTHER)
    assert.equal((await get(gateway, id, OTHER)).json.status, 'completed')
    await until(async () => (await rows(gateway)).length > 0, 'the batch is booked', 10_000)
    const [row, ...more] = await rows(gateway)
    assert.deepEqual(more, [])
    assert.equal(row?.group.principal, 'proxy')
    assert.equal(row?.tokens.output, 15)
    const input = row?.tokens.input ?? 0
    assert.ok(input > 0)
    assert.equal(Number(row?.costUsd), (input * 100 + 15 * 200) / 1e6 / 2)
    await gateway.restart()
    for (let i = 0; i < 3; i++) await get(gateway, id, OTHER)
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.deepEqual(await rows(gateway), [row])
  })
}

test('A33: a batch that nobody asks for is booked all the same, each model of it', async (t) => {
  const gateway = await start(t, { batchesMs: 100 })
  await batch(gateway, { usage: 'none' }, ['gpt-4o-mini', 'gpt-4.1', 'gpt-4o-mini'])
  await until(async () => (await rows(gateway)).length === 2, 'both models are booked', 15_000)
  const found = await rows(gateway)
  assert.deepEqual(found.map(({ group }) => [group.principal, group.upstreamModel]).sort(), [
    ['local', 'gpt-4.1'],
    ['local', 'gpt-4o-mini'],
  ])
  const calls = () => gateway.upstream.ledger.rows.filter((row) => row.path.includes('/batches/')).length
  const after = calls()
  await new Promise((resolve) => setTimeout(resolve, 500))
  assert.equal(calls(), after, 'it is not looked at any more')
})

test('A33: results that cannot be read yet are read later', async (t) => {
  const gateway = await start(t, { batchesMs: 100 })
  gateway.upstream.script({ match: (row) => row.path.endsWith('/content'), behaviour: 'status=500', times: 2 })
  await batch(gateway, { usage: 'none' }, ['gpt-4o-mini'])
  await until(async () => (await rows(gateway)).length === 1, 'it is booked', 15_000)
  assert.equal((await rows(gateway))[0]?.tokens.output, 5)
})

/**
 * A33: batches in Anthropic's and in Google's own formats are their maker's alone and booked once, when they are over, at the
 * vendor's rate for batches; each answer is priced by itself.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { exchange, type Running, runGateway, until } from '../running/index.ts'

const OTHER = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }
type Body = Record<string, unknown>

interface Vendor {
  readonly url: string
  readonly asked: string[]
  /** Whether batches are over. */
  over: boolean
}

/** Answers what `answer` says, or 404. */
async function vendor(
  t: TestContext,
  answer: (method: string, url: URL, body: Body, over: boolean) => Body | string | undefined,
): Promise<Vendor> {
  const asked: string[] = []
  const state = { url: '', asked, over: false }
  const server = http.createServer((request, response) => {
    let text = ''
    request.on('data', (part) => (text += part))
    request.on('end', () => {
      asked.push(`${request.method} ${request.url}`)
      const url = new URL(request.url ?? '', state.url)
      const said = answer(request.method ?? '', url, text ? JSON.parse(text) : {}, state.over)
      const isLines = typeof said === 'string'
      response.writeHead(said === undefined ? 404 : 200, {
        'content-type': isLines ? 'application/binary' : 'application/json',
      })
      response.end(isLines ? said : JSON.stringify(said ?? { error: { message: 'none', type: 'not_found_error' } }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return state
}

async function gatewayFor(t: TestContext, provider: string, { url }: Vendor, batchesMs = 3_600_000): Promise<Running> {
  const gateway = await runGateway(t, { upstreams: {}, batchesMs })
  await gateway.admin('PUT', 'proxy-key', { key: OTHER.authorization.slice('Bearer '.length) })
  await gateway.admin('PUT', `upstreams/${provider}`, {
    provider,
    baseUrl: url,
    credentials: [{ id: 'main', secret: 'sk-of-this-test' }],
  })
  return gateway
}

/** Long prompts cost ten times as much: a sum of short ones is none. */
const price = (gateway: Running, model: string) =>
  gateway.admin('PUT', `prices/${model}`, {
    prices: [
      {
        rates: { input: '100', output: '200' },
        tiers: [{ aboveInputTokens: 1_000, rates: { input: '1000', output: '2000' } }],
      },
    ],
  })

type Row = { group: Record<string, string>; tokens: Record<string, number>; costUsd: string; attempts: number }
const booked = async (gateway: Running): Promise<Row[]> =>
  ((await gateway.usage('principal,upstreamModel')) as unknown as Row[]).filter(
    ({ tokens }) => (tokens.output ?? 0) > 0,
  )

const batchOf = (id: string, over: boolean) => ({
  id,
  type: 'message_batch',
  processing_status: over ? 'ended' : 'in_progress',
  request_counts: { processing: 0, succeeded: 3, errored: 1, canceled: 0, expired: 0 },
  results_url: over ? `https://api.anthropic.com/v1/messages/batches/${id}/results` : null,
})
const answered = (input: number, output: number, model = 'claude-sonnet-4-5') =>
  JSON.stringify({
    custom_id: `${input}`,
    result: {
      type: 'succeeded',
      message: { model, usage: { input_tokens: input, output_tokens: output, service_tier: 'batch' } },
    },
  })

for (const root of ['/v1/messages/batches', '/anthropic/v1/messages/batches']) {
  test(`A33: Anthropic’s batches at ${root}: owned, listed by owner, booked once`, async (t) => {
    let made = 0
    const kept = new Map<string, boolean>()
    const there = await vendor(t, (method, { pathname, searchParams }, _body, over) => {
      const [, id, further] = pathname.slice('/v1/messages'.length).replace('/batches', '').split('/')
      if (method === 'POST' && id === undefined) {
        kept.set(`msgbatch_${++made}`, true)
        return batchOf(`msgbatch_${made}`, false)
      }
      if (id === undefined) {
        const ids = [...kept.keys()].reverse()
        const from = ids.indexOf(searchParams.get('after_id') ?? '') + 1
        const page = ids.slice(from, from + 1)
        const ends = { first_id: page[0] ?? null, last_id: page.at(-1) ?? null }
        return { data: page.map((one) => batchOf(one, over)), has_more: from + 1 < ids.length, ...ends }
      }
      if (!kept.has(id)) return undefined
      if (further === 'results') {
        const failed = JSON.stringify({ custom_id: 'x', result: { type: 'errored', error: { type: 'error' } } })
        return [answered(600, 10), answered(700, 20), failed, answered(2_000, 30)].join('\n')
      }
      return batchOf(id, over)
    })
    const gateway = await gatewayFor(t, 'anthropic', there)
    await price(gateway, 'claude-sonnet-4-5')
    const at = (path: string, method = 'GET', headers = {}) =>
      exchange(gateway.url + root + path, method, undefined, headers)
    const requests = [
      {
        custom_id: 'a',
        params: { model: 'claude-sonnet-4-5', max_tokens: 9, messages: [{ role: 'user', content: 'x' }] },
      },
    ]
    const ids: string[] = []
    for (const headers of [OTHER, {}, OTHER]) {
      const answer = await gateway.send(root, { requests }, headers)
      assert.equal(answer.status, 200, answer.text)
      ids.push(answer.json.id)
    }
    assert.deepEqual(ids, ['msgbatch_1', 'msgbatch_2', 'msgbatch_3'])
    // Whoever did not make it does not see it.
    for (const [method, path] of [
      ['GET', '/msgbatch_1'],
      ['GET', '/msgbatch_1/results'],
      ['POST', '/msgbatch_1/cancel'],
      ['DELETE', '/msgbatch_1'],
      ['GET', '/msgbatch_9'],
    ] as const) {
      const refused = await at(path, method)
      assert.equal(refused.status, 404, `${method} ${path}`)
      assert.equal(refused.json.type, 'error', 'in the shape of its API')
    }
    const seen = async (headers = {}) => {
      const list = await at('?limit=5', 'GET', headers)
      return list.json.data.map(({ id }: { id: string }) => id)
    }
    assert.deepEqual(await seen(), ['msgbatch_2'])
    assert.deepEqual(await seen(OTHER), ['msgbatch_3', 'msgbatch_1'])
    assert.equal((await at('/msgbatch_1', 'GET', OTHER)).json.processing_status, 'in_progress')
    assert.deepEqual(await booked(gateway), [])
    there.over = true
    for (let i = 0; i < 3; i++) {
      const { json } = await at('/msgbatch_1', 'GET', OTHER)
      assert.equal(json.results_url, '/v1/messages/batches/msgbatch_1/results')
    }
    await until(async () => (await booked(gateway)).length > 0, 'it is booked', 10_000)
    const [row, ...more] = await booked(gateway)
    assert.deepEqual(more, [])
    assert.deepEqual([row?.group.principal, row?.group.upstreamModel], ['proxy', 'claude-sonnet-4-5'])
    assert.deepEqual([row?.tokens.input, row?.tokens.output], [3_300, 60])
    // The third prompt alone is a long one.
    assert.equal(Number(row?.costUsd), (1_300 * 100 + 30 * 200 + 2_000 * 1_000 + 30 * 2_000) / 1e6 / 2)
    await gateway.restart()
    await at('/msgbatch_1', 'GET', OTHER)
    const client = new Anthropic({
      baseURL: gateway.url + root.replace('/v1/messages/batches', ''),
      apiKey: null,
      authToken: OTHER.authorization.slice('Bearer '.length),
    })
    let lines = 0
    for await (const line of await client.messages.batches.results('msgbatch_1')) if (line.custom_id) lines++
    assert.equal(lines, 4)
    assert.deepEqual(await booked(gateway), [row])
    const wrong = await exchange(gateway.url + root, 'PUT', {}, OTHER)
    assert.equal(wrong.status, 405)
    assert.equal(wrong.json.type, 'error')
  })
}

test('A33: a batch of Anthropic’s that nobody asks for is booked, each model of it', async (t) => {
  const there = await vendor(t, (method, { pathname }) => {
    if (pathname.endsWith('/results')) return `${answered(10, 5)}\n${answered(20, 5, 'claude-haiku-4-5')}\n`
    return batchOf('msgbatch_1', method === 'GET')
  })
  const gateway = await gatewayFor(t, 'anthropic', there, 100)
  assert.equal((await gateway.send('/v1/messages/batches', { requests: [] })).status, 200)
  await until(async () => (await booked(gateway)).length === 2, 'both models are booked', 15_000)
  assert.ok((await booked(gateway)).every(({ group, costUsd }) => group.principal === 'local' && Number(costUsd) > 0))
})

for (const way of ['inline', 'file'] as const) {
  test(`A33: Google’s batches with results ${way}: owned, listed by owner, booked once`, async (t) => {
    let made = 0
    const usageMetadata = { promptTokenCount: 600, candidatesTokenCount: 10, totalTokenCount: 610 }
    const response = { modelVersion: 'gemini-2.5-flash', usageMetadata }
    const operation = (name: string, over: boolean) => ({
      name,
      metadata: {
        model: 'models/gemini-2.5-flash',
        state: over ? 'BATCH_STATE_SUCCEEDED' : 'BATCH_STATE_PENDING',
        name,
      },
      ...(over
        ? {
            done: true,
            response:
              way === 'inline'
                ? { inlinedResponses: { inlinedResponses: [{ response }, { error: { code: 3 } }, { response }] } }
                : { responsesFile: 'files/batch-of-this-test' },
          }
        : {}),
    })
    const there = await vendor(t, (method, { pathname }, _body, over) => {
      if (pathname.endsWith(':batchGenerateContent')) return operation(`batches/${++made}`, false)
      if (pathname === '/v1beta/batches') {
        return { operations: [1, 2].filter((n) => n <= made).map((n) => operation(`batches/${n}`, over)) }
      }
      if (pathname === '/v1beta/files') return { files: [{ name: 'files/batch-of-this-test' }, { name: 'files/else' }] }
      if (pathname.startsWith('/v1beta/files/'))
        return [response, response].map((r) => JSON.stringify({ response: r })).join('\n')
      return method === 'DELETE' ? {} : operation(pathname.slice('/v1beta/'.length).split(':')[0] as string, over)
    })
    const gateway = await gatewayFor(t, 'gemini', there)
    await price(gateway, 'gemini-2.5-flash')
    const at = (path: string, method = 'GET', headers = {}, body?: Body) =>
      exchange(`${gateway.url}/gemini/v1beta${path}`, method, body, headers)
    const ask = '/models/gemini-2.5-flash:batchGenerateContent'
    const batch = { inputConfig: { requests: { requests: [{ request: { contents: [] } }] } } }
    for (const headers of [OTHER, {}]) {
      const answer = await at(ask, 'POST', headers, { batch })
      assert.equal(answer.status, 200, answer.text)
    }
    // Another caller's file is none that a batch may be made of.
    const foreign = { batch: { inputConfig: { fileName: 'files/of-somebody' } } }
    assert.equal((await at(ask, 'POST', {}, foreign)).status, 404)
    const asked = there.asked.length
    for (const [method, path] of [
      ['GET', '/batches/1'],
      ['POST', '/batches/1:cancel'],
      ['DELETE', '/batches/1'],
      ['GET', '/batches/9'],
      ['GET', '/files/batch-of-this-test:download?alt=media'],
    ] as const) {
      const refused = await at(path, method, {}, method === 'POST' ? {} : undefined)
      assert.equal(refused.status, 404, `${method} ${path}`)
      assert.equal(refused.json.error.status, 'NOT_FOUND', 'in the shape of its API')
    }
    assert.equal(there.asked.length, asked)
    const seen = async (headers = {}) =>
      (await at('/batches', 'GET', headers)).json.operations.map(({ name }: { name: string }) => name)
    assert.deepEqual(await seen(), ['batches/2'])
    assert.deepEqual(await seen(OTHER), ['batches/1'])
    there.over = true
    for (let i = 0; i < 3; i++) assert.equal((await at('/batches/1', 'GET', OTHER)).json.done, true)
    await until(async () => (await booked(gateway)).length > 0, 'it is booked', 10_000)
    const [row, ...more] = await booked(gateway)
    assert.deepEqual(more, [])
    assert.deepEqual([row?.group.principal, row?.group.upstreamModel], ['proxy', 'gemini-2.5-flash'])
    assert.deepEqual([row?.tokens.input, row?.tokens.output], [1_200, 20])
    assert.equal(Number(row?.costUsd), (1_200 * 100 + 20 * 200) / 1e6 / 2)
    if (way === 'file') {
      const { json } = await at('/files', 'GET', OTHER)
      assert.deepEqual(json.files, [{ name: 'files/batch-of-this-test' }])
      assert.equal((await at('/files/batch-of-this-test:download?alt=media', 'GET', OTHER)).status, 200)
    }
    await gateway.restart()
    await at('/batches/1', 'GET', OTHER)
    assert.deepEqual(await booked(gateway), [row])
  })
}

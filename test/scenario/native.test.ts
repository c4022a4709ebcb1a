/**
 * A30, A84: a vendor's own API under the gateway's address. No second path: who asks, limits, the ledger, the log and
 * the modules that read text are there as everywhere.
 */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { Type } from 'typebox'
import { defineModule, type Module } from '../../src/core/module.ts'
import { eachText } from '../../src/core/texts.ts'
import { exchange, runGateway } from '../running/index.ts'

const upstreams = { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini', groq: 'groq', own: 'custom' }

/** A path as it stands, which `URL` would tidy. */
const raw = (url: string, method: string, path: string) =>
  new Promise<number>((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const request = http.request({ hostname, port, method, path, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    request.on('error', reject)
    request.end()
  })

const CHAT = { messages: [{ role: 'user', content: 'hello' }] }
const MESSAGES = { ...CHAT, max_tokens: 50 }
const CONTENTS = { contents: [{ role: 'user', parts: [{ text: 'hello' }] }] }
const ROUTES: readonly [name: string, path: string, body: object, model: string][] = [
  ['openai, with its version', '/openai/v1/chat/completions', { ...CHAT, model: 'gpt-4o-mini' }, 'gpt-4o-mini'],
  ['openai, without', '/openai/chat/completions', { ...CHAT, model: 'gpt-4o-mini' }, 'gpt-4o-mini'],
  ['openai responses', '/openai/v1/responses', { model: 'gpt-4o-mini', input: 'hello' }, 'gpt-4o-mini'],
  ['groq', '/groq/v1/chat/completions', { ...CHAT, model: 'llama-3.3-70b-versatile' }, 'llama-3.3-70b-versatile'],
  ['anthropic', '/anthropic/v1/messages', { ...MESSAGES, model: 'claude-sonnet-4-5' }, 'claude-sonnet-4-5'],
  ['gemini', '/gemini/v1beta/models/gemini-2.5-flash:generateContent', CONTENTS, 'gemini-2.5-flash'],
]

test('A30: native chat paths of each family are booked and logged under their upstream, streamed and not', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  for (const [name, path, body, model] of ROUTES) {
    const plain = await gateway.send(path, body)
    assert.equal(plain.status, 200, `${name}: ${plain.text}`)
    assert.match(plain.text, /echo: hello/, name)
    assert.equal(plain.headers['x-stockyard-upstream'], path.split('/')[1], name)
    assert.ok(Number(plain.headers['x-stockyard-cost-usd']) > 0, name)
    const isPath = path.includes(':generateContent')
    const streamPath = isPath ? path.replace(':generateContent', ':streamGenerateContent?alt=sse') : path
    const streamed = await gateway.send(streamPath, isPath ? body : { ...body, stream: true })
    assert.match(streamed.headers['content-type'] ?? '', /event-stream/, name)
    const sent = gateway.upstream.ledger.rows.at(-1)
    assert.equal(sent?.model, model, name)
  }
  const rows = await gateway.usage('upstream')
  assert.equal(
    rows.reduce((sum, row) => sum + Number(row.attempts), 0),
    ROUTES.length * 2,
  )
  assert.ok(rows.every((row) => row.unpriced === 0))
})

test('A84: what a module reads and refuses, it reads and refuses on every native and relayed path', async (t) => {
  const guard = defineModule({
    id: 'guard-of-this-test',
    summary: 'Refuses a word.',
    layer: 'content',
    default: 'enforce',
    fault: 'closed',
    settings: Type.Object({}, { additionalProperties: false }),
    errors: { word_refused: { status: 400, blame: 'client', retry: 'never', message: 'That word is not for here.' } },
    start: (host) => ({
      transform(_x, request) {
        eachText(request, (text) => {
          if (text.includes('forbidden')) host.refuse('word_refused')
        })
        return request
      },
    }),
  }) as unknown as Module
  const gateway = await runGateway(t, { upstreams, extraModules: [guard] })
  const said = (body: object) => JSON.parse(JSON.stringify(body).replaceAll('hello', 'forbidden')) as object
  const more: [string, string, object, string][] = [
    ['images', '/v1/images/generations', { model: 'gpt-image-1', prompt: 'hello' }, ''],
    ['images, native', '/openai/v1/images/generations', { model: 'gpt-image-1', prompt: 'hello' }, ''],
    ['speech', '/v1/audio/speech', { model: 'gpt-4o-mini-tts', input: 'hello', voice: 'a' }, ''],
    ['moderations', '/v1/moderations', { input: 'hello' }, ''],
    ['conversations', '/v1/conversations', { items: [{ role: 'user', content: 'hello' }] }, ''],
    ['anything', '/openai/v1/whatever/comes', { deep: [{ er: 'hello' }] }, ''],
    ['count', '/anthropic/v1/messages/count_tokens', { ...MESSAGES, model: 'claude-sonnet-4-5' }, ''],
    ['rerank', '/v1/rerank', { model: 'own/x', query: 'hello', documents: ['a'] }, ''],
  ]
  for (const [name, path, body] of [...ROUTES, ...more]) {
    for (const stream of [false, true]) {
      const answer = await gateway.send(path, stream ? { ...said(body), stream: true } : said(body))
      assert.equal(answer.status, 400, `${name}: ${answer.text}`)
      assert.match(answer.text, /That word is not for here/, name)
    }
  }
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('A30: a limit or a missing key stops a native call before it leaves', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const stranger = { 'x-forwarded-for': '203.0.113.9' }
  for (const [name, path, body] of ROUTES) {
    assert.equal((await gateway.send(path, body, stranger)).status, 401, name)
  }
  assert.equal((await gateway.send('/openai/v1/files', {}, stranger)).status, 401)
  assert.equal((await exchange(`${gateway.url}/anthropic/v1/models`, 'GET', undefined, stranger)).status, 401)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('paths about the account are never relayed, however they are written', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const paths = [
    '/openai/v1/organization/users',
    '/openai/organization/admin_api_keys',
    '/openai/v1/Organization/users',
    '/openai/v1/organiz%61tion/users',
    '/openai/v1/projects/p/roles',
    '/openai/v1/realtime/client_secrets',
    '/anthropic/v1/organizations/me',
  ]
  for (const path of paths) {
    for (const method of ['GET', 'POST', 'DELETE']) {
      const answer = await exchange(gateway.url + path, method, method === 'POST' ? {} : undefined)
      assert.equal(answer.status, 403, `${method} ${path}: ${answer.text}`)
    }
  }
  const odd = [
    '/openai/v1/files/../organization/users',
    '/openai/v1/files/%2e%2e/organization/users',
    '/openai/v1/files/x/..%2f..%2forganization/users',
    '/openai//v1/organization/users',
    '/openai/v1/files/..\\organization',
    '/v1/files/%2E./organization/users',
  ]
  for (const path of odd) assert.ok([400, 404].includes(await raw(gateway.url, 'GET', path)), path)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('what nothing is known of: work passes, things are their maker’s, the list of models is open', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  await gateway.admin('PUT', 'proxy-key', { key: 'sk-the-other-tenant-of-this-test' })
  const other = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }
  const get = (path: string, headers = {}) => exchange(gateway.url + path, 'GET', undefined, headers)
  assert.equal((await get('/anthropic/v1/models')).status, 200)
  assert.equal((await get('/groq/v1/unheard/of')).status, 404)
  const made = await gateway.send('/openai/v1/vector_stores', { name: 'x' })
  const id = made.json.id
  assert.equal((await get(`/openai/v1/vector_stores/${id}`)).json.id, id)
  assert.equal((await get(`/openai/v1/vector_stores/${id}`, other)).status, 404)
  assert.equal((await get(`/groq/v1/vector_stores/${id}`)).status, 404)
  const counted = await gateway.send('/anthropic/v1/messages/count_tokens', { ...MESSAGES, model: 'claude-sonnet-4-5' })
  assert.ok(counted.json.input_tokens > 0)
  assert.equal((await get('/nobody/v1/models')).status, 404)
  assert.equal((await gateway.send('/v1/rerank', { model: 'openai/x', query: 'a', documents: ['b'] })).status, 400)
})

test('rankings in Jina’s and in Cohere’s shape', async (t) => {
  const gateway = await runGateway(t, { upstreams })
  const asked = { model: 'own/bge-reranker', query: 'horse', documents: ['a cow', 'a horse'], top_n: 1 }
  const jina = await gateway.send('/v1/rerank', asked)
  assert.equal(jina.json.results[0].index, 1)
  assert.equal(jina.json.usage.total_tokens, 12)
  const cohere = await gateway.send('/v2/rerank', asked)
  assert.deepEqual(
    cohere.json.results.map((r: { index: number }) => r.index),
    [1],
  )
  assert.ok(cohere.json.meta.billed_units)
})

test('A84: what a module changes in answers, it changes in relayed ones: JSON and text; a stream is refused', async (t) => {
  const masks = defineModule({
    id: 'masks-of-this-test',
    summary: 'Hides an address.',
    layer: 'content',
    default: 'enforce',
    fault: 'closed',
    settings: Type.Object({}, { additionalProperties: false }),
    start: () => ({
      stream: () => ({
        push: (event) =>
          event.type === 'text-delta' ? [{ ...event, text: event.text.replace(/\S+@\S+/, '[EMAIL]') }] : [event],
      }),
    }),
  }) as unknown as Module
  const gateway = await runGateway(t, { upstreams, extraModules: [masks] })
  const hear = (fields: Record<string, string>) => {
    const parts = Object.entries({ model: 'openai/gpt-4o-transcribe', ...fields }).map(
      ([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    )
    const file = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b--\r\n'
    const type = { 'content-type': 'multipart/form-data; boundary=b' }
    return gateway.send('/v1/audio/transcriptions', parts.join('') + file, type)
  }
  const json = await hear({})
  assert.match(json.json.text, /^heard [0-9a-f]+ from \[EMAIL\]$/)
  assert.equal(json.json.usage.output_tokens, 20)
  const text = await hear({ response_format: 'text' })
  assert.match(text.text, /from \[EMAIL\]$/)
  assert.match(text.headers['content-type'] ?? '', /^text\/plain/)
  const stream = await hear({ stream: 'true' })
  assert.equal(stream.status, 400)
  assert.ok(!stream.text.includes('jane@'))
  const picture = await gateway.send('/openai/v1/images/generations', {
    model: 'gpt-image-1',
    prompt: 'jane@example.com',
  })
  assert.equal(picture.json.data[0].revised_prompt, '[EMAIL]')
  assert.ok(picture.json.data[0].b64_json.length > 10)
})

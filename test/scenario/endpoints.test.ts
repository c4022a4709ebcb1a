/**
 * OpenAI's endpoints that are only relayed: pictures, sound, moderation and what is kept. Each is an exchange like any
 * other: known caller, plan, ledger row, log row.
 */
import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { exchange, type Running, runGateway } from '../running/index.ts'

const form = (fields: Record<string, string>, file?: { name: string; bytes: Buffer }) => {
  const boundary = 'a-boundary-of-this-test'
  const parts: Buffer[] = Object.entries(fields).map(([name, value]) =>
    Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`),
  )
  if (file) {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${file.name}"\r\nContent-Type: application/octet-stream\r\n\r\n`
    parts.push(Buffer.from(head), file.bytes, Buffer.from('\r\n'))
  }
  parts.push(Buffer.from(`--${boundary}--\r\n`))
  const body = Buffer.concat(parts)
  return { body, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } }
}

function bytesOf(url: string, method: string, body?: string): Promise<{ status: number; type: string; bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const request = http.request(url, { method, agent: false, headers }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          bytes: Buffer.concat(chunks),
        }),
      )
    })
    request.on('error', reject)
    request.end(body)
  })
}

const upload = (gateway: Running, bytes: Buffer, headers = {}) => {
  const { body, headers: own } = form({ purpose: 'batch' }, { name: 'x.jsonl', bytes })
  return gateway.send('/v1/files', body, { ...own, ...headers })
}

test('pictures: tokens where the model reports them, pictures where it does not', async (t) => {
  const gateway = await runGateway(t)
  const answer = await gateway.send('/v1/images/generations', { model: 'gpt-image-1', prompt: 'a horse', n: 2 })
  assert.equal(answer.status, 200)
  assert.equal(answer.json.data.length, 2)
  assert.equal(answer.headers['x-stockyard-upstream'], 'openai')
  // 4 text tokens at 5, 6 picture tokens at 10, 20 out at 40 dollars a million.
  assert.equal(answer.headers['x-stockyard-cost-usd'], '0.00088')
  const old = await gateway.send('/v1/images/generations', { model: 'openai/dall-e-3', prompt: 'a cow', n: 3 })
  assert.equal(old.status, 200)
  assert.equal(old.headers['x-stockyard-cost-usd'], undefined)
  await gateway.admin('PUT', 'prices/dall-e-3', { prices: [{ rates: {}, perCall: { image: '0.04' } }] })
  const priced = await gateway.send('/v1/images/generations', { model: 'openai/dall-e-3', prompt: 'a cow', n: 3 })
  assert.equal(priced.headers['x-stockyard-cost-usd'], '0.12')
})

test('streamed pictures pass as they are, and are booked by their last event', async (t) => {
  const gateway = await runGateway(t)
  const asked = { model: 'gpt-image-1', prompt: 'a horse', stream: true }
  const answer = await gateway.send('/v1/images/generations', asked)
  assert.match(answer.headers['content-type'] ?? '', /event-stream/)
  const events = answer.data.map((data) => JSON.parse(data).type)
  assert.deepEqual(events, ['image_generation.partial_image', 'image_generation.completed'])
  const [row] = (await gateway.usage()) as { tokens: Record<string, number> }[]
  assert.equal(row?.tokens.output, 20)
  gateway.upstream.script({ behaviour: 'truncate=1' })
  const broken = await gateway.send('/v1/images/generations', asked)
  assert.equal(JSON.parse(broken.data.at(-1) ?? '{}').error?.code, 'upstream_incomplete')
})

test('sound comes as the bytes it is, and a broken one does not look whole', async (t) => {
  const gateway = await runGateway(t)
  const asked = JSON.stringify({ model: 'gpt-4o-mini-tts', input: 'hello', voice: 'alloy' })
  const answer = await bytesOf(`${gateway.url}/v1/audio/speech`, 'POST', asked)
  assert.equal(answer.type, 'audio/mpeg')
  assert.deepEqual([...answer.bytes.subarray(0, 6)], [0, 1, 254, 255, 13, 10])
  assert.match(answer.bytes.toString('latin1'), /sound of hello$/)
  gateway.upstream.script({ behaviour: 'reset=1', times: 2 })
  await assert.rejects(bytesOf(`${gateway.url}/v1/audio/speech`, 'POST', asked))
})

test('speech is heard from a form, whose model is the alias of another', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'aliases/ears', { model: 'openai/gpt-4o-transcribe' })
  const file = { name: 'a.wav', bytes: Buffer.from([82, 73, 70, 70, 13, 10, 45, 45, 0, 255]) }
  const { body, headers } = form({ model: 'ears', language: 'en' }, file)
  const answer = await gateway.send('/v1/audio/transcriptions', body, headers)
  assert.equal(answer.status, 200, answer.text)
  assert.match(answer.json.text, /^heard [0-9a-f]{8}/)
  const sent = gateway.upstream.ledger.rows.at(-1)?.rawBody ?? ''
  assert.match(sent, /name="model"\r\n\r\ngpt-4o-transcribe\r\n/)
  assert.match(sent, /name="language"\r\n\r\nen\r\n/)
  const text = form({ model: 'ears', response_format: 'text' }, file)
  const plain = await gateway.send('/v1/audio/transcriptions', text.body, text.headers)
  assert.match(plain.headers['content-type'] ?? '', /^text\/plain/)
  assert.match(plain.text, /^heard/)
  const streamed = form({ model: 'ears', stream: 'true' }, file)
  const stream = await gateway.send('/v1/audio/transcriptions', streamed.body, streamed.headers)
  assert.equal(JSON.parse(stream.data.at(-1) ?? '').type, 'transcript.text.done')
  const [row] = await gateway.usage('model')
  assert.equal(row?.attempts, 3)
})

test('moderation is free, with a model or without', async (t) => {
  const gateway = await runGateway(t)
  const answer = await gateway.send('/v1/moderations', { input: ['attack', 'peace'] })
  assert.deepEqual(
    answer.json.results.map((r: { flagged: boolean }) => r.flagged),
    [true, false],
  )
  assert.equal(answer.headers['x-stockyard-cost-usd'], '0')
  const named = await gateway.send('/v1/moderations', { input: 'x', model: 'omni-moderation-latest' })
  assert.equal(named.status, 200)
})

test('what is kept is its maker’s alone: by id, in lists, and in bodies', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'proxy-key', { key: 'sk-the-other-tenant-of-this-test' })
  const other = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }
  const bytes = Buffer.from([0, 255, 10, 13, 45, 45])
  const mine = (await upload(gateway, bytes)).json.id
  const theirs = (await upload(gateway, bytes, other)).json.id
  const get = (path: string, headers = {}) => exchange(gateway.url + path, 'GET', undefined, headers)

  assert.equal((await get(`/v1/files/${mine}`)).json.id, mine)
  assert.deepEqual((await bytesOf(`${gateway.url}/v1/files/${mine}/content`, 'GET')).bytes, bytes)
  assert.deepEqual(
    (await get('/v1/files')).json.data.map((f: { id: string }) => f.id),
    [mine],
  )
  assert.deepEqual(
    (await get('/v1/files', other)).json.data.map((f: { id: string }) => f.id),
    [theirs],
  )
  const before = gateway.upstream.ledger.rows.length
  for (const path of [`/v1/files/${theirs}`, `/v1/files/${theirs}/content`, '/v1/files/file-nobody']) {
    const answer = await get(path)
    assert.equal(answer.status, 404, path)
    assert.equal(answer.json.error.code, 'not_found')
  }
  const batch = { input_file_id: theirs, endpoint: '/v1/chat/completions', completion_window: '24h' }
  assert.equal((await gateway.send('/v1/batches', batch)).status, 404)
  const hidden = `{"input_file\\u005fid":"${theirs}","endpoint":"/v1/chat/completions","completion_window":"24h"}`
  assert.equal((await gateway.send('/v1/batches', hidden)).status, 404)
  assert.equal(gateway.upstream.ledger.rows.length, before)

  assert.equal((await exchange(`${gateway.url}/v1/files/${mine}`, 'DELETE', undefined, other)).status, 404)
  assert.equal((await exchange(`${gateway.url}/v1/files/${mine}`, 'DELETE')).json.deleted, true)
  assert.equal((await get(`/v1/files/${mine}`)).status, 404)
})

test('a list is filled with the caller’s own, page by page', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'proxy-key', { key: 'sk-the-other-tenant-of-this-test' })
  const other = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }
  const make = async (headers = {}) => (await gateway.send('/v1/vector_stores', { name: 'x' }, headers)).json.id
  const mine: string[] = []
  for (let i = 0; i < 5; i++) {
    mine.unshift(await make())
    for (let k = 0; k < 6; k++) await make(other)
  }
  const seen: string[] = []
  let after = ''
  for (let page = 0; page < 5; page++) {
    const answer = await exchange(`${gateway.url}/v1/vector_stores?limit=2${after}`, 'GET')
    seen.push(...answer.json.data.map((o: { id: string }) => o.id))
    assert.ok(answer.json.data.length <= 2)
    assert.equal(answer.json.last_id, seen.at(-1))
    if (!answer.json.has_more) break
    after = `&after=${answer.json.last_id}`
  }
  assert.deepEqual(seen, mine)
})

test('each call is logged and booked, and what is refused reaches nobody', async (t) => {
  const gateway = await runGateway(t)
  await upload(gateway, Buffer.from('x'))
  await gateway.send('/v1/images/generations', { model: 'gpt-image-1', prompt: 'x' })
  await gateway.restart()
  const { entries } = await gateway.admin('GET', 'logs')
  const operations = entries.map((row: { operation: string }) => row.operation)
  assert.deepEqual(operations.sort(), ['images', 'objects'])
  const before = gateway.upstream.ledger.rows.length
  const bad: [string, string, unknown, Record<string, string>, number][] = [
    ['POST', '/v1/images/generations', '{"model":', {}, 400],
    ['POST', '/v1/images/generations', { model: 7, prompt: 'x' }, {}, 400],
    ['POST', '/v1/images/generations', { model: 'nobody-has-this', prompt: 'x' }, {}, 200],
    ['POST', '/v1/audio/transcriptions', 'x', { 'content-type': 'multipart/form-data' }, 400],
    ['POST', '/v1/audio/transcriptions', '--x', { 'content-type': 'multipart/form-data; boundary=x' }, 400],
    ['POST', '/v1/audio/speech', 'x', { 'content-type': 'text/plain' }, 415],
    ['PUT', '/v1/files', '{}', {}, 405],
    ['GET', '/v1/images/generations', undefined, {}, 405],
    ['GET', '/v1/files/../organization/users', undefined, {}, 404],
    ['GET', '/v1/organization/users', undefined, {}, 404],
    ['GET', '/v1/files/a%2fb', undefined, {}, 400],
  ]
  for (const [method, path, body, headers, status] of bad) {
    const answer = await exchange(gateway.url + path, method, body, headers)
    assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`)
    if (status >= 400) assert.ok(answer.json.error.message, path)
  }
  // A model that no table knows goes where its kind of work is done.
  assert.equal(gateway.upstream.ledger.rows.length, before + 1)
})

test('a chat that is stored is its maker’s, streamed or not', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'proxy-key', { key: 'sk-the-other-tenant-of-this-test' })
  const other = { authorization: 'Bearer sk-the-other-tenant-of-this-test' }
  const plain = await gateway.chat('openai/gpt-4o-mini', 'hello', { store: true })
  const streamed = await gateway.chat('openai/gpt-4o-mini', 'hello', { store: true, stream: true })
  const unkept = await gateway.chat('openai/gpt-4o-mini', 'hello')
  const reaches = async (id: string, headers = {}) => {
    const before = gateway.upstream.ledger.rows.length
    await exchange(`${gateway.url}/v1/chat/completions/${id}`, 'GET', undefined, headers)
    return gateway.upstream.ledger.rows.length > before
  }
  for (const id of [plain.json.id, JSON.parse(streamed.data[0] ?? '{}').id]) {
    assert.equal(await reaches(id), true)
    assert.equal(await reaches(id, other), false)
  }
  assert.equal(await reaches(unkept.json.id), false)
})

test('a method that nothing has, and a path that is none, are told in the shape of their API', async (t) => {
  const upstreams = { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' }
  const gateway = await runGateway(t, { upstreams })
  const openai = (json: { error: { type: string; code: string } }) => typeof json.error.type === 'string'
  const anthropic = (json: { type: string; request_id: string }) => json.type === 'error'
  const gemini = (json: { error: { code: number; status: string } }) => typeof json.error.status === 'string'
  type Case = readonly [string, string, (json: never) => boolean, number, string?]
  const verbs = ['generateContent', 'streamGenerateContent?alt=sse', 'countTokens', 'batchGenerateContent']
  const cases: Case[] = [
    ...['/v1/models/openai/x:', '/v1beta/models/openai/x:', '/v1beta/tunedModels/x:', '/v1beta/models/x:'].flatMap(
      (path) =>
        ['GET', 'PUT', 'PATCH', 'DELETE'].flatMap((method) =>
          verbs.map((verb): Case => [method, path + verb, gemini, 405, 'POST']),
        ),
    ),
    ['POST', '/v1beta/models', gemini, 405, 'GET'],
    ['POST', '/v1beta/models/x', gemini, 405, 'GET'],
    ['POST', '/v1beta/models/x:nothing', gemini, 404],
    ['POST', '/v1beta/nothing', gemini, 404],
    ['POST', '/v1/models', openai, 405, 'GET'],
    ['GET', '/v1/messages', anthropic, 405, 'POST'],
    ['DELETE', '/v1/messages/count_tokens', anthropic, 405, 'POST'],
    ['POST', '/v1/messages/nothing', anthropic, 404],
    ['GET', '/v1/responses', openai, 405, 'POST'],
    ['GET', '/v1/responses/input_tokens', openai, 405, 'POST'],
    ['DELETE', '/v1/responses/compact', openai, 405, 'POST'],
    ['PUT', '/v1/chat/completions', openai, 405, 'GET, POST'],
    ['POST', '/v1/chat/completions/', openai, 404],
    ['PATCH', '/v1/files', openai, 405, 'GET, POST'],
    ['GET', '/v1/images/generations', openai, 405, 'POST'],
    ['GET', '/v1/nothing', openai, 404],
    ['DELETE', '/anthropic/v1/nothing', anthropic, 404],
    ['PUT', '/gemini/v1beta/models/x:generateContent', gemini, 404],
    ['GET', '/openai/v1/organization/users', openai, 403],
    ['GET', '/anthropic/v1/organizations/me', anthropic, 403],
  ]
  for (const [method, path, shape, status, allow] of cases) {
    const answer = await exchange(gateway.url + path, method, method === 'GET' ? undefined : {})
    const said = `${method} ${path}: ${answer.status} ${answer.text}`
    assert.equal(answer.status, status, said)
    assert.ok(shape(answer.json as never), said)
    assert.equal(answer.headers.allow, allow, said)
  }
  assert.equal(gateway.upstream.ledger.rows.length, 0)
  const tagged = await exchange(`${gateway.url}/v1/models/openai/llama3:8b`, 'GET')
  assert.deepEqual(tagged.json, { id: 'openai/llama3:8b', object: 'model', created: 0, owned_by: 'stockyard' })
})

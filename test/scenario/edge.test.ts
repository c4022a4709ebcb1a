/** Rubbish at the door: a clear error in the client's dialect, and nothing reaches an upstream. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import zlib from 'node:zlib'
import { exchange, runGateway } from '../running/index.ts'

const message = { role: 'user', content: 'hi' }
const MODEL = 'openai/gpt-4o-mini'

test('bad bodies: each is a 400 in the OpenAI shape, and the upstream sees nothing', async (t) => {
  const gateway = await runGateway(t)
  const cases: [string, unknown][] = [
    ['empty', ''],
    ['not JSON', 'hello'],
    ['cut off', '{"model":"openai/gpt-4o-mini","messages":[{"role":'],
    ['an array', '[]'],
    ['a string', '"x"'],
    ['no model', { messages: [message] }],
    ['model of the wrong type', { model: 7, messages: [message] }],
    ['stream of the wrong type', { model: MODEL, stream: 'yes', messages: [message] }],
    ['messages of the wrong type', { model: MODEL, messages: 'hi' }],
    ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0x6d, 0x22, 0x3a, 0x22, 0xff, 0xfe, 0x22, 0x7d])],
    ['a line break in the model (T57)', { model: 'openai/a\r\nx: y', messages: [message] }],
    ['duplicate model (T58)', '{"model":"openai/a","model":"openai/b","messages":[]}'],
    ['duplicate stream, escaped (T58)', '{"model":"openai/a","stream":false,"str\\u0065am":true,"messages":[]}'],
  ]
  for (const [name, body] of cases) {
    const answer = await gateway.send('/v1/chat/completions', body)
    assert.equal(answer.status, 400, name)
    assert.equal(typeof answer.json.error.message, 'string', name)
    assert.equal(answer.json.error.type, 'invalid_request_error', name)
  }
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('T58: bombs of depth, keys and digits are refused quickly, and nothing is polluted', async (t) => {
  const gateway = await runGateway(t)
  const around = (value: string) => `{"model":"${MODEL}","messages":[],"x":${value}}`
  const keys = Array.from({ length: 1_000_000 }, (_, i) => `"k${i}":1`).join(',')
  for (const body of [around('['.repeat(1_000_000)), around(`{${keys}}`), around('1'.repeat(100_000))]) {
    const answer = await gateway.send('/v1/chat/completions', body)
    assert.equal(answer.status, 400)
  }
  const proto = await gateway.send(
    '/v1/chat/completions',
    `{"model":"${MODEL}","messages":[{"role":"user","content":"x"}],"__proto__":{"polluted":1}}`,
  )
  assert.equal(proto.status, 200)
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
  assert.match(gateway.upstream.ledger.rows.at(-1)?.rawBody ?? '', /__proto__/, 'it is data, and passes')
})

test('T60: a body over the limit is 413', async (t) => {
  const gateway = await runGateway(t, { bodyLimitBytes: 10_000 })
  const answer = await gateway.chat(MODEL, 'x'.repeat(20_000))
  assert.equal(answer.status, 413)
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('unknown model, method, path and content type each say what is wrong', async (t) => {
  const gateway = await runGateway(t)
  const unknown = await gateway.chat('gpt-4o-minni', 'hi')
  assert.equal(unknown.status, 404)
  assert.equal(unknown.json.error.code, 'model_not_found')
  assert.match(unknown.json.error.message, /gpt-4o-mini/)
  const method = await exchange(`${gateway.url}/v1/chat/completions`, 'PUT', {})
  assert.equal(method.status, 405)
  const path = await gateway.send('/v1/nothing', {})
  assert.equal(path.status, 404)
  const type = await gateway.send('/v1/chat/completions', '{}', { 'content-type': 'text/plain' })
  assert.equal(type.status, 415)
  for (const answer of [unknown, method, path, type]) assert.ok(answer.json.error.message)
  for (const astray of ['/chat/completions', '/v1/v1/chat/completions', '//v1/chat/completions']) {
    const answer = await gateway.send(astray, {})
    assert.equal(answer.status, 404)
    assert.match(answer.json.error.message, / only \/v1\/chat\/completions,/, 'where it was meant to go')
  }
  for (const probe of ['/health/live', '/health/ready']) {
    const { status, text } = await exchange(gateway.url + probe, 'HEAD')
    assert.deepEqual([status, text], [200, ''])
  }
})

/** Sends raw bytes and returns what comes until the connection closes. */
function raw(url: string, bytes: string): Promise<string> {
  const { port } = new URL(url)
  return new Promise((resolve) => {
    const socket = net.connect(Number(port), '127.0.0.1', () => socket.write(bytes))
    let text = ''
    socket.setTimeout(3_000, () => socket.destroy())
    socket.on('data', (part) => {
      text += part.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}

test('T55: framing tricks are refused and the connection is closed; the upstream sees nothing', async (t) => {
  const gateway = await runGateway(t)
  const host = new URL(gateway.url).host
  const body = JSON.stringify({ model: MODEL, messages: [message] })
  const start = `POST /v1/chat/completions HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n`
  const tricks = [
    `${start}Content-Length: ${body.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${body}`,
    `${start}Content-Length: 5\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    `${start}Content-Length: -1\r\n\r\n${body}`,
    `${start}Content-Length: 1e3\r\n\r\n${body}`,
    `${start}Transfer-Encoding: xchunked\r\n\r\n${body}`,
    `${start}Transfer-Encoding: chunked\r\n\r\nzz\r\n${body}\r\n0\r\n\r\n`,
    `${start}Bad Header: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    `${start}X: a\x00b\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    `POST /v1/chat/completions HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  ]
  for (const trick of tricks) assert.match(await raw(gateway.url, trick), /^HTTP\/1\.1 4\d\d /, trick.slice(0, 200))
  assert.equal(gateway.upstream.ledger.rows.length, 0)
})

test('T55, T56: what is no HTTP at all, and paths that cannot be read, are refused in the shape of the API they name', async (t) => {
  const gateway = await runGateway(t)
  const host = new URL(gateway.url).host
  const shapes: Record<string, (body: { error: Record<string, unknown>; type?: unknown }) => void> = {
    '/v1/chat/completions': ({ error }) => assert.equal(error.type, 'invalid_request_error'),
    '/v1/messages': ({ type, error }) => assert.deepEqual([type, error.type], ['error', 'invalid_request_error']),
    '/v1beta/models/m:generateContent': ({ error }) => assert.equal(error.status, 'INVALID_ARGUMENT'),
    '/api/modules': ({ error }) => assert.equal(error.code, 'invalid_request'),
  }
  for (const [path, check] of Object.entries(shapes)) {
    const start = `POST ${path} HTTP/1.1\r\nHost: ${host}\r\n`
    const both = 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
    for (const rest of [both, 'X: a\x00b\r\n\r\n']) {
      const [head = '', body = ''] = (await raw(gateway.url, start + rest)).split('\r\n\r\n')
      assert.match(head, /^HTTP\/1\.1 400 .*connection: close/s, path)
      const told = JSON.parse(body)
      check(told)
      assert.match(told.error.message, /^The request is not valid HTTP/)
    }
  }
  for (const [path, status] of [
    ['/v1/%zz', 400],
    ['/v1beta/%c3%28', 400],
    [`/${'u'.repeat(2_000)}/chat`, 404],
  ] as const) {
    const answer = await gateway.send(path, {})
    assert.equal(answer.status, status, path)
    assert.ok(answer.json.error.message.length < 400, 'it has a shape, and does not repeat all that was sent')
  }
})

test('a compressed body is read as what it holds, up to the limit; one that is not what it says is a clear error', async (t) => {
  const gateway = await runGateway(t, { bodyLimitBytes: 100_000 })
  const body = Buffer.from(JSON.stringify({ model: MODEL, messages: [message] }))
  const send = (bytes: Buffer, coding: string, path = '/v1/chat/completions') =>
    gateway.send(path, bytes, { 'content-encoding': coding, 'content-type': 'application/json' })
  const packed = {
    gzip: zlib.gzipSync(body),
    'X-GZip': zlib.gzipSync(body),
    deflate: zlib.deflateSync(body),
    'deflate ': zlib.deflateRawSync(body),
    br: zlib.brotliCompressSync(body),
    zstd: zlib.zstdCompressSync(body),
    identity: body,
  }
  for (const [coding, bytes] of Object.entries(packed)) {
    const answer = await send(bytes, coding)
    assert.equal(answer.status, 200, coding + answer.text)
    const row = gateway.upstream.ledger.rows.at(-1)
    assert.deepEqual(JSON.parse(row?.rawBody ?? '').messages, [message], 'plain')
    assert.equal(row?.headers['content-encoding'], undefined)
  }
  const served = gateway.upstream.ledger.rows.length
  const refused: [Buffer, string, number][] = [
    [zlib.gzipSync(Buffer.alloc(10_000_000)), 'gzip', 413],
    [zlib.zstdCompressSync(Buffer.alloc(10_000_000)), 'zstd', 413],
    [body, 'gzip', 400],
    [packed.gzip.subarray(0, -9), 'gzip', 400],
    [packed.br, 'br, gzip', 415],
    [body, 'compress', 415],
  ]
  for (const [bytes, coding, status] of refused) {
    for (const path of ['/v1/chat/completions', '/v1/messages', '/openai/chat/completions']) {
      const answer = await send(bytes, coding, path)
      assert.equal(answer.status, status, coding + answer.text)
      assert.equal(typeof answer.json.error.message, 'string')
    }
  }
  assert.equal(gateway.upstream.ledger.rows.length, served)
})

test('T56: header floods are refused', async (t) => {
  const gateway = await runGateway(t)
  const host = new URL(gateway.url).host
  const large = await raw(gateway.url, `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nX: ${'a'.repeat(200_000)}\r\n\r\n`)
  assert.match(large, /^HTTP\/1\.1 431 .*"invalid_request_error"/s)
  const many = Array.from({ length: 10_000 }, (_, i) => `h${i}: 1`).join('\r\n')
  assert.match(
    await raw(gateway.url, `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\n${many}\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  )
})

test('A17, T84: without the admin key every admin route is 401; files are private; the ready-made keys refuse the start', async (t) => {
  const gateway = await runGateway(t)
  // Its routes stand beside /api, and only while it is on.
  for (const id of ['keys', 'litellm-api']) await gateway.admin('PUT', `modules/${id}`, { mode: 'enforce' })
  const description = await gateway.admin('GET', 'openapi.json')
  let routes = 0
  for (const [path, methods] of Object.entries(description.paths as Record<string, object>)) {
    for (const [method, operation] of Object.entries(methods as Record<string, { security?: [] }>)) {
      // Signing in is for those who are not signed in.
      if (operation.security) continue
      const answer = await exchange(
        gateway.url + path.replace(/\{\w+\}/g, 'x'),
        method.toUpperCase(),
        method === 'get' ? undefined : {},
      )
      assert.equal(answer.status, 401, `${method} ${path}`)
      routes++
    }
  }
  assert.ok(routes > 30)
  await assert.rejects(runGateway(t, { environment: { STOCKYARD_ADMIN_KEY: 'sk-1234' } }), /too short or a well-known/)
})

test('local trust: forwarded, foreign and browser requests are strangers', async (t) => {
  const gateway = await runGateway(t)
  const { port } = new URL(gateway.url)
  const ask = (headers: Record<string, string>) => gateway.chat(MODEL, 'hi', {}, headers)
  for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
    assert.equal((await ask(headers)).status, 401, JSON.stringify(headers))
  }
  assert.equal((await ask({})).status, 200, 'a browser elsewhere changes nothing for programs here')
  assert.equal((await ask({ host: `localhost:${port}` })).status, 200)
  assert.equal((await ask({ 'x-forwarded-for': '1.2.3.4' })).status, 401)
  assert.equal((await ask({})).status, 401, 'one clue, and local trust is off')
  const { key } = await gateway.admin('PUT', 'proxy-key', {})
  assert.equal((await ask({ authorization: `Bearer ${key}`, 'x-forwarded-for': '1.2.3.4' })).status, 200)
  const wrong = await ask({ authorization: 'Bearer sk-wrong' })
  assert.equal(wrong.status, 401)
  assert.equal(wrong.headers['x-should-retry'], 'false')
  await gateway.admin('POST', 'local-trust/confirm', {})
  assert.equal((await ask({})).status, 200)
  assert.ok(
    gateway.upstream.ledger.rows.every((row) => !JSON.stringify(row.headers).includes(key)),
    'the key goes nowhere',
  )
})

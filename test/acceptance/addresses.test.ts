/**
 * Where the gateway can be made to connect to: what an administrator sets is judged by its address, what a request
 * names is passed on and never fetched, and an upstream's redirect leads nowhere.
 */
import assert from 'node:assert/strict'
import net, { type AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { exchange, type Running, runGateway } from '../running/index.ts'

const MODEL = 'openai/gpt-4o-mini'

/** Counts who connects. Nobody should. */
async function canary(t: TestContext) {
  let connections = 0
  const server = net.createServer((socket) => {
    connections++
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/canary`,
    get connections() {
      return connections
    },
  }
}

const put = (gateway: Running, id: string, more: object) =>
  gateway.admin('PUT', `upstreams/${id}`, {
    provider: 'openai',
    credentials: [{ id: 'main', secret: 'sk-test-secret-of-a-probe' }],
    ...more,
  })

/** Each is link-local, a metadata service or nothing at all, in one of the spellings that hide it. */
const FORBIDDEN = [
  'http://169.254.169.254/v1',
  'http://169.254.1.1:8080/v1',
  'http://2852039166/v1',
  'http://0xa9fea9fe/v1',
  'http://0251.0376.0251.0376/v1',
  'http://169.254.43518/v1',
  'http://[::ffff:169.254.169.254]/v1',
  'http://[::ffff:a9fe:a9fe]/v1',
  'http://[64:ff9b::a9fe:a9fe]/v1',
  'http://[fe80::1]/v1',
  'http://[fd00:ec2::254]/v1',
  'http://100.100.100.200/v1',
  'http://168.63.129.16/v1',
  'http://metadata.google.internal/v1',
  'http://METADATA.google.internal./v1',
  'http://0.0.0.0/v1',
  'http://224.0.0.1/v1',
  'http://[::]/v1',
]

test('A9, T74, T75: a base URL at a link-local, metadata or meaningless address is never called', async (t) => {
  const gateway = await runGateway(t)
  for (const [n, baseUrl] of FORBIDDEN.entries()) {
    await put(gateway, `probe${n}`, { baseUrl })
    const answer = await gateway.chat(`probe${n}/gpt-4o-mini`, 'hello')
    assert.equal(answer.status, 502, `${baseUrl}: ${answer.text}`)
    assert.equal(answer.json.error.code, 'upstream_unreachable', baseUrl)
    assert.match(answer.json.error.message, /metadata|link-local|reserved/, baseUrl)
    assert.ok(!answer.text.includes('sk-test-secret'))
  }
})

test('T75: allowHosts lets through what it names and no more, and who allowed it is in the revisions', async (t) => {
  const gateway = await runGateway(t)
  const baseUrl = 'http://0.0.0.0:1/v1'
  await put(gateway, 'named', { baseUrl, allowHosts: ['0.0.0.0'] })
  await put(gateway, 'other', { baseUrl, allowHosts: ['169.254.169.254'] })
  const named = await gateway.chat('named/gpt-4o-mini', 'hello')
  assert.match(named.json.error.message, /nothing listens at 0\.0\.0\.0:1/, 'it was called, and nobody listens there')
  assert.match((await gateway.chat('other/gpt-4o-mini', 'hello')).json.error.message, /reserved/)
  const { revisions } = await gateway.admin('GET', 'revisions')
  const change = revisions.find((r: { action: string }) => r.action.startsWith('upstreams/named'))
  assert.equal(change.actor, 'admin')
  assert.deepEqual(change.after.allowHosts, ['0.0.0.0'])
})

test('A9: base URLs with other schemes, user names, queries or fragments are refused when they are set', async (t) => {
  const gateway = await runGateway(t)
  const before = (await gateway.admin('GET', 'revisions')).current
  for (const baseUrl of [
    'file:///etc/passwd',
    'gopher://127.0.0.1/v1',
    'data:text/plain,x',
    'http://user:pass@api.openai.com/v1',
    'http://api.openai.com@169.254.169.254/v1',
    'http://api.openai.com/v1?x=',
    'http://api.openai.com/v1#',
    ' http://api.openai.com/v1',
    '//169.254.169.254',
    '',
  ]) {
    await assert.rejects(put(gateway, 'probe', { baseUrl }), / 400 /, baseUrl)
  }
  assert.equal((await gateway.admin('GET', 'revisions')).current, before)
})

test('A9, T74: a redirect of the upstream is not followed, wherever it leads', async (t) => {
  const gateway = await runGateway(t)
  for (const module of ['failover', 'breakers']) await gateway.admin('PUT', `modules/${module}`, { mode: 'off' })
  const spy = await canary(t)
  for (const status of [301, 302, 303, 307, 308]) {
    for (const location of [spy.url, 'http://169.254.169.254/latest/meta-data', `${gateway.url}/api/upstreams`]) {
      for (const stream of [false, true]) {
        gateway.upstream.script({ behaviour: { redirect: location, status } })
        const answer = await gateway.chat(MODEL, 'hello', { stream })
        assert.ok(answer.status >= 400, `${status} ${location}: ${answer.text}`)
        assert.equal(answer.headers.location, undefined)
      }
    }
  }
  assert.equal(gateway.upstream.ledger.rows.length, 30, 'each was one call')
  assert.equal(spy.connections, 0)
})

test('T73: a URL in a request is text for the upstream: the gateway connects to none of them', async (t) => {
  const gateway = await runGateway(t, { upstreams: { openai: 'openai', anthropic: 'anthropic', gemini: 'gemini' } })
  const spy = await canary(t)
  const { url } = spy
  const image = { type: 'image_url', image_url: { url } }
  const bodies: object[] = [
    { messages: [{ role: 'user', content: [{ type: 'text', text: 'see' }, image] }] },
    { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: url }] }] },
    {
      messages: [
        { role: 'user', content: [{ type: 'file', file: { file_data: url, filename: 'x.pdf', file_url: url } }] },
      ],
    },
    { messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio: { data: url, format: 'wav' } }] }] },
    { messages: [{ role: 'user', content: `read ${url}` }], api_base: url, base_url: url, baseUrl: url },
    { messages: [{ role: 'user', content: 'x' }], webhook: url, callback_url: url, metadata: { url, api_base: url } },
    { messages: [{ role: 'user', content: 'x' }], extra_body: { api_base: url }, extra_headers: { host: url } },
    {
      messages: [{ role: 'user', content: 'x' }],
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { $ref: url } } },
    },
    {
      messages: [{ role: 'user', content: 'x' }],
      tools: [{ type: 'function', function: { name: 'f', parameters: { $schema: url, $ref: url } } }],
    },
    { messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'mcp', server_url: url }], user: url },
  ]
  const headers = Object.fromEntries(
    'x-portkey-custom-host,x-base-url,x-api-base,x-upstream-url,x-litellm-api-base,helicone-target-url'
      .split(',')
      .map((name) => [name, url]),
  )
  for (const target of ['openai/gpt-4o-mini', 'anthropic/claude-haiku-4-5', 'gemini/gemini-2.5-flash']) {
    for (const body of bodies) {
      const answer = await gateway.send('/v1/chat/completions', { model: target, ...body }, headers)
      assert.notEqual(answer.status, 500, `${target} ${JSON.stringify(body)}: ${answer.text}`)
    }
  }
  assert.equal(spy.connections, 0)
  const passed = gateway.upstream.ledger.rows.filter((row) => row.rawBody.includes(url))
  assert.ok(passed.length > 5, 'they were passed on')
  for (const row of gateway.upstream.ledger.rows) {
    const told = Object.entries(row.headers).filter(([, value]) => value.includes(url))
    assert.deepEqual(told, [], 'no header names it upstream')
  }
})

test('T73: a model name, a path or a Host that looks like an address reaches no address', async (t) => {
  const gateway = await runGateway(t)
  const spy = await canary(t)
  const { host } = new URL(spy.url)
  for (const model of [spy.url, `//${host}/x`, `openai@${host}/x`, `${host}/x`, `../${host}`, `http:/${host}/v1`]) {
    const answer = await gateway.chat(model, 'hello')
    assert.ok(answer.status === 404 || answer.status === 400, `${model}: ${answer.status}`)
  }
  for (const model of [`openai/${spy.url}`, `openai/../../@${host}/`, 'openai/..%2f..%2fadmin']) {
    await gateway.chat(model, 'hello')
    const row = gateway.upstream.ledger.rows.at(-1)
    assert.equal(row?.path, '/v1/chat/completions', 'a model name of an OpenAI upstream is in the body only')
  }
  const absolute = await exchange(`${gateway.url}/${spy.url}`, 'POST', {})
  assert.ok(absolute.status >= 400)
  assert.equal(spy.connections, 0)
})

test('T73: a Gemini model name stays inside its place in the path', async (t) => {
  const gateway = await runGateway(t, { upstreams: { gemini: 'gemini' } })
  for (const model of [
    '../../x',
    'a?key=b',
    'a#b',
    '..%2f..%2fx',
    'a:generateContent/../../b',
    'a\\..\\b',
    '@host/x',
  ]) {
    await gateway.chat(`gemini/${model}`, 'hello')
    const row = gateway.upstream.ledger.rows.at(-1)
    if (row) assert.match(row.path, /^\/v1beta\/models\/[^/?#\\]+:generateContent$/, model)
    gateway.upstream.reset()
  }
})

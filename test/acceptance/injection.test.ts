/**
 * Hostile text in every place that takes text: it stays a value. Nothing is a server error, no answer repeats what a
 * database said, nothing is executed, no file is read, and what goes upstream keeps its lines apart.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { USAGE_KEYS } from '../../src/store/local/index.ts'
import { type Answer, exchange, runGateway } from '../running/index.ts'

const SQL = [
  `' OR '1'='1`,
  `' OR 1=1 --`,
  `"; DROP TABLE exchanges; --`,
  `'; DROP TABLE ledger; --`,
  `x' UNION SELECT name, sql FROM sqlite_master --`,
  `1); DELETE FROM secrets; --`,
  `\\'; SELECT load_extension('x'); --`,
  `' AND randomblob(1000000000) --`,
  `%' OR '%'='`,
  `[x]\`x\`"x"`,
  ':since',
  '?1',
  '$1',
  '%00',
  '%',
  '%zz',
  'NaN',
  '-1',
  '1e999',
  '9223372036854775808',
  '',
]

/** What a database, or a stack, would say; an answer may well repeat what it was asked. */
const SPOKEN =
  /SQLITE_|SQL logic|syntax error|no such (?:table|column)|near "|unrecognized token|constraint failed|\.ts:\d+/

function harmless(answer: Answer, what: string): void {
  assert.ok(answer.status < 500, `${what}: ${answer.status} ${answer.text}`)
  assert.ok(answer.status < 400 || !SPOKEN.test(answer.text), `${what}: ${answer.text}`)
}

test('A5: SQL in keys, models and users is a value: the answer is a 2xx or 4xx without a word of the database', async (t) => {
  const gateway = await runGateway(t, { environment: { STOCKYARD_PROXY_KEY: 'proxy-key-of-this-test' } })
  const printable = SQL.filter((text) => text !== '')
  for (const text of printable) {
    for (const headers of [
      { authorization: `Bearer ${text}` },
      { authorization: text },
      { 'x-api-key': text },
      { 'api-key': text },
      { 'x-goog-api-key': text },
      { cookie: `stockyard_session=${text}` },
    ]) {
      const told = JSON.stringify(headers)
      // From elsewhere, so that the key is what decides.
      const origin = { origin: 'https://elsewhere.example' }
      const refused = await gateway.chat('openai/gpt-4o-mini', 'hello', {}, { ...headers, ...origin })
      assert.equal(refused.status, 401, told)
      harmless(refused, told)
      const admin = await exchange(`${gateway.url}/api/upstreams`, 'GET', undefined, headers)
      assert.equal(admin.status, 401, told)
      harmless(admin, told)
    }
    harmless(await gateway.chat(text, 'hello'), `model ${text}`)
    harmless(await gateway.chat(`openai/${text}`, 'hello', { user: text, metadata: { key: text } }), `user ${text}`)
    harmless(await gateway.send('/api/session', { key: text }), `session ${text}`)
    const key = { authorization: 'Bearer proxy-key-of-this-test' }
    const path = `/v1/models/${encodeURIComponent(text)}`
    harmless(await exchange(gateway.url + path, 'GET', undefined, key), path)
  }
})

test('A5: SQL in every filter, path and field of the admin API is a value', async (t) => {
  const gateway = await runGateway(t)
  await gateway.chat('openai/gpt-4o-mini', 'hello')
  const headers = { authorization: `Bearer ${gateway.adminKey}` }
  const ask = (method: string, path: string, body?: unknown) =>
    exchange(`${gateway.url}/api/${path}`, method, body, headers)
  const { paths } = await gateway.admin('GET', 'openapi.json')
  const filters: string[] = []
  const named: [string, string][] = []
  for (const [path, methods] of Object.entries(
    paths as Record<string, Record<string, { parameters?: { in: string; name: string }[] }>>,
  )) {
    const route = path.replace(/^\/api\//, '')
    for (const [method, { parameters = [] }] of Object.entries(methods)) {
      for (const { in: place, name } of parameters) {
        if (place === 'query') filters.push(`${route.replace(/\{\w+\}/g, '1')}?${name}=`)
      }
      if (route.includes('{')) named.push([method.toUpperCase(), route])
    }
  }
  assert.ok(filters.length > 12 && named.length > 10, `${filters.length} filters, ${named.length} paths`)
  for (const text of SQL) {
    const value = encodeURIComponent(text)
    for (const filter of filters) harmless(await ask('GET', filter + value), filter + text)
    for (const [method, route] of named) {
      const path = route.replace(/\{\w+\}/g, value || '%20')
      harmless(await ask(method, path, method === 'GET' || method === 'DELETE' ? undefined : {}), `${method} ${path}`)
    }
    harmless(
      await ask('POST', 'usage/reprice', { model: text, upstream: text, from: text, to: text }),
      `reprice ${text}`,
    )
  }
  await gateway.admin('PUT', `aliases/${encodeURIComponent('half/100%25')}`, { model: 'openai/gpt-4o' })
  assert.deepEqual(Object.keys((await gateway.admin('GET', 'aliases')).aliases), ['half/100%25'], 'decoded once')
  const usage = await gateway.usage()
  assert.equal(Number(usage[0]?.attempts), 1, 'the ledger is as it was')
  for (const key of USAGE_KEYS) assert.equal((await gateway.usage(key)).length, 1, key)
})

test('T57: no line of a request upstream can be broken by a model, a header of the client or an administrator', async (t) => {
  const gateway = await runGateway(t)
  const headers = { authorization: `Bearer ${gateway.adminKey}` }
  const put = (id: string, more: object) =>
    exchange(
      `${gateway.url}/api/upstreams/${encodeURIComponent(id)}`,
      'PUT',
      { provider: 'openai', baseUrl: `${gateway.upstream.url}/v1`, ...more },
      headers,
    )
  for (const text of ['a\r\nx-injected: 1', 'a\nx-injected: 1', 'a\0b', 'a\rb']) {
    const model = await gateway.chat(`openai/${text}`, text, { user: text })
    assert.ok(model.status < 500, model.text)
    assert.ok(!/[\r\n\0]/.test(String(model.headers['x-stockyard-model'] ?? '')))
    assert.equal(model.headers['x-injected'], undefined)
    const upstream = await put(text, {})
    assert.equal(upstream.status, 400, `upstream ${JSON.stringify(text)}`)
    const credential = await put('probe', { credentials: [{ id: text, secret: 'sk-x' }] })
    assert.equal(credential.status, 400, `credential ${JSON.stringify(text)}`)
    const name = await put('probe', { headers: { [text]: 'x' } })
    assert.equal(name.status, 400, `header name ${JSON.stringify(text)}`)
    for (const more of [{ headers: { 'x-own': text } }, { credentials: [{ id: 'main', secret: text }] }]) {
      const set = await put('probe', more)
      if (set.status === 400) continue
      const answer = await gateway.chat('probe/gpt-4o-mini', 'hello')
      assert.ok(answer.status >= 400, `${JSON.stringify(more)}: ${answer.status}`)
      assert.ok(!answer.text.includes('x-injected'), answer.text)
    }
  }
  for (const row of gateway.upstream.ledger.rows) assert.equal(row.headers['x-injected'], undefined)
})

test('T57: names beyond ASCII answer like any other, and the header that repeats them is plain', async (t) => {
  const gateway = await runGateway(t)
  for (const name of ['openai/模型-🐄', 'openai/é', 'openai/\u202e', 'openai/\u0085']) {
    const answer = await gateway.chat(name, 'hello')
    assert.equal(answer.status, 200, answer.text)
    assert.match(String(answer.headers['x-stockyard-model']), /^[\x20-\x7e]*$/)
  }
})

test('T76: nothing in a request or a setting runs a program, evaluates text or reads a file', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'stockyard-executed-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const proof = join(directory, 'proof')
  const gateway = await runGateway(t)
  const run = `require('node:fs').writeFileSync(${JSON.stringify(proof)}, '')`
  const texts = [
    `$(touch ${proof})`,
    `\`touch ${proof}\``,
    `; touch ${proof} ;`,
    `| touch ${proof}`,
    `\${${run}}`,
    `{{constructor.constructor("return process")().mainModule.${run}}}`,
    `{{''.__class__.__mro__[1].__subclasses__()}}`,
    `<%= ${run} %>`,
    `file:///etc/passwd`,
    `@/etc/passwd`,
    `!!js/function "function(){${run}}"`,
    `!!python/object/apply:os.system ["touch ${proof}"]`,
    `../../../../etc/passwd`,
    `\${env:HOME}`,
    'os.environ/HOME',
  ]
  const headers = { authorization: `Bearer ${gateway.adminKey}` }
  for (const text of texts) {
    const answer = await gateway.chat('openai/gpt-4o-mini', text, {
      user: text,
      metadata: { [text]: text },
      tools: [{ type: 'function', function: { name: 'run', description: text, parameters: { $ref: text } } }],
      callbacks: [text],
      guardrails: [text],
      api_base: text,
    })
    assert.ok(answer.status < 500, answer.text)
    for (const [path, body] of [
      ['aliases/probe', { model: text }],
      ['routes/probe-route', { targets: [{ upstream: 'openai', model: text }] }],
      ['upstreams/probe', { provider: text }],
      ['upstreams/probe', { provider: 'openai', baseUrl: text }],
      ['upstreams/probe', { provider: 'openai', credentials: [{ id: 'main', secret: text }] }],
      ['upstreams/probe', { provider: 'openai', headers: { 'x-own': text }, options: { path: text, command: text } }],
      ['modules/cache', { mode: 'enforce', settings: { command: text } }],
    ] as const) {
      harmless(await exchange(`${gateway.url}/api/${path}`, 'PUT', body, headers), `${path} ${text}`)
    }
    for (const model of ['probe', 'probe-route', 'probe/gpt-4o-mini']) {
      const through = await gateway.chat(model, text)
      assert.ok(!/root:.*:0:0:/.test(through.text))
    }
  }
  assert.ok(!existsSync(proof))
  for (const row of gateway.upstream.ledger.rows) {
    assert.ok(!row.rawBody.includes('root:x:0:0'), 'no file went upstream')
    if (process.env.HOME) assert.notEqual(row.headers.authorization, `Bearer ${process.env.HOME}`)
  }
})

test('T76: nothing is served from the disk: paths that climb are unknown, however they are written', async (t) => {
  const gateway = await runGateway(t)
  const { port } = new URL(gateway.url)
  const raw = (path: string): Promise<string> =>
    new Promise((resolve) => {
      let text = ''
      const socket = net.connect(Number(port), '127.0.0.1', () =>
        socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`),
      )
      socket.setTimeout(3_000, () => socket.destroy())
      socket.on('data', (part) => {
        text += part.toString('latin1')
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve(text))
    })
  for (const path of [
    '/../../../../etc/passwd',
    '/console/../../../../etc/passwd',
    '/console/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
    '/console/..%2f..%2f..%2fetc%2fpasswd',
    '/console/....//....//etc/passwd',
    '/v1/models/..%2f..%2f..%2fetc%2fpasswd',
    '/%00/etc/passwd',
    '//etc/passwd',
    '/admin.key',
    '/master.key',
  ]) {
    const answer = await raw(path)
    assert.match(answer, /^HTTP\/1\.1 (?:4\d\d|30\d) /, path)
    assert.ok(!/root:.*:0:0:/.test(answer), path)
  }
})

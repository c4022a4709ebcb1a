/** Ways to write a path or a name so that a check and a route see different things, and SQL in every string. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { exchange, type Running, runGateway } from '../running/index.ts'

function raw(gateway: Running, target: string, headers: readonly string[] = [], method = 'GET'): Promise<number> {
  const { port } = new URL(gateway.url)
  return new Promise((resolve, reject) => {
    const socket = net.connect(Number(port), '127.0.0.1', () => {
      const host = headers.some((line) => /^host:/i.test(line)) ? [] : [`Host: 127.0.0.1:${port}`]
      socket.write([`${method} ${target} HTTP/1.1`, ...host, ...headers, 'Connection: close', '', ''].join('\r\n'))
    })
    let text = ''
    socket.on('data', (part) => (text += part))
    socket.on('error', reject)
    socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)))
  })
}

const writings = (path: string): string[] => {
  const [, first = '', ...rest] = path.split('/')
  const tail = rest.join('/')
  return [
    `//${first}/${tail}`,
    `/${first}//${tail}`,
    `/./${first}/${tail}`,
    `/x/../${first}/${tail}`,
    `/health/../${first}/${tail}`,
    `/${first}/./${tail}`,
    `/%2e/${first}/${tail}`,
    `/x/%2e%2e/${first}/${tail}`,
    `/health%2f..%2f${first}/${tail}`,
    `/${first}%2f${tail}`,
    `/${first}/${tail}/`,
    `/${first}/${tail};x=1`,
    `/${first};x=1/${tail}`,
    `/${first}/${tail}%00`,
    `/${first}/${tail}%20`,
    `/${first}/${tail}?`,
    `/${first}/${tail}#x`,
    `/${first.toUpperCase()}/${tail}`,
    `/${first}/${tail.toUpperCase()}`,
    `/%${first.charCodeAt(0).toString(16)}${first.slice(1)}/${tail}`,
    `\\${first}\\${tail}`,
    `/${first}/${tail}/../${tail}`,
    `http://127.0.0.1/${first}/${tail}`,
    `http://health/${first}/${tail}`,
    `/health/live/../../${first}/${tail}`,
  ]
}

test('T69: however a path is written, nobody without a credential gets through', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  await gateway.admin('PUT', 'modules/logs', { mode: 'enforce' })
  let cases = 0
  for (const path of ['/v1/models', '/api/modules', '/api/keys', '/v1beta/models']) {
    for (const target of writings(path)) {
      const status = await raw(gateway, target)
      assert.ok([400, 401, 404, 405, 415].includes(status), `${target}: ${status}`)
      cases++
    }
    for (const header of [
      'X-Original-URL: /health/live',
      'X-Rewrite-URL: /health/live',
      'X-HTTP-Method-Override: OPTIONS',
      'Host: x/?',
      'Host: health/live?x',
    ]) {
      const status = await raw(gateway, path, [header])
      assert.ok([400, 401].includes(status), `${path} ${header}: ${status}`)
      assert.equal(await raw(gateway, '/health/live', [header.replace('/health/live', path)]), 200)
      cases++
    }
  }
  assert.ok(cases > 80)
})

const PAYLOADS = [
  `' OR '1'='1`,
  `'; DROP TABLE directory_rows; --`,
  `" OR ""="`,
  `x') OR 1=1 --`,
  `1 UNION SELECT value FROM directory_rows`,
  `%' AND 1=1 AND '%'='`,
  `\\'; ATTACH DATABASE '/tmp/x' AS x; --`,
  `$where: 1`,
  `:anchor`,
  `?1`,
]

test('T66: SQL in ids, filters, names, addresses and credentials is text', async (t) => {
  const gateway = await runGateway(t)
  await gateway.admin('PUT', 'modules/keys', { mode: 'enforce' })
  const { headers } = gateway.key({ name: 'untouched' })
  const admin = { authorization: `Bearer ${gateway.adminKey}` }
  const call = (method: string, path: string, body?: unknown, more: Record<string, string> = admin) =>
    exchange(`${gateway.url}/${path}`, method, body, more)
  for (const payload of PAYLOADS) {
    const text = encodeURIComponent(payload)
    for (const path of ['organizations', 'teams', 'users', 'keys', 'limits', 'budgets', 'sessions', 'logs']) {
      const { status } = await call('GET', `api/${path}/${text}`)
      assert.ok([404, 405].includes(status), `${path}: ${status}`)
    }
    for (const query of [
      `keys?after=${text}`,
      `users?email=${text}`,
      `limits?at=${text}`,
      `logs?model=${text}&user=${text}`,
      `usage?user=${text}`,
      `usage?model=${text}`,
    ]) {
      const { status, text: answer } = await call('GET', `api/${query}`)
      assert.equal(status, 200, `${query}: ${answer}`)
      if (!query.startsWith('keys')) assert.doesNotMatch(answer, /untouched/)
    }
    for (const path of [`keys?team=${text}`, `usage?groupBy=${text}`, `teams?organization=${text}`]) {
      assert.equal((await call('GET', `api/${path}`)).status, 400, path)
    }
    assert.equal((await call('POST', 'api/organizations', { id: payload })).status, 400)
    const named = await call('POST', 'api/keys', { name: payload, tags: [payload], metadata: { [payload]: payload } })
    assert.equal(named.json.name, payload)
    assert.equal((await call('DELETE', `api/keys/${named.json.id}`)).status, 200)
    assert.equal((await call('POST', 'api/session', { email: payload, password: payload }, {})).status, 401)
    assert.ok(
      [400, 401].includes((await call('GET', 'v1/models', undefined, { authorization: `Bearer ${payload}` })).status),
    )
    const asked = await gateway.chat(
      'gpt-4o-mini',
      payload,
      { user: payload },
      { ...headers, 'x-stockyard-tags': payload },
    )
    assert.equal(asked.status, 200)
  }
  const { keys } = await gateway.admin('GET', 'keys')
  assert.deepEqual(
    keys.map(({ name }: { name: string }) => name),
    ['untouched'],
  )
})

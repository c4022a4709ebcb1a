/** What an administrator's script may get wrong, on every route that describes itself: told so, and nothing breaks. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exchange, runGateway } from '../running/index.ts'

/** What no route can mean: text that is no JSON, and JSON of another shape. */
const RUBBISH = [
  '',
  '{',
  'null',
  '[]',
  '"text"',
  '1e999',
  '{"__proto__":{"admin":true}}',
  '{"id":{"a":1},"mode":7,"name":[],"model":{},"targets":"x","scope":0,"key":{},"directory":5,"masterKey":[],"configuration":3}',
  `{"id":"${'x'.repeat(70_000)}","model":"${'x'.repeat(70_000)}","name":"${'x'.repeat(70_000)}"}`,
  `{"configuration":${'{"modules":'.repeat(500)}1${'}'.repeat(500)},"settings":${'['.repeat(500)}${']'.repeat(500)}}`,
]
const RUBBISH_WORDS = [
  'abc',
  '-1',
  '1e309',
  '0',
  '9'.repeat(40),
  "'; DROP TABLE x; --",
  '%00',
  '\ud83d\ude00'.repeat(100),
]

test('A17, T58: rubbish in a body, a path or a query of the admin API is refused in words, and breaks nothing', async (t) => {
  const gateway = await runGateway(t)
  for (const { id } of (await gateway.admin('GET', 'modules')).modules as { id: string }[])
    if (id !== 'keys') await gateway.admin('PUT', `modules/${id}`, { mode: 'enforce' }).catch(() => {})
  const authorization = `Bearer ${gateway.adminKey}`
  const wrong: string[] = []
  const description = (await gateway.admin('GET', 'openapi.json')).paths as Record<string, Record<string, object>>
  const look = async (method: string, path: string, body?: string): Promise<void> => {
    const answer = await exchange(gateway.url + path, method, body, {
      authorization,
      'content-type': 'application/json',
    })
    const { code, message } = answer.json?.error ?? {}
    const refused = answer.status >= 400 && answer.status < 500 && typeof message === 'string' && message.length < 2_000
    const fits = answer.status < 300 || (refused && !/NaN|undefined|\[object|SQLITE|constraint failed/.test(message))
    if (!fits) wrong.push(`${method} ${path.slice(0, 150)} ${body?.slice(0, 60)}: ${answer.status} ${code} ${message}`)
  }
  for (const [path, methods] of Object.entries(description)) {
    if (!path.startsWith('/api/')) continue
    for (const [method, route] of Object.entries(methods)) {
      const named = ((route as { parameters?: { name: string; in: string }[] }).parameters ?? []).filter(
        (p) => p.in === 'query',
      )
      const METHOD = method.toUpperCase()
      for (const word of RUBBISH_WORDS) {
        const filled = path.replaceAll(/\{\w+\}/g, encodeURIComponent(word))
        if (filled !== path) await look(METHOD, filled, METHOD === 'GET' || METHOD === 'DELETE' ? undefined : '{}')
        for (const { name } of named) await look(METHOD, `${filled}?${name}=${encodeURIComponent(word)}`)
      }
      if (METHOD === 'GET' || METHOD === 'DELETE') continue
      for (const body of RUBBISH) await look(METHOD, path.replaceAll(/\{\w+\}/g, 'some'), body)
    }
  }
  assert.deepEqual(wrong, [])
  assert.equal((await gateway.chat('mock/echo', 'still here')).status, 200)
})

test('T58: names that every object has are names like any other', async (t) => {
  const gateway = await runGateway(t)
  const bodies = {
    upstreams: { provider: 'openai', baseUrl: `${gateway.upstream.url}/v1`, credentials: [{ id: 'm', secret: 's' }] },
    routes: { targets: [{ upstream: 'openai', model: 'gpt-4o-mini' }] },
    aliases: { model: 'openai/gpt-4o-mini' },
  }
  const admin = { authorization: `Bearer ${gateway.adminKey}` }
  for (const [section, body] of Object.entries(bodies)) {
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      if (section === 'upstreams' && name !== 'constructor') continue
      const path = `${section}/${name}`
      const ask = (method: string) => exchange(`${gateway.url}/api/${path}`, method, undefined, admin)
      assert.equal((await ask('GET')).status, 404, path)
      const { before } = await gateway.admin('PUT', path, body)
      assert.equal(before, null, path)
      assert.ok((await gateway.admin('PUT', path, body)).before, path)
      assert.equal((await ask('GET')).status, 200, path)
      const model = section === 'upstreams' ? `${name}/gpt-4o-mini` : name
      assert.equal((await gateway.chat(model, 'hi')).status, 200, path)
      assert.equal((await ask('DELETE')).status, 200, path)
      assert.equal((await gateway.chat(model, 'hi')).status, 404, path)
    }
  }
})

test('T57: headers of an upstream take the place of ours, and none of them frames the request', async (t) => {
  const gateway = await runGateway(t)
  const put = (headers: object) => {
    const secret = 'sk-of-this-test'
    const body = {
      provider: 'openai',
      baseUrl: `${gateway.upstream.url}/v1`,
      headers,
      credentials: [{ id: 'm', secret }],
    }
    return gateway.admin('PUT', 'upstreams/own', body)
  }
  for (const name of ['Transfer-Encoding', 'content-length', 'Connection', 'EXPECT', 'upgrade']) {
    await assert.rejects(put({ [name]: 'x' }), /400 .*says how a request is sent/, name)
  }
  await put({ Authorization: 'Bearer another', 'User-Agent': 'mine', 'X-Team': 'a' })
  assert.equal((await gateway.chat('own/gpt-4o-mini', 'hi')).status, 200)
  const sent = gateway.upstream.ledger.rows.at(-1)?.headers
  assert.deepEqual(
    [sent?.authorization, sent?.['user-agent'], sent?.['x-team']],
    ['Bearer sk-of-this-test', 'mine', 'a'],
  )
})

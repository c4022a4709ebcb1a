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

/**
 * Canonical request → the body Anthropic gets, one file per case. What a client of this API would have sent is what we
 * send: so every expected body is also read by our own client side and must come out of it again as it was.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { ChatRequest, JsonObject } from '../../../src/core/request.ts'
import dialect from '../../../src/dialects/anthropic-messages/index.ts'

interface Case {
  readonly title: string
  readonly model: string
  readonly maxOutputTokens?: number
  readonly request: Omit<ChatRequest, 'operation' | 'model' | 'stream'>
  readonly body: JsonObject
  readonly unsupported: readonly string[]
}

const { client, upstream } = dialect
assert.ok(client && upstream)

function written(request: ChatRequest, model: string, maxOutputTokens?: number) {
  const unsupported: string[] = []
  const limit = maxOutputTokens === undefined ? {} : { maxOutputTokens }
  const report = (what: string) => void unsupported.push(what)
  return { body: upstream?.writeRequest(request, { model, provider: 'p', report, ...limit }), unsupported }
}

const cases = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.json'))
  .sort()
  .map((name) => ({
    name,
    expected: JSON.parse(readFileSync(`${import.meta.dirname}/${name}`, 'utf8')) as Case,
  }))

test('there are at least 25 golden requests', () => assert.ok(cases.length >= 25))

for (const { name, expected } of cases) {
  const { title, model, maxOutputTokens, request, body, unsupported } = expected
  const canonical: ChatRequest = { operation: 'chat', model: 'public-name', stream: false, ...request }

  test(`${name}: ${title}`, () => {
    assert.deepEqual(written(canonical, model, maxOutputTokens), { body, unsupported })
  })

  test(`${name}: the body itself, read and written again, is unchanged`, () => {
    assert.deepEqual(written(client.readRequest(body) as ChatRequest, model), { body, unsupported: [] })
  })
}

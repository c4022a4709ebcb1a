/** Embeddings: every form of input, both encodings whatever the upstream sends, and what is no answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '../core/request.ts'
import openaiEmbeddings from './openai-embeddings.ts'

const { client, upstream } = openaiEmbeddings
assert.ok(client && upstream)
const context = (asked: JsonObject) => ({ id: 'req', model: 'm', created: 1, asked })
const unexpected = (what: string): void => assert.fail(what)
/** 0.5, −2 and 0.1 as 32-bit floats, little-endian. */
const BASE64 = 'AAAAPwAAAMDNzMw9'
const VECTOR = [0.5, -2, Math.fround(0.1)]
const bodyOf = (...embeddings: (string | number[])[]) => ({
  object: 'list',
  data: embeddings.map((embedding, index) => ({ object: 'embedding', index, embedding })),
  model: 'text-embedding-3-small',
  usage: { prompt_tokens: 8, total_tokens: 8 },
})

test('A68: floats are answered as base64 and base64 as floats, as the client asked', () => {
  for (const embedding of [BASE64, VECTOR]) {
    const events = upstream.readBody(bodyOf(embedding, embedding))
    assert.deepEqual(client.writeBody(events, context({ encoding_format: 'base64' })), bodyOf(BASE64, BASE64))
    assert.deepEqual(client.writeBody(events, context({})), bodyOf(VECTOR, VECTOR))
  }
})

test('A68: a body in the other encoding is not relayed, one in the right encoding is', () => {
  const takes = (embedding: string | number[], asked: JsonObject) =>
    client.takes?.(upstream.factsOf(bodyOf(embedding)), asked)
  assert.equal(takes(VECTOR, { encoding_format: 'base64' }), false)
  assert.equal(takes(BASE64, { encoding_format: 'base64' }), true)
  assert.equal(takes(BASE64, {}), false)
  assert.equal(takes(VECTOR, {}), true)
  assert.equal(takes(VECTOR, { encoding_format: 'float' }), true)
})

test('embeddings are answered in the order of their inputs', () => {
  const { data, ...rest } = bodyOf([1], [2], [3])
  const events = upstream.readBody({ ...rest, data: [...data].reverse() })
  assert.deepEqual(client.writeBody(events, context({})), bodyOf([1], [2], [3]))
})

test('every form of input is read, and goes on as it came', () => {
  for (const input of ['one', ['one', 'two'], [1, 2, 3], [[1, 2], [3]], '']) {
    const asked = { model: 'm', input, dimensions: 256, encoding_format: 'base64', user: 'u', new_field: true }
    const request = client.readRequest(asked)
    const written: JsonObject = upstream.writeRequest(request, {
      model: 'm',
      provider: 'test',
      report: unexpected,
    })
    assert.deepEqual(written, asked)
  }
})

test('what is no input is refused with its place', () => {
  const cases: [JsonObject, string][] = [
    [{ input: 'x', dimensions: 0 }, 'dimensions'],
    [{ input: 'x', dimensions: 1.5 }, 'dimensions'],
    [{ input: 'x', encoding_format: 'hex' }, 'encoding_format'],
    [{}, 'input'],
    [{ input: [] }, 'input'],
    [{ input: [1.5] }, 'input'],
    [{ input: ['a', 1] }, 'input'],
    [{ input: [[]] }, 'input'],
    [{ input: { text: 'a' } }, 'input'],
  ]
  for (const [body, param] of cases) {
    assert.throws(
      () => client.readRequest({ model: 'm', ...body }),
      (error: { code: string; details: { param: string } }) =>
        error.code === 'invalid_request' && error.details.param === param,
      JSON.stringify(body),
    )
  }
})

test('fields of another dialect are reported, not sent', () => {
  const lost: string[] = []
  const request = { ...client.readRequest({ model: 'm', input: 'x' }), rest: { other: { taskType: 'q', none: null } } }
  const written = upstream.writeRequest(request, { model: 'm', provider: 'test', report: (what) => lost.push(what) })
  assert.deepEqual([written, lost], [{ model: 'm', input: 'x', encoding_format: 'float' }, ['taskType']])
})

test('facts of a body, and bodies that are no answer', () => {
  assert.deepEqual(upstream.factsOf(bodyOf([1])), {
    textBytes: 0,
    complete: true,
    encoding: 'float',
    dimensions: 1,
    model: 'text-embedding-3-small',
    usage: { source: 'provider', input: 8, output: 0 },
  })
  assert.equal(upstream.factsOf({ error: { message: 'no' } }).error?.code, 'upstream_error')
  for (const body of [{}, { data: [] }, null, []]) assert.equal(upstream.factsOf(body).error?.code, 'upstream_invalid')
  for (const embedding of ['AAA', '', [], ['a'], null]) {
    const body = { data: [{ index: 0, embedding }] }
    assert.throws(() => upstream.readBody(body), { code: 'upstream_invalid' }, JSON.stringify(embedding))
  }
})

test('who asks for a stream gets the body as its only event', () => {
  const writer = client.streamWriter(context({}))
  const sent = upstream
    .readBody(bodyOf(VECTOR))
    .map((event) => writer.write(event))
    .join('')
  assert.equal(sent, `data: ${JSON.stringify(bodyOf(VECTOR))}\n\ndata: [DONE]\n\n`)
  const reader = upstream.streamReader()
  assert.throws(() => reader.end(), { code: 'upstream_incomplete' })
  assert.equal(reader.read(JSON.stringify(bodyOf(VECTOR))).length, 4)
  assert.deepEqual(reader.end(), [])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EmbeddingsRequest } from '../core/request.ts'
import gemini from './gemini-embeddings.ts'

const side = gemini.upstream as NonNullable<typeof gemini.upstream>

function written(request: Partial<EmbeddingsRequest>, model = 'gemini-embedding-001') {
  const unsupported: string[] = []
  const body = side.writeRequest(
    { operation: 'embeddings', model, stream: false, input: ['a'], encoding: 'float', ...request },
    { model, provider: 'test', report: (what) => unsupported.push(what) },
  )
  return { body, unsupported }
}

test('one text is a batch of one, and every text gets the dimensions and the vendor fields', () => {
  assert.deepEqual(written({}).body, {
    requests: [{ model: 'models/gemini-embedding-001', content: { parts: [{ text: 'a' }] } }],
  })
  const { body, unsupported } = written({
    input: ['a', 'b'],
    dimensions: 256,
    endUser: 'u',
    rest: { 'gemini-embeddings': { taskType: 'RETRIEVAL_QUERY' }, 'openai-embeddings': { foo: 1, bar: null } },
  })
  assert.deepEqual(body, {
    requests: ['a', 'b'].map((text) => ({
      model: 'models/gemini-embedding-001',
      content: { parts: [{ text }] },
      outputDimensionality: 256,
      taskType: 'RETRIEVAL_QUERY',
    })),
  })
  assert.deepEqual(unsupported, ['user', 'foo'])
})

test('a full model name stays as it is', () => {
  const { requests } = written({}, 'tunedModels/x').body as { requests: { model: string }[] }
  assert.equal(requests[0]?.model, 'tunedModels/x')
})

test('lists of tokens are refused by place', () => {
  assert.throws(
    () => written({ input: ['a', [1, 2]] }),
    (error: { details?: { param?: string } }) => error.details?.param === 'input[1]',
  )
})

test('vectors come in order; usage only where it was given', () => {
  const events = side.readBody({ embeddings: [{ values: [0.1, 2] }, { values: [3] }] })
  assert.deepEqual(events, [
    { type: 'reply-start' },
    { type: 'embedding', index: 0, vector: [0.1, 2] },
    { type: 'embedding', index: 1, vector: [3] },
    { type: 'reply-end' },
  ])
  assert.equal(side.factsOf({ embeddings: [{ values: [1] }] }).usage, undefined)
  assert.deepEqual(
    side.factsOf({ embeddings: [{ values: [1] }], usageMetadata: { promptTokenCount: 7, totalTokenCount: 7 } }),
    { textBytes: 0, complete: true, usage: { source: 'provider', input: 7, output: 0 } },
  )
})

test('the single form is read too', () => {
  assert.deepEqual(side.readBody({ embedding: { values: [1] } })[1], { type: 'embedding', index: 0, vector: [1] })
})

test('an error inside a 200, and an answer that is none, are errors', () => {
  const error = side.factsOf({ error: { code: 429, message: 'slow', status: 'RESOURCE_EXHAUSTED' } }).error
  assert.equal(error?.kind.status, 429)
  assert.equal(side.factsOf({}).error?.code, 'upstream_invalid')
  assert.equal(side.factsOf({ embeddings: [{ values: ['a'] }] }).error?.code, 'upstream_invalid')
})

test('what comes as a stream is one body, and nothing is no answer', () => {
  const reader = side.streamReader()
  assert.throws(() => reader.end(), /ended its answer/)
  assert.equal(reader.read('{"embeddings":[{"values":[1]}]}').length, 3)
  assert.deepEqual(reader.end(), [])
})

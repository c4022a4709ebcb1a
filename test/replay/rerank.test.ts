/** Rankings: recorded ones are read, and what either kind of client gets of another vendor's is in its own shape. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReplyContext } from '../../src/core/dialect.ts'
import type { ReplyEvent } from '../../src/core/reply.ts'
import type { JsonObject } from '../../src/core/request.ts'
import cohere from '../../src/dialects/cohere-rerank/index.ts'
import jina from '../../src/dialects/jina-rerank.ts'
import voyage from '../../src/dialects/voyage-rerank.ts'
import { noRecordings, recordings } from './replay.ts'

const ranked = (events: readonly ReplyEvent[]) =>
  events.flatMap((event) => (event.type === 'ranked' ? [[event.index, event.score]] : []))

test('recorded rankings keep their order and scores', { skip: noRecordings }, () => {
  const found = recordings('*/reranking/*.json')
  assert.ok(found.length >= 2)
  for (const { name, text } of found) {
    const events = jina.upstream?.readBody(JSON.parse(text)) ?? []
    const scores = ranked(events)
    assert.ok(scores.length >= 2, name)
    const written = jina.client?.writeBody(events, contextOf({ documents: [] })) as { results: { index: number }[] }
    assert.deepEqual(
      written.results.map(({ index }) => index),
      scores.map(([index]) => index),
      name,
    )
    const usage = events.find((event) => event.type === 'usage-report')?.usage
    assert.equal(usage?.input, JSON.parse(text).usage?.total_tokens, name)
  }
})

const contextOf = (asked: JsonObject): ReplyContext => ({ id: 'req_1', model: 'm', created: 0, asked })
const ASKED = { model: 'm', query: 'Which is red?', documents: ['a rose', { text: 'the sea' }], top_n: 1 }

test('each vendor is asked in its own words', () => {
  const lost: string[] = []
  const context = { model: 'theirs', provider: 'x', report: (what: string) => void lost.push(what) }
  const request = jina.client?.readRequest({ ...ASKED, return_documents: true, truncation: true })
  assert.ok(request)
  assert.deepEqual(cohere.upstream?.writeRequest(request, context), {
    model: 'theirs',
    query: 'Which is red?',
    documents: ['a rose', 'the sea'],
    top_n: 1,
  })
  assert.deepEqual(voyage.upstream?.writeRequest(request, context), {
    model: 'theirs',
    query: 'Which is red?',
    documents: ['a rose', 'the sea'],
    top_k: 1,
    return_documents: false,
  })
  assert.deepEqual(lost, ['truncation', 'truncation'])
})

test('documents are put back from the request, whoever ranked them', () => {
  const events = voyage.upstream?.readBody({
    object: 'list',
    data: [{ relevance_score: 0.9, index: 1 }],
    model: 'rerank-2.5',
    usage: { total_tokens: 26 },
  })
  assert.ok(events)
  assert.deepEqual(jina.client?.writeBody(events, contextOf(ASKED)), {
    id: 'req_1',
    object: 'list',
    model: 'rerank-2.5',
    results: [{ index: 1, relevance_score: 0.9, document: { text: 'the sea' } }],
    usage: { prompt_tokens: 26, total_tokens: 26 },
    meta: { billed_units: { input_tokens: 26, search_units: 0 } },
  })
  assert.deepEqual(cohere.client?.writeBody(events, contextOf(ASKED)).results, [{ index: 1, relevance_score: 0.9 }])
})

test('searches are counted as what Cohere bills', () => {
  const facts = cohere.upstream?.factsOf({
    id: 'a',
    results: [{ index: 0, relevance_score: 0.1 }],
    meta: { api_version: { version: '2' }, billed_units: { search_units: 2 } },
  })
  assert.deepEqual(facts?.usage, { source: 'provider', calls: { search_unit: 2 } })
  assert.equal(facts?.complete, true)
})

test('what is no ranking is refused, in words', () => {
  const read = jina.client?.readRequest
  assert.throws(() => read?.({ model: 'm', query: 'q', documents: [] }), /"documents" must be a list with at least/)
  assert.throws(() => read?.({ model: 'm', query: 'q', documents: [1] }), /"documents\[0\]" must be a string/)
  assert.throws(() => read?.({ model: 'm', query: 'q', documents: ['a'], top_n: 0 }), /"top_n" must be at least 1/)
  assert.equal(jina.upstream?.factsOf({ detail: 'Invalid model' }).error?.details.upstreamMessage, 'Invalid model')
  assert.equal(jina.upstream?.factsOf({}).error?.code, 'upstream_invalid')
})

/** The recorded legacy completions say the same at every cut and when they are written again; errors and ends as in chat. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failure } from '../../src/core/errors.ts'
import { MARK } from '../../src/core/reply.ts'
import type { JsonObject } from '../../src/core/request.ts'
import openaiCompletions from '../../src/dialects/openai-completions.ts'
import {
  collect,
  noRecordings,
  plain,
  readBody,
  readStream,
  recordings,
  replayContext,
  sameHoweverCut,
  streamOf,
  watchStream,
  writtenBody,
  writtenStream,
} from './replay.ts'

const USAGE_ASKED = { stream: true, stream_options: { include_usage: true } }
const { client, upstream } = openaiCompletions
assert.ok(client && upstream)

test('A47: recorded completions mean the same at every cut, read by the watcher and written again', {
  skip: noRecordings,
}, () => {
  const all = recordings('openai/completion/*')
  assert.deepEqual(all.map(({ kind }) => kind).sort(), ['body', 'stream'])
  for (const recording of all) {
    const isStream = recording.kind === 'stream'
    const bytes = streamOf(recording.payloads, { last: '[DONE]' })
    const events = isStream ? readStream(openaiCompletions, [bytes]) : readBody(openaiCompletions, recording.text)
    const meaning = collect(events)
    // biome-ignore lint/suspicious/noExplicitAny: JSON as it comes
    const raw: any[] = (isStream ? recording.payloads : [recording.text]).map((text) => JSON.parse(text))
    assert.equal(
      meaning.text,
      raw
        .flatMap(({ choices }) => choices)
        .map(({ text }) => text)
        .join(''),
    )
    assert.equal(meaning.finish, 'length')
    assert.deepEqual(meaning.usage, { source: 'provider', input: 14, output: 16 })
    if (isStream) {
      sameHoweverCut(bytes, (pieces) => collect(readStream(openaiCompletions, pieces)))
      const { facts, marks } = watchStream(openaiCompletions, [bytes])
      assert.deepEqual(
        [facts.finish, facts.complete, facts.usage && plain(facts.usage)],
        ['length', true, meaning.usage],
      )
      assert.equal(facts.textBytes, Buffer.byteLength(JSON.stringify(meaning.text)) - 2)
      assert.equal(marks.filter((mark) => mark & MARK.content).length, recording.payloads.length - 1)
      assert.equal(marks.at(-2), MARK.final | MARK.withhold)
    } else assert.deepEqual(upstream.factsOf(JSON.parse(recording.text)).usage, meaning.usage)

    const stream = writtenStream(openaiCompletions, events, USAGE_ASKED)
    assert.ok(stream.endsWith('data: [DONE]\n\n'))
    assert.deepEqual(collect(readStream(openaiCompletions, [Buffer.from(stream)])), meaning)
    const body = writtenBody(openaiCompletions, events)
    assert.equal(body.object, 'text_completion')
    assert.deepEqual(collect(readBody(openaiCompletions, JSON.stringify(body))), meaning)
  }
})

const chunk = (choice: JsonObject, more: JsonObject = {}) =>
  JSON.stringify({ id: 'cmpl-1', object: 'text_completion', created: 1, model: 'm', choices: [choice], ...more })

test('several choices and their logprobs stay apart', () => {
  const lp = (token: string) => ({ tokens: [token], token_logprobs: [-1], top_logprobs: null, text_offset: [0] })
  const bytes = streamOf([
    chunk({ index: 1, text: 'x', logprobs: lp('x'), finish_reason: null }),
    chunk({ index: 0, text: 'A', logprobs: lp('A'), finish_reason: null }),
    chunk({ index: 0, text: 'B', logprobs: lp('B'), finish_reason: 'stop' }),
    chunk({ index: 1, text: '', logprobs: null, finish_reason: 'length' }),
    '[DONE]',
  ])
  const events = readStream(openaiCompletions, [bytes])
  assert.deepEqual([collect(events).text, collect(events, 1).text], ['AB', 'x'])
  const { choices } = writtenBody(openaiCompletions, events) as { choices: JsonObject[] }
  assert.deepEqual(
    choices.map(({ text, finish_reason }) => [text, finish_reason]),
    [
      ['AB', 'stop'],
      ['x', 'length'],
    ],
  )
  assert.partialDeepStrictEqual(choices[0], { logprobs: { tokens: ['A', 'B'] } })
})

test('A44: a completion that is cut off, or fails inside, is never finished', () => {
  const begun = chunk({ index: 0, text: 'A', finish_reason: null })
  assert.throws(() => readStream(openaiCompletions, [streamOf([begun])]), { code: 'upstream_incomplete' })
  assert.throws(() => readStream(openaiCompletions, [streamOf([begun, '{"error":"boom"}'])]), {
    code: 'upstream_error',
  })
  assert.equal(
    watchStream(openaiCompletions, [streamOf([begun, '{"error":"boom"}'])]).facts.error?.code,
    'upstream_error',
  )
  const failed = client.streamWriter(replayContext()).fail(failure('upstream_incomplete'))
  assert.match(failed, /^data: \{"error":/)
  assert.doesNotMatch(failed, /DONE|finish_reason/)
})

test('A70: a request keeps every field, and asks for its usage when it streams', () => {
  const body = { model: 'm', prompt: [[1, 2], [3]], stream: true, best_of: 2, new_field: { a: null } }
  const request = client.readRequest(body)
  const context = { model: 'other', provider: 'test', report: (what: string) => assert.fail(what) }
  assert.deepEqual(upstream.writeRequest(request, context), {
    ...body,
    model: 'other',
    stream_options: { include_usage: true },
  })
  assert.deepEqual(upstream.writeRequest(request, { ...context, quirks: { noStreamOptions: true } }), {
    ...body,
    model: 'other',
  })
})

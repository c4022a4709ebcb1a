/**
 * Recordings of Bedrock (its events as they come out of the binary stream), Cohere and Vertex, and of Anthropic's events
 * wrapped as Bedrock wraps them: however the bytes are cut, the meaning is the same, and the watcher sees what the reader
 * reads.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import type { Dialect } from '../../src/core/dialect.ts'
import { GatewayError } from '../../src/core/errors.ts'
import type { ReplyEvent } from '../../src/core/reply.ts'
import anthropic from '../../src/dialects/anthropic-messages/index.ts'
import converse from '../../src/dialects/bedrock-converse/index.ts'
import cohere from '../../src/dialects/cohere-chat/index.ts'
import openai from '../../src/dialects/openai-chat/index.ts'
import vertex from '../../src/dialects/vertex-predict.ts'
import { AwsEventFramer } from '../../src/wire/aws/events.ts'
import { isComment, sseData } from '../../src/wire/sse.ts'
import { awsMessage, converseMessages } from '../upstream/aws-events.ts'
import {
  collect,
  noRecordings,
  pieces,
  readBody,
  readStream,
  recordings,
  streamOf,
  watchStream,
  writtenBody,
} from './replay.ts'

/** As the gateway reads it: framed, watched and read together. */
function readBinary(dialect: Dialect, contents: 'named' | 'wrapped', cut: Iterable<Buffer>) {
  const framer = new AwsEventFramer(contents, 'test')
  const reader = dialect.upstream?.streamReader()
  const watcher = dialect.upstream?.watcher({})
  assert.ok(reader && watcher)
  const events: ReplyEvent[] = []
  for (const piece of cut) {
    for (const frame of framer.push(piece)) {
      watcher.look(frame)
      assert.ok(!isComment(frame.bytes))
      const { data, event } = sseData(frame.bytes)
      events.push(...reader.read(data, event))
    }
  }
  framer.end()
  events.push(...reader.end())
  return { events, facts: watcher.facts }
}

test("Bedrock's recordings replay through the binary stream", { skip: noRecordings }, () => {
  const found = recordings('amazon-bedrock/*')
  assert.ok(found.length >= 17)
  for (const { name, kind, payloads, text } of found) {
    if (kind === 'body') {
      const meaning = collect(readBody(converse, text))
      const body = JSON.parse(text)
      assert.deepEqual(
        meaning.usage && [meaning.usage.input, meaning.usage.output],
        [body.usage.inputTokens, body.usage.outputTokens],
        name,
      )
      continue
    }
    const bytes = Buffer.concat(converseMessages(payloads))
    const { events, facts } = readBinary(converse, 'named', [bytes])
    const meaning = collect(events)
    for (const size of [1, 7, 64]) {
      const again = readBinary(converse, 'named', pieces(bytes, size))
      assert.deepEqual(collect(again.events), meaning, `${name} in pieces of ${size}`)
    }
    assert.equal(facts.finish, meaning.finish, name)
    assert.deepEqual(facts.usage?.output, meaning.usage?.output, name)
    const said = meaning.text + meaning.reasoning
    assert.ok(facts.textBytes >= Buffer.byteLength(said), name)
    const expected = payloads.flatMap((line) => JSON.parse(line).contentBlockDelta?.delta?.text ?? [])
    assert.equal(meaning.text, expected.join(''), name)
    const written = collect(readBody(openai, JSON.stringify(writtenBody(openai, events))))
    assert.deepEqual(
      [written.text, written.toolCalls, written.finish],
      [meaning.text, meaning.toolCalls, meaning.finish],
      name,
    )
  }
})

test("Anthropic's events come out of Bedrock's wrapping as they were", { skip: noRecordings }, () => {
  for (const { name, payloads } of recordings('anthropic/*-text.chunks.txt')) {
    const wrapped = payloads.map((line) =>
      awsMessage('event', 'chunk', JSON.stringify({ bytes: Buffer.from(line).toString('base64'), p: 'abcdef' })),
    )
    const bytes = Buffer.concat(wrapped)
    const { events, facts } = readBinary(anthropic, 'wrapped', pieces(bytes, 11))
    const plain = readStream(anthropic, [streamOf(payloads, { event: (data) => JSON.parse(data).type })])
    assert.deepEqual(events, plain, name)
    assert.equal(facts.complete, true, name)
  }
})

test("Cohere's recordings replay, and what is billed is what is counted", { skip: noRecordings }, () => {
  const found = recordings('cohere/*')
  assert.ok(found.length >= 5)
  for (const { name, kind, payloads, text } of found) {
    if (kind === 'body') {
      const meaning = collect(readBody(cohere, text))
      const body = JSON.parse(text)
      assert.equal(meaning.usage?.output, body.usage.billed_units.output_tokens, name)
      assert.equal(meaning.usage?.input, body.usage.billed_units.input_tokens, name)
      if (name.includes('null-args')) {
        assert.deepEqual(meaning.toolCalls, [{ name: 'currentTime', args: {} }])
        assert.match(meaning.reasoning, /^I will use the currentTime tool/)
        assert.equal(meaning.finish, 'tool-calls')
      }
      if (name.includes('max-tokens')) assert.equal(meaning.finish, 'length')
      continue
    }
    const bytes = streamOf(payloads, { event: (data) => JSON.parse(data).type })
    const meaning = collect(readStream(cohere, [bytes]))
    for (const size of [1, 7]) assert.deepEqual(collect(readStream(cohere, pieces(bytes, size))), meaning, name)
    const { facts } = watchStream(cohere, [bytes])
    assert.deepEqual(
      [facts.finish, facts.complete, facts.textBytes],
      [meaning.finish, true, Buffer.byteLength(meaning.text)],
    )
    assert.equal(meaning.text, 'The capital of France is Paris.')
  }
})

test("Vertex's recorded embeddings are counted text by text", { skip: noRecordings }, () => {
  for (const { text } of recordings('google-vertex/*embedding*.json')) {
    const events = readBody(vertex, text)
    assert.equal(events.filter(({ type }) => type === 'embedding').length, 2)
    assert.deepEqual(events.find((event) => event.type === 'usage-report')?.usage, { source: 'provider', input: 11 })
  }
})

test('an exception in the binary stream is told after what came before it, with the status it would have had', () => {
  const framer = new AwsEventFramer('named', 'up')
  const delta = awsMessage('event', 'contentBlockDelta', '{"contentBlockIndex":0,"delta":{"text":"Hi"}}')
  const thrown = awsMessage('exception', 'throttlingException', '{"message":"Too many tokens"}')
  assert.equal(framer.push(Buffer.concat([delta, thrown])).length, 1)
  assert.throws(
    () => framer.end(),
    (error) =>
      error instanceof GatewayError &&
      error.kind.status === 429 &&
      error.details.upstreamCode === 'throttlingException' &&
      error.details.upstreamMessage === 'Too many tokens',
  )
  assert.throws(() => new AwsEventFramer('named', 'up').push(thrown), { code: 'upstream_error' })
})

test('a damaged binary stream is refused, not guessed at', () => {
  const whole = awsMessage('event', 'messageStart', '{"role":"assistant"}')
  for (let at = 0; at < whole.length; at++) {
    const bad = Buffer.from(whole)
    bad[at] = (bad[at] as number) ^ 0x40
    const framer = new AwsEventFramer('named', 'up')
    assert.throws(() => framer.push(bad), { code: 'upstream_invalid' }, `byte ${at}`)
  }
  // One that says it is enormous is not waited for, though its checksum is right.
  const huge = Buffer.alloc(12)
  huge.writeUInt32BE(0x7fffffff, 0)
  huge.writeUInt32BE(crc32(huge.subarray(0, 8)), 8)
  assert.throws(() => new AwsEventFramer('named', 'up').push(huge), /more than/)
  // Cut off: what was whole is there, what was not says nothing.
  const cut = new AwsEventFramer('named', 'up')
  assert.equal(cut.push(Buffer.concat([whole, whole.subarray(0, 20)])).length, 1)
  assert.equal(cut.end(), undefined)
})

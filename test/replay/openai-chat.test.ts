/**
 * Every recorded chat completion, of whatever vendor, says the same however its bytes are cut; the relay's watcher
 * agrees with the reader; and written again as a stream and as a body it still says the same.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inputTokens, outputTokens, type Usage } from '../../src/core/usage.ts'
import openaiChat from '../../src/dialects/openai-chat/index.ts'
import { validateChatStream } from '../golden/chat-stream.ts'
import {
  collect,
  type Meaning,
  noRecordings,
  plain,
  type Recording,
  readBody,
  readStream,
  recordings,
  sameHoweverCut,
  streamOf,
  watchStream,
  writtenBody,
  writtenStream,
} from './replay.ts'

const FOLDERS = ['openai/chat/*', 'groq/*', 'deepseek/chat/*', 'mistral/*', 'moonshotai/*', 'openai-compatible/chat/*']
const MORE = ['alibaba/*', 'azure/azure-deepseek-*']

/** A recording of a chat completion (transcriptions and errors lie in the same folders). */
const isChat = (recording: Recording): boolean => /"chat\.completion(\.chunk)?"/.test(recording.text)

const chats = [...FOLDERS, ...MORE].flatMap(recordings).filter(isChat)
const USAGE_ASKED = { stream: true, stream_options: { include_usage: true } }

/** What could be lost and what cannot be compared is looked at in the meanings, so these are not empty. */
function assertSays(recording: Recording, meaning: Meaning): void {
  assert.ok(meaning.text !== '' || meaning.toolCalls.length > 0, `${recording.name} says something`)
  assert.ok(meaning.finish !== undefined && meaning.usage !== undefined, `${recording.name} is finished and counted`)
  assert.deepEqual(meaning.opaque, [], `${recording.name} has nothing that only its vendor understands`)
}

/** The same, found by adding up the payloads with nothing of the dialect. */
function assertSum(recording: Recording, meaning: Meaning): void {
  // biome-ignore lint/suspicious/noExplicitAny: vendors' JSON as it comes
  const payloads: any[] = (recording.kind === 'stream' ? recording.payloads : [recording.text]).map((p) =>
    JSON.parse(p),
  )
  const messages = payloads.flatMap((p) => p.choices).map((choice) => choice.delta ?? choice.message)
  const parts = messages.flatMap(({ content }) => content)
  const textOf = (part: unknown) => (typeof part === 'string' ? part : ((part as { text?: string })?.text ?? ''))
  const thoughts = parts.flatMap((part) => part?.thinking ?? []).map(textOf)
  const fields = messages.map((m) => m.reasoning_content ?? m.reasoning ?? '')
  assert.equal(meaning.text, parts.map(textOf).join(''))
  assert.equal(meaning.reasoning, [...fields, ...thoughts].join(''))
  const calls = messages.flatMap((m) => m.tool_calls ?? [])
  const names = calls.map((call) => call.function.name).filter(Boolean)
  assert.deepEqual(
    meaning.toolCalls.map((call) => call.name),
    names,
  )
  const json = calls.map((call) => call.function.arguments ?? '').join('')
  if (names.length === 1) assert.deepEqual(meaning.toolCalls[0]?.args, JSON.parse(json))
  const { usage } = payloads.findLast((p) => p.usage)
  const buckets = meaning.usage as Usage
  assert.equal(inputTokens(buckets), usage.prompt_tokens)
  assert.equal(outputTokens(buckets), usage.total_tokens - usage.prompt_tokens)
}

test('A47, T46: a recorded stream means the same at every cut', { skip: noRecordings }, async (t) => {
  for (const recording of chats.filter(({ kind }) => kind === 'stream')) {
    await t.test(recording.name, () => {
      const bytes = streamOf(recording.payloads, { last: '[DONE]' })
      const meaning = sameHoweverCut(bytes, (pieces) => collect(readStream(openaiChat, pieces)))
      assertSays(recording, meaning)
      assertSum(recording, meaning)

      const { facts } = watchStream(openaiChat, [bytes])
      assert.equal(facts.finish, meaning.finish)
      assert.deepEqual(facts.usage && plain(facts.usage), meaning.usage)
      assert.equal(facts.complete, true)
      const said = meaning.text + meaning.reasoning
      assert.ok(facts.textBytes >= Buffer.byteLength(said), 'the watcher counted all that was said')
      assert.ok(facts.textBytes <= 2 * Buffer.byteLength(said) + 2_000, 'and not much more')

      const events = readStream(openaiChat, [bytes])
      const again = writtenStream(openaiChat, events, USAGE_ASKED)
      validateChatStream(again, { usage: true })
      assert.deepEqual(collect(readStream(openaiChat, [Buffer.from(again)])), meaning, 'written as a stream')
      const body = JSON.stringify(writtenBody(openaiChat, events))
      assert.deepEqual(collect(readBody(openaiChat, body)), meaning, 'written as a body')
    })
  }
})

test('A51: without its [DONE] a finished recording is whole, without its finish it is not', {
  skip: noRecordings,
}, () => {
  for (const recording of chats.filter(({ kind }) => kind === 'stream')) {
    const meaning = collect(readStream(openaiChat, [streamOf(recording.payloads)]))
    assertSays(recording, meaning)
    const unfinished = recording.payloads.filter((data) => !/"finish_reason": ?"/.test(data))
    for (const last of ['[DONE]', undefined]) {
      const bytes = streamOf(unfinished, last === undefined ? {} : { last })
      assert.throws(() => readStream(openaiChat, [bytes]), { code: 'upstream_incomplete' }, recording.name)
      const { facts } = watchStream(openaiChat, [bytes])
      assert.deepEqual([facts.complete, facts.finish], [false, undefined], recording.name)
    }
  }
})

test('a recorded body says the same when it is written as a body and as a stream', {
  skip: noRecordings,
}, async (t) => {
  for (const recording of chats.filter(({ kind }) => kind === 'body')) {
    await t.test(recording.name, () => {
      const events = readBody(openaiChat, recording.text)
      const meaning = collect(events)
      assertSays(recording, meaning)
      assertSum(recording, meaning)
      const facts = openaiChat.upstream?.factsOf(JSON.parse(recording.text))
      assert.equal(facts?.finish, meaning.finish)
      assert.deepEqual(facts?.usage && plain(facts.usage), meaning.usage)
      assert.ok((facts?.textBytes ?? 0) >= Buffer.byteLength(meaning.text + meaning.reasoning))

      const body = writtenBody(openaiChat, events)
      assert.deepEqual(collect(readBody(openaiChat, JSON.stringify(body))), meaning)
      const stream = writtenStream(openaiChat, events, USAGE_ASKED)
      validateChatStream(stream, { usage: true })
      assert.deepEqual(collect(readStream(openaiChat, [Buffer.from(stream)])), meaning)
    })
  }
})

test('usage that nobody asked for is withheld, and nothing else is', { skip: noRecordings }, () => {
  let withheld = 0
  for (const { payloads } of chats.filter(({ kind }) => kind === 'stream')) {
    const bytes = streamOf(payloads, { last: '[DONE]' })
    const { marks } = watchStream(openaiChat, [bytes])
    marks.forEach((mark, i) => {
      const isUsageOnly = /"usage": ?\{/.test(payloads[i] ?? '') && /"choices": ?\[\]/.test(payloads[i] ?? '')
      assert.equal((mark & 4) !== 0, isUsageOnly)
      if (isUsageOnly) withheld++
    })
    assert.ok(watchStream(openaiChat, [bytes], USAGE_ASKED).marks.every((mark) => (mark & 4) === 0))
  }
  assert.ok(withheld > 0, 'some recording has a chunk of usage alone')
})

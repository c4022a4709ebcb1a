/**
 * Recorded replies of Google's generateContent (Gemini API and Vertex AI) through the dialect: however the bytes are
 * cut, the reader, the relay's watcher, and a reply written again say the same.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ReplyEvent } from '../../src/core/reply.ts'
import type { JsonObject, JsonValue } from '../../src/core/request.ts'
import { inputTokens, outputTokens } from '../../src/core/usage.ts'
import gemini from '../../src/dialects/gemini-generate/index.ts'
import openaiChat from '../../src/dialects/openai-chat/index.ts'
import {
  collect,
  type Meaning,
  noRecordings,
  plain,
  readBody,
  readStream,
  recordings,
  sameHoweverCut,
  streamOf,
  watchStream,
  writtenBody,
  writtenStream,
} from './replay.ts'

/** What each recording says: text by its length and ends, because a reader of this file should see what was said. */
const SAID: Readonly<Record<string, Partial<Meaning> & { readonly textSignatures?: number }>> = {
  'google/google-reasoning.chunks.txt': {
    text: 'There are **3** "r"s in strawberry.\n\nHere is the breakdown: st**r**awbe**rr**y.',
    finish: 'stop',
    usage: { source: 'provider', input: 9, output: 29, reasoning: 256 },
    textSignatures: 1,
  },
  'google/google-reasoning.json': {
    text: 'There are **3** "r"s in strawberry.\n\nHere is the breakdown: st**r**awbe**rr**y.',
    finish: 'stop',
    usage: { source: 'provider', input: 9, output: 29, reasoning: 282 },
    textSignatures: 1,
  },
  'google/google-text.chunks.txt': {
    text: 'There are **3** "r"s in strawberry.\n\nst**r**awbe**rr**y',
    finish: 'stop',
    usage: { source: 'provider', input: 9, output: 23, reasoning: 185 },
    textSignatures: 1,
  },
  'google/google-text.json': {
    text: "There are **3** r's in strawberry.\n\nHere is the breakdown: st**r**awbe**rr**y.",
    finish: 'stop',
    usage: { source: 'provider', input: 9, output: 28, reasoning: 244 },
    textSignatures: 1,
  },
  'google/google-stream-no-args-tool-call.chunks.txt': {
    text: '',
    toolCalls: [
      { name: 'read_theme', args: {} },
      { name: 'read_screen', args: { id: 'A' } },
      { name: 'read_screen', args: { id: 'B' } },
      { name: 'read_screen', args: { id: 'C' } },
    ],
    finish: 'tool-calls',
    usage: { source: 'provider', input: 249, output: 58, reasoning: 183 },
  },
  'google/google-stream-tool-call-arguments.chunks.txt': {
    text: '',
    toolCalls: [
      { name: 'getWeather', args: { location: 'Boston' } },
      { name: 'getWeather', args: { location: 'San Francisco' } },
    ],
    finish: 'tool-calls',
    usage: { source: 'provider', input: 26, output: 23, reasoning: 132 },
  },
  'google/google-stream-tool-call-array-arguments-missing-terminal-function-call.chunks.txt': {
    text: '',
    toolCalls: [
      {
        name: 'writeItems',
        args: {
          operations: [
            { action: 'add', description: 'Fresh red apple', itemid: 'apple_001', price: 0.5 },
            { action: 'add', description: 'Ripe yellow banana', itemid: 'banana_001', price: 0.3 },
          ],
        },
      },
    ],
    finish: 'tool-calls',
    usage: { source: 'provider', input: 54, output: 74, reasoning: 121 },
  },
  'google/google-vertex-stream-tool-call-arguments-nested.1.chunks.txt': {
    text: '',
    toolCalls: [{ name: 'cookRecipe', args: { recipe: LASAGNA() } }],
    finish: 'tool-calls',
    usage: { source: 'provider', input: 31, output: 684, reasoning: 1026 },
  },
}

function LASAGNA() {
  const ingredients = [
    ['16 oz', 'Lasagna noodles'],
    ['1 lb', 'Ground beef'],
    ['15 oz', 'Ricotta cheese'],
    ['3 cups', 'Mozzarella cheese'],
    ['1/2 cup', 'Parmesan cheese'],
    ['24 oz', 'Tomato sauce'],
    ['1', 'Egg'],
    ['2 cloves', 'Garlic'],
    ['1 tsp', 'Salt'],
    ['1/2 tsp', 'Pepper'],
  ].map(([amount, name]) => ({ amount, name }))
  const steps = [
    'Preheat oven to 375°F (190°C).',
    'Cook lasagna noodles according to package directions, drain and set aside.',
    'Brown ground beef with minced garlic in a skillet. Drain fat and stir in tomato sauce. Simmer for 10 minutes.',
    'In a bowl, mix ricotta cheese, egg, salt, pepper, and Parmesan cheese.',
    'In a 9x13 baking dish, spread a thin layer of meat sauce.',
    'Layer noodles, ricotta mixture, mozzarella, and meat sauce. Repeat.',
    'Top with remaining mozzarella cheese.',
    'Cover with foil and bake for 25 minutes.',
    'Remove foil and bake for another 25 minutes until golden.',
    'Let stand for 15 minutes before serving.',
  ]
  return { ingredients, name: 'Lasagna', steps }
}

/** Signatures on text and thoughts, which no other vendor's words carry. */
const textSignatures = (events: readonly ReplyEvent[]): unknown[] =>
  events.flatMap((event) => {
    if (event.type !== 'text-end' && event.type !== 'reasoning-end') return []
    const signature = event.rest?.['gemini-generate']?.thoughtSignature
    return signature === undefined ? [] : [signature]
  })

const ids = (events: readonly ReplyEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'tool-call-start' ? [event.id] : []))

const events = (name: string, text: string, payloads: readonly string[]): readonly ReplyEvent[] =>
  name.endsWith('.json') ? readBody(gemini, text) : readStream(gemini, [streamOf(payloads)])

describe('recorded replies', { skip: noRecordings }, () => {
  const found = noRecordings === false ? recordings('google/*.{chunks.txt,json}') : []

  test('every recording has its meaning stated here', { skip: noRecordings }, () => {
    assert.deepEqual(
      found.map(({ name }) => name),
      Object.keys(SAID).sort(),
    )
  })

  for (const { name, kind, payloads, text } of found) {
    const { textSignatures: signed = 0, ...said } = SAID[name] ?? {}

    test(`A47 T46: ${name} says the same however it is cut`, () => {
      const meaning =
        kind === 'body'
          ? collect(readBody(gemini, text))
          : sameHoweverCut(streamOf(payloads), (cut) => collect(readStream(gemini, cut)))
      assert.deepEqual({ ...meaning, ...said }, meaning)
      const read = events(name, text, payloads)
      assert.equal(textSignatures(read).length, signed)
      assert.equal(new Set(ids(read)).size, ids(read).length, 'ids are unique in a reply')
      assert.deepEqual(ids(events(name, text, payloads)), ids(read), 'and the same whenever it is read')
      assert.ok(ids(read).every((id) => /^[A-Za-z0-9_-]{1,40}$/.test(id)))
    })

    test(`A26: the buckets of ${name} add up to the provider's total`, () => {
      const last = kind === 'body' ? text : (payloads.at(-1) as string)
      const usage = collect(events(name, text, payloads)).usage
      assert.ok(usage)
      assert.equal(inputTokens(usage) + outputTokens(usage), JSON.parse(last).usageMetadata.totalTokenCount)
    })

    test(`the facts of ${name} are those of its events`, () => {
      const read = events(name, text, payloads)
      const meaning = collect(read)
      const start = read.find((event) => event.type === 'reply-start')
      const check = (facts: ReturnType<typeof watchStream>['facts']) => {
        assert.equal(facts.complete, true)
        assert.equal(facts.finish, meaning.finish)
        assert.equal(facts.model, start?.model)
        assert.equal(facts.id, start?.id)
        assert.ok(facts.textBytes > 0)
        assert.deepEqual(facts.usage && plain(facts.usage), meaning.usage)
      }
      if (kind === 'body') check(gemini.upstream?.factsOf(JSON.parse(text) as JsonValue) as never)
      else for (const size of [1, 7, 1 << 20]) check(watchStream(gemini, cutIn(streamOf(payloads), size)).facts)
    })

    test(`A53 A54: ${name} written to a Gemini client reads the same, signatures included`, () => {
      const read = events(name, text, payloads)
      const streamed = readStream(gemini, [Buffer.from(writtenStream(gemini, read))])
      const collected = readBody(gemini, JSON.stringify(writtenBody(gemini, read)))
      for (const again of [streamed, collected]) {
        assert.deepEqual(collect(again), collect(read))
        assert.deepEqual(textSignatures(again), textSignatures(read))
      }
    })

    test(`${name} written to an OpenAI client reads the same; only signatures on text have no place there`, () => {
      const read = events(name, text, payloads)
      const asked = { stream_options: { include_usage: true } }
      const streamed = readStream(openaiChat, [Buffer.from(writtenStream(openaiChat, read, asked))])
      const collected = readBody(openaiChat, JSON.stringify(writtenBody(openaiChat, read)))
      for (const again of [streamed, collected]) {
        assert.deepEqual(collect(again), collect(read))
        assert.deepEqual(textSignatures(again), [])
        assert.deepEqual(ids(again), ids(read))
      }
    })
  }
})

describe('A54: the next turn of an OpenAI client', { skip: noRecordings }, () => {
  const calling = (noRecordings === false ? recordings('google/*tool-call*.chunks.txt') : []).map((recording) => ({
    name: recording.name,
    read: readStream(gemini, [streamOf(recording.payloads)]),
    signature: /"thoughtSignature":"([^"]+)"/.exec(recording.payloads.join(''))?.[1],
  }))
  const strip = (call: JsonObject): JsonObject =>
    Object.fromEntries(Object.entries(call).filter(([field]) => ['id', 'type', 'function'].includes(field)))

  /** The model's turn and the results, as Gemini gets them after an OpenAI client has handled them. */
  function nextTurn(read: readonly ReplyEvent[], keep: (call: JsonObject) => JsonObject): JsonObject[] {
    const body = writtenBody(openaiChat, read) as unknown as { choices: { message: { tool_calls: JsonObject[] } }[] }
    const message = body.choices[0]?.message
    assert.ok(message)
    const tool_calls = message.tool_calls.map(keep)
    const request = openaiChat.client?.readRequest({
      model: 'm',
      messages: [
        { role: 'user', content: 'Go.' },
        { ...message, tool_calls } as unknown as JsonObject,
        ...tool_calls.map(({ id }) => ({ role: 'tool', tool_call_id: id, content: 'done' })),
      ],
    })
    assert.ok(request)
    const context = { model: 'gemini-3-pro-preview', provider: 'test', report: (what: string) => assert.fail(what) }
    return gemini.upstream?.writeRequest(request, context).contents as JsonObject[]
  }

  const partsOf = (content: JsonObject | undefined) => (content?.parts ?? []) as unknown as JsonObject[]

  for (const { name, read, signature } of calling) {
    test(`${name}: the signature comes back on its call`, () => {
      const [, model, results] = nextTurn(read, (call) => call)
      const said = partsOf(model).filter((part) => part.functionCall !== undefined)
      assert.equal(said[0]?.thoughtSignature, signature)
      assert.ok(said.slice(1).every((part) => part.thoughtSignature === undefined))
      const { toolCalls } = collect(read)
      assert.deepEqual(
        said.map((part) => part.functionCall),
        toolCalls.map((call) => ({ name: call.name, args: call.args })),
      )
      assert.deepEqual(
        partsOf(results),
        toolCalls.map((call) => ({ functionResponse: { name: call.name, response: { result: 'done' } } })),
      )
    })

    test(`${name}: a client that strips unknown fields still gets its second turn`, () => {
      const [, model] = nextTurn(read, strip)
      const first = partsOf(model).find((part) => part.functionCall !== undefined)
      assert.equal(first?.thoughtSignature, 'skip_thought_signature_validator')
    })
  }
})

function* cutIn(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/**
 * A64: what is estimated against what vendors counted, on the recorded answers that show all that was counted: not those
 * with tools of the vendor's own, whose text nobody sees, nor those whose thinking is summarized.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createTokenCounter } from '../../src/catalog/token-counter.ts'
import { tokensOf } from '../../src/catalog/tokens.ts'
import type { Pieces } from '../../src/core/counting.ts'
import { piecesOf } from '../../src/core/counting.ts'
import type { Dialect } from '../../src/core/dialect.ts'
import type { ReplyEvent } from '../../src/core/reply.ts'
import anthropic from '../../src/dialects/anthropic-messages/index.ts'
import cohere from '../../src/dialects/cohere-chat/index.ts'
import gemini from '../../src/dialects/gemini-generate/index.ts'
import openai from '../../src/dialects/openai-chat/index.ts'
import responses from '../../src/dialects/openai-responses/index.ts'
import { collect, noRecordings, readBody, readStream, recordings, streamOf } from './replay.ts'

const counter = createTokenCounter(new URL('../../src/catalog/token-worker.ts', import.meta.url))
after(() => counter.close())

const NOTHING: Pieces = {
  texts: [],
  messages: 0,
  toolCalls: 0,
  thoughts: 0,
  tools: 0,
  images: 0,
  documents: 0,
  tokens: 0,
}

interface Compared {
  readonly name: string
  readonly counted: number
  readonly estimated: number
}

/** What an answer is made of, as vendor and estimate count it. */
async function compared(pattern: string, dialect: Dialect, model: string): Promise<Compared[]> {
  const found: Compared[] = []
  for (const { name, kind, text, payloads } of recordings(pattern)) {
    let events: readonly ReplyEvent[]
    try {
      const typeOf = (data: string): string | undefined => JSON.parse(data).type
      events = kind === 'body' ? readBody(dialect, text) : readStream(dialect, [streamOf(payloads, { event: typeOf })])
    } catch {
      // Recorded errors are no answers.
      continue
    }
    const said = collect(events)
    const { usage, toolCalls, reasoning } = said
    const hidden = (usage?.reasoning ?? 0) > 0 && reasoning === ''
    if (!usage || said.opaque.length > 0 || /fallback|refusal|duplicate|compaction/.test(name)) continue
    const texts = [
      said.text,
      ...(hidden ? [] : [reasoning]),
      ...toolCalls.flatMap((c) => [c.name, JSON.stringify(c.args)]),
    ]
    const counted = (usage.output ?? 0) + (hidden ? 0 : (usage.reasoning ?? 0))
    const estimated = await counter.count(model, {
      ...NOTHING,
      texts,
      // An answer has the frame of a message, and none of a request.
      tokens: tokensOf(model).perMessage,
      toolCalls: toolCalls.length,
      thoughts: hidden || reasoning === '' ? 0 : 1,
    })
    if (counted > 0) found.push({ name, counted, estimated })
  }
  return found
}

const FAMILIES: readonly (readonly [pattern: string, dialect: Dialect, model: string])[] = [
  ['alibaba/*', openai, 'qwen3-max'],
  ['groq/groq-reasoning*', openai, 'qwen/qwen3-32b'],
  ['deepseek/chat/*', openai, 'deepseek-reasoner'],
  ['openai-compatible/chat/*', openai, 'grok-3-mini'],
  ['google/google-{text,reasoning}*', gemini, 'gemini-3-pro-preview'],
  ['anthropic/anthropic-claude-opus*', anthropic, 'claude-opus-5'],
  ['anthropic/anthropic-{combined,clear,json,text}*', anthropic, 'claude-sonnet-4-5'],
  ['cohere/*', cohere, 'command-a-03-2025'],
  ['open-responses/responses/lmstudio-basic.1.chunks.txt', responses, 'gemma-7b-it'],
]

for (const [pattern, dialect, model] of FAMILIES) {
  test(`A64: ${model}: the estimate is within a tenth of what was counted (${pattern})`, {
    skip: noRecordings,
  }, async (t) => {
    const found = await compared(pattern, dialect, model)
    assert.ok(found.length > 0, 'no recordings')
    const counted = found.reduce((sum, each) => sum + each.counted, 0)
    const estimated = found.reduce((sum, each) => sum + each.estimated, 0)
    t.diagnostic(`${found.length} answers, ${counted} counted, ${estimated} estimated`)
    assert.ok(Math.abs(estimated - counted) <= counted * 0.1, JSON.stringify(found))
    // One answer alone, where a frame that nobody documents does not weigh as much as its text.
    for (const each of found.filter((one) => one.counted >= 200)) {
      assert.ok(Math.abs(each.estimated - each.counted) <= each.counted * 0.1, JSON.stringify(each))
    }
  })
}

test("A64: OpenAI's own texts are counted to the token", { skip: noRecordings }, async () => {
  // Answers of one message without tools: what is counted beside the text is a frame of four to six tokens.
  const found = await compared(
    'openai/responses/openai-{shell-container-multiturn,shell-local-multiturn}*',
    responses,
    'gpt-5.2',
  )
  assert.ok(found.length >= 4)
  for (const { name, counted, estimated } of found)
    assert.ok(Math.abs(counted - estimated) <= 2, `${name}: ${estimated}, not ${counted}`)
})

test('A64: published examples of the encodings', async () => {
  const count = (model: string, ...texts: string[]) => counter.count(model, { ...NOTHING, texts })
  // OpenAI's cookbook on counting: "antidisestablishmentarianism" is 6 tokens in both; "2 + 2 = 4" is 7.
  assert.equal(await count('gpt-4', 'antidisestablishmentarianism'), 6)
  assert.equal(await count('gpt-4o', 'antidisestablishmentarianism'), 6)
  assert.equal(await count('gpt-4', '2 + 2 = 4'), 7)
  assert.equal(await count('gpt-4', 'お誕生日おめでとう'), 9)
  assert.equal(await count('gpt-4o', 'お誕生日おめでとう'), 8)
  assert.equal((await count('gpt-4o', '<|endoftext|>')) > 1, true, 'a control token in a text is text')
})

test('names tell the family, whatever stands before them', () => {
  assert.equal(tokensOf('us.anthropic.claude-sonnet-4-5-20250929-v1:0'), tokensOf('claude-3-haiku'))
  assert.equal(tokensOf('models/gemini-2.5-pro'), tokensOf('gemini-3'))
  assert.equal(tokensOf('gpt-4-turbo').encoding, 'cl100k')
  for (const model of ['gpt-4o', 'gpt-4.1-mini', 'gpt-5', 'o3', 'o4-mini'])
    assert.equal(tokensOf(model).encoding, 'o200k', model)
})

test('A64: every kind of block counts, results and definitions too', async () => {
  const base = { operation: 'chat', model: 'm', stream: false } as const
  const of = (parts: object[], more: object = {}) =>
    counter.count('gpt-4o', piecesOf({ ...base, messages: [{ role: 'user', parts }], ...more } as never))
  const nothing = await of([])
  const long = 'a sentence that has some length '.repeat(20)
  const kinds: readonly (readonly [string, object[], object?])[] = [
    ['text', [{ type: 'text', text: long }]],
    ['tool result', [{ type: 'tool-result', id: '1', content: [{ type: 'text', text: long }] }]],
    ['tool call', [{ type: 'tool-call', id: '1', name: 'f', arguments: JSON.stringify({ long }) }]],
    ['thinking', [{ type: 'reasoning', text: long, signature: 's' }]],
    ['image', [{ type: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' } }]],
    ['document', [{ type: 'file', source: { kind: 'data', mediaType: 'application/pdf', base64: 'AAAA' } }]],
    [
      'text document',
      [
        {
          type: 'file',
          source: { kind: 'data', mediaType: 'text/plain', base64: Buffer.from(long).toString('base64') },
        },
      ],
    ],
    ['block of one vendor', [{ type: 'opaque', dialect: 'd', value: { long } }]],
    ['tool', [], { tools: [{ name: 'f', description: long, parameters: { type: 'object' } }] }],
  ]
  for (const [kind, parts, more] of kinds) assert.ok((await of(parts, more)) >= nothing + 100, kind)
})

test('A15: long prompts and floods are counted while the serving thread goes on', async () => {
  const words = 'lorem ipsum dolor sit amet '.repeat(40_000)
  const run = 'x'.repeat(1_000_000)
  let worst = 0
  let last = performance.now()
  const watch = setInterval(() => {
    const now = performance.now()
    worst = Math.max(worst, now - last)
    last = now
  }, 5)
  const counts = await Promise.all([
    counter.count('gpt-4o', { ...NOTHING, texts: [words] }),
    counter.count('claude-sonnet-5', { ...NOTHING, texts: [run] }),
    ...Array.from({ length: 100 }, (_, i) => counter.count('gpt-4', { ...NOTHING, texts: [`question ${i}`] })),
  ])
  clearInterval(watch)
  assert.ok((counts[0] ?? 0) > 200_000, String(counts[0]))
  for (const count of counts) assert.ok(count > 0)
  assert.ok(worst < 500, `the thread stood still for ${worst.toFixed(0)} ms`)
})

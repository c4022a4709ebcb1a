/**
 * What a call costs, by every way in which vendors make it cost something else: lifetimes of the cache, long prompts, service
 * tiers, calls of the vendor's own tools, and what was neither read nor written as text.
 */
import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createCatalog } from '../../src/catalog/catalog.ts'
import { BUCKETS, type Bucket, costOf, type Price, type Usage } from '../../src/core/usage.ts'
import anthropic from '../../src/dialects/anthropic-messages/index.ts'
import gemini from '../../src/dialects/gemini-generate/index.ts'
import { factsOf as chatFacts } from '../../src/dialects/openai-chat/index.ts'
import responses from '../../src/dialects/openai-responses/index.ts'
import { noRecordings, recordings, streamOf, watchStream } from '../replay/replay.ts'
import { runGateway } from '../running/index.ts'

const AT = Date.parse('2026-11-24T12:00:00Z')
const catalog = createCatalog()
const priced = (vendor: string, model: string): Price => {
  const price = catalog.priceOf(vendor, model, AT)
  assert.ok(price, `${vendor}/${model}`)
  return price
}
const dollars = (usage: Omit<Usage, 'source'>, price: Price): number =>
  Number(costOf({ source: 'provider', ...usage }, price)) / 1e9
const near = (actual: number, expected: number, what: string): void =>
  assert.ok(Math.abs(actual - expected) < 1e-9, `${what}: ${actual}, not ${expected}`)

test('A24: each lifetime of a cache has its rate, and a longer one is dearer', () => {
  const price = priced('anthropic', 'claude-sonnet-4-5')
  near(dollars({ input: 100_000 }, price), 0.3, 'input')
  near(dollars({ cacheRead: 100_000 }, price), 0.03, 'read')
  near(dollars({ cacheWrite5m: 100_000 }, price), 0.375, 'five minutes')
  near(dollars({ cacheWrite1h: 100_000 }, price), 0.6, 'an hour')
})

test('A24: a long prompt changes the rates of all of it, at the token that crosses the line', () => {
  const price = priced('google', 'gemini-2.5-pro')
  near(dollars({ input: 200_000, output: 1_000 }, price), 0.25 + 0.01, 'at the line')
  near(dollars({ input: 200_001, output: 1_000 }, price), 0.500_002_5 + 0.015, 'above it')
  // What the cache gave is part of the prompt that is measured.
  near(dollars({ input: 1, cacheRead: 200_000 }, price), 0.000_002_5 + 200_000 * 0.25e-6, 'by what was read')
})

const TIERS: readonly (readonly [vendor: string, model: string, tier: string, share: number])[] = [
  ['openai', 'gpt-5', 'flex', 0.5],
  ['openai', 'gpt-5', 'batch', 0.5],
  ['openai', 'gpt-5', 'priority', 2],
  ['openai', 'gpt-4.1', 'priority', 1.75],
  ['openai', 'gpt-4o', 'priority', 1.7],
  ['openai', 'gpt-5-mini', 'priority', 1.8],
  ['anthropic', 'claude-sonnet-4-5', 'batch', 0.5],
  ['google', 'gemini-2.5-flash', 'batch', 0.5],
  ['openai', 'gpt-5', 'unheard-of', 1],
]
for (const [vendor, model, tier, share] of TIERS) {
  test(`A24: ${model}: what was served as "${tier}" pays ${share} of the rates, in every bucket, and fees whole`, () => {
    const price = priced(vendor, model)
    for (const bucket of ['input', 'cacheRead', 'output', 'reasoning'] as const) {
      const usage = { [bucket]: 1_000_000 }
      near(dollars({ ...usage, serviceTier: tier }, price), dollars(usage, price) * share, bucket)
    }
    const calls = { web_search: 2 }
    near(dollars({ calls, serviceTier: tier }, price), dollars({ calls }, price), 'fees')
  })
}

test('A24: the combination of tier, threshold and lifetime is one product, rounded once', () => {
  const price: Price = {
    version: 'x',
    rates: { input: 3_000_000_001n, cacheWrite1h: 6_000_000_001n, output: 15_000_000_000n },
    tiers: [{ aboveInputTokens: 100, rates: { input: 6_000_000_001n } }],
    serviceTiers: { flex: 5_000n },
  }
  const usage: Usage = { source: 'provider', input: 101, cacheWrite1h: 7, output: 3, serviceTier: 'flex' }
  const millionths = 101n * 6_000_000_001n + 7n * 6_000_000_001n + 3n * 15_000_000_000n
  assert.equal(costOf(usage, price), (millionths * 5_000n + 5_000_000_000n) / 10_000_000_000n)
})

/** A provider that says one thing. */
async function says(t: TestContext, body: object | string): Promise<string> {
  const server = http.createServer((req, res) => {
    req.resume()
    req.on('end', () => {
      const isStream = typeof body === 'string'
      res.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json' })
      res.end(isStream ? body : JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const CHAT = {
  id: 'c',
  object: 'chat.completion',
  model: 'gpt-5',
  service_tier: 'flex',
  choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1_000_000, completion_tokens: 100_000, total_tokens: 1_100_000 },
}

for (const stream of [false, true]) {
  test(`A24: through the product, ${stream ? 'streamed' : 'unstreamed'}: a flexible call is booked at half, and stays so when priced anew`, async (t) => {
    const { choices, usage, ...head } = CHAT
    const event = (more: object): string =>
      `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', ...more })}\n\n`
    const streamed =
      event({ choices: [{ index: 0, delta: { role: 'assistant', content: 'ok' }, finish_reason: null }] }) +
      event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }) +
      `${event({ choices: [], usage })}data: [DONE]\n\n`
    assert.ok(choices)
    const url = await says(t, stream ? streamed : CHAT)
    const gateway = await runGateway(t, { upstreams: {} })
    await gateway.admin('PUT', 'upstreams/o', {
      provider: 'openai',
      baseUrl: url,
      credentials: [{ id: 'm', secret: 'k' }],
    })
    const answer = await gateway.chat('o/gpt-5', 'Hi', { stream, service_tier: 'flex' })
    assert.equal(answer.status, 200, answer.text)
    const costs = async () => ((await gateway.usage('upstream')) as { costUsd: string }[]).map((row) => row.costUsd)
    // Half of a million at 1.25 and of a hundred thousand at 10 dollars per million.
    assert.deepEqual(await costs(), ['1.125'])
    await gateway.admin('PUT', 'prices/gpt-5', {
      prices: [
        {
          rates: { input: '2', output: '20' },
          tiers: [{ aboveInputTokens: 500_000, rates: { input: '4', output: '20' } }],
          serviceTiers: { flex: '0.25' },
        },
      ],
    })
    const again = await gateway.chat('o/gpt-5', 'Hi', { stream })
    assert.equal(again.status, 200)
    // A quarter of a million at 4 and of a hundred thousand at 20.
    assert.deepEqual(await costs(), ['2.625'])
  })
}

// Fees for the vendors' own tools (A25).

const SEARCHED = {
  id: 'r',
  object: 'response',
  model: 'gpt-5',
  status: 'completed',
  output: [
    ...Array.from({ length: 7 }, (_, i) => ({
      type: 'web_search_call',
      id: `ws_${i}`,
      status: 'completed',
      action: { type: 'search', query: `q${i}` },
    })),
    {
      type: 'web_search_call',
      id: 'ws_8',
      status: 'completed',
      action: { type: 'open_page', url: 'https://example.test' },
    },
    { type: 'web_search_call', id: 'ws_9', status: 'completed', action: { type: 'find_in_page', pattern: 'x' } },
    {
      type: 'message',
      id: 'm',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: 'ok', annotations: [] }],
    },
  ],
  usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 },
}

test('A25: seven searches of a turn are seven fees; opening and reading pages are none, streamed and not', () => {
  const facts = responses.upstream?.factsOf(SEARCHED as never)
  assert.deepEqual(facts?.usage?.calls, { web_search: 7 })
  const events = [
    { type: 'response.created', response: { ...SEARCHED, output: [], usage: null, status: 'in_progress' } },
    { type: 'response.completed', response: SEARCHED },
  ]
  const bytes = streamOf(
    events.map((event) => JSON.stringify(event)),
    { event: (data) => JSON.parse(data).type },
  )
  assert.deepEqual(watchStream(responses, [bytes]).facts.usage?.calls, { web_search: 7 })
  const price = priced('openai', 'gpt-5')
  near(dollars({ calls: { web_search: 7 } }, price), 0.07, 'fees')
})

test("A25: Anthropic's and Google's own counters are what is charged", () => {
  const message = {
    id: 'm',
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-4-5',
    content: [{ type: 'text', text: 'ok' }],
    stop_reason: 'end_turn',
  }
  const claude = anthropic.upstream?.factsOf({
    ...message,
    usage: { input_tokens: 1, output_tokens: 1, server_tool_use: { web_search_requests: 7, web_fetch_requests: 2 } },
  })
  assert.deepEqual(claude?.usage?.calls, { web_search: 7, web_fetch: 2 })
  near(
    dollars({ calls: claude?.usage?.calls as Record<string, number> }, priced('anthropic', 'claude-sonnet-4-5')),
    0.07,
    'Anthropic',
  )

  const queries = ['a', 'b', 'c', '', 'a']
  const grounded = {
    candidates: [
      {
        content: { role: 'model', parts: [{ text: 'ok' }] },
        finishReason: 'STOP',
        groundingMetadata: { webSearchQueries: queries },
      },
    ],
    usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 1, totalTokenCount: 6 },
  }
  const calls = gemini.upstream?.factsOf(grounded as never).usage?.calls
  assert.deepEqual(calls, { web_search: 3, grounded_prompt: 1 })
  const { finishReason: _, ...begun } = grounded.candidates[0] as object as { finishReason: string }
  const streamed = [
    { candidates: [begun] },
    { ...grounded, candidates: [{ content: { parts: [{ text: '!' }] }, finishReason: 'STOP' }] },
  ]
  const bytes = streamOf(streamed.map((chunk) => JSON.stringify(chunk)))
  assert.deepEqual(watchStream(gemini, [bytes]).facts.usage?.calls, calls)
  // The newer generation is billed by the search, the older one by the prompt.
  near(
    dollars({ calls: calls as Record<string, number> }, priced('google', 'gemini-3-pro-preview')),
    3 * 0.014,
    'by search',
  )
  near(dollars({ calls: calls as Record<string, number> }, priced('google', 'gemini-2.5-flash')), 0.035, 'by prompt')
})

// Modalities (A26).

test("A26: the buckets of recorded usage add up to the provider's own total, and each has its rate", {
  skip: noRecordings,
}, () => {
  let checked = 0
  for (const { name, kind, text, payloads } of recordings('google/google*')) {
    const last =
      kind === 'body'
        ? JSON.parse(text)
        : JSON.parse(payloads.findLast((line) => line.includes('totalTokenCount')) ?? '{}')
    const total = last.usageMetadata?.totalTokenCount
    if (total === undefined) continue
    const facts =
      kind === 'body' ? gemini.upstream?.factsOf(JSON.parse(text)) : watchStream(gemini, [streamOf(payloads)]).facts
    const sum = BUCKETS.reduce((all, bucket) => all + (facts?.usage?.[bucket] ?? 0), 0)
    assert.equal(sum, total, name)
    checked++
  }
  assert.ok(checked >= 5)
})

test('A26: images and sound are not text, by either of Google’s ways of counting', () => {
  const metadata = (more: object) => ({
    candidates: [{ content: { parts: [{ text: 'x' }] }, finishReason: 'STOP' }],
    usageMetadata: { promptTokenCount: 1_000, ...more },
  })
  const image = gemini.upstream?.factsOf(
    metadata({
      candidatesTokenCount: 1_300,
      thoughtsTokenCount: 200,
      totalTokenCount: 2_500,
      promptTokensDetails: [
        { modality: 'TEXT', tokenCount: 200 },
        { modality: 'IMAGE', tokenCount: 500 },
        { modality: 'AUDIO', tokenCount: 300 },
      ],
      candidatesTokensDetails: [{ modality: 'IMAGE', tokenCount: 1_290 }],
    }) as never,
  ).usage
  assert.deepEqual(
    [image?.input, image?.imageInput, image?.audioInput, image?.output, image?.imageOutput, image?.reasoning],
    [200, 500, 300, 10, 1_290, 200],
  )
  // Vertex counts thoughts inside the candidates: the total tells.
  const inside = gemini.upstream?.factsOf(
    metadata({ candidatesTokenCount: 1_500, thoughtsTokenCount: 200, totalTokenCount: 2_500 }) as never,
  ).usage
  assert.deepEqual([inside?.output, inside?.reasoning], [1_300, 200])
  const price = priced('google', 'gemini-2.5-flash-image')
  const asText = dollars({ output: 1_290 }, price)
  assert.ok(dollars({ imageOutput: 1_290 }, price) > asText * 5, 'an image costs more than its tokens as text')
})

test('A26: sound and pictures of OpenAI are taken out of the sums that hold them', () => {
  const usage = chatFacts({
    ...CHAT,
    usage: {
      prompt_tokens: 1_000,
      completion_tokens: 500,
      total_tokens: 1_500,
      prompt_tokens_details: { cached_tokens: 100, audio_tokens: 300, image_tokens: 200 },
      completion_tokens_details: { reasoning_tokens: 50, audio_tokens: 150 },
    },
  }).usage as Usage
  const said: Partial<Record<Bucket, number>> = {
    input: 400,
    cacheRead: 100,
    audioInput: 300,
    imageInput: 200,
    output: 300,
    reasoning: 50,
    audioOutput: 150,
  }
  for (const [bucket, tokens] of Object.entries(said)) assert.equal(usage[bucket as Bucket], tokens, bucket)
  assert.equal(
    BUCKETS.reduce((sum, bucket) => sum + (usage[bucket] ?? 0), 0),
    1_500,
  )
})

test("A28: Anthropic's clients see an estimate of the input at the start and exact figures at the end", async (t) => {
  const gateway = await runGateway(t)
  const text = 'one two three four five six '.repeat(200)
  const answer = await gateway.send(
    '/v1/messages',
    { model: 'openai/gpt-4o-mini', max_tokens: 50, stream: true, messages: [{ role: 'user', content: text }] },
    { 'anthropic-version': '2023-06-01' },
  )
  assert.equal(answer.status, 200, answer.text)
  const events = answer.data.map((data) => JSON.parse(data))
  const start = events.find(({ type }) => type === 'message_start').message.usage
  const end = events.find(({ type }) => type === 'message_delta').usage
  const [row] = (await gateway.usage('upstream')) as unknown as { tokens: Record<string, number>; estimated: number }[]
  assert.equal(end.input_tokens, row?.tokens.input)
  assert.equal(end.output_tokens, row?.tokens.output)
  assert.equal(row?.estimated, 0)
  assert.ok(
    start.input_tokens > end.input_tokens * 0.8 && start.input_tokens < end.input_tokens * 1.25,
    `${start.input_tokens} for ${end.input_tokens}`,
  )
})

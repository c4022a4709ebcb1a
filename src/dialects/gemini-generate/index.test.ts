import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { failure, GatewayError } from '../../core/errors.ts'
import type { FinishReason, ReplyEvent } from '../../core/reply.ts'
import type { ChatRequest, JsonObject, JsonValue } from '../../core/request.ts'
import type { Usage } from '../../core/usage.ts'
import gemini from './index.ts'

const client = gemini.client as NonNullable<typeof gemini.client>
const upstream = gemini.upstream as NonNullable<typeof gemini.upstream>
const context = { id: 'req_1', model: 'm', created: 1, asked: {} }

const payloads = (sse: string): string[] =>
  sse
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => {
      assert.ok(event.startsWith('data: ') && !event.includes('\n'), event)
      return event.slice(6)
    })

function streamedAgain(events: readonly ReplyEvent[]): readonly ReplyEvent[] {
  const writer = client.streamWriter(context)
  const reader = upstream.streamReader()
  const sent = payloads(events.map((event) => writer.write(event)).join(''))
  return [...sent.flatMap((data) => reader.read(data)), ...reader.end()]
}

/** What is said per choice, with neighboring texts joined: Google's wire does not tell two unsigned ones apart. */
function said(events: readonly ReplyEvent[]): JsonValue {
  const choices: Record<number, JsonValue[]> = {}
  const calls = new Map<number, { start: ReplyEvent & { type: 'tool-call-start' }; json: string }>()
  let usage: JsonValue = null
  for (const event of events) {
    const choice = ('choice' in event ? event.choice : undefined) ?? 0
    choices[choice] ??= []
    const list = choices[choice] as JsonValue[]
    switch (event.type) {
      case 'text-delta':
      case 'reasoning-delta': {
        const last = list.at(-1) as JsonObject | undefined
        if (last && last.kind === event.type && last.signature === null)
          list[list.length - 1] = { ...last, text: `${last.text}${event.text}` }
        else if (event.text !== '') list.push({ kind: event.type, text: event.text, signature: null })
        break
      }
      case 'text-end':
      case 'reasoning-end': {
        const own = event.rest?.['gemini-generate']?.thoughtSignature
        if (own === undefined) break
        const kind = event.type === 'text-end' ? 'text-delta' : 'reasoning-delta'
        const last = list.at(-1) as JsonObject | undefined
        if (last && last.kind === kind && last.signature === null) list[list.length - 1] = { ...last, signature: own }
        else list.push({ kind, text: '', signature: own })
        break
      }
      case 'tool-call-start':
        calls.set(event.part, { start: event, json: '' })
        break
      case 'tool-call-delta':
        ;(calls.get(event.part) as { json: string }).json += event.json
        break
      case 'tool-call-end': {
        const { start, json } = calls.get(event.part) as {
          start: ReplyEvent & { type: 'tool-call-start' }
          json: string
        }
        list.push({
          kind: 'call',
          id: start.id,
          name: start.name,
          signature: start.signature ?? null,
          args: JSON.parse(json || '{}'),
        })
        break
      }
      case 'opaque':
        list.push({ kind: 'opaque', value: event.value })
        break
      case 'usage-report':
        usage = event.usage as unknown as JsonValue
        break
      case 'finish':
        list.push({ kind: 'finish', reason: event.reason })
        break
    }
  }
  return { choices: choices as JsonObject, usage }
}

describe('A56: any reply, streamed to a Gemini client or sent whole, reads as what it was', () => {
  const signature = fc.option(fc.constantFrom('U0lH', 'VFhU'), { nil: undefined })
  const json = fc
    .dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
    .map((args) => JSON.stringify(args))
  const cuts = fc.array(fc.nat(50), { maxLength: 8 })
  type Item = (part: number, choice: { choice?: number }) => ReplyEvent[]
  const rest = (thoughtSignature: string | undefined) =>
    thoughtSignature === undefined ? {} : { rest: { 'gemini-generate': { thoughtSignature } } }
  const texts = fc
    .tuple(
      fc.constantFrom('text' as const, 'reasoning' as const),
      fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { minLength: 1, maxLength: 3 }),
      signature,
    )
    .map(
      ([kind, pieces, sig]): Item =>
        (part, choice) => [
          { type: `${kind}-start`, part, ...choice },
          ...pieces.map((text) => ({ type: `${kind}-delta`, part, ...choice, text }) as const),
          { type: `${kind}-end`, part, ...choice, ...rest(sig) },
        ],
    )
  const calls = fc.tuple(fc.constantFrom('f', 'g'), fc.uuid(), json, cuts, signature).map(
    ([name, id, args, at, sig]): Item =>
      (part, choice) => [
        { type: 'tool-call-start', part, ...choice, id, name, ...(sig === undefined ? {} : { signature: sig }) },
        ...cutAt(args, at).map((piece) => ({ type: 'tool-call-delta', part, ...choice, json: piece }) as const),
        { type: 'tool-call-end', part, ...choice },
      ],
  )
  const opaques = fc.constant<Item>((part, choice) => [
    {
      type: 'opaque',
      part,
      ...choice,
      dialect: 'gemini-generate',
      value: { inlineData: { mimeType: 'image/png', data: 'aaaa' } },
    },
  ])
  const reply = fc
    .tuple(
      fc.array(fc.array(fc.oneof(texts, calls, opaques), { maxLength: 5 }), { minLength: 1, maxLength: 2 }),
      fc.constantFrom<FinishReason>('stop', 'length', 'content-filter', 'other'),
      fc.record({ input: fc.nat(1000), output: fc.nat(1000), reasoning: fc.nat(1000), cacheRead: fc.nat(1000) }),
    )
    .map(([choices, wanted, buckets]) => {
      const events: ReplyEvent[] = [{ type: 'reply-start', id: 'x', model: 'y' }]
      let part = 0
      for (const [i, items] of choices.entries()) {
        const choice = i === 0 ? {} : { choice: i }
        for (const item of items) events.push(...item(part++, choice))
        const called = events.some((e) => e.type === 'tool-call-start' && (e.choice ?? 0) === i)
        events.push({ type: 'finish', ...choice, reason: called && wanted === 'stop' ? 'tool-calls' : wanted })
      }
      const used = Object.fromEntries(
        Object.entries(buckets).filter(([name, n]) => n > 0 || name === 'input' || name === 'output'),
      )
      const usage: Usage = { source: 'provider', ...used }
      return [...events, { type: 'usage-report', usage }, { type: 'reply-end' }] satisfies ReplyEvent[]
    })

  function cutAt(text: string, at: readonly number[]): string[] {
    const places = [...new Set([0, ...at.filter((n) => n < text.length), text.length])].sort((a, b) => a - b)
    return places.slice(1).map((end, i) => text.slice(places[i], end))
  }

  test('streamed', () => {
    fc.assert(
      fc.property(reply, (events) => assert.deepEqual(said(streamedAgain(events)), said(events))),
      { numRuns: 500 },
    )
  })
  test('whole', () => {
    fc.assert(
      fc.property(reply, (events) => {
        const body = JSON.parse(JSON.stringify(client.writeBody(events, context)))
        assert.deepEqual(said(upstream.readBody(body)), said(events))
      }),
      { numRuns: 500 },
    )
  })
})

describe('towards clients', () => {
  const start: ReplyEvent = { type: 'reply-start' }
  const end: ReplyEvent = { type: 'reply-end' }

  test('what the upstream did not say comes from the exchange; finish and usage leave together', () => {
    const writer = client.streamWriter(context)
    const events: ReplyEvent[] = [
      start,
      { type: 'text-start', part: 0 },
      { type: 'text-delta', part: 0, text: 'a' },
      { type: 'text-end', part: 0 },
      { type: 'finish', reason: 'length' },
      { type: 'usage-report', usage: { source: 'provider', input: 1, output: 2, cacheWrite5m: 3 } },
      end,
    ]
    const sent = payloads(events.map((event) => writer.write(event)).join('')).map((data) => JSON.parse(data))
    const envelope = { modelVersion: 'm', responseId: 'req_1' }
    assert.deepEqual(sent, [
      { candidates: [{ content: { parts: [{ text: 'a' }], role: 'model' }, index: 0 }], ...envelope },
      {
        candidates: [{ content: { parts: [{ text: '' }], role: 'model' }, finishReason: 'MAX_TOKENS', index: 0 }],
        usageMetadata: {
          promptTokenCount: 4,
          candidatesTokenCount: 2,
          totalTokenCount: 6,
          promptTokensDetails: [{ modality: 'TEXT', tokenCount: 4 }],
        },
        ...envelope,
      },
    ])
  })

  test("A53: another vendor's thoughts travel through a Gemini client untouched, and never as Google's own", () => {
    const events: ReplyEvent[] = [
      start,
      { type: 'reasoning-start', part: 0 },
      { type: 'reasoning-delta', part: 0, text: 'hm' },
      { type: 'reasoning-end', part: 0, signature: 'theirs' },
      { type: 'reasoning-start', part: 1, redacted: 'sealed' },
      { type: 'reasoning-end', part: 1 },
      { type: 'finish', reason: 'stop' },
      end,
    ]
    const body = client.writeBody(events, context) as { candidates: { content: JsonObject }[] }
    const content = body.candidates[0]?.content as JsonObject
    assert.ok(!JSON.stringify(content).includes('thoughtSignature'))
    const { messages } = client.readRequest({ model: 'm', contents: [content] }) as ChatRequest
    assert.deepEqual(messages, [
      {
        role: 'assistant',
        parts: [
          { type: 'reasoning', text: 'hm', signature: 'theirs' },
          { type: 'reasoning', text: '', redacted: 'sealed' },
        ],
      },
    ])
  })

  test("A54: Google's own signatures survive reply, client and next request, in their places", () => {
    const parts = [
      { text: 'hm', thought: true, thoughtSignature: 'VEhP' },
      { text: 'a', thoughtSignature: 'VFhU' },
      { functionCall: { id: 'c1', name: 'f', args: { a: 1 } }, thoughtSignature: 'U0lH' },
      { functionCall: { id: 'c2', name: 'f', args: {} } },
    ]
    const reply = { candidates: [{ content: { parts, role: 'model' }, finishReason: 'STOP' }] }
    const body = client.writeBody(upstream.readBody(reply), context) as { candidates: { content: JsonObject }[] }
    const request = client.readRequest({
      model: 'm',
      contents: [{ role: 'user', parts: [{ text: 'q' }] }, body.candidates[0]?.content as JsonObject],
    })
    const { contents } = upstream.writeRequest(request, {
      model: 'gemini-3-pro',
      provider: 'x',
      report: assert.fail,
    }) as { contents: JsonObject[] }
    assert.deepEqual(contents[1], { role: 'model', parts })
  })

  test('unknown fields of a reply come out again, from a stream as from a body', () => {
    const reply = {
      candidates: [
        {
          content: { parts: [{ text: 'a', partMetadata: { k: 1 } }], role: 'model' },
          finishReason: 'RECITATION',
          finishMessage: 'why',
          index: 0,
          groundingMetadata: { x: 1 },
          safetyRatings: [],
        },
      ],
      usageMetadata: {
        promptTokenCount: 1,
        candidatesTokenCount: 1,
        totalTokenCount: 2,
        promptTokensDetails: [{ modality: 'TEXT', tokenCount: 1 }],
        trafficType: 'ON_DEMAND',
      },
      modelVersion: 'v',
      responseId: 'r',
      createTime: '2026-05-04T20:01:02Z',
      modelStatus: { modelStage: 'STABLE' },
    }
    assert.deepEqual(client.writeBody(upstream.readBody(reply), context), reply)
    assert.deepEqual(client.writeBody(streamedAgain(upstream.readBody(reply)), context), reply)
  })

  test('a blocked prompt has feedback and no candidates', () => {
    const reply = { promptFeedback: { blockReason: 'SAFETY' }, modelVersion: 'v', responseId: 'r' }
    assert.deepEqual(client.writeBody(upstream.readBody(reply), context), reply)
  })

  test("errors have Google's shape, whole and at the end of a stream", () => {
    const error = failure('upstream_rate_limited', { upstream: 'u', retryAfterMs: 1_500, param: 'contents' })
    const shape = {
      error: {
        code: 429,
        message: 'Upstream "u" is rate limiting this account.',
        status: 'RESOURCE_EXHAUSTED',
        details: [
          {
            '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
            reason: 'UPSTREAM_RATE_LIMITED',
            domain: 'stockyard',
            metadata: { requestId: 'req_1', param: 'contents' },
          },
          { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '2s' },
        ],
      },
    }
    assert.deepEqual(client.writeError(error, 'req_1'), shape)
    assert.deepEqual(
      payloads(client.failStream(error, 'req_1')).map((data) => JSON.parse(data)),
      [shape],
    )
    assert.throws(
      () => upstream.streamReader().read(payloads(client.streamWriter(context).fail(error))[0] as string),
      /Upstream/,
    )
    assert.deepEqual(upstream.readError(shape), {
      code: 'UPSTREAM_RATE_LIMITED',
      type: 'RESOURCE_EXHAUSTED',
      message: shape.error.message,
      retryAfterMs: 2_000,
    })
  })
})

describe('requests', () => {
  const read = (body: JsonObject) => client.readRequest({ model: 'm', ...body })
  const refused: Readonly<Record<string, readonly [JsonObject, string | undefined]>> = {
    'no contents': [{}, 'contents'],
    'no model': [{ model: '', contents: [] }, 'model'],
    'a wrong role': [{ contents: [{ role: 'assistant', parts: [] }] }, 'contents[0].role'],
    'a content that is text': [{ contents: ['Hi'] }, 'contents[0]'],
    'a part that is text': [{ contents: [{ parts: [{}, 'Hi'] }] }, 'contents[0].parts[1]'],
    'a call without a name': [{ contents: [{ role: 'model', parts: [{ functionCall: {} }] }] }, 'contents'],
    'a tool that is text': [{ contents: [], tools: ['x'] }, 'tools[0]'],
    'a function without a name': [
      { contents: [], tools: [{ functionDeclarations: [{}] }] },
      'tools[0].functionDeclarations[0].name',
    ],
    'a temperature in words': [
      { contents: [], generationConfig: { temperature: 'warm' } },
      'generationConfig.temperature',
    ],
    'a stop that is a number': [
      { contents: [], generationConfig: { stopSequences: [1] } },
      'generationConfig.stopSequences',
    ],
    'both spellings': [{ contents: [], system_instruction: {}, systemInstruction: {} }, undefined],
  }
  for (const [what, [body, param]] of Object.entries(refused)) {
    test(`a clear error for ${what}`, () => {
      assert.throws(
        () => read(body),
        (error) => error instanceof GatewayError && error.code === 'invalid_request' && error.details.param === param,
      )
    })
  }

  test('what is common is read into common words', () => {
    const request = read({
      stream: true,
      contents: [{ parts: [{ text: 'Hi' }, { inlineData: { mimeType: 'audio/wav', data: 'a', displayName: 'n' } }] }],
      toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['f'] } },
      generationConfig: {
        thinkingConfig: { thinkingLevel: 'HIGH', includeThoughts: true },
        responseLogprobs: true,
        logprobs: 2,
        responseMimeType: 'text/plain',
        candidateCount: 2,
      },
    })
    assert.deepEqual(request, {
      operation: 'chat',
      model: 'm',
      stream: true,
      messages: [
        {
          role: 'user',
          parts: [
            { type: 'text', text: 'Hi' },
            { type: 'audio', source: { kind: 'data', mediaType: 'audio/wav', base64: 'a' }, name: 'n' },
          ],
        },
      ],
      toolChoice: { type: 'tool', name: 'f' },
      choices: 2,
      logprobs: { top: 2 },
      responseFormat: { type: 'text' },
      reasoning: { effort: 'high', summary: true },
    })
  })

  test('a result whose text was changed on the way leaves changed', () => {
    const request = read({
      contents: [
        { role: 'model', parts: [{ functionCall: { name: 'f', args: {} } }] },
        { role: 'user', parts: [{ functionResponse: { name: 'f', response: { mail: 'ann@example.com' } } }] },
      ],
    }) as ChatRequest
    const changed = JSON.parse(JSON.stringify(request).replaceAll('ann@example.com', '[mail]'))
    const body = upstream.writeRequest(changed, { model: 'gemini-2.5-pro', provider: 'x', report: assert.fail })
    assert.ok(JSON.stringify(body).includes('{"mail":"[mail]"}'))
    assert.ok(!JSON.stringify(body).includes('ann@'))
  })

  test('a result that answers no call is refused unless it names its function', () => {
    const write = (name?: string) =>
      upstream.writeRequest(
        {
          operation: 'chat',
          model: 'm',
          stream: false,
          messages: [
            { role: 'tool', parts: [{ type: 'tool-result', id: 'c9', content: [], ...(name ? { name } : {}) }] },
          ],
        },
        { model: 'm', provider: 'x', report: assert.fail },
      )
    assert.throws(() => write(), /"c9" follows no tool call/)
    assert.deepEqual(write('f').contents, [
      { role: 'user', parts: [{ functionResponse: { id: 'c9', name: 'f', response: { result: '' } } }] },
    ])
  })

  test('only chat is written', () => {
    assert.throws(
      () =>
        upstream.writeRequest(
          { operation: 'completion', model: 'm', stream: false },
          { model: 'm', provider: 'x', report: assert.fail },
        ),
      /does chat, not completion/,
    )
  })
})

describe("an upstream's complaint", () => {
  test('the machine-readable reason goes before the status; field violations name the place', () => {
    const error = {
      code: 400,
      message: 'API key not valid.',
      status: 'INVALID_ARGUMENT',
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.BadRequest',
          fieldViolations: [{ field: 'contents[0]', description: 'x' }],
        },
        { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' },
      ],
    }
    const complaint = {
      code: 'API_KEY_INVALID',
      type: 'INVALID_ARGUMENT',
      message: 'API key not valid.',
      param: 'contents[0]',
    }
    assert.deepEqual(upstream.readError({ error }), complaint)
    assert.deepEqual(upstream.readError([{ error }]), complaint)
  })
  test('anything else is no complaint', () => {
    for (const body of [null, 'x', [], {}, { error: 'x' }]) assert.deepEqual(upstream.readError(body), {})
  })
})

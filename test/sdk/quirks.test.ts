/**
 * What vendors do differently and is legal, or usual, all the same: small streams written by hand, each read by its dialect,
 * written in each of the four client dialects and read back by that vendor's official SDK. What an application must see is
 * said here, not derived.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { FinishReason } from '../../src/core/reply.ts'
import type { JsonObject } from '../../src/core/request.ts'
import { inputTokens, outputTokens } from '../../src/core/usage.ts'
import { dialects } from '../../src/dialects/index.ts'
import { collect, readBody, readStream, watchStream, writtenBody, writtenStream } from '../replay/replay.ts'
import { assertStream } from '../streams/index.ts'
import { PARSERS, type Seen } from './parsers.ts'

interface Case {
  readonly name: string
  readonly source: string
  /** Each an event's payload, or lines as they stand on the wire. */
  readonly events: readonly (object | string)[]
  readonly text?: string
  readonly reasoning?: string
  readonly calls?: Seen['calls']
  readonly finish: FinishReason
  readonly usage?: readonly [input: number, output: number]
  /** Where a format has a reason of its own for it. */
  readonly spelled?: Readonly<Record<string, string>>
}

const chunk = (delta: object, more: object = {}, choice: object = {}) => ({
  id: 'c1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason: null, ...choice }],
  ...more,
})
const done = (reason: string, more: object = {}) => chunk({}, more, { finish_reason: reason })
const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 }
const call = (more: object) => ({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', ...more }] })
const WEATHER = { name: 'weather', args: { city: 'Rome' } }
const SAFE = { hate: { filtered: false, severity: 'safe' } }
const block = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block })
const delta = (index: number, value: object) => ({ type: 'content_block_delta', index, delta: value })
const stop = (index: number) => ({ type: 'content_block_stop', index })
const begin = (counted: object = { input_tokens: 11, output_tokens: 1 }) => ({
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'm',
    content: [],
    stop_reason: null,
    usage: counted,
  },
})
const end = (stop_reason: string | null, counted: object | null = { output_tokens: 7 }) => ({
  type: 'message_delta',
  delta: { stop_reason, stop_sequence: null },
  ...(counted ? { usage: counted } : {}),
})
const STOP = { type: 'message_stop' }
const parts = (list: readonly object[], more: object = {}, beside: object = {}) => ({
  candidates: [{ index: 0, content: { role: 'model', parts: list }, ...more }],
  ...beside,
})
const usageMetadata = { promptTokenCount: 11, candidatesTokenCount: 7, totalTokenCount: 18 }

const CASES: readonly Case[] = [
  {
    name: 'Azure: filters of the prompt first, filters in each chunk, filters behind the end',
    source: 'openai-chat',
    events: [
      {
        id: '',
        object: '',
        created: 0,
        model: '',
        choices: [],
        prompt_filter_results: [{ prompt_index: 0, content_filter_results: SAFE }],
      },
      chunk({ role: 'assistant', content: '', refusal: null }, {}, { content_filter_results: {}, logprobs: null }),
      chunk({ content: 'Hel' }, {}, { content_filter_results: SAFE }),
      chunk({ content: 'lo' }, {}, { content_filter_results: SAFE }),
      done('stop'),
      {
        ...chunk({}),
        choices: [
          {
            index: 0,
            finish_reason: null,
            delta: {},
            content_filter_offsets: { check_offset: 1 },
            content_filter_results: SAFE,
          },
        ],
      },
      { ...chunk({}), choices: [], usage },
    ],
    text: 'Hello',
    finish: 'stop',
    usage: [11, 7],
  },
  {
    name: 'Azure: the answer is filtered away',
    source: 'openai-chat',
    events: [chunk({ role: 'assistant', content: 'He' }), done('content_filter', { usage })],
    text: 'He',
    finish: 'content-filter',
    usage: [11, 7],
  },
  {
    name: 'DeepSeek: reasoning_content beside null content, the finish with usage',
    source: 'openai-chat',
    events: [
      chunk({ role: 'assistant', content: null, reasoning_content: '' }),
      ': keep-alive\n\n',
      chunk({ content: null, reasoning_content: 'Let me ' }),
      chunk({ content: null, reasoning_content: 'see.' }),
      ': keep-alive\n\n',
      chunk({ content: 'Yes', reasoning_content: null }),
      done('stop', { usage }),
    ],
    reasoning: 'Let me see.',
    text: 'Yes',
    finish: 'stop',
    usage: [11, 7],
  },
  {
    name: 'Groq: reasoning, usage only in x_groq',
    source: 'openai-chat',
    events: [
      chunk({ role: 'assistant', content: '' }, { x_groq: { id: 'req_1' } }),
      chunk({ reasoning: 'Hm.', channel: 'analysis' }),
      chunk({ content: 'Yes' }),
      done('stop', { x_groq: { id: 'req_1', usage: { ...usage, queue_time: 0.1, total_time: 0.2 } } }),
    ],
    reasoning: 'Hm.',
    text: 'Yes',
    finish: 'stop',
    usage: [11, 7],
  },
  {
    name: 'OpenRouter: comments, reasoning and its details, the finish with text, usage behind it',
    source: 'openai-chat',
    events: [
      ': OPENROUTER PROCESSING\n\n',
      chunk({
        role: 'assistant',
        content: '',
        reasoning: 'Hm.',
        reasoning_details: [{ type: 'reasoning.text', text: 'Hm.' }],
      }),
      ': OPENROUTER PROCESSING\n\n',
      chunk({ role: 'assistant', content: 'Yes' }, {}, { finish_reason: 'stop', native_finish_reason: 'STOP' }),
      chunk({ role: 'assistant', content: '' }, { usage: { ...usage, cost: 0.1 } }),
    ],
    reasoning: 'Hm.',
    text: 'Yes',
    finish: 'stop',
    usage: [11, 7],
  },
  {
    name: 'Mistral: content as parts with thinking, arguments of a call whole, no type, a finish with the call',
    source: 'openai-chat',
    events: [
      chunk({ role: 'assistant', content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] }] }),
      chunk({ content: [{ type: 'text', text: 'Look: ' }] }),
      chunk(
        {
          content: '',
          tool_calls: [{ id: 'abcdefghi', function: { name: 'weather', arguments: '{"city":"Rome"}' }, index: 0 }],
        },
        { usage },
        { finish_reason: 'tool_calls' },
      ),
    ],
    reasoning: 'Hm.',
    text: 'Look: ',
    calls: [WEATHER],
    finish: 'tool-calls',
    usage: [11, 7],
  },
  {
    name: 'vLLM, xAI: usage in every chunk, growing',
    source: 'openai-chat',
    events: [
      chunk(
        { role: 'assistant', content: '' },
        { usage: { prompt_tokens: 11, completion_tokens: 0, total_tokens: 11 } },
      ),
      chunk({ content: 'Yes' }, { usage: { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 } }),
      done('stop', { usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 } }),
      { ...chunk({}), choices: [], usage },
      { ...chunk({}), choices: [], usage },
    ],
    text: 'Yes',
    finish: 'stop',
    usage: [11, 7],
  },
  {
    name: 'Ollama: calls without an index, whole, one after the other, and “stop” as the reason',
    source: 'openai-chat',
    events: [
      chunk({
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } }],
      }),
      chunk({
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'b', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } }],
      }),
      done('stop', { usage }),
    ],
    calls: [WEATHER, { name: 'weather', args: { city: 'Oslo' } }],
    finish: 'tool-calls',
    spelled: { 'openai-chat': 'stop' },
    usage: [11, 7],
  },
  {
    name: 'a server that gives all calls the index 0 and no id, and arguments as an object',
    source: 'openai-chat',
    events: [
      chunk({
        role: null,
        content: null,
        tool_calls: [{ index: 0, function: { name: 'weather', arguments: { city: 'Rome' } } }],
      }),
      chunk({ role: null, tool_calls: [{ index: 0, id: 'b', function: { name: 'clock', arguments: {} } }] }),
      done('tool_calls', { usage }),
    ],
    calls: [WEATHER, { name: 'clock', args: {} }],
    finish: 'tool-calls',
    usage: [11, 7],
  },
  {
    name: 'parallel calls in pieces that alternate, id and name repeated in each, text behind',
    source: 'openai-chat',
    events: [
      chunk({ tool_calls: [{ index: 0, id: 'a', type: 'function', function: { name: 'weather', arguments: '' } }] }),
      chunk({ tool_calls: [{ index: 1, id: 'b', type: 'function', function: { name: 'clock', arguments: '' } }] }),
      chunk({ tool_calls: [{ index: 0, id: 'a', function: { name: 'weather', arguments: '{"ci' } }] }),
      chunk({
        tool_calls: [
          { index: 1, id: 'b', function: { name: 'clock', arguments: '{' } },
          { index: 0, function: { arguments: 'ty":"Rome"}' } },
        ],
      }),
      chunk({ tool_calls: [{ index: 1, function: { arguments: '}' } }] }),
      done('tool_calls', { usage }),
    ],
    calls: [WEATHER, { name: 'clock', args: {} }],
    finish: 'tool-calls',
    usage: [11, 7],
  },
  {
    name: 'arguments that are null or absent, a name that comes late',
    source: 'openai-chat',
    events: [
      chunk(call({ function: { arguments: null } })),
      chunk({ tool_calls: [{ index: 0, function: { name: 'clock' } }] }),
      done('tool_calls', { usage }),
    ],
    calls: [{ name: 'clock', args: {} }],
    finish: 'tool-calls',
    usage: [11, 7],
  },
  {
    name: 'thinking, then a call, then text; an unknown event type and a field that nobody knows',
    source: 'openai-chat',
    events: [
      chunk({ role: 'assistant', reasoning_content: 'Hm.' }),
      chunk(call({ function: { name: 'weather', arguments: '{"city":"Rome"}' } })),
      'event: heartbeat\ndata: {"object":"heartbeat"}\n\n',
      chunk({ content: 'Asked.' }, { nobody: { knows: 1 } }),
      done('tool_calls', { usage }),
    ],
    reasoning: 'Hm.',
    text: 'Asked.',
    calls: [WEATHER],
    finish: 'tool-calls',
    usage: [11, 7],
  },
  {
    name: 'a refusal in pieces',
    source: 'openai-chat',
    events: [
      chunk({ role: 'assistant', content: null, refusal: '' }),
      chunk({ refusal: 'I can' }),
      chunk({ refusal: 'not.' }),
      done('stop', { usage }),
    ],
    text: 'I cannot.',
    finish: 'stop',
    spelled: { 'anthropic-messages': 'refusal' },
    usage: [11, 7],
  },
  {
    name: 'Anthropic: pings anywhere, an empty text, thinking with a seal in pieces, a call without arguments',
    source: 'anthropic-messages',
    events: [
      begin(),
      { type: 'ping' },
      block(0, { type: 'thinking', thinking: '', signature: '' }),
      delta(0, { type: 'thinking_delta', thinking: 'Hm.' }),
      { type: 'ping' },
      delta(0, { type: 'signature_delta', signature: 'c2ln' }),
      stop(0),
      block(1, { type: 'text', text: '' }),
      delta(1, { type: 'text_delta', text: '' }),
      delta(1, { type: 'text_delta', text: 'Yes' }),
      { type: 'nobody_knows', index: 1 },
      stop(1),
      block(2, { type: 'tool_use', id: 'toolu_1', name: 'clock', input: {} }),
      delta(2, { type: 'input_json_delta', partial_json: '' }),
      stop(2),
      end('tool_use'),
      STOP,
    ],
    reasoning: 'Hm.',
    text: 'Yes',
    calls: [{ name: 'clock', args: {} }],
    finish: 'tool-calls',
    usage: [11, 7],
  },
  {
    name: 'Anthropic: a search of its own with its result and citations',
    source: 'anthropic-messages',
    events: [
      begin(),
      block(0, { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }),
      delta(0, { type: 'input_json_delta', partial_json: '{"query":"x"}' }),
      stop(0),
      block(1, {
        type: 'web_search_tool_result',
        tool_use_id: 'srvtoolu_1',
        content: [{ type: 'web_search_result', url: 'https://a.example', title: 'A', encrypted_content: 'e' }],
      }),
      stop(1),
      block(2, { type: 'text', text: '', citations: [] }),
      delta(2, {
        type: 'citations_delta',
        citation: {
          type: 'web_search_result_location',
          url: 'https://a.example',
          title: 'A',
          cited_text: 'c',
          encrypted_index: 'e',
        },
      }),
      delta(2, { type: 'text_delta', text: 'Found.' }),
      stop(2),
      end('end_turn', { output_tokens: 7, server_tool_use: { web_search_requests: 1 } }),
      STOP,
    ],
    text: 'Found.',
    finish: 'stop',
    usage: [11, 7],
  },
  {
    name: 'Anthropic: code run in a container, a result that is an error, text with what it starts',
    source: 'anthropic-messages',
    events: [
      begin(),
      block(0, { type: 'text', text: 'Ru' }),
      delta(0, { type: 'text_delta', text: 'n' }),
      stop(0),
      block(1, { type: 'server_tool_use', id: 'srvtoolu_1', name: 'bash_code_execution', input: { command: 'ls' } }),
      stop(1),
      block(2, {
        type: 'bash_code_execution_tool_result',
        tool_use_id: 'srvtoolu_1',
        content: { type: 'bash_code_execution_tool_result_error', error_code: 'unavailable' },
      }),
      stop(2),
      end('pause_turn'),
      STOP,
    ],
    text: 'Run',
    finish: 'pause',
    usage: [11, 7],
  },
  {
    name: 'Anthropic: a refusal after some text; usage at the end alone',
    source: 'anthropic-messages',
    events: [
      begin({ input_tokens: 0, output_tokens: 0 }),
      block(0, { type: 'text', text: '' }),
      delta(0, { type: 'text_delta', text: 'I' }),
      stop(0),
      end('refusal', { input_tokens: 11, output_tokens: 7 }),
      STOP,
    ],
    text: 'I',
    finish: 'refusal',
    usage: [11, 7],
  },
  {
    name: 'Gemini: a prompt that is blocked has no candidates',
    source: 'gemini-generate',
    events: [
      {
        promptFeedback: { blockReason: 'PROHIBITED_CONTENT' },
        usageMetadata: { promptTokenCount: 11, totalTokenCount: 11 },
        modelVersion: 'm',
      },
    ],
    finish: 'content-filter',
    usage: [11, 0],
  },
  {
    name: 'Gemini: safety in the middle, ratings, a last chunk without parts',
    source: 'gemini-generate',
    events: [
      parts([{ text: 'He' }], { safetyRatings: [{ category: 'HARM_CATEGORY_HARASSMENT', probability: 'LOW' }] }),
      { candidates: [{ index: 0, finishReason: 'SAFETY', content: {} }], usageMetadata },
    ],
    text: 'He',
    finish: 'content-filter',
    usage: [11, 7],
  },
  {
    name: 'Gemini: thoughts, code that ran, a call with an id and a seal, STOP as the reason',
    source: 'gemini-generate',
    events: [
      parts([{ text: 'Hm.', thought: true }], {}, { usageMetadata: { promptTokenCount: 11, totalTokenCount: 11 } }),
      parts([
        { executableCode: { language: 'PYTHON', code: '1' } },
        { codeExecutionResult: { outcome: 'OUTCOME_OK', output: '1' } },
      ]),
      parts([
        { text: 'Yes' },
        { functionCall: { id: 'f1', name: 'weather', args: { city: 'Rome' } }, thoughtSignature: 'c2ln' },
      ]),
      parts([{ text: '' }], { finishReason: 'STOP' }, { usageMetadata }),
    ],
    reasoning: 'Hm.',
    text: 'Yes',
    calls: [WEATHER],
    finish: 'tool-calls',
    usage: [11, 7],
  },
  {
    name: 'Gemini: a finish without a content, usage in every chunk',
    source: 'gemini-generate',
    events: [
      parts(
        [{ text: 'Yes' }],
        {},
        { usageMetadata: { promptTokenCount: 11, candidatesTokenCount: 3, totalTokenCount: 14 } },
      ),
      { candidates: [{ finishReason: 'MAX_TOKENS' }], usageMetadata },
    ],
    text: 'Yes',
    finish: 'length',
    usage: [11, 7],
  },
]

const dialectOf = (id: string) => {
  const dialect = dialects.find((each) => each.id === id)
  assert.ok(dialect, id)
  return dialect
}

function bytesOf({ source, events }: Case, lineEnd: string): Buffer {
  const lines = events.map((event) => {
    if (typeof event === 'string') return event
    const name = source === 'anthropic-messages' ? `event: ${(event as { type: string }).type}\n` : ''
    return `${name}data: ${JSON.stringify(event)}\n\n`
  })
  if (source === 'openai-chat') lines.push('data: [DONE]\n\n')
  return Buffer.from(lines.join('').replaceAll('\n', lineEnd))
}

/** The same bytes, in pieces of one size. */
function pieces(bytes: Buffer, size: number): Buffer[] {
  const cut: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) cut.push(bytes.subarray(at, at + size))
  return cut
}

for (const one of CASES) {
  for (const parser of PARSERS) {
    test(`${one.name} → ${parser.dialect}`, async () => {
      const { text = '', reasoning = '', calls = [], finish, usage: counted } = one
      const bytes = bytesOf(one, '\n')
      const source = dialectOf(one.source)
      const client = dialectOf(parser.dialect)
      const events = readStream(source, [bytes])
      assert.deepEqual(
        readStream(source, pieces(bytesOf(one, '\r\n'), 7)),
        events,
        'in small pieces, with other line ends',
      )
      const asked = { ...parser.asked, stream: true } as JsonObject
      const stream = writtenStream(client, events, asked)
      // In its own dialect a reply keeps its vendor's word.
      if (parser.dialect !== one.source || one.spelled?.[one.source] === undefined) assertStream(parser.dialect, stream)
      const seen = await parser.parse(Buffer.from(stream))
      assert.deepEqual(
        {
          text: seen.text,
          reasoning: seen.reasoning,
          calls: seen.calls,
          finish: seen.finish,
          usage: [seen.input, seen.output],
        },
        {
          text,
          reasoning,
          calls,
          finish: one.spelled?.[parser.dialect] ?? parser.finishes[finish],
          usage: counted ?? [0, 0],
        },
      )
      const whole = collect(readBody(client, JSON.stringify(writtenBody(client, events, asked))))
      assert.deepEqual(
        [whole.text + whole.refusal, whole.reasoning, whole.toolCalls],
        [text, reasoning, calls],
        'unstreamed',
      )
    })
  }
}

test('A70, A2: on the relay the same is counted, however the bytes are cut and whatever comments stand between', () => {
  const seed = Date.now() % 1_000_000
  fc.assert(
    fc.property(fc.constantFrom(...CASES), fc.integer({ min: 1, max: 200 }), fc.nat({ max: 5 }), (one, size, ping) => {
      const source = dialectOf(one.source)
      const pinged = {
        ...one,
        events: one.events.flatMap((event, i) => (i % 6 === ping ? [': ping\n\n', event] : [event])),
      }
      const cut = pieces(bytesOf(pinged, '\n'), size)
      const { facts } = watchStream(source, cut, { stream: true })
      const events = readStream(source, cut)
      assert.deepEqual(events, readStream(source, [bytesOf(one, '\n')]), one.name)
      const used = facts.usage && [inputTokens(facts.usage), outputTokens(facts.usage)]
      assert.deepEqual([facts.complete, facts.error, used], [true, undefined, one.usage], one.name)
      assert.equal(facts.finish, collect(events).finish, one.name)
    }),
    { seed, numRuns: 300 },
  )
})

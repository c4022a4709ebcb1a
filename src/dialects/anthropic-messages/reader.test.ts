import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { GatewayError } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { ChatRequest, JsonObject, JsonValue } from '../../core/request.ts'
import { MOST_TOKENS } from '../../core/usage.ts'
import { wireName } from './names.ts'
import { MessageReader } from './reader.ts'
import { JSON_TOOL } from './vocabulary.ts'
import { factsOf } from './watcher.ts'

const START = { type: 'message_start', message: { id: 'msg_1', model: 'm', content: [], usage: { input_tokens: 3 } } }
const begin = (index: number, content_block: JsonObject) => ({ type: 'content_block_start', index, content_block })
const piece = (index: number, delta: JsonObject) => ({ type: 'content_block_delta', index, delta })
const close = (index: number) => ({ type: 'content_block_stop', index })
const json = (index: number, partial_json: string) => piece(index, { type: 'input_json_delta', partial_json })
const ending = (stop_reason: string, usage: JsonObject = { output_tokens: 5 }): JsonObject[] => [
  { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage },
  { type: 'message_stop' },
]

function read(events: readonly JsonObject[], asked?: ChatRequest): ReplyEvent[] {
  const reader = new MessageReader(asked)
  return [...events.flatMap((event) => reader.read(JSON.stringify(event))), ...reader.end()]
}
const bodyWith = (content: JsonValue, more: JsonObject = {}): JsonObject => ({
  type: 'message',
  id: 'msg_1',
  role: 'assistant',
  model: 'm',
  content,
  stop_reason: 'tool_use',
  usage: { input_tokens: 1, output_tokens: 2 },
  ...more,
})
const finishOf = (events: readonly ReplyEvent[]) => events.find((event) => event.type === 'finish')
const textOf = (events: readonly ReplyEvent[]) =>
  events.map((event) => (event.type === 'text-delta' ? event.text : '')).join('')
const argumentsOf = (events: readonly ReplyEvent[]) =>
  events.map((event) => (event.type === 'tool-call-delta' ? event.json : '')).join('')
const usageOf = (events: readonly ReplyEvent[]) => events.findLast((event) => event.type === 'usage-report')?.usage
const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (error instanceof GatewayError) return error.code
    throw error
  }
  return 'no error'
}

suite('the end of a stream', () => {
  test('A44: a stream that ends without a stop reason is incomplete', () => {
    const text = [START, begin(0, { type: 'text', text: '' }), piece(0, { type: 'text_delta', text: 'Hal' })]
    assert.equal(
      codeOf(() => read(text)),
      'upstream_incomplete',
    )
    assert.equal(
      codeOf(() => read([...text, close(0)])),
      'upstream_incomplete',
    )
    assert.equal(
      codeOf(() => read([])),
      'upstream_incomplete',
    )
  })

  test('A51: a stop reason without message_stop is an end, and open blocks are closed', () => {
    const [delta] = ending('end_turn')
    const events = read([START, begin(0, { type: 'text', text: 'Hi' }), delta as JsonObject])
    assert.deepEqual(
      events.map(({ type }) => type),
      ['reply-start', 'text-start', 'text-delta', 'text-end', 'usage-report', 'finish', 'reply-end'],
    )
  })

  test('A51: an end without a stop reason finishes as what was said lets it; the end of nothing is none', () => {
    const stop = { type: 'message_stop' }
    const reasonOf = (events: readonly ReplyEvent[]) => events.flatMap((e) => (e.type === 'finish' ? e.reason : []))
    const call = begin(0, { type: 'tool_use', id: 'toolu_1', name: 'f', input: {} })
    assert.deepEqual(reasonOf(read([START, begin(0, { type: 'text', text: 'Hi' }), stop])), ['stop'])
    assert.deepEqual(reasonOf(read([START, call, close(0), stop])), ['tool-calls'])
    assert.equal(
      codeOf(() => read([stop])),
      'upstream_incomplete',
    )
  })

  test('what comes after the end says nothing more', () => {
    const events = read([START, ...ending('end_turn'), START, begin(0, { type: 'text', text: 'again' })])
    assert.equal(events.filter(({ type }) => type === 'reply-start').length, 1)
    assert.equal(textOf(events), '')
  })

  test('a server that says [DONE] as well is understood', () => {
    const reader = new MessageReader()
    for (const event of [START, ...ending('end_turn')]) reader.read(JSON.stringify(event))
    assert.deepEqual(reader.read('[DONE]'), [])
    assert.deepEqual(reader.end(), [])
  })
})

suite('stop reasons', () => {
  const table: Readonly<Record<string, string>> = {
    end_turn: 'stop',
    stop_sequence: 'stop',
    max_tokens: 'length',
    model_context_window_exceeded: 'length',
    tool_use: 'tool-calls',
    pause_turn: 'pause',
    compaction: 'pause',
    refusal: 'refusal',
    'something new': 'other',
    toString: 'other',
  }
  for (const [raw, reason] of Object.entries(table)) {
    test(`${raw} is ${reason}`, () => assert.equal(finishOf(read([START, ...ending(raw)]))?.reason, reason))
  }

  test('the stop sequence that was met is kept', () => {
    const [delta, stop] = ending('stop_sequence') as [JsonObject, JsonObject]
    const met = { ...delta, delta: { stop_reason: 'stop_sequence', stop_sequence: 'END' } }
    assert.equal(finishOf(read([START, met, stop]))?.stopSequence, 'END')
  })
})

suite('tool calls', () => {
  const call = { type: 'tool_use', id: 'toolu_1', name: 'f', input: {} }

  test('A56: no input at all is an empty object', () => {
    const none = [START, begin(0, call), close(0), ...ending('tool_use')]
    const empty = [START, begin(0, call), json(0, ''), close(0), ...ending('tool_use')]
    assert.equal(argumentsOf(read(none)), '{}')
    assert.equal(argumentsOf(read(empty)), '{}')
  })

  test('A56: input that came whole with the start is kept, and streamed pieces replace it', () => {
    const whole = [START, begin(0, { ...call, input: { a: 1 } }), close(0), ...ending('tool_use')]
    assert.equal(argumentsOf(read(whole)), '{"a":1}')
    const pieces = [START, begin(0, { ...call, input: { a: 1 } }), json(0, '{"a":'), json(0, '2}'), close(0)]
    assert.equal(argumentsOf(read([...pieces, ...ending('tool_use')])), '{"a":2}')
  })

  test('A56: parallel calls that interleave stay apart', () => {
    const events = read([
      START,
      begin(0, call),
      begin(1, { ...call, id: 'toolu_2' }),
      json(0, '{"n"'),
      json(1, '{"m":2}'),
      json(0, ':1}'),
      close(1),
      close(0),
      ...ending('tool_use'),
    ])
    const of = (part: number) => argumentsOf(events.filter((event) => 'part' in event && event.part === part))
    assert.deepEqual([of(0), of(1)], ['{"n":1}', '{"m":2}'])
  })

  test('calls that a paused turn already had come with the start', () => {
    const message = { ...START.message, content: [{ ...call, input: { city: 'Rome' } }] }
    const events = read([
      { type: 'message_start', message },
      begin(0, { type: 'text', text: 'So' }),
      ...ending('end_turn'),
    ])
    assert.equal(argumentsOf(events), '{"city":"Rome"}')
    assert.equal(textOf(events), 'So')
  })

  test('a piece of a block that never began is no answer, except plain text', () => {
    assert.equal(
      codeOf(() => read([START, json(0, '{}')])),
      'upstream_invalid',
    )
    assert.equal(textOf(read([START, piece(0, { type: 'text_delta', text: 'Hi' }), ...ending('end_turn')])), 'Hi')
  })

  test('A63: a name that was replaced comes back as the client knows it, streamed and unstreamed', () => {
    const name = 'weather.lookup v2'
    const asked: ChatRequest = { operation: 'chat', model: 'm', stream: true, messages: [], tools: [{ name }] }
    const block = { ...call, name: wireName(name) }
    assert.notEqual(block.name, name)
    const named = (events: readonly ReplyEvent[]) => events.find((event) => event.type === 'tool-call-start')?.name
    assert.equal(named(read([START, begin(0, block), close(0), ...ending('tool_use')], asked)), name)
    assert.equal(named(new MessageReader(asked).body(bodyWith([block]))), name)
    assert.equal(named(new MessageReader().body(bodyWith([block]))), block.name)
  })
})

suite('JSON answers by a forced tool', () => {
  const answer = { type: 'tool_use', id: 'toolu_1', name: JSON_TOOL, input: {} }

  test('streamed, the input is the text', () => {
    const events = read([START, begin(0, answer), json(0, '{"a"'), json(0, ':1}'), close(0), ...ending('tool_use')])
    assert.equal(textOf(events), '{"a":1}')
    assert.equal(finishOf(events)?.reason, 'stop')
    assert.ok(!events.some(({ type }) => type.startsWith('tool-call')))
  })

  test('unstreamed too', () => {
    const events = new MessageReader().body(bodyWith([{ ...answer, input: { a: 1 } }]))
    assert.equal(textOf(events), '{"a":1}')
    assert.equal(finishOf(events)?.reason, 'stop')
  })

  test('beside a call of the client, the reply is a call', () => {
    const events = new MessageReader().body(bodyWith([answer, { ...answer, name: 'f' }]))
    assert.equal(finishOf(events)?.reason, 'tool-calls')
  })

  test('cut off by the limit, it says so', () => {
    const events = read([START, begin(0, answer), json(0, '{"a":'), close(0), ...ending('max_tokens')])
    assert.equal(finishOf(events)?.reason, 'length')
  })
})

suite('blocks that only Anthropic understands', () => {
  test('unknown deltas join fields of their name', () => {
    const events = read([
      START,
      begin(0, { type: 'novelty', content: null, note: 'a' }),
      piece(0, { type: 'novelty_delta', content: 'so', note: 'b' }),
      piece(0, { type: 'novelty_delta', content: ' on', more: [1] }),
      close(0),
      ...ending('end_turn'),
    ])
    const value = events.find((event) => event.type === 'opaque')?.value
    assert.deepEqual(value, { type: 'novelty', content: 'so on', note: 'ab', more: [1] })
  })

  test('input that was cut off is kept as it is', () => {
    const block = begin(0, { type: 'server_tool_use', id: 's', name: 'web_search', input: {} })
    const events = read([START, block, json(0, '{"query":"a'), close(0), ...ending('max_tokens')])
    assert.equal(events.find((event) => event.type === 'opaque')?.value.input, '{"query":"a')
  })
})

suite('usage', () => {
  const reported = (start: JsonObject, later: JsonObject) =>
    usageOf(read([{ type: 'message_start', message: { usage: start } }, ...ending('end_turn', later)]))

  test('buckets do not overlap, thinking is taken out of the output, tool fees are counted', () => {
    const raw = {
      input_tokens: 10,
      cache_read_input_tokens: 100,
      cache_creation_input_tokens: 30,
      cache_creation: { ephemeral_5m_input_tokens: 20, ephemeral_1h_input_tokens: 10 },
      output_tokens: 50,
      output_tokens_details: { thinking_tokens: 20 },
      server_tool_use: { web_search_requests: 2, web_fetch_requests: 0, code_execution_requests: 1 },
    }
    assert.deepEqual(reported({}, raw), {
      source: 'provider',
      input: 10,
      cacheRead: 100,
      cacheWrite5m: 20,
      cacheWrite1h: 10,
      output: 30,
      reasoning: 20,
      calls: { web_search: 2, code_execution: 1 },
    })
  })

  test('a total without its parts was written for five minutes', () => {
    assert.equal(reported({}, { cache_creation_input_tokens: 7 })?.cacheWrite5m, 7)
  })

  test('later figures replace earlier ones, and silence or a zero does not', () => {
    const start = { input_tokens: 17, cache_read_input_tokens: 4, output_tokens: 1 }
    assert.deepEqual(reported(start, { output_tokens: 227 }), {
      source: 'provider',
      input: 17,
      cacheRead: 4,
      output: 227,
    })
    const silent = { input_tokens: 0, cache_read_input_tokens: null, output_tokens: 9 }
    assert.deepEqual(reported(start, silent), { source: 'provider', input: 17, cacheRead: 4, output: 9 })
    assert.equal(reported(start, { input_tokens: 612, output_tokens: 9 })?.input, 612)
  })

  test('a later total of cache writes is split at the lifetime of the first', () => {
    const start = { cache_creation_input_tokens: 100, cache_creation: { ephemeral_1h_input_tokens: 100 } }
    const usage = reported(start, { cache_creation_input_tokens: 130 })
    assert.deepEqual([usage?.cacheWrite5m, usage?.cacheWrite1h], [undefined, 130])
  })

  test('no report is no usage, not zero', () => {
    const events = read([
      { type: 'message_start', message: {} },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' } },
    ])
    assert.equal(usageOf(events), undefined)
    assert.equal(factsOf({ ...bodyWith([]), usage: null }).usage, undefined)
  })

  test('T19: hostile figures count as unknown, as nothing, or as the most there is', () => {
    const hostile: JsonValue[] = [-5, '7', null, true, [3], { a: 1 }, Number.NaN, Number.NEGATIVE_INFINITY]
    for (const value of hostile) {
      const usage = reported(
        {},
        { input_tokens: value, output_tokens: value, cache_creation: value, server_tool_use: value },
      )
      assert.equal(usage, undefined)
    }
    assert.deepEqual(reported({}, { input_tokens: -5, output_tokens: 2 }), { source: 'provider', output: 2 })
    const huge = new MessageReader().body(
      JSON.parse(JSON.stringify(bodyWith([])).replace('"input_tokens":1', '"input_tokens":1e400')),
    )
    assert.equal(usageOf(huge)?.input, MOST_TOKENS)
    const iterations = Array.from({ length: 9 }, () => ({ type: 'compaction', input_tokens: 2 ** 63 }))
    assert.equal(reported({}, { input_tokens: 1, iterations })?.input, MOST_TOKENS)
    assert.equal(reported({}, { output_tokens: 5, output_tokens_details: { thinking_tokens: 9 } })?.reasoning, 5)
  })
})

suite('errors', () => {
  test('an error event ends the reading with what the vendor said and the status it would have had', () => {
    const reader = new MessageReader()
    reader.read(JSON.stringify(START))
    const event = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }
    assert.throws(
      () => reader.read(JSON.stringify(event), 'error'),
      (error) => {
        assert.ok(error instanceof GatewayError)
        assert.equal(error.kind.status, 529)
        assert.deepEqual(error.details.upstreamCode, 'overloaded_error')
        assert.deepEqual(error.details.upstreamMessage, 'Overloaded')
        return true
      },
    )
  })

  test('T43: what is no event, no message or no JSON is no answer', () => {
    for (const data of ['<html>', '"text"', '[1]', '{"type":']) {
      assert.equal(
        codeOf(() => new MessageReader().read(data)),
        'upstream_invalid',
        data,
      )
    }
    for (const body of [null, 'x', [], {}, { type: 'message', content: 'x' }]) {
      assert.equal(
        codeOf(() => new MessageReader().body(body)),
        'upstream_invalid',
        JSON.stringify(body),
      )
    }
  })

  test('an error inside a 200 is the error of its facts', () => {
    const facts = factsOf({ type: 'error', error: { type: 'rate_limit_error', message: 'Slow down' } })
    assert.equal(facts.error?.kind.status, 429)
    assert.equal(facts.complete, false)
    assert.equal(factsOf({ error: 'plain words' }).error?.details.upstreamMessage, 'plain words')
  })

  test('T58: names like __proto__ are data', () => {
    const block = JSON.parse(
      '{"type":"tool_use","id":"t","name":"__proto__","input":{"__proto__":{"x":1}}}',
    ) as JsonObject
    const events = new MessageReader().body(bodyWith([block]))
    assert.equal(argumentsOf(events), '{"__proto__":{"x":1}}')
    assert.equal(({} as Record<string, unknown>).x, undefined)
  })
})

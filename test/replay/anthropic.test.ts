/** Recorded Anthropic replies through the dialect, and random ones from its writer back through its reader. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { ReplyEvent } from '../../src/core/reply.ts'
import type { JsonObject } from '../../src/core/request.ts'
import type { Usage } from '../../src/core/usage.ts'
import dialect from '../../src/dialects/anthropic-messages/index.ts'
import openai from '../../src/dialects/openai-chat/index.ts'
import { messageOf } from './anthropic-stream.ts'
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

type Json = Record<string, unknown>
const FOLDER = 'anthropic/*'
const ID = 'anthropic-messages'

/** One recording holds three answers one after another; each is a stream of its own. */
function streams(): { name: string; payloads: readonly string[] }[] {
  return recordings(FOLDER)
    .filter(({ kind }) => kind === 'stream')
    .flatMap(({ name, payloads }) => {
      const ends = payloads.flatMap((payload, at) => (JSON.parse(payload).type === 'message_stop' ? [at + 1] : []))
      return ends.map((end, n) => ({
        name: ends.length > 1 ? `${name} #${n + 1}` : name,
        payloads: payloads.slice(ends[n - 1] ?? 0, end),
      }))
    })
}
const bytesOf = (payloads: readonly string[]) =>
  streamOf(payloads, { event: (payload) => (JSON.parse(payload) as { type: string }).type })
const bodies = () => recordings(FOLDER).filter(({ kind }) => kind === 'body')

const FINISH: Readonly<Record<string, string>> = { end_turn: 'stop', tool_use: 'tool-calls', refusal: 'refusal' }

/** What a recording says, read with nothing but the vendor's own documentation of its fields. */
function expectedOf(content: readonly Json[], reason: unknown, usage: Json): Omit<Meaning, 'refusal'> {
  const ofType = (type: string) => content.filter((block) => block.type === type)
  const known = ['text', 'thinking', 'redacted_thinking', 'tool_use']
  return {
    text: ofType('text')
      .map(({ text }) => text)
      .join(''),
    reasoning: ofType('thinking')
      .map(({ thinking }) => thinking)
      .join(''),
    toolCalls: ofType('tool_use').map(({ name, input }) => ({ name: name as string, args: input })),
    signatures: ofType('thinking').map(({ signature }) => signature as string),
    opaque: content.filter(({ type }) => !known.includes(type as string)).map(({ type }) => `${ID}:${type}`),
    finish: FINISH[reason as string] as 'stop',
    usage: usageOf(usage),
  }
}

function usageOf(raw: Json): Usage {
  const n = (value: unknown) => (value as number | undefined) ?? 0
  let sums = [0, 0, 0, 0, 0]
  const beside = ((raw.iterations as Json[] | undefined) ?? []).filter(({ type }) =>
    ['compaction', 'advisor_message'].includes(type as string),
  )
  for (const one of [raw, ...beside]) {
    const thinking = n((one.output_tokens_details as Json | undefined)?.thinking_tokens)
    const more = [
      n(one.input_tokens),
      n(one.cache_read_input_tokens),
      n(one.cache_creation_input_tokens),
      n(one.output_tokens) - thinking,
      thinking,
    ]
    sums = sums.map((sum, at) => sum + (more[at] as number))
  }
  const [input = 0, cacheRead = 0, cacheWrite5m = 0, output = 0, reasoning = 0] = sums
  const calls: Record<string, number> = {}
  for (const [name, count] of Object.entries((raw.server_tool_use as Json | undefined) ?? {})) {
    if (count) calls[name.replace('_requests', '')] = count as number
  }
  return plain({ source: 'provider', input, cacheRead, cacheWrite5m, output, reasoning, calls })
}

/** The message that a recorded stream builds, put together the plain way. */
function built(payloads: readonly string[]): Omit<Meaning, 'refusal'> {
  const blocks: Json[] = []
  const json: string[] = []
  let reason: unknown
  let usage: Json = {}
  for (const payload of payloads) {
    const event = JSON.parse(payload)
    if (event.type === 'message_start') usage = { ...event.message.usage }
    if (event.type === 'content_block_start') blocks[event.index] = { ...event.content_block }
    if (event.type === 'content_block_delta') {
      const block = blocks[event.index] as Json
      const { delta } = event
      if (delta.type === 'text_delta') block.text += delta.text
      if (delta.type === 'thinking_delta') block.thinking += delta.thinking
      if (delta.type === 'signature_delta') block.signature = delta.signature
      if (delta.type === 'input_json_delta') json[event.index] = (json[event.index] ?? '') + delta.partial_json
    }
    if (event.type === 'message_delta') {
      reason = event.delta.stop_reason
      usage = { ...usage, ...event.usage }
    }
  }
  json.forEach((text, at) => {
    if (text) (blocks[at] as Json).input = JSON.parse(text)
  })
  return expectedOf(blocks, reason, usage)
}

suite('recorded streams', { skip: noRecordings }, () => {
  test('there are as many as were recorded', () => assert.equal(streams().length, 23))

  for (const { name, payloads } of streams()) {
    test(`A47, T46: ${name} says the same however it is cut`, () => {
      const said = sameHoweverCut(bytesOf(payloads), (pieces) => collect(readStream(dialect, pieces)))
      assert.deepEqual(said, { ...built(payloads), refusal: '' })
    })

    test(`${name}: the watcher knows what the reader knows`, () => {
      const bytes = bytesOf(payloads)
      const events = readStream(dialect, [bytes])
      const { finish, usage } = collect(events)
      const start = events.find((event) => event.type === 'reply-start')
      const sizes = events.map((event) =>
        event.type === 'text-delta' || event.type === 'reasoning-delta'
          ? Buffer.byteLength(event.text)
          : event.type === 'tool-call-delta' && event.json !== '{}'
            ? Buffer.byteLength(event.json)
            : 0,
      )
      const opaqueBytes = streamedInput(payloads)
      const { facts: all, marks } = watchStream(dialect, [bytes])
      const { made = [], ...facts } = all
      const container = /"container":\{"id":"([^"]+)"/.exec(payloads.join('\n'))?.[1]
      assert.deepEqual([...new Set(made.map(({ id }) => id))], container === undefined ? [] : [container])
      // A fallback is told by a block of its own: the model that answered is another than the one that began.
      const model = name.includes('fallback') ? 'claude-opus-4-8' : start?.model
      assert.deepEqual(
        { ...facts, usage: facts.usage && plain(facts.usage) },
        { id: start?.id, model, usage, finish, complete: true, textBytes: sum(sizes) + opaqueBytes },
      )
      const hasBlocks = payloads.some((payload) => payload.includes('"content_block_start"'))
      assert.equal(
        marks.some((mark) => mark & 1),
        hasBlocks,
      )
      assert.deepEqual(marks.slice(-2), [2, 2 | 8], 'message_delta and message_stop are the end')
      assert.ok(marks.slice(0, -2).every((mark) => (mark & (2 | 4 | 8)) === 0))
    })

    test(`A53, A57: ${name}, written again, is a proper stream and reads the same, signatures byte for byte`, () => {
      const events = readStream(dialect, [bytesOf(payloads)])
      const again = writtenStream(dialect, events)
      messageOf(again)
      assert.deepEqual(readStream(dialect, [Buffer.from(again)]), events)
      const body = writtenBody(dialect, events)
      assert.deepEqual(collect(readBody(dialect, JSON.stringify(body))), collect(events))
    })

    test(`${name}: what OpenAI Chat can say survives it`, () =>
      survivesOpenai(readStream(dialect, [bytesOf(payloads)])))
  }
})

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)

/** Streamed input of server tools is output too: the watcher measures it, the reader joins it into one block. */
function streamedInput(payloads: readonly string[]): number {
  const events = payloads.map((payload) => JSON.parse(payload))
  const server = new Set<number>()
  for (const event of events) {
    if (event.type === 'content_block_start' && event.content_block.type.endsWith('_tool_use')) server.add(event.index)
  }
  return sum(
    events.map(({ index, delta }) =>
      delta?.type === 'input_json_delta' && server.has(index) ? Buffer.byteLength(delta.partial_json) : 0,
    ),
  )
}

suite('recorded bodies', { skip: noRecordings }, () => {
  for (const { name, text } of bodies()) {
    const { content, stop_reason, usage, id, model } = JSON.parse(text)

    test(`${name} says what it says`, () => {
      const events = readBody(dialect, text)
      assert.deepEqual(collect(events), { ...expectedOf(content, stop_reason, usage), refusal: '' })
      const facts = dialect.upstream?.factsOf(JSON.parse(text))
      assert.equal(facts?.complete, true)
      assert.deepEqual([facts?.id, facts?.model, facts?.finish], [id, model, FINISH[stop_reason]])
      assert.deepEqual(facts?.usage && plain(facts.usage), usageOf(usage))
    })

    test(`${name}, written again, is the same message`, () => {
      const events = readBody(dialect, text)
      assert.deepEqual(writtenBody(dialect, events), { stop_sequence: null, ...JSON.parse(text) })
      const stream = writtenStream(dialect, events)
      messageOf(stream)
      assert.deepEqual(collect(readStream(dialect, [Buffer.from(stream)])), collect(events))
    })

    test(`${name}: what OpenAI Chat can say survives it`, () => survivesOpenai(readBody(dialect, text)))
  }
})

/**
 * What OpenAI Chat has no word for is dropped, and nothing else: blocks that only Anthropic understands, the fee-bearing
 * calls of its tools, and the reasons for which a turn pauses or is refused.
 */
function survivesOpenai(events: readonly ReplyEvent[]): void {
  const said = collect(events)
  const { calls: _, ...counted } = said.usage ?? assert.fail('no usage')
  const expected = {
    ...said,
    opaque: [],
    finish: said.finish === 'refusal' ? 'content-filter' : said.finish,
    usage: counted,
  }
  const stream = writtenStream(openai, events, { stream: true, stream_options: { include_usage: true } })
  assert.deepEqual(collect(readStream(openai, [Buffer.from(stream)])), expected)
  assert.deepEqual(collect(readBody(openai, JSON.stringify(writtenBody(openai, events)))), expected)
}

test('what OpenAI Chat cannot express of the recordings is exactly this', { skip: noRecordings }, () => {
  const lost = new Set<string>()
  for (const { payloads } of streams())
    for (const kind of collect(readStream(dialect, [bytesOf(payloads)])).opaque) lost.add(kind)
  for (const { text } of bodies()) for (const kind of collect(readBody(dialect, text)).opaque) lost.add(kind)
  assert.deepEqual([...lost].map((kind) => kind.slice(ID.length + 1)).sort(), [
    'advisor_tool_result',
    'bash_code_execution_tool_result',
    'code_execution_tool_result',
    'compaction',
    'fallback',
    'mcp_tool_result',
    'mcp_tool_use',
    'server_tool_use',
    'tool_search_tool_result',
    'web_fetch_tool_result',
    'web_search_tool_result',
  ])
})

suite('A53: a client of OpenAI Chat that sends back what it was given', { skip: noRecordings }, () => {
  const OWN = new Set(['text', 'thinking', 'redacted_thinking', 'tool_use'])
  /** What the client would send on its next turn, as Anthropic gets it. */
  function nextTurn(message: Json): { turns: Json[]; lost: string[] } {
    const calls = (message.tool_calls ?? []) as Json[]
    const results = calls.map(({ id }) => ({ role: 'tool', tool_call_id: id, content: 'ok' }))
    const tools = calls.map((call) => ({ type: 'function', function: { name: (call.function as Json).name } }))
    const messages = [{ role: 'user', content: 'Go' }, message, ...results, { role: 'user', content: 'On' }]
    const body = { model: 'm', messages, ...(tools.length > 0 ? { tools } : {}) } as unknown as JsonObject
    const lost: string[] = []
    const request = openai.client?.readRequest(body) ?? assert.fail('no client side')
    const model = 'claude-sonnet-4-6'
    const sent = dialect.upstream?.writeRequest(request, { model, provider: 'p', report: (what) => lost.push(what) })
    return { turns: sent?.messages as Json[], lost }
  }

  for (const { name, text } of bodies()) {
    const content = JSON.parse(text).content as Json[]
    const common = content.filter(({ type }) => OWN.has(type as string))
    if (common.length === 0) continue

    test(`${name}: thinking, text and calls come back to Anthropic as they were`, () => {
      const { choices } = writtenBody(openai, readBody(dialect, text)) as unknown as { choices: { message: Json }[] }
      const { turns, lost } = nextTurn(choices[0]?.message ?? {})
      const [, assistant, user] = turns
      const blocks = assistant?.content
      const returned = typeof blocks === 'string' ? [{ type: 'text', text: blocks }] : (blocks as Json[])
      const ofType = (all: readonly Json[], type: string) => all.filter((block) => block.type === type)
      assert.deepEqual(
        ofType(returned, 'thinking'),
        ofType(common, 'thinking').map(({ type, thinking, signature }) => ({ type, thinking, signature })),
      )
      assert.deepEqual(
        ofType(returned, 'tool_use'),
        ofType(common, 'tool_use').map(({ type, id, name, input }) => ({ type, id, name, input })),
      )
      const textOf = (all: readonly Json[]) =>
        ofType(all, 'text')
          .map(({ text }) => text)
          .join('')
      assert.equal(textOf(returned), textOf(common))
      if (common[0]?.type === 'thinking') assert.equal(returned[0]?.type, 'thinking', 'thinking comes first')
      assert.equal(user?.role, 'user')
      assert.deepEqual(lost, [])
    })
  }
})

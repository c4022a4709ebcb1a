/**
 * One file each: a client's request with what is read and what goes upstream, or a reply (a body, or the chunks of a
 * stream) with its meaning, the relay's marks and facts, and what it looks like when it is written again.
 * A chunk without id, object, created or model stands for one with the usual ones.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Provider } from '../../../src/core/provider.ts'
import { MARK, type ReplyEvent } from '../../../src/core/reply.ts'
import type { ChatRequest, JsonObject, JsonValue } from '../../../src/core/request.ts'
import openaiChat from '../../../src/dialects/openai-chat/index.ts'
import {
  collect,
  type Meaning,
  plain,
  readStream,
  sameHoweverCut,
  streamOf,
  watchStream,
  writtenBody,
  writtenStream,
} from '../../replay/replay.ts'
import { validateChatStream } from '../chat-stream.ts'

interface Golden {
  readonly about: string
  /** What the client sent; as text where JSON.parse matters. */
  readonly request?: JsonObject
  readonly raw?: string
  /** A part of the canonical request. */
  readonly read?: JsonObject
  /** The place of the mistake. */
  readonly refused?: string
  /** A canonical request, as another dialect reads it. */
  readonly canonical?: Partial<ChatRequest>
  readonly quirks?: NonNullable<Provider['quirks']>
  readonly streamed?: boolean
  readonly written?: JsonObject | 'same'
  readonly writtenRaw?: string
  readonly unsupported?: readonly string[]

  readonly asked?: JsonObject
  readonly stream?: readonly (JsonObject | string)[]
  readonly body?: JsonObject
  readonly meaning?: Partial<Meaning>
  readonly meanings?: readonly Partial<Meaning>[]
  readonly facts?: JsonObject
  readonly marks?: readonly string[]
  readonly error?: { readonly code: string; readonly status?: number; readonly details?: JsonObject }
  readonly again?: 'same'
  /** What the body says that the stream is written again as. */
  readonly messageAgain?: JsonObject
  readonly callsAgain?: JsonValue
  readonly logprobsAgain?: readonly string[]
  readonly besideAgain?: JsonObject
}

const { client, upstream } = openaiChat
assert.ok(client && upstream)
const HEAD = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'gpt' }
const NOTHING: Meaning = {
  text: '',
  reasoning: '',
  refusal: '',
  toolCalls: [],
  signatures: [],
  opaque: [],
  finish: undefined,
  usage: undefined,
}

function write(request: ChatRequest, golden: Golden): { body: JsonValue; unsupported: string[] } {
  const unsupported: string[] = []
  const { model } = request
  const report = (what: string) => unsupported.push(what)
  const context = { model, report, provider: 'test', ...(golden.quirks ? { quirks: golden.quirks } : {}) }
  return { body: JSON.parse(JSON.stringify(upstream?.writeRequest(request, context))), unsupported }
}

function checkRequest(golden: Golden): void {
  const { canonical, raw, written, writtenRaw } = golden
  const sent = (raw === undefined ? golden.request : JSON.parse(raw)) as JsonObject
  if (golden.refused !== undefined) {
    assert.throws(
      () => client?.readRequest(sent),
      (error: { code: string; details: { param?: string } }) =>
        error.code === 'invalid_request' && error.details.param === golden.refused,
    )
    return
  }
  const request = canonical
    ? { operation: 'chat' as const, model: 'm', stream: golden.streamed ?? false, messages: [], ...canonical }
    : (client?.readRequest(sent) as ChatRequest)
  if (golden.read) assert.partialDeepStrictEqual(JSON.parse(JSON.stringify(request)), golden.read)
  const { body, unsupported } = write(request, golden)
  assert.deepEqual(unsupported, golden.unsupported ?? [])
  if (writtenRaw !== undefined) assert.equal(JSON.stringify(body), writtenRaw)
  else assert.deepEqual(body, written === 'same' ? sent : written)
}

const marksOf = (marks: string): number =>
  marks
    .split(' ')
    .filter(Boolean)
    .reduce((sum, name) => sum + MARK[name as keyof typeof MARK], 0)

function checkMeaning(events: readonly ReplyEvent[], golden: Golden): void {
  for (const [choice, meaning] of (golden.meanings ?? [golden.meaning ?? {}]).entries()) {
    assert.deepEqual(collect(events, choice), { ...NOTHING, ...meaning })
  }
}

function checkStream(golden: Golden): void {
  const { asked = {}, stream = [], error } = golden
  const payloads = stream.map((chunk) => {
    if (typeof chunk === 'string') return chunk
    return JSON.stringify('choices' in chunk ? { ...HEAD, ...chunk } : chunk)
  })
  const bytes = streamOf(payloads)
  const { facts, marks } = watchStream(openaiChat, [bytes], asked)
  if (golden.marks) assert.deepEqual(marks, golden.marks.map(marksOf))
  if (golden.facts) assert.partialDeepStrictEqual(facts, golden.facts)
  if (error) {
    checkError(() => readStream(openaiChat, [bytes]), error)
    if (error.code === 'upstream_incomplete') assert.deepEqual([facts.finish, facts.complete], [undefined, false])
    else checkError(() => assert.fail(facts.error), error)
    return
  }
  sameHoweverCut(bytes, (pieces) => collect(readStream(openaiChat, pieces)))
  const events = readStream(openaiChat, [bytes])
  checkMeaning(events, golden)
  assert.equal(facts.finish, collect(events).finish)
  assert.deepEqual(facts.usage && plain(facts.usage), collect(events).usage)
  checkAgain(events, golden)
}

function checkError(action: () => unknown, expected: NonNullable<Golden['error']>): void {
  assert.throws(action, (thrown: { code: string; kind: { status: number }; details: JsonObject }) => {
    const { code, kind, details } = thrown
    assert.equal(code, expected.code)
    if (expected.status !== undefined) assert.equal(kind.status, expected.status)
    if (expected.details) assert.partialDeepStrictEqual(details, expected.details)
    return true
  })
}

/** Written as a stream and as a body, by this dialect, and read again. */
function checkAgain(events: readonly ReplyEvent[], golden: Golden): void {
  const asked = { ...golden.asked, stream_options: { include_usage: true } }
  const stream = writtenStream(openaiChat, events, asked)
  const hasUsage = events.some((event) => event.type === 'usage-report')
  const chunks = validateChatStream(stream, { usage: hasUsage })
  checkMeaning(readStream(openaiChat, [Buffer.from(stream)]), golden)
  const body = JSON.parse(JSON.stringify(writtenBody(openaiChat, events, asked)))
  // What came in pieces is one part of a body.
  const opaque = [...new Set(golden.meaning?.opaque)]
  checkMeaning(upstream?.readBody(body) ?? [], { ...golden, meaning: { ...golden.meaning, opaque } })
  if (golden.again) assert.deepEqual(body, golden.body)
  const [choice] = body.choices
  if (golden.messageAgain) assert.deepEqual(choice.message, golden.messageAgain)
  if (golden.callsAgain) assert.deepEqual(choice.message.tool_calls, golden.callsAgain)
  if (golden.besideAgain) {
    assert.partialDeepStrictEqual(body, golden.besideAgain)
    assert.partialDeepStrictEqual(chunks[0], golden.besideAgain)
  }
  if (golden.logprobsAgain) {
    const tokens = choice.logprobs.content.map((each: { token: string }) => each.token)
    assert.deepEqual(tokens, golden.logprobsAgain)
  }
}

function checkBody(golden: Golden): void {
  const body = golden.body as JsonObject
  const facts = upstream?.factsOf(body)
  if (golden.error) {
    checkError(() => upstream?.readBody(body), golden.error)
    checkError(() => assert.fail(facts?.error), golden.error)
    return
  }
  const events = upstream?.readBody(body) ?? []
  checkMeaning(events, golden)
  const { finish, usage } = collect(events)
  assert.deepEqual([facts?.finish, facts?.usage && plain(facts.usage), facts?.complete], [finish, usage, true])
  checkAgain(events, golden)
}

const folder = new URL('./', import.meta.url)
const files = readdirSync(folder).filter((name) => name.endsWith('.json'))

test('there are at least 30 golden files', () => assert.ok(files.length >= 30))

for (const file of files.sort()) {
  const golden: Golden = JSON.parse(readFileSync(new URL(file, folder), 'utf8'))
  test(`${file.replace('.json', '')}: ${golden.about}`, () => {
    if (golden.stream) checkStream(golden)
    else if (golden.body) checkBody(golden)
    else checkRequest(golden)
  })
}

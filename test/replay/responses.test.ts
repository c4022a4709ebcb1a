/** Recorded responses of OpenAI, Azure, xAI and LM Studio through the Responses dialect: read, watched, written again. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { GatewayError } from '../../src/core/errors.ts'
import { MARK } from '../../src/core/reply.ts'
import type { JsonObject } from '../../src/core/request.ts'
import dialect from '../../src/dialects/openai-responses/index.ts'
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

const all = [
  ...recordings('*/responses/*'),
  // All that Azure recorded but its DeepSeek is of this API.
  ...recordings('azure/*').filter(({ name }) => !name.includes('deepseek')),
]
/** As the vendor's server names an event: by its type. */
const event = (payload: string): string | undefined => /^\{"type":"([^"]+)"/.exec(payload)?.[1]
/** What was recorded as an error, and one recording whose JSON is broken. */
const isError = (name: string): boolean => /openai-error|-error\.json|parallel-tool-call-wrapper.*txt/.test(name)
const streams = all.filter(({ kind, name }) => kind === 'stream' && !isError(name))
const bodies = all.filter(({ kind, name }) => kind === 'body' && !isError(name))

suite('recorded responses', { skip: noRecordings }, () => {
  test('there are some of both kinds', () => assert.ok(streams.length >= 30 && bodies.length >= 30))

  for (const { name, payloads } of streams) {
    test(name, () => {
      const bytes = streamOf(payloads, { event })
      const meaning = sameHoweverCut(bytes, (cut) => collect(readStream(dialect, cut)))
      const { facts, marks } = watchStream(dialect, [bytes])
      assert.deepEqual(
        [facts.complete, facts.finish, facts.usage && plain(facts.usage)],
        [true, meaning.finish, meaning.usage],
      )
      assert.ok(marks.some((mark) => mark & MARK.terminal))
      const events = readStream(dialect, [bytes])
      const again = Buffer.from(writtenStream(dialect, events))
      assert.deepEqual(collect(readStream(dialect, [again])), meaning, 'streamed again')
      assert.deepEqual(whole(writtenBody(dialect, events)), meaning, 'written whole')
    })
  }

  for (const { name, text } of bodies) {
    test(name, () => {
      const events = readBody(dialect, text)
      const meaning = collect(events)
      const facts = dialect.upstream?.factsOf(JSON.parse(text))
      assert.deepEqual(
        [facts?.complete, facts?.finish, facts?.usage && plain(facts.usage)],
        [true, meaning.finish, meaning.usage],
      )
      assert.deepEqual(whole(writtenBody(dialect, events)), meaning, 'written whole')
      assert.deepEqual(collect(readStream(dialect, [Buffer.from(writtenStream(dialect, events))])), meaning, 'streamed')
      assertSameItems(JSON.parse(text), writtenBody(dialect, events))
    })
  }

  for (const { name, kind, payloads, text } of all.filter(({ name }) => isError(name))) {
    test(`${name} is an error, not an answer`, () => {
      const failing = () =>
        kind === 'stream' ? readStream(dialect, [streamOf(payloads, { event })]) : readBody(dialect, text)
      assert.throws(failing, GatewayError)
    })
  }
})

const whole = (body: JsonObject): Meaning => collect(readBody(dialect, JSON.stringify(body)))

/** Every item comes back with all that it had, besides what says nothing. */
function assertSameItems(sent: JsonObject, written: JsonObject): void {
  const items = (response: JsonObject) => (response.output as readonly JsonObject[]).map((item) => trimmed(item))
  assert.deepEqual(items(written), items(sent))
}

function trimmed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(trimmed)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(
    ([name, field]) => field !== null && name !== 'status' && !(Array.isArray(field) && field.length === 0),
  )
  return Object.fromEntries(kept.map(([name, field]) => [name, trimmed(field)]))
}

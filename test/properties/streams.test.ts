/**
 * Random replies survive every dialect: written, held against the rules of its streams, read again, and written in any
 * other dialect in between (A56, A57).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ReplyEvent } from '../../src/core/reply.ts'
import type { JsonObject } from '../../src/core/request.ts'
import { dialects } from '../../src/dialects/index.ts'
import { collect, readBody, readStream, streamOf, writtenBody, writtenStream } from '../replay/replay.ts'
import { PARSERS } from '../sdk/parsers.ts'
import { assertStream } from '../streams/index.ts'
import { reply } from './replies.ts'

const IDS = ['openai-chat', 'openai-responses', 'anthropic-messages', 'gemini-generate'] as const
const dialectOf = (id: string) => {
  const dialect = dialects.find((each) => each.id === id)
  assert.ok(dialect, id)
  return dialect
}
const ASKED: JsonObject = { stream: true, stream_options: { include_usage: true } }

/** What every one of these formats can say. Texts and thoughts are joined: a format may put what lies between elsewhere. */
function said(events: readonly ReplyEvent[]): unknown {
  const { text, reasoning, toolCalls, finish } = collect(events)
  // Thoughts of a summary are paragraphs to one format and pieces to another.
  return {
    text,
    reasoning: reasoning.replaceAll('\n\n', ''),
    toolCalls,
    finish: finish === 'refusal' ? 'content-filter' : finish,
  }
}

const again = (id: string, events: readonly ReplyEvent[]): readonly ReplyEvent[] =>
  readStream(dialectOf(id), [Buffer.from(writtenStream(dialectOf(id), events, ASKED))])

for (const id of IDS) {
  test(`A56: a random reply survives ${id}, streamed and whole`, () => {
    fc.assert(
      fc.property(reply, ({ events }) => {
        const stream = writtenStream(dialectOf(id), events, ASKED)
        assertStream(id, stream)
        assert.deepEqual(said(readStream(dialectOf(id), [Buffer.from(stream)])), said(events))
        const whole = JSON.stringify(writtenBody(dialectOf(id), events, ASKED))
        assert.deepEqual(said(readBody(dialectOf(id), whole)), said(events), 'whole')
      }),
      { numRuns: 150 },
    )
  })

  test(`A56: a random reply in ${id} is seen as it is by the official SDK`, async () => {
    const parser = PARSERS.find(({ dialect }) => dialect === id)
    assert.ok(parser)
    await fc.assert(
      fc.asyncProperty(reply, async ({ events }) => {
        const stream = writtenStream(dialectOf(id), events, ASKED)
        const { text, reasoning, toolCalls, finish } = collect(events)
        const seen = await parser.parse(Buffer.from(stream))
        assert.deepEqual(
          [seen.text, seen.reasoning.replaceAll('\n\n', ''), seen.calls, seen.finish],
          [text, reasoning.replaceAll('\n\n', ''), toolCalls, finish && parser.finishes[finish]],
        )
      }),
      { numRuns: 60 },
    )
  })

  for (const other of IDS) {
    if (other === id) continue
    test(`a random reply survives ${id} → ${other} → ${id}`, () => {
      fc.assert(
        fc.property(reply, ({ events }) => {
          const there = again(other, again(id, events))
          assertStream(id, writtenStream(dialectOf(id), there, ASKED))
          assert.deepEqual(said(again(id, there)), said(events))
        }),
        { numRuns: 60 },
      )
    })
  }
}

test('bytes that are no stream of the dialect never look like a finished reply', () => {
  for (const id of IDS) {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.json(), fc.string()), { maxLength: 5 }), (payloads) => {
        const bytes = streamOf(payloads.map((each) => each.replaceAll(/[\r\n]/g, ' ')))
        try {
          const events = readStream(dialectOf(id), [bytes])
          assert.equal(events.at(-1)?.type, 'reply-end')
          assert.fail(`read ${JSON.stringify(events)}`)
        } catch (error) {
          assert.equal((error as Error).name, 'GatewayError', String(error))
        }
      }),
      { numRuns: 200 },
    )
  }
})

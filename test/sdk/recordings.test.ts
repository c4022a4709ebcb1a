/**
 * Every recorded reply of a chat-like API, read by its dialect, written in each of the four client dialects, and read back
 * by that vendor's official SDK. What the client's dialect can express must be there; what it cannot is the table below.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { ReplyEvent } from '../../src/core/reply.ts'
import type { JsonObject } from '../../src/core/request.ts'
import { inputTokens, outputTokens } from '../../src/core/usage.ts'
import { dialects } from '../../src/dialects/index.ts'
import { AwsEventFramer } from '../../src/wire/aws/events.ts'
import {
  collect,
  noRecordings,
  type Recording,
  readBody,
  readStream,
  recordings,
  streamOf,
  writtenBody,
  writtenStream,
} from '../replay/replay.ts'
import { assertStream } from '../streams/index.ts'
import { converseMessages } from '../upstream/aws-events.ts'
import { PARSERS, type Parser, type Seen } from './parsers.ts'

const dialectOf = (id: string) => {
  const dialect = dialects.find((each) => each.id === id)
  assert.ok(dialect, id)
  return dialect
}

const isChat = ({ text }: Recording): boolean => /"chat\.completion(\.chunk)?"/.test(text)
/** A broken recording, and what was recorded as an error. */
const isAnswer = ({ name }: Recording): boolean =>
  !/-error\b|openai-error|parallel-tool-call-wrapper.*txt|\.error\.json/.test(name)

const SOURCES: readonly (readonly [dialect: string, found: readonly Recording[]])[] = [
  [
    'openai-chat',
    [
      'openai/chat/*',
      'groq/*',
      'deepseek/chat/*',
      'mistral/*',
      'moonshotai/*',
      'openai-compatible/chat/*',
      'alibaba/*',
      'azure/azure-deepseek-*',
    ]
      .flatMap(recordings)
      .filter(isChat),
  ],
  ['openai-responses', [...recordings('*/responses/*'), ...recordings('azure/*').filter((each) => !isChat(each))]],
  ['anthropic-messages', recordings('anthropic/*')],
  ['gemini-generate', recordings('google/*')],
  ['bedrock-converse', recordings('amazon-bedrock/*')],
  ['cohere-chat', recordings('cohere/*')],
]

/**
 * What a client dialect has no place for. Besides these: parts that only their own vendor understands, in any other's
 * dialect.
 */
const CANNOT: Readonly<Record<string, readonly ('order' | 'redacted reasoning' | 'empty reasoning')[]>> = {
  'openai-chat': ['order', 'redacted reasoning', 'empty reasoning'],
  'openai-responses': [],
  'anthropic-messages': [],
  // A thought without a text and a seal is no part.
  'gemini-generate': ['empty reasoning'],
}

function eventsOf(id: string, recording: Recording): readonly ReplyEvent[] {
  const dialect = dialectOf(id)
  if (recording.kind === 'body') return readBody(dialect, recording.text)
  if (id === 'bedrock-converse') {
    const bytes = Buffer.concat(converseMessages(recording.payloads))
    return readStream(dialect, [bytes], new AwsEventFramer('named', 'test'))
  }
  const event = (payload: string): string | undefined => /^\{"type":"([^"]+)"/.exec(payload)?.[1]
  const last = id === 'openai-chat' ? { last: '[DONE]' } : {}
  const named = id === 'anthropic-messages' || id === 'openai-responses' ? { event } : {}
  return readStream(dialect, [streamOf(recording.payloads, { ...last, ...named })])
}

/** What an application must see, found from the events alone. */
function expected(events: readonly ReplyEvent[], parser: Parser): Seen {
  const meaning = collect(events)
  const cannot = CANNOT[parser.dialect] ?? []
  const order: string[] = []
  const thoughts = new Map<number, string>()
  for (const event of events) {
    if (('choice' in event && event.choice) || !('part' in event) || event.part === undefined) continue
    if (event.type === 'reasoning-start') thoughts.set(order.push('reasoning') - 1, event.redacted ?? '')
    else if ((event.type === 'text-delta' || event.type === 'refusal-delta') && event.text !== '') order.push('text')
    else if (event.type === 'tool-call-start') order.push('call')
  }
  const shown = cannot.includes('empty reasoning') && meaning.reasoning === '' && meaning.signatures.length === 0
  const seen = order.filter((kind) => !(shown && kind === 'reasoning'))
  const { usage } = meaning
  return {
    text: meaning.text + meaning.refusal,
    reasoning: meaning.reasoning,
    calls: meaning.toolCalls.map(({ name, args }) => ({ name, args })),
    order: cannot.includes('order') ? [] : seen.filter((kind, i) => kind !== seen[i - 1]),
    finish: meaning.finish && parser.finishes[meaning.finish],
    input: usage && inputTokens(usage),
    output: usage && outputTokens(usage),
  }
}

suite('recordings through the official SDKs', { skip: noRecordings }, () => {
  test('there are many', () => {
    const count = SOURCES.reduce((sum, [, found]) => sum + found.filter(isAnswer).length, 0)
    assert.ok(count >= 160, `${count}`)
  })

  for (const [source, found] of SOURCES) {
    for (const recording of found.filter(isAnswer)) {
      for (const parser of PARSERS) {
        test(`${recording.name} → ${parser.dialect}`, async () => {
          const events = eventsOf(source, recording)
          const asked = { ...parser.asked, stream: true } as JsonObject
          const stream = writtenStream(dialectOf(parser.dialect), events, asked)
          assertStream(parser.dialect, stream)
          const wanted = expected(events, parser)
          const { input, output, ...said } = await parser.parse(Buffer.from(stream))
          const { input: wantedInput, output: wantedOutput, ...wantedSaid } = wanted
          assert.deepEqual(said, wantedSaid)
          // In its own dialect a reply has the vendor's own figures, however it counts.
          if (wantedInput !== undefined && parser.dialect !== source)
            assert.deepEqual([input, output], [wantedInput, wantedOutput], 'usage')
          const whole = writtenBody(dialectOf(parser.dialect), events, asked)
          const again = collect(readBody(dialectOf(parser.dialect), JSON.stringify(whole)))
          assert.deepEqual(
            [again.text + again.refusal, again.reasoning, again.toolCalls],
            [wanted.text, wanted.reasoning, wanted.calls],
            'unstreamed',
          )
        })
      }
    }
  }
})

/**
 * OpenAI's embeddings. Clients ask for floats or for base64 of little-endian 32-bit floats (the official SDKs do, unless
 * told otherwise, and misread anything else), and many vendors ignore what was asked: so a body that came in the other
 * encoding is written again instead of relayed.
 */
import { defineDialect, type ReplyContext, type StreamWriter, type UpstreamSide } from '../core/dialect.ts'
import { badRequest, failure } from '../core/errors.ts'
import type { ReplyEvent, ReplyFacts } from '../core/reply.ts'
import type { EmbeddingsRequest, JsonObject, JsonValue } from '../core/request.ts'
import { inputTokens, NO_USAGE } from '../core/usage.ts'
import { formatSse } from '../wire/sse.ts'
import {
  bornInside,
  failStream,
  isEmpty,
  isObject,
  listOf,
  mustBe,
  optional,
  readError,
  required,
  said,
  usageOf,
  without,
  wordOf,
  writeError,
} from './openai-chat/index.ts'

const ID = 'openai-embeddings'
const FLOAT_BYTES = 4

function readRequest(body: JsonObject): EmbeddingsRequest {
  const dimensions = optional(body, 'dimensions', 'integer')
  if (dimensions !== undefined && dimensions < 1) throw mustBe('at least 1', 'dimensions')
  const encoding = optional(body, 'encoding_format', 'string') ?? 'float'
  if (encoding !== 'float' && encoding !== 'base64') throw mustBe('"float" or "base64"', 'encoding_format')
  const endUser = optional(body, 'user', 'string')
  const rest = said(without(body, 'model', 'input', 'dimensions', 'encoding_format', 'user'))
  return {
    operation: 'embeddings',
    model: required(body, 'model', 'string'),
    stream: false,
    input: inputOf(body.input),
    encoding,
    ...(dimensions === undefined ? {} : { dimensions }),
    ...(endUser === undefined ? {} : { endUser }),
    ...(isEmpty(rest) ? {} : { rest: { [ID]: rest } }),
  }
}

/** A text, texts, one array of tokens, or arrays of tokens. */
function inputOf(input: JsonValue | undefined): EmbeddingsRequest['input'] {
  if (typeof input === 'string') return [input]
  const items = listOf(input)
  if (items.length > 0 && items.every(isToken)) return [items as readonly number[]]
  const isEach = (item: JsonValue) =>
    typeof item === 'string' || (Array.isArray(item) && item.length > 0 && item.every(isToken))
  if (items.length === 0 || !items.every(isEach)) {
    throw mustBe('a string, an array of strings, or an array of tokens or token arrays', 'input')
  }
  return items as EmbeddingsRequest['input']
}

const isToken = (value: JsonValue): boolean => Number.isInteger(value)

const toBase64 = (vector: readonly number[]): string => {
  const bytes = Buffer.allocUnsafe(vector.length * FLOAT_BYTES)
  vector.forEach((value, i) => {
    bytes.writeFloatLE(value, i * FLOAT_BYTES)
  })
  return bytes.toString('base64')
}

function fromBase64(text: string): number[] | undefined {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length === 0 || bytes.length % FLOAT_BYTES !== 0) return undefined
  return Array.from({ length: bytes.length / FLOAT_BYTES }, (_, i) => bytes.readFloatLE(i * FLOAT_BYTES))
}

function writeBody(events: readonly ReplyEvent[], context: ReplyContext): JsonObject {
  const { encoding_format, dimensions } = context.asked
  const isBase64 = encoding_format === 'base64'
  const data: { index: number; item: JsonObject }[] = []
  let usage = NO_USAGE
  let model = context.model
  for (const event of events) {
    if (event.type === 'reply-start') model = event.model ?? model
    if (event.type === 'usage-report') usage = event.usage
    if (event.type !== 'embedding') continue
    // An index of vectors would be spoiled by ones of another length, and nobody would see it.
    if (typeof dimensions === 'number' && event.vector.length !== dimensions) throw otherLength(event.vector.length)
    const embedding = isBase64 ? toBase64(event.vector) : event.vector
    data.push({ index: event.index, item: { object: 'embedding', index: event.index, embedding } })
  }
  data.sort((a, b) => a.index - b.index)
  const tokens = inputTokens(usage)
  return {
    object: 'list',
    data: data.map(({ item }) => item),
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  }
}

const otherLength = (length: number) =>
  badRequest(`This model answers with vectors of ${length} numbers, whatever "dimensions" asks for.`, 'dimensions')

/** There is no stream of embeddings: who asks for one gets the body as its only event. */
function streamWriter(context: ReplyContext): StreamWriter {
  const events: ReplyEvent[] = []
  return {
    write(event) {
      events.push(event)
      return event.type === 'reply-end'
        ? `${formatSse(JSON.stringify(writeBody(events, context)))}data: [DONE]\n\n`
        : ''
    },
    fail: failStream,
  }
}

const writeRequest: UpstreamSide['writeRequest'] = (request, context) => {
  if (request.operation !== 'embeddings') {
    throw badRequest(`This model's API does embeddings, not ${request.operation}.`, 'model')
  }
  const [only] = request.input
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    if (dialect !== ID) for (const name of Object.keys(said(fields))) context.report(name)
  }
  return {
    model: context.model,
    input: request.input.length === 1 && only !== undefined ? only : request.input,
    encoding_format: request.encoding,
    ...(request.dimensions === undefined ? {} : { dimensions: request.dimensions }),
    ...(request.endUser === undefined ? {} : { user: request.endUser }),
    ...request.rest?.[ID],
  }
}

function readBody(body: JsonValue): readonly ReplyEvent[] {
  const error = bornInside(body)
  if (error) throw error
  const object = isObject(body) ? body : {}
  const items = listOf(object.data).filter(isObject)
  if (items.length === 0) throw failure('upstream_invalid', { problem: 'a body without embeddings' })
  const model = wordOf(object.model)
  const events: ReplyEvent[] = [{ type: 'reply-start', ...(model === undefined ? {} : { model }) }]
  for (const [i, item] of items.entries()) {
    const { embedding } = item
    const vector = typeof embedding === 'string' ? fromBase64(embedding) : numbersOf(embedding)
    if (!vector) throw failure('upstream_invalid', { problem: `an embedding (number ${i}) that is no vector` })
    events.push({ type: 'embedding', index: typeof item.index === 'number' ? item.index : i, vector })
  }
  const usage = usageOf(object.usage)
  if (usage) events.push({ type: 'usage-report', usage })
  events.push({ type: 'reply-end' })
  return events
}

function numbersOf(value: JsonValue | undefined): readonly number[] | undefined {
  const list = listOf(value)
  return list.length > 0 && list.every((item) => typeof item === 'number') ? (list as readonly number[]) : undefined
}

function factsOf(body: JsonValue): ReplyFacts {
  const facts: ReplyFacts = { textBytes: 0, complete: false }
  const error = bornInside(body)
  const items = isObject(body) ? listOf(body.data) : []
  if (error || !isObject(body) || items.length === 0) {
    facts.error = error ?? failure('upstream_invalid', { problem: 'a body without embeddings' })
    return facts
  }
  const model = wordOf(body.model)
  const usage = usageOf(body.usage)
  if (model !== undefined) facts.model = model
  if (usage) facts.usage = usage
  const [first] = items
  const vector = isObject(first) ? first.embedding : undefined
  facts.encoding = typeof vector === 'string' ? 'base64' : 'float'
  facts.dimensions =
    typeof vector === 'string' ? Buffer.byteLength(vector, 'base64') / FLOAT_BYTES : listOf(vector).length
  facts.complete = true
  return facts
}

export default defineDialect({
  id: ID,
  operation: 'embeddings',
  client: {
    fields: { model: 'string', encoding_format: 'string', dimensions: 'integer', user: 'string' },
    streamType: 'text/event-stream',
    requestIdHeader: 'x-request-id',
    readRequest,
    takes: ({ encoding, dimensions }, asked) =>
      (encoding === undefined || encoding === (asked.encoding_format ?? 'float')) &&
      (dimensions === undefined || dimensions === (asked.dimensions ?? dimensions)),
    writeBody,
    streamWriter,
    ping: ': ping\n\n',
    writeError,
    failStream,
  },
  upstream: {
    framing: 'sse',
    writeRequest,
    readBody,
    streamReader() {
      let isWhole = false
      return {
        read(data) {
          if (data.trim() === '' || data.trim() === '[DONE]') return []
          isWhole = true
          return readBody(JSON.parse(data))
        },
        end() {
          if (!isWhole) throw failure('upstream_incomplete')
          return []
        },
      }
    },
    watcher: () => ({ facts: { textBytes: 0, complete: false }, look() {} }),
    factsOf,
    readError,
  },
})

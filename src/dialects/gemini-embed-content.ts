/**
 * Google's embedContent and batchEmbedContents, towards clients. A client's own body names the model in every request, so
 * it is always written anew; fields without a common word (`taskType`, `title`) come back to Google alone.
 */
import { defineDialect, type ReplyContext } from '../core/dialect.ts'
import { badRequest } from '../core/errors.ts'
import type { ReplyEvent } from '../core/reply.ts'
import type { EmbeddingsRequest, JsonObject, JsonValue } from '../core/request.ts'
import { onlyEvent } from '../core/unstreamed.ts'
import { formatSse } from '../wire/sse.ts'
import { camelKeys, failStream, isObject, listOf, objectOf, stringOf, writeError } from './gemini-generate/index.ts'

/** The dialect that writes these towards Google. */
const UPSTREAM = 'gemini-embeddings'

interface One {
  readonly text: string
  readonly dimensions: number | undefined
  readonly own: JsonObject
}

function readOne(value: JsonValue, at: string): One {
  if (!isObject(value)) throw badRequest(`"${at || 'the body'}" must be an object.`, at)
  const { model: _, stream: __, content, outputDimensionality, ...own } = camelKeys(value)
  const place = at === '' ? 'content' : `${at}.content`
  const parts = typeof content === 'string' ? [{ text: content }] : listOf(objectOf(content).parts)
  const texts = parts.map((part) => stringOf(objectOf(part).text))
  if (texts.length === 0 || texts.some((text) => text === undefined)) {
    throw badRequest(`"${place}" must have parts that are texts.`, place)
  }
  if (outputDimensionality !== undefined && !Number.isInteger(outputDimensionality)) {
    throw badRequest('"outputDimensionality" must be a whole number.', 'outputDimensionality')
  }
  return { text: texts.join('\n'), dimensions: outputDimensionality as number | undefined, own }
}

/** All texts of a batch are embedded alike: there is no upstream to which some of them could go otherwise. */
function readRequest(body: JsonObject): EmbeddingsRequest {
  const { model, requests } = body
  if (typeof model !== 'string' || model === '') throw badRequest('The path must name a model.', 'model')
  const all =
    requests === undefined
      ? [readOne(body, '')]
      : listOf(requests).map((request, i) => readOne(request, `requests[${i}]`))
  const [first] = all
  if (!first) throw badRequest('"requests" must not be empty.', 'requests')
  const spelled = JSON.stringify([first.dimensions, first.own])
  if (all.some(({ dimensions, own }) => JSON.stringify([dimensions, own]) !== spelled)) {
    throw badRequest('All requests of a batch must ask for the same task and dimensions.', 'requests')
  }
  return {
    operation: 'embeddings',
    model,
    stream: false,
    input: all.map(({ text }) => text),
    encoding: 'float',
    ...(first.dimensions === undefined ? {} : { dimensions: first.dimensions }),
    ...(Object.keys(first.own).length > 0 ? { rest: { [UPSTREAM]: first.own } } : {}),
  }
}

function writeBody(events: readonly ReplyEvent[], { asked }: ReplyContext): JsonObject {
  const embeddings = events
    .filter((event) => event.type === 'embedding')
    .sort((a, b) => a.index - b.index)
    .map(({ vector }) => ({ values: vector }))
  return asked.requests === undefined ? { embedding: embeddings[0] ?? { values: [] } } : { embeddings }
}

export default defineDialect({
  id: 'gemini-embed-content',
  operation: 'embeddings',
  client: {
    addressed: 'path',
    fields: {
      model: 'string',
      requests: 'array',
      taskType: 'string',
      title: 'string',
      outputDimensionality: 'integer',
    },
    streamType: 'text/event-stream',
    readRequest,
    writeBody,
    streamWriter: (context) =>
      onlyEvent(
        context,
        writeBody,
        (body) => formatSse(JSON.stringify(body)),
        (error) => failStream(error, context.id),
      ),
    ping: ': ping\n\n',
    writeError,
    failStream,
  },
})

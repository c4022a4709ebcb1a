/**
 * Google's batchEmbedContents, towards upstreams: always the batch, which takes one text as well as many. Google takes
 * texts only, and reports no usage for most models; then nothing is reported here, and the core estimates.
 */
import { defineDialect, type UpstreamSide, type WriteContext } from '../core/dialect.ts'
import { badRequest, failure, GatewayError } from '../core/errors.ts'
import type { ReplyEvent, ReplyFacts } from '../core/reply.ts'
import type { JsonObject, JsonValue, ModelRequest } from '../core/request.ts'
import { bornInside, isObject, listOf, objectOf, readError, stringOf, usageOf } from './gemini-generate/index.ts'

const ID = 'gemini-embeddings'

/** Fields without a common word (`taskType`, `title`…) come from this dialect's rest and go to every text. */
function writeRequest(request: ModelRequest, context: WriteContext): JsonObject {
  if (request.operation !== 'embeddings') {
    throw badRequest(`This model's API makes embeddings, not ${request.operation}.`, 'model')
  }
  if (request.endUser !== undefined) context.report('user')
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    if (dialect === ID) continue
    for (const [name, value] of Object.entries(fields)) if (value !== undefined && value !== null) context.report(name)
  }
  const model = context.model.includes('/') ? context.model : `models/${context.model}`
  return {
    requests: request.input.map((text, i) => {
      if (typeof text !== 'string') throw badRequest('This model takes texts, not lists of tokens.', `input[${i}]`)
      return {
        model,
        content: { parts: [{ text }] },
        ...(request.dimensions === undefined ? {} : { outputDimensionality: request.dimensions }),
        ...request.rest?.[ID],
      }
    }),
  }
}

/** `embeddings` of a batch, or the one `embedding` of a single call. */
function readBody(body: JsonValue): readonly ReplyEvent[] {
  const error = bornInside(body)
  if (error) throw error
  const found = objectOf(body)
  const embeddings = [...listOf(found.embeddings), ...listOf(found.embedding)]
  if (embeddings.length === 0) throw failure('upstream_invalid', { problem: 'an answer without embeddings' })
  const model = stringOf(found.modelVersion)
  const usage = usageOf(found.usageMetadata)
  return [
    { type: 'reply-start', ...(model === undefined ? {} : { model }) },
    ...embeddings.map((embedding, index): ReplyEvent => {
      const vector = isObject(embedding) ? embedding.values : undefined
      if (!Array.isArray(vector) || !vector.every((value) => typeof value === 'number')) {
        throw failure('upstream_invalid', { problem: 'an embedding that is no list of numbers' })
      }
      return { type: 'embedding', index, vector }
    }),
    ...(usage ? [{ type: 'usage-report', usage } as const] : []),
    { type: 'reply-end' },
  ]
}

function factsOf(body: JsonValue): ReplyFacts {
  const facts: ReplyFacts = { textBytes: 0, complete: false }
  try {
    for (const event of readBody(body)) {
      if (event.type === 'reply-start' && event.model !== undefined) facts.model = event.model
      if (event.type === 'usage-report') facts.usage = event.usage
    }
    facts.complete = true
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    facts.error = error
  }
  return facts
}

/** There is no stream of embeddings; what comes as one is a single body. */
const upstream: UpstreamSide = {
  framing: 'sse',
  writeRequest,
  readBody,
  factsOf,
  readError,
  streamReader() {
    let isWhole = false
    return {
      read(data) {
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
}

export default defineDialect({ id: ID, operation: 'embeddings', upstream })

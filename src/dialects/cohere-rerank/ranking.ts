/**
 * Rankings as Cohere began them and most others copied them: a query, documents and `top_n` in; `results` of index and
 * `relevance_score` out. What the copies do differently is told by their own dialects.
 */
import type { ReplyContext } from '../../core/dialect.ts'
import { badRequest, failure } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue, ModelRequest, RerankRequest } from '../../core/request.ts'
import { inputTokens, tokenCount, type Usage } from '../../core/usage.ts'
import {
  bornInside,
  isEmpty,
  isObject,
  listOf,
  mustBe,
  objectOf,
  optional,
  required,
  said,
  without,
  wordOf,
} from '../openai-chat/index.ts'

/** Under which names a dialect says what all of them mean. */
export interface Spelling {
  readonly id: string
  readonly top: 'top_n' | 'top_k'
  /** Takes `return_documents`, and gives them back. */
  readonly returns: boolean
  /** Where the ranking stands in the reply. */
  readonly results: 'results' | 'data'
  /** Documents may be objects with a text in them. */
  readonly objects: boolean
}

const COMMON = ['model', 'query', 'documents', 'top_n', 'top_k', 'return_documents', 'stream']

export function readRanking(body: JsonObject, dialect: string): RerankRequest {
  const top = optional(body, 'top_n', 'integer') ?? optional(body, 'top_k', 'integer')
  if (top !== undefined && top < 1) throw mustBe('at least 1', body.top_n === undefined ? 'top_k' : 'top_n')
  const returnDocuments = optional(body, 'return_documents', 'boolean')
  const documents = required(body, 'documents', 'array').map((document, i) => {
    if (typeof document === 'string' || isObject(document)) return document
    throw mustBe('a string or an object', `documents[${i}]`)
  })
  if (documents.length === 0) throw mustBe('a list with at least one document', 'documents')
  const rest = said(without(body, ...COMMON))
  return {
    operation: 'rerank',
    model: required(body, 'model', 'string'),
    stream: false,
    query: required(body, 'query', 'string'),
    documents,
    ...(top === undefined ? {} : { top }),
    ...(returnDocuments === undefined ? {} : { returnDocuments }),
    ...(isEmpty(rest) ? {} : { rest: { [dialect]: rest } }),
  }
}

export function writeRanking(
  request: ModelRequest,
  model: string,
  report: (what: string) => void,
  spelling: Spelling,
): JsonObject {
  if (request.operation !== 'rerank') throw badRequest(`This model ranks; it cannot do ${request.operation}.`, 'model')
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    if (dialect !== spelling.id) for (const name of Object.keys(said(fields))) report(name)
  }
  return {
    model,
    query: request.query,
    documents: spelling.objects ? request.documents : request.documents.map(textOf),
    ...(request.top === undefined ? {} : { [spelling.top]: request.top }),
    // The texts are the client's own: they are put back beside the scores here, and need not travel twice.
    ...(spelling.returns ? { return_documents: false } : {}),
    ...request.rest?.[spelling.id],
  }
}

function textOf(document: string | JsonObject, i: number): string {
  if (typeof document === 'string') return document
  const text = wordOf(document.text)
  if (text === undefined) throw badRequest('This model ranks texts only.', `documents[${i}]`)
  return text
}

export function readRanked(body: JsonValue, { results }: Pick<Spelling, 'results'>): readonly ReplyEvent[] {
  const reply = objectOf(body)
  const ranked = reply[results]
  if (!Array.isArray(ranked)) {
    throw bornInside(body) ?? failure('upstream_invalid', { problem: 'an answer without a ranking' })
  }
  const id = wordOf(reply.id)
  const model = wordOf(reply.model)
  const usage = usageOf(reply)
  return [
    { type: 'reply-start', ...(id === undefined ? {} : { id }), ...(model === undefined ? {} : { model }) },
    ...ranked.map((item): ReplyEvent => {
      const { index, relevance_score, relevanceScore, document } = objectOf(item)
      const score = relevance_score ?? relevanceScore
      if (typeof index !== 'number' || typeof score !== 'number') {
        throw failure('upstream_invalid', { problem: 'a ranking without indexes or scores' })
      }
      const text = typeof document === 'string' ? { text: document } : objectOf(document)
      return { type: 'ranked', index, score, ...(isEmpty(text) ? {} : { document: text }) }
    }),
    ...(usage ? [{ type: 'usage-report', usage } as const] : []),
    { type: 'reply-end' },
  ]
}

/** By searches (Cohere: a query over up to a hundred documents) or by tokens. */
function usageOf(reply: JsonObject): Usage | undefined {
  const billed = objectOf(objectOf(reply.meta).billed_units)
  const searches = tokenCount(billed.search_units)
  const usage = objectOf(reply.usage)
  const tokens =
    tokenCount(usage.total_tokens) ||
    tokenCount(usage.prompt_tokens) ||
    tokenCount(usage.tokens) ||
    tokenCount(billed.input_tokens)
  if (searches === 0 && tokens === 0) return undefined
  return {
    source: 'provider',
    ...(tokens > 0 ? { input: tokens } : {}),
    ...(searches > 0 ? { calls: { search_unit: searches } } : {}),
  }
}

export interface Ranked {
  readonly id: string
  readonly model: string
  readonly results: readonly JsonObject[]
  readonly tokens: number
  readonly searches: number
}

/** `returnsUnasked`: documents come back unless the client said no. */
export function rankedOf(events: readonly ReplyEvent[], context: ReplyContext, returnsUnasked: boolean): Ranked {
  const documents = listOf(context.asked.documents)
  const returns = context.asked.return_documents ?? returnsUnasked
  const results: JsonObject[] = []
  let { id, model } = context
  let usage: Usage = { source: 'none' }
  for (const event of events) {
    if (event.type === 'reply-start') {
      id = event.id ?? id
      model = event.model ?? model
    } else if (event.type === 'usage-report') usage = event.usage
    else if (event.type === 'ranked') {
      const { index, score } = event
      const asked = documents[index]
      const document =
        event.document ?? (typeof asked === 'string' ? { text: asked } : isObject(asked) ? asked : undefined)
      results.push({ index, relevance_score: score, ...(returns === true && document ? { document } : {}) })
    }
  }
  return { id, model, results, tokens: inputTokens(usage), searches: usage.calls?.search_unit ?? 0 }
}

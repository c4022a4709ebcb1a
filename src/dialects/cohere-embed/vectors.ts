/**
 * What the vendors' own embedding formats share: the request's texts, the fields they take from an OpenAI client's body
 * (what the vectors are for), and vectors with the usage behind them.
 */
import type { WriteContext } from '../../core/dialect.ts'
import { badRequest, failure } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { EmbeddingsRequest, JsonObject, JsonValue, ModelRequest } from '../../core/request.ts'
import { tokenCount, type Usage } from '../../core/usage.ts'
import { bornInside, listOf, objectOf, said, wordOf } from '../openai-chat/index.ts'

export interface Asked {
  readonly request: EmbeddingsRequest
  readonly texts: readonly string[]
  /** Fields of this vendor that the client set, whatever dialect it spoke. */
  readonly own: JsonObject
}

/** `takes` are fields of the vendor that pass from any client's body; all others are reported. */
export function textsOf(request: ModelRequest, context: WriteContext, id: string, takes: readonly string[]): Asked {
  if (request.operation !== 'embeddings') {
    throw badRequest(`This model's API makes embeddings, not ${request.operation}.`, 'model')
  }
  if (request.endUser !== undefined) context.report('user')
  const own: Record<string, JsonValue> = {}
  for (const [dialect, fields] of Object.entries(request.rest ?? {})) {
    for (const [name, value] of Object.entries(said(fields))) {
      if (dialect === id || takes.includes(name)) own[name] = value as JsonValue
      else context.report(name)
    }
  }
  const texts = request.input.map((text, i) => {
    if (typeof text !== 'string') throw badRequest('This model takes texts, not lists of tokens.', `input[${i}]`)
    return text
  })
  return { request, texts, own }
}

export function vectorEvents(
  vectors: readonly JsonValue[],
  about: { readonly id?: JsonValue | undefined; readonly model?: JsonValue | undefined },
  usage: Usage | undefined,
): readonly ReplyEvent[] {
  const id = wordOf(about.id)
  const model = wordOf(about.model)
  return [
    { type: 'reply-start', ...(id === undefined ? {} : { id }), ...(model === undefined ? {} : { model }) },
    ...vectors.map((vector, index): ReplyEvent => {
      if (!Array.isArray(vector) || vector.length === 0 || !vector.every((value) => typeof value === 'number')) {
        throw failure('upstream_invalid', { problem: `an embedding (number ${index}) that is no vector` })
      }
      return { type: 'embedding', index, vector: vector as readonly number[] }
    }),
    ...(usage ? [{ type: 'usage-report', usage } as const] : []),
    { type: 'reply-end' },
  ]
}

/** The list that most vendors copied from OpenAI, in its own order; counted by `total_tokens`, which are all input. */
export function readList(body: JsonValue): readonly ReplyEvent[] {
  const reply = objectOf(body)
  const items = listOf(reply.data).map(objectOf)
  if (items.length === 0) throw noVectors(body)
  const sorted = [...items].sort((a, b) => Number(a.index ?? 0) - Number(b.index ?? 0))
  const { total_tokens, prompt_tokens } = objectOf(reply.usage)
  return vectorEvents(
    sorted.map(({ embedding }) => embedding ?? null),
    reply,
    inputOnly(tokenCount(total_tokens) || tokenCount(prompt_tokens)),
  )
}

export const inputOnly = (input: number): Usage | undefined => (input > 0 ? { source: 'provider', input } : undefined)

export const noVectors = (body: JsonValue) =>
  bornInside(body) ?? failure('upstream_invalid', { problem: 'an answer without embeddings' })

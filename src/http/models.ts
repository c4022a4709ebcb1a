/**
 * The list of models a client may ask for by name, in the shape of the API it speaks: OpenAI's, Anthropic's where the
 * request says which version of it (`anthropic-version`), Google's under `/v1beta`.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { badRequest, failure } from '../core/errors.ts'
import type { Principal } from '../core/exchange.ts'
import type { Gateway } from '../core/gateway.ts'
import type { ListedModel } from '../core/names.ts'
import type { JsonObject } from '../core/request.ts'
import { dialectOf, verbOf } from './endpoints.ts'
import type { Identity } from './identity.ts'

interface Shape {
  one(model: ListedModel): JsonObject
  list(models: readonly ListedModel[], query: Query): JsonObject
}
type Query = Readonly<Record<string, unknown>>

const openai: Shape = {
  one: ({ id, ownedBy }) => ({ id, object: 'model', created: 0, owned_by: ownedBy }),
  list: (models) => ({ object: 'list', data: models.map(openai.one) }),
}

const anthropic: Shape = {
  one: ({ id }) => ({ type: 'model', id, display_name: id, created_at: '1970-01-01T00:00:00Z' }),
  list(models, query) {
    const limit = count(query, 'limit', 20)
    const after = models.findIndex(({ id }) => id === query.after_id)
    const before = models.findIndex(({ id }) => id === query.before_id)
    const from = before >= 0 ? Math.max(0, before - limit) : after + 1
    const to = before >= 0 ? before : from + limit
    const page = models.slice(from, to).map(anthropic.one)
    const hasMore = before >= 0 ? from > 0 : to < models.length
    return { data: page, has_more: hasMore, first_id: page[0]?.id ?? null, last_id: page.at(-1)?.id ?? null }
  },
}

const gemini: Shape = {
  one: ({ id }) => ({
    name: `models/${id}`,
    displayName: id,
    supportedGenerationMethods: ['generateContent', 'streamGenerateContent'],
  }),
  list(models, query) {
    const size = count(query, 'pageSize', 50)
    const { pageToken } = query
    const from = typeof pageToken === 'string' && /^\d{1,9}$/.test(pageToken) ? Number(pageToken) : 0
    const to = from + size
    const page = models.slice(from, to).map(gemini.one)
    return { models: page, ...(to < models.length ? { nextPageToken: String(to) } : {}) }
  },
}

const SHAPES: Readonly<Record<string, Shape>> = {
  'openai-chat': openai,
  'anthropic-messages': anthropic,
  'gemini-generate': gemini,
}

function count(query: Query, name: string, unasked: number): number {
  const value = query[name]
  if (value === undefined) return unasked
  if (typeof value !== 'string' || !/^\d{1,6}$/.test(value) || Number(value) < 1) {
    throw badRequest(`"${name}" must be a whole number from 1 to 1000.`, name)
  }
  return Math.min(Number(value), 1_000)
}

export function models(app: FastifyInstance, gateway: Gateway, identity: Identity): void {
  const listed = (who: Principal) => {
    const { names, pipeline } = gateway.snapshot
    const all = names.list(pipeline.route.some(({ id }) => id === 'aliases'))
    return who.mayAsk ? all.filter(({ id }) => who.mayAsk?.(id)) : all
  }
  const named = (id: string, who: Principal): ListedModel => {
    const { names } = gateway.snapshot
    const found = listed(who).find((model) => model.id === id)
    if (found) return found
    const may = who.mayAsk?.(id) ?? true
    if (may && names.resolve(id).targets.length > 0) return { id, ownedBy: 'stockyard' }
    const near = names.nearest(id).filter((name) => who.mayAsk?.(name) ?? true)
    const nearest = near.length > 0 ? ` Did you mean ${near.map((n) => `"${n}"`).join(' or ')}?` : ''
    throw failure('model_not_found', { model: id.slice(0, 200), nearest })
  }
  const serve = (path: string, shapeOf: (request: FastifyRequest) => Shape): void => {
    app.get(path, async (request, reply) => {
      const who = await identity.ask(request.raw, gateway.snapshot)
      const list = shapeOf(request).list(listed(who), request.query as Query)
      return reply.type('application/json').send(JSON.stringify(list))
    })
    app.get(`${path}/*`, async (request, reply) => {
      if (verbOf(request.url) !== undefined) return reply.callNotFound()
      const who = await identity.ask(request.raw, gateway.snapshot)
      const { '*': id } = request.params as { '*': string }
      return reply.type('application/json').send(JSON.stringify(shapeOf(request).one(named(id, who))))
    })
  }
  for (const path of ['/v1/models', '/v1beta/models', '/v1alpha/models']) {
    serve(path, ({ url, headers }) => SHAPES[dialectOf(url, headers)] ?? openai)
  }
}

/** The list of models in OpenAI's shape: what a client may ask for by name. */
import type { FastifyInstance } from 'fastify'
import { failure } from '../core/errors.ts'
import type { Gateway } from '../core/gateway.ts'
import type { Identity } from './identity.ts'

export function models(app: FastifyInstance, gateway: Gateway, identity: Identity): void {
  const listed = () => {
    const { names, pipeline } = gateway.snapshot
    return names
      .list(pipeline.route.some(({ id }) => id === 'aliases'))
      .map(({ id, ownedBy }) => ({ id, object: 'model', created: 0, owned_by: ownedBy }))
  }
  app.get('/v1/models', async (request, reply) => {
    identity.identify(request.raw)
    return reply.type('application/json').send(JSON.stringify({ object: 'list', data: listed() }))
  })
  app.get('/v1/models/*', async (request, reply) => {
    identity.identify(request.raw)
    const id = (request.params as { '*': string })['*']
    const found = listed().find((model) => model.id === id)
    const named =
      found ??
      (gateway.snapshot.names.resolve(id).targets.length > 0
        ? { id, object: 'model', created: 0, owned_by: 'stockyard' }
        : undefined)
    if (!named) {
      const near = gateway.snapshot.names.nearest(id)
      const nearest = near.length > 0 ? ` Did you mean ${near.map((n) => `"${n}"`).join(' or ')}?` : ''
      throw failure('model_not_found', { model: id.slice(0, 200), nearest })
    }
    return reply.type('application/json').send(JSON.stringify(named))
  })
}

/**
 * The admin API: every route of core and of the modules, behind the admin key or a session cookie, and its OpenAPI
 * description made from the same data.
 */
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Acting, acting } from '../../core/acting.ts'
import { failure } from '../../core/errors.ts'
import { type AdminRoute, Download } from '../../core/module.ts'
import { parseStrict } from '../../core/settings.ts'
import { parseJsonObject } from '../../wire/json.ts'
import { judgeLocal } from '../identity.ts'
import { configurationRoutes } from './configuration.ts'
import { openApi } from './openapi.ts'
import { operationRoutes } from './operations.ts'
import type { AdminContext, CoreRoute } from './route.ts'
import { targetRoutes } from './targets.ts'

const COOKIE = 'stockyard_session'
const SESSION_MS = 12 * 3_600_000

export const coreRoutes: readonly CoreRoute[] = [...configurationRoutes, ...operationRoutes, ...targetRoutes]

/** What the record of a change says about how it came to be. */
function describe(request: FastifyRequest, requestId: string): Acting {
  const header = (name: string) => {
    const value = request.headers[name]
    return typeof value === 'string' && value !== '' ? value.slice(0, 500) : undefined
  }
  const onBehalfOf = header('x-stockyard-on-behalf-of') ?? header('litellm-changed-by')
  const reason = header('x-stockyard-reason')
  return {
    requestId,
    source: request.ip,
    ...(onBehalfOf === undefined ? {} : { onBehalfOf }),
    ...(reason === undefined ? {} : { reason }),
  }
}

export function adminApi(app: FastifyInstance, context: AdminContext, port: () => number): void {
  const sessions = new Map<string, number>()

  /** Who administers, or a 401. A cookie only counts for requests that this very console made. */
  function actorOf(request: FastifyRequest): string {
    const key = /^Bearer[ ]+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (key !== undefined) {
      if (context.identity.isAdmin(key)) return 'admin'
      throw failure('invalid_api_key', { problem: 'it is not the admin key' })
    }
    const token = new RegExp(`(?:^|; )${COOKIE}=([\\w-]+)`).exec(request.headers.cookie ?? '')?.[1]
    const until = token === undefined ? undefined : sessions.get(token)
    if (until !== undefined && until > context.now()) {
      const site = request.headers['sec-fetch-site']
      if (request.method === 'GET' || site === 'same-origin' || judgeLocal(request.raw, port()) === 'local')
        return 'admin'
      throw failure('permission_denied', { problem: 'A session cookie is not accepted from another site.' })
    }
    throw failure('authentication_required', {}, undefined, {
      message:
        'The admin API needs the admin key: "Authorization: Bearer …". It is in the file admin.key of the data directory.',
    })
  }

  const bodyOf = (request: FastifyRequest): unknown => {
    const { body } = request
    if (!Buffer.isBuffer(body) || body.length === 0) return undefined
    if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
      throw failure('unsupported_media_type', {
        sent: request.headers['content-type'] ?? '',
        wanted: 'application/json',
      })
    }
    return parseJsonObject(body).json
  }

  const callOf = (request: FastifyRequest, route: CoreRoute | AdminRoute) => {
    const actor = actorOf(request)
    const { dry, ...query } = request.query as Record<string, string>
    const match = /^"?(\d+)"?$/.exec(request.headers['if-match'] ?? '')?.[1]
    return {
      actor,
      dry: dry === '1' || dry === 'true',
      expected: match === undefined ? undefined : Number(match),
      params: request.params as Record<string, string>,
      query: route.query ? (parseStrict(route.query, query, 'query') as Record<string, unknown>) : query,
      body: bodyOf(request),
    }
  }

  const circumstancesOf = (request: FastifyRequest, reply: FastifyReply): Acting => {
    const id = context.nextId()
    reply.header('x-stockyard-request-id', id)
    return describe(request, id)
  }
  const send = (reply: FastifyReply, answer: unknown): FastifyReply => {
    reply.header('cache-control', 'no-store')
    if (!(answer instanceof Download)) return reply.type('application/json').send(JSON.stringify(answer ?? {}))
    reply.header('content-disposition', `attachment; filename="${answer.fileName}"`)
    return reply.type(answer.contentType).send(Readable.from(answer.chunks))
  }

  for (const route of coreRoutes) {
    app.route({
      method: route.method,
      url: `/api/${route.path}`,
      handler: async (request, reply) => {
        const call = callOf(request, route)
        const circumstances = circumstancesOf(request, reply)
        const answer = await acting.run(circumstances, () => route.handle(context, call))
        reply.header('etag', `"${context.gateway.snapshot.revision}"`)
        return send(reply, answer)
      },
    })
  }

  for (const module of context.gateway.modules) {
    for (const route of module.admin ?? []) {
      app.route({
        method: route.method,
        url: `/api/${route.path}`,
        handler: async (request, reply) => {
          const call = callOf(request, route)
          if (context.gateway.moduleState(module.id).mode === 'off')
            throw failure('module_disabled', { module: module.id })
          const host = context.gateway.hostOf(module.id)
          return send(reply, await acting.run(circumstancesOf(request, reply), () => route.handle(host, call)))
        },
      })
    }
  }

  app.post('/api/session', async (request, reply) => {
    const { key } = (bodyOf(request) ?? {}) as { key?: unknown }
    if (typeof key !== 'string' || !context.identity.isAdmin(key)) {
      throw failure('invalid_api_key', { problem: 'it is not the admin key' })
    }
    const now = context.now()
    for (const [token, until] of sessions) if (until <= now) sessions.delete(token)
    const token = randomBytes(32).toString('base64url')
    sessions.set(token, now + SESSION_MS)
    const secure = request.protocol === 'https' ? '; Secure' : ''
    reply.header(
      'set-cookie',
      `${COOKIE}=${token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${SESSION_MS / 1_000}${secure}`,
    )
    return reply.type('application/json').send('{"signedIn":true}')
  })
  app.delete('/api/session', async (request, reply) => {
    actorOf(request)
    const token = new RegExp(`(?:^|; )${COOKIE}=([\\w-]+)`).exec(request.headers.cookie ?? '')?.[1]
    if (token !== undefined) sessions.delete(token)
    reply.header('set-cookie', `${COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`)
    return reply.type('application/json').send('{"signedIn":false}')
  })
  app.get('/api/openapi.json', async (request, reply) => {
    actorOf(request)
    return reply
      .type('application/json')
      .send(JSON.stringify(openApi(context.gateway.modules, coreRoutes, context.version)))
  })
}

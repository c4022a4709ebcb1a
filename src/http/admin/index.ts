/**
 * The admin API: every route of core and of the modules, behind the admin key or a session cookie, and its OpenAPI
 * description made from the same data.
 */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Acting, acting } from '../../core/acting.ts'
import { failure, GatewayError } from '../../core/errors.ts'
import type { Principal } from '../../core/exchange.ts'
import type { Gateway } from '../../core/gateway.ts'
import { type AdminRoute, Download, type Needs } from '../../core/module.ts'
import { type Actor, INSTANCE, may } from '../../core/roles.ts'
import { parseStrict } from '../../core/settings.ts'
import { parseJsonObject } from '../../wire/json.ts'
import { configurationRoutes } from './configuration.ts'
import { directoryRoutes } from './directory/index.ts'
import { createInside, modelFacts, type Permit } from './inside.ts'
import { openApi } from './openapi.ts'
import { operationRoutes } from './operations.ts'
import { type AdminContext, type CoreCall, type CoreRoute, urlOf } from './route.ts'
import { createDoor, type SignedIn, sessionRoutes } from './sessions.ts'
import { signInRoutes } from './sign-in.ts'
import { targetRoutes } from './targets.ts'
import { usageRoutes } from './usage.ts'

export const coreRoutes: readonly CoreRoute[] = [
  ...configurationRoutes,
  ...usageRoutes,
  ...operationRoutes,
  ...targetRoutes,
  ...sessionRoutes,
  ...signInRoutes,
  ...directoryRoutes,
]

/** What a route takes, where it does not say. */
export const needsOf = ({ needs, method }: Pick<CoreRoute, 'needs' | 'method'>): Needs =>
  needs ?? (method === 'GET' ? 'read' : 'manage')
const NOBODY: Actor = { name: 'nobody', memberships: [] }

/** Everywhere, and not only where no place says otherwise. */
function isOffIn({ snapshot, moduleState }: Gateway, module: string): boolean {
  const { overrides = {} } = snapshot.configuration
  if (moduleState(module).mode !== 'off') return false
  return Object.values(overrides).every(({ modules }) => (modules[module]?.mode ?? 'off') === 'off')
}

/** Paths outside of `/api` whose module is off. */
export function hiddenPaths(gateway: Gateway): (path: string) => boolean {
  const modules = new Map<string, string>()
  for (const { id, admin = [] } of gateway.modules)
    for (const route of admin) if (route.root) modules.set(urlOf(route), id)
  return (path) => {
    const module = modules.get(path)
    return module !== undefined && isOffIn(gateway, module)
  }
}

interface AsCaller {
  readonly caller?: Principal
}

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
  const { directory } = context.gateway.store
  const doorman = createDoor(directory, context.identity, { port, now: context.now })

  const isOff = (module: string): boolean => isOffIn(context.gateway, module)

  const permit: Permit = ({ who }, route) => {
    const needs = needsOf(route)
    if (needs === 'public' || needs === 'signed-in' || needs === 'caller' || may(who, needs, INSTANCE)) return
    throw failure('permission_denied', {
      problem: `Your role does not allow ${route.method} ${urlOf(route)}; it takes "${needs}" in the whole instance.`,
    })
  }
  const inside = createInside(context, coreRoutes, permit, isOff)

  /** Who administers, and may do what this route does. */
  async function admitted(request: FastifyRequest, route: CoreRoute | AdminRoute): Promise<SignedIn & AsCaller> {
    const needs = needsOf(route)
    if (needs === 'public') return { who: NOBODY }
    if (needs === 'caller' && !doorman.knows(request)) {
      const caller = await context.identity.ask(request.raw, context.gateway.snapshot)
      return { who: { name: `${caller.kind}:${caller.id}`, memberships: [] }, caller }
    }
    const signedIn = doorman.admit(request)
    permit(signedIn, route)
    return signedIn
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

  const callOf = async (
    request: FastifyRequest,
    reply: FastifyReply,
    route: CoreRoute | AdminRoute,
  ): Promise<CoreCall> => {
    const { who, session, caller } = await admitted(request, route)
    const { dry, ...query } = request.query as Record<string, string>
    const match = /^"?(\d+)"?$/.exec(request.headers['if-match'] ?? '')?.[1]
    const call: CoreCall = {
      actor: who.name,
      who,
      ...(session ? { session } : {}),
      ...(caller ? { caller } : {}),
      api: (method, path, body) => inside(call, method, path, body),
      modeOf: (module) => context.gateway.moduleState(module).mode,
      ready: () => context.ready(),
      models: () => modelFacts(context.gateway, caller, context.now()),
      request: { ip: request.ip, headers: request.headers, secure: request.protocol === 'https' },
      reply: (name, value) => void reply.header(name, value),
      redirect: (url) => void reply.code(302).header('location', url),
      dry: dry === '1' || dry === 'true',
      expected: match === undefined ? undefined : Number(match),
      params: request.params as Record<string, string>,
      query: route.query ? (parseStrict(route.query, query, 'query') as Record<string, unknown>) : query,
      body: 'signed' in route && route.signed ? request.body : bodyOf(request),
      header: (name) => {
        const value = request.headers[name]
        return typeof value === 'string' ? value : undefined
      },
    }
    return call
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

  /** Runs a call under what is known of how it came about, and tells of it if it is worth that or was refused. */
  async function performed(
    route: CoreRoute | AdminRoute,
    request: FastifyRequest,
    reply: FastifyReply,
    work: (call: CoreCall) => unknown,
  ): Promise<unknown> {
    const circumstances = circumstancesOf(request, reply)
    const tell = (actor: string, status: number, error?: string): void =>
      context.gateway.tell({
        ...circumstances,
        at: context.now(),
        actor,
        action: `${request.method} ${(request.url.split('?', 1)[0] ?? '').replace(/^\/(?:api\/)?/, '').slice(0, 500)}`,
        status,
        ...(error === undefined ? {} : { error }),
      })
    let actor = NOBODY.name
    try {
      const call = await callOf(request, reply, route)
      actor = call.actor
      const answer = await acting.run(circumstances, () => work(call))
      if (route.told || route.method !== 'GET') tell(actor, 200)
      return answer
    } catch (error) {
      const known = error instanceof GatewayError ? error : failure('internal_error')
      const { status } = known.kind
      if (route.told || route.method !== 'GET' || status === 401 || status === 403) tell(actor, status, known.code)
      throw error
    }
  }

  for (const route of coreRoutes) {
    app.route({
      method: route.method,
      url: `/api/${route.path}`,
      handler: async (request, reply) => {
        const answer = await performed(route, request, reply, (call) => route.handle(context, call))
        const version = route.row ? (answer as { version?: number }).version : context.gateway.snapshot.revision
        if (version !== undefined) reply.header('etag', `"${version}"`)
        return send(reply, answer)
      },
    })
  }

  for (const module of context.gateway.modules) {
    for (const route of module.admin ?? []) {
      app.route({
        method: route.method,
        url: urlOf(route),
        handler: async (request, reply) => {
          if (route.root && isOff(module.id)) return reply.callNotFound()
          const answer = await performed(route, request, reply, (call) => {
            if (isOff(module.id)) throw failure('module_disabled', { module: module.id })
            const body = route.body ? parseStrict(route.body, call.body) : call.body
            return route.handle(context.gateway.hostOf(module.id), { ...call, body })
          })
          return send(reply, answer)
        },
      })
    }
  }

  app.get('/api/openapi.json', async (request, reply) => {
    doorman.admit(request)
    return reply
      .type('application/json')
      .send(JSON.stringify(openApi(context.gateway.modules, coreRoutes, context.version)))
  })
}

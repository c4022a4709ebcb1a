/**
 * What a route may ask of the rest of the administration: other routes, called by the same actor without a socket in
 * between, and what there is to ask for by name.
 */
import { failure } from '../../core/errors.ts'
import type { Principal } from '../../core/exchange.ts'
import type { Gateway } from '../../core/gateway.ts'
import type { AdminCall, AdminRoute, ModelFacts, Module } from '../../core/module.ts'
import { parseStrict } from '../../core/settings.ts'
import type { AdminContext, CoreCall, CoreRoute } from './route.ts'

/** Throws unless the actor may do what the route does. */
export type Permit = (call: Pick<AdminCall, 'who'>, route: CoreRoute | AdminRoute) => void

interface Compiled {
  readonly method: string
  readonly pattern: RegExp
  readonly names: readonly string[]
  readonly route: CoreRoute | AdminRoute
  readonly module?: Module
}

export function createInside(
  context: AdminContext,
  core: readonly CoreRoute[],
  permit: Permit,
  isOff: (module: string) => boolean,
): (call: CoreCall, method: AdminRoute['method'], path: string, body?: unknown) => Promise<unknown> {
  const compile = (route: CoreRoute | AdminRoute, module?: Module): Compiled => {
    const names: string[] = []
    const pattern = route.path.replace(/:(\w+)|\*/g, (_, name: string | undefined) => {
      names.push(name ?? '*')
      return name === undefined ? '(.+)' : '([^/]+)'
    })
    return { method: route.method, pattern: new RegExp(`^${pattern}$`), names, route, ...(module ? { module } : {}) }
  }
  const routes = [
    ...core.map((route) => compile(route)),
    ...context.gateway.modules.flatMap((module) =>
      (module.admin ?? []).filter(({ root }) => !root).map((route) => compile(route, module)),
    ),
  ]
  return async (outer, method, path, body) => {
    const [place = '', asked = ''] = path.split('?', 2)
    for (const { pattern, names, route, module, ...one } of routes) {
      const found = one.method === method ? pattern.exec(place) : null
      if (!found) continue
      permit(outer, route)
      const query = Object.fromEntries(new URLSearchParams(asked))
      const call: CoreCall = {
        ...outer,
        dry: false,
        expected: undefined,
        params: Object.fromEntries(names.map((name, i) => [name, decodeURIComponent(found[i + 1] as string)])),
        query: route.query ? (parseStrict(route.query, query, 'query') as Record<string, unknown>) : query,
        body,
      }
      if (!module) return (route as CoreRoute).handle(context, call)
      if (isOff(module.id)) throw failure('module_disabled', { module: module.id })
      const told = (route as AdminRoute).body ? parseStrict((route as AdminRoute).body as never, body) : body
      return (route as AdminRoute).handle(context.gateway.hostOf(module.id), { ...call, body: told })
    }
    throw new Error(`there is no route ${method} ${place}`)
  }
}

/** Public names with their targets; to a caller, those that it may use. */
export function modelFacts({ snapshot }: Gateway, caller: Principal | undefined, at: number): readonly ModelFacts[] {
  const { names, prices, pipeline } = snapshot
  const aliases = pipeline.route.some(({ id }) => id === 'aliases')
  return names
    .list(aliases)
    .filter(({ id }) => caller?.mayAsk?.(id) ?? true)
    .map(({ id }) => {
      const plan = names.alias(id, 'exact') ?? names.resolve(id)
      const targets = plan.targets.filter(({ upstream }) => caller?.mayCall?.(upstream.id) ?? true)
      return {
        name: id,
        targets: targets.map((target) => {
          const price = prices.of(target, at, caller)
          const mostOutputTokens = prices.outputLimitOf(target.model)
          return {
            upstream: target.upstream.id,
            provider: target.upstream.provider.id,
            model: target.model,
            ...(price ? { price } : {}),
            ...(mostOutputTokens === undefined ? {} : { mostOutputTokens }),
          }
        }),
      }
    })
}

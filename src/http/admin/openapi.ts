/** The OpenAPI 3.1 description of the admin API, made from the route definitions. */
import type { AdminRoute, Module } from '../../core/module.ts'
import { type CoreRoute, urlOf } from './route.ts'

export function openApi(modules: readonly Module[], core: readonly CoreRoute[], version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  const add = (route: CoreRoute | AdminRoute, tag: string): void => {
    const names: string[] = []
    const path = urlOf(route).replace(/:(\w+)|\*/g, (_, name: string | undefined) => {
      names.push(name ?? 'name')
      return `{${name ?? 'name'}}`
    })
    const parameters = [
      ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      ...Object.entries(route.query?.properties ?? {}).map(([name, schema]) => ({ name, in: 'query', schema })),
    ]
    paths[path] = {
      ...paths[path],
      [route.method.toLowerCase()]: {
        tags: [tag],
        summary: route.summary,
        ...(route.needs === 'public' ? { security: [] } : {}),
        operationId: `${route.method.toLowerCase()} ${route.path}`.replace(
          /\W+(\w)?/g,
          (_, c: string | undefined) => c?.toUpperCase() ?? '',
        ),
        ...(parameters.length > 0 ? { parameters } : {}),
        ...(route.body
          ? {
              requestBody: {
                required: true,
                content: { 'application/json': { schema: route.body, example: route.example } },
              },
            }
          : {}),
        responses: {
          200: {
            description: 'What was asked for.',
            content: {
              'application/json': { schema: route.answer, ...(route.body ? {} : { example: route.example }) },
            },
          },
          default: {
            description: 'An error.',
            content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
          },
        },
      },
    }
  }
  for (const route of core) add(route, route.path.split('/', 1)[0] as string)
  for (const module of modules) for (const route of module.admin ?? []) add(route, module.id)
  return {
    openapi: '3.1.0',
    info: { title: 'Stockyard admin API', version, license: { name: 'Apache-2.0' } },
    security: [{ adminKey: [] }],
    paths,
    components: {
      securitySchemes: { adminKey: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Error: {
          type: 'object',
          required: ['error'],
          properties: {
            error: {
              type: 'object',
              required: ['code', 'message', 'details'],
              properties: { code: { type: 'string' }, message: { type: 'string' }, details: { type: 'object' } },
            },
          },
        },
      },
    },
  }
}

/** What watches a LiteLLM: whether it lives, and whether it can serve. */
import type { AdminRoute } from '../../core/module.ts'
import * as fields from './fields.ts'

const route = (path: string, summary: string, example: unknown, handle: AdminRoute['handle']): AdminRoute => ({
  method: 'GET',
  path,
  root: true,
  needs: 'public',
  summary,
  answer: fields.Answer,
  example: example as object,
  handle,
})
const ALIVE = "I'm alive!"

export const healthRoutes: readonly AdminRoute[] = [
  ...['health/liveliness', 'health/liveness'].map((path) => route(path, 'It lives.', ALIVE, () => ALIVE)),
  route(
    'health/readiness',
    'Whether requests can be served; 503 if not.',
    { status: 'healthy', db: 'connected' },
    (_, call) => {
      call.ready()
      return { status: 'healthy', db: 'connected', cache: null }
    },
  ),
]

/** `POST /api/explain`: makes an exchange of a request that nobody sent, and says what would become of it. */
import type { IncomingMessage } from 'node:http'
import { failure, type Refusal } from '../core/errors.ts'
import type { Principal } from '../core/exchange.ts'
import { explain } from '../core/explain.ts'
import type { Awaitable } from '../core/module.ts'
import { Arrival } from './arrival.ts'
import type { DataPlaneParts } from './data-plane.ts'
import { addressOf, ENDPOINTS, MODEL_PATHS } from './endpoints.ts'
import { check, readJson } from './receive.ts'

export interface Asked {
  readonly path?: string
  readonly body: object
  readonly headers?: Readonly<Record<string, string>>
  /** As if it had been sent with this key. */
  readonly key?: string
}

const ADMINISTRATOR: Principal = { kind: 'local', id: 'local', scope: 'local' }

export function createExplain(parts: DataPlaneParts) {
  return async ({ path = '/v1/chat/completions', body, headers = {}, key }: Asked): Promise<object> => {
    const { gateway, ports, identity } = parts
    const { dialect: id, address } = placeOf(path)
    const dialect = ports.dialects.get(id)
    if (!dialect?.client) throw failure('not_found', { what: `path ${path.slice(0, 200)}` })
    const bytes = Buffer.from(JSON.stringify(body))
    const received = readJson(bytes, address)
    check(received, Object.entries(dialect.client.fields))
    const named = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
    if (key !== undefined) named.authorization = `Bearer ${key}`
    const { snapshot } = gateway
    const leave = snapshot.enter()
    try {
      const request = {
        url: path,
        headers: named,
        socket: { remoteAddress: '127.0.0.1' },
      } as unknown as IncomingMessage
      const { signal } = new AbortController()
      const x = new Arrival({
        id: parts.nextId(),
        arrivedAt: ports.now(),
        request,
        peer: '127.0.0.1',
        dialect,
        snapshot,
        signal,
      })
      x.received(received, undefined)
      // Without a key it is the administrator on this machine who asks.
      const identify = (doubt: Refusal | undefined): Awaitable<Principal> =>
        key === undefined && !doubt ? ADMINISTRATOR : identity.identify(request, doubt)
      return await explain(x, identify, snapshot, ports)
    } finally {
      leave()
    }
  }
}

function placeOf(path: string) {
  const url = new URL(path, 'http://gateway')
  const endpoint = ENDPOINTS.find((each) => each.path === url.pathname)
  if (endpoint) return { dialect: endpoint.dialect, address: undefined }
  for (const { path: pattern, prefix } of MODEL_PATHS) {
    const start = pattern.slice(0, -1)
    if (!url.pathname.startsWith(start)) continue
    const rest = decodeURIComponent(url.pathname.slice(start.length))
    const { address } = addressOf(prefix + rest, Object.fromEntries(url.searchParams))
    return { dialect: 'gemini-generate', address }
  }
  throw failure('not_found', { what: `path ${path.slice(0, 200)}` })
}

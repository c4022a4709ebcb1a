/**
 * Calls that the gateway makes at an upstream for itself: a look at it, a count, the results of a job, what a module asks. They
 * are signed as the calls of exchanges are, and go by the same way.
 */
import type { Egress, IncomingReply, OutgoingCall } from './egress.ts'
import type { Upstream } from './exchange.ts'
import { authorized } from './provider.ts'

export interface OwnCall extends Pick<OutgoingCall, 'timeouts' | 'signal'> {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** Behind the base URL. */
  readonly path: string
  /** The provider's and the upstream's own stand over these. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: readonly Buffer[]
  /** The credential that is used. */
  readonly secret: string | undefined
  /** Whose call it is to errors and connections; the upstream's unless told. */
  readonly as?: string
}

export async function callUpstream(egress: Egress, upstream: Upstream, call: OwnCall): Promise<IncomingReply> {
  const { id, provider, signer, baseUrl, allowHosts, way } = upstream
  const { method, path, body = [], secret, timeouts, signal, as = id } = call
  const url = baseUrl + path
  const headers: Record<string, string> = { ...call.headers, ...provider.headers, ...upstream.headers }
  if (signer) Object.assign(headers, (await signer.sign({ method, url, headers, body }, secret)).headers)
  else if (secret !== undefined) Object.assign(headers, authorized(provider.sign, secret))
  return egress.send({
    upstream: as,
    method,
    url,
    headers,
    ...(body.length === 0 ? {} : { body }),
    streamed: false,
    timeouts,
    signal,
    ...(allowHosts === undefined ? {} : { allowHosts }),
    ...(way === undefined ? {} : { way }),
  })
}

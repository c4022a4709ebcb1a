/** A call of a module's own: to an address that an administrator set, or to a configured upstream, with its credential. */
import type { Egress } from './egress.ts'
import { TIMEOUTS, type Upstream } from './exchange.ts'
import type { ModuleAnswer, ModuleCall } from './module.ts'
import { authorized } from './provider.ts'

export async function callOut(
  egress: Egress,
  module: string,
  call: ModuleCall,
  upstreamOf: (id: string) => Upstream | undefined,
): Promise<ModuleAnswer> {
  const { timeoutMs, maxAnswerBytes, method = 'POST', upstream: id } = call
  let { url, headers } = call
  let allowHosts: readonly string[] | undefined
  if (id !== undefined) {
    const upstream = upstreamOf(id)
    if (!upstream) throw new Error(`there is no upstream "${id}"`)
    url = upstream.baseUrl + url
    allowHosts = upstream.allowHosts
    headers = await signedFor(upstream, { ...call, method, url })
  }
  const late = AbortSignal.timeout(timeoutMs)
  const answer = await egress.send({
    upstream: `module:${module}`,
    method,
    url,
    headers,
    body: call.body,
    streamed: false,
    timeouts: { ...TIMEOUTS, headersUnstreamedMs: timeoutMs, totalMs: timeoutMs },
    signal: call.signal ? AbortSignal.any([call.signal, late]) : late,
    ...(allowHosts === undefined ? {} : { allowHosts }),
  })
  return { status: answer.status, headers: answer.headers, body: await answer.collect(maxAnswerBytes) }
}

async function signedFor(
  { provider, credentials, signer, headers: own }: Upstream,
  { method, url, headers, body }: ModuleCall & Required<Pick<ModuleCall, 'method'>>,
): Promise<Readonly<Record<string, string>>> {
  const secret = credentials[0]?.secret
  const set = { ...headers, ...provider.headers, ...own }
  if (signer) return { ...set, ...(await signer.sign({ method, url, headers: set, body: [body] }, secret)).headers }
  return secret === undefined ? set : { ...set, ...authorized(provider.sign, secret) }
}

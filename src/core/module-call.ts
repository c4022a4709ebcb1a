/** A call of a module's own: to an address that an administrator set, or to a configured upstream, with its credential. */
import type { Egress } from './egress.ts'
import { TIMEOUTS, type Upstream } from './exchange.ts'
import type { ModuleAnswer, ModuleCall } from './module.ts'
import { callUpstream } from './own-call.ts'

export async function callOut(
  egress: Egress,
  module: string,
  call: ModuleCall,
  upstreamOf: (id: string) => Upstream | undefined,
): Promise<ModuleAnswer> {
  const { timeoutMs, maxAnswerBytes, method = 'POST', url, headers, body, upstream: id } = call
  const as = `module:${module}`
  const late = AbortSignal.timeout(timeoutMs)
  const bounds = {
    timeouts: { ...TIMEOUTS, headersUnstreamedMs: timeoutMs, totalMs: timeoutMs },
    signal: call.signal ? AbortSignal.any([call.signal, late]) : late,
  }
  const upstream = id === undefined ? undefined : upstreamOf(id)
  if (id !== undefined && !upstream) throw new Error(`there is no upstream "${id}"`)
  const secret = upstream?.credentials[0]?.secret
  const answer = upstream
    ? await callUpstream(egress, upstream, { method, path: url, headers, body: [body], secret, as, ...bounds })
    : await egress.send({ upstream: as, method, url, headers, body, streamed: false, ...bounds })
  return { status: answer.status, headers: answer.headers, body: await answer.collect(maxAnswerBytes) }
}

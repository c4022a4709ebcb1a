/** How much is left of the gateway's own limits, in the headers that clients pace themselves by. */
import type { ClientSide } from '../core/dialect.ts'
import type { Allowance, Exchange, Left } from '../core/exchange.ts'

/**
 * Adds what modules have to say to the headers of an answer. Where our own limits are told, the upstream's keep their
 * names no longer: a client must not pace itself by an account it shares with others.
 */
export function addModuleHeaders(headers: Record<string, string>, x: Exchange, client: ClientSide, now: number): void {
  if (x.answerHeaders) Object.assign(headers, x.answerHeaders)
  if (!x.allowance) return
  for (const name of Object.keys(headers)) {
    if (!/^[a-z]+-ratelimit-/.test(name)) continue
    headers[`x-upstream-${name.replace(/^x-/, '')}`] = headers[name] as string
    delete headers[name]
  }
  Object.assign(headers, client.allowanceHeaders?.(x.allowance, now) ?? usualHeaders(x.allowance))
}

const KINDS = [
  ['requests', 'requests'],
  ['tokens', 'tokens'],
  ['inputTokens', 'input-tokens'],
  ['outputTokens', 'output-tokens'],
] as const

function usualHeaders(allowance: Allowance): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [kind, name] of KINDS) {
    const left: Left | undefined = allowance[kind]
    if (!left) continue
    headers[`x-ratelimit-limit-${name}`] = String(left.limit)
    headers[`x-ratelimit-remaining-${name}`] = String(left.remaining)
    headers[`x-ratelimit-reset-${name}`] = durationOf(left.resetMs)
  }
  return headers
}

/** `6m0s`, `1.2s`, `20ms`, as the client libraries read it. */
export function durationOf(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)}ms`
  const seconds = Math.ceil(ms / 100) / 10
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60)]
  const rest = `${Number((seconds % 60).toFixed(1))}s`
  return hours > 0 ? `${hours}h${minutes}m${rest}` : minutes > 0 ? `${minutes}m${rest}` : rest
}

/** What is left of the limits, as this API tells it: reset is the time at which all of it is there again. */
import type { Allowance } from '../../core/exchange.ts'

const KINDS = [
  ['requests', 'requests'],
  ['tokens', 'tokens'],
  ['inputTokens', 'input-tokens'],
  ['outputTokens', 'output-tokens'],
] as const

export function allowanceHeaders(allowance: Allowance, now: number): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [kind, name] of KINDS) {
    const left = allowance[kind]
    if (!left) continue
    headers[`anthropic-ratelimit-${name}-limit`] = String(left.limit)
    headers[`anthropic-ratelimit-${name}-remaining`] = String(left.remaining)
    headers[`anthropic-ratelimit-${name}-reset`] = `${new Date(now + left.resetMs).toISOString().slice(0, 19)}Z`
  }
  return headers
}

/** How long a client is willing to wait, in the headers its users know. It can only shorten what the route allows. */
import { badRequest } from '../errors.ts'
import type { Exchange } from '../exchange.ts'

const HEADERS = [
  ['x-stockyard-timeout-ms', 1],
  ['x-portkey-request-timeout', 1],
  ['cf-aig-request-timeout', 1],
  ['x-litellm-timeout', 1_000],
] as const

/** Milliseconds; undefined for nearly every request. */
export function clientTimeoutMs({ headers }: Exchange): number | undefined {
  for (const [name, unit] of HEADERS) {
    const text = headers[name]
    if (text === undefined) continue
    if (!/^\d{1,9}(\.\d{1,6})?$/.test(text) || Number(text) === 0) {
      throw badRequest(`The header "${name}" must be a positive number of ${unit === 1 ? 'milli' : ''}seconds.`, name)
    }
    return Math.max(1, Math.round(Number(text) * unit))
  }
  return undefined
}

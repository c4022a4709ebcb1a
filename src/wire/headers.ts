/**
 * Which headers pass, in either direction, and how long an upstream asks to wait. Both ways are allow-lists; on top
 * stands a short list of names that never pass, whatever a provider's own allow-list says.
 */
import { badRequest } from '../core/errors.ts'

/** What any upstream may see of a client's request. Vendor betas come by the provider's own list. */
const TO_UPSTREAM: readonly string[] = ['accept', 'content-type', 'idempotency-key', 'traceparent', 'tracestate']

/** Credentials, cookies, accounts, forwarding, and everything that belongs to one connection. */
const NEVER_TO_UPSTREAM: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'x-amz-security-token',
  'cookie',
  'openai-organization',
  'openai-project',
  'forwarded',
  'via',
  'x-real-ip',
  'true-client-ip',
  'host',
  'user-agent',
  'origin',
  'referer',
  'accept-encoding',
  'content-encoding',
  'content-length',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
])
const NEVER_TO_UPSTREAM_PREFIXES = ['x-forwarded-', 'cf-', 'x-stockyard-', 'sec-', 'proxy-'] as const

/** Printable Latin-1 and tab: what a header may carry without meaning something else to the next reader. */
const SAFE_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

const isNeverSent = (name: string): boolean =>
  NEVER_TO_UPSTREAM.has(name) || NEVER_TO_UPSTREAM_PREFIXES.some((prefix) => name.startsWith(prefix))

/** Allow-lists by their own identity: a provider's list is one array for as long as its definition lives. */
const LISTS = new WeakMap<readonly string[], readonly string[]>()

function namesFor(allow: readonly string[]): readonly string[] {
  let names = LISTS.get(allow)
  if (names === undefined) {
    const wanted = [...TO_UPSTREAM, ...allow.map((name) => name.toLowerCase())]
    names = [...new Set(wanted)].filter((name) => !isNeverSent(name))
    LISTS.set(allow, names)
  }
  return names
}

/** The client's headers that may go upstream; names in lower case. Throws `invalid_request` for an unsafe value. */
export function upstreamHeaders(
  client: Readonly<Record<string, string | undefined>>,
  allow: readonly string[],
): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of namesFor(allow)) {
    const value = client[name]
    if (typeof value !== 'string') continue
    if (!SAFE_VALUE.test(value)) throw badRequest(`The header "${name}" has characters that no header may carry.`, name)
    headers[name] = value
  }
  return headers
}

const TO_CLIENT: ReadonlySet<string> = new Set([
  'retry-after',
  'retry-after-ms',
  'x-ms-retry-after-ms',
  'request-id',
  'x-request-id',
  'openai-processing-ms',
  'openai-version',
])
const TO_CLIENT_PREFIXES = ['x-ratelimit-', 'anthropic-'] as const
/** Under an allowed prefix, but nobody's business: it names the account that pays. */
const NEVER_TO_CLIENT: ReadonlySet<string> = new Set(['anthropic-organization-id'])

/** The upstream's headers that may go to the client; an unsafe value is left out. Names must be in lower case. */
export function clientHeaders(upstream: Readonly<Record<string, string>>): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of Object.keys(upstream)) {
    const passes = TO_CLIENT.has(name) || TO_CLIENT_PREFIXES.some((prefix) => name.startsWith(prefix))
    if (!passes || NEVER_TO_CLIENT.has(name)) continue
    const value = upstream[name]
    if (value !== undefined && SAFE_VALUE.test(value)) headers[name] = value
  }
  return headers
}

/**
 * How long the upstream asks to wait, in milliseconds; undefined if it does not say, or says nonsense.
 * `now` is milliseconds since 1970; a date in the past is 0.
 */
export function retryAfterMs(headers: Readonly<Record<string, string>>, now: number): number | undefined {
  const exact = number(headers['retry-after-ms']) ?? number(headers['x-ms-retry-after-ms'])
  if (exact !== undefined) return Math.ceil(exact)
  const value = headers['retry-after']
  if (value === undefined) return undefined
  const seconds = number(value)
  if (seconds !== undefined) return Math.ceil(seconds * 1000)
  // Only dates as HTTP writes them (all three forms start with a weekday): Date.parse takes far too much for one.
  const at = /^(?:mon|tue|wed|thu|fri|sat|sun)/i.test(value.trim()) ? Date.parse(value) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}

/** A plain, non-negative decimal. What is above 10^10 is for ever, and as good as that. */
function number(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*\d{1,40}(?:\.\d{1,9})?\s*$/.test(text) ? Math.min(Number(text), 1e10) : undefined
}

/**
 * What an answer's own headers say about the rate limit of the key that was used: when nothing is left, the key rests
 * until the next request fits, instead of finding out by a 429. Vendors name the moment when all of it is there again.
 */

/** The headers of one kind of limit, in the two ways in which vendors write them. */
const LIMITS = ['requests', 'tokens', 'input-tokens', 'output-tokens'].flatMap((kind) => [
  {
    kind,
    remaining: `x-ratelimit-remaining-${kind}`,
    limit: `x-ratelimit-limit-${kind}`,
    reset: `x-ratelimit-reset-${kind}`,
  },
  {
    kind,
    remaining: `anthropic-ratelimit-${kind}-remaining`,
    limit: `anthropic-ratelimit-${kind}-limit`,
    reset: `anthropic-ratelimit-${kind}-reset`,
  },
])
/** Where the size of the limit is not said, all of its time would be far too much. */
const UNKNOWN_MS = 1_000

/** How long the key should rest, in milliseconds; undefined while something is left, or nothing is said. */
export function restMs(headers: Readonly<Record<string, string>>, now: number, tokens: number): number | undefined {
  let longest: number | undefined
  for (const names of LIMITS) {
    if (headers[names.remaining] !== '0') continue
    const resetMs = durationMs(headers[names.reset], now)
    if (resetMs === undefined) continue
    const limit = Number(headers[names.limit])
    const needed = names.kind === 'requests' ? 1 : tokens
    const ms = limit > 0 ? resetMs * Math.min(1, needed / limit) : Math.min(resetMs, UNKNOWN_MS)
    if (longest === undefined || ms > longest) longest = ms
  }
  return longest
}

/** `6m0s`, `120ms`, `1.5s`, plain seconds, or a moment. */
function durationMs(text: string | undefined, now: number): number | undefined {
  if (text === undefined || text.length > 40) return undefined
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1_000
  const parts = /^(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$/.exec(text)
  if (parts && text !== '') {
    const [, h = '0', m = '0', s = '0', ms = '0'] = parts
    return Number(h) * 3_600_000 + Number(m) * 60_000 + Number(s) * 1_000 + Number(ms)
  }
  const at = /^\d{4}-\d{2}-\d{2}T/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}

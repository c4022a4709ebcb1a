/** Rules that point at places in a text: denied patterns and words, and secrets. */
import { RE2JS } from 're2js'
import { SECRET_SHAPES } from '../../core/secret-shapes.ts'
import type { Rule } from './settings.ts'

export interface Span {
  readonly start: number
  readonly end: number
}
export type FindSpans = (text: string) => Span[]

/** From this size on patterns run on the module's worker thread. */
export const LONG_TEXT = 8_192

/** Where patterns match; throws if the engine does not take one. Linear whatever they say. */
export function patternFinder(patterns: readonly string[]): FindSpans {
  const compiled = patterns.map((pattern) => RE2JS.compile(pattern))
  return (text) => {
    const spans: Span[] = []
    for (const pattern of compiled) {
      const matcher = pattern.matcher(text)
      while (matcher.find())
        if (matcher.end() > matcher.start()) spans.push({ start: matcher.start(), end: matcher.end() })
    }
    return ordered(spans)
  }
}

/** Whole words in any case; what stands between their parts is any space. */
export function wordFinder(words: readonly string[]): FindSpans {
  const alternatives = words.map((word) =>
    word
      .trim()
      .replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
      .replace(/\s+/g, '\\s{1,4}'),
  )
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${alternatives.join('|')})(?![\\p{L}\\p{N}])`, 'giu')
  return (text) =>
    [...text.matchAll(pattern)].map(({ index, 0: found }) => ({ start: index, end: index + found.length }))
}

const secrets: FindSpans = (text) => {
  const spans: Span[] = []
  for (const { needs, pattern, check, goesOn } of SECRET_SHAPES) {
    if (!(typeof needs === 'string' ? text.includes(needs) : needs.test(text))) continue
    for (const match of text.matchAll(pattern)) {
      const found = match.findLast((group, i) => i > 0 && group !== undefined) ?? match[0]
      const end = match.index + match[0].length
      if (check && !check(found)) continue
      const more = goesOn?.exec(text.slice(end))?.[0].length ?? 0
      spans.push({ start: end - found.length, end: end + more })
    }
  }
  return ordered(spans)
}

const ADDRESS = /(?:https?|ftp|wss?):\/\/[^\s"'<>`()[\]{}|\\^]{1,2048}/gi

/** Addresses of hosts that are not allowed. What nobody can read as an address is not allowed either. */
function addressFinder(hosts: readonly string[]): FindSpans {
  const exact = new Set(hosts.filter((host) => !host.startsWith('*.')).map((host) => host.toLowerCase()))
  const below = hosts.filter((host) => host.startsWith('*.')).map((host) => host.slice(1).toLowerCase())
  const allowed = (address: string): boolean => {
    if (!URL.canParse(address)) return false
    const { hostname } = new URL(address)
    return exact.has(hostname) || below.some((end) => hostname.endsWith(end))
  }
  return (text) =>
    [...text.matchAll(ADDRESS)]
      .filter(({ 0: found }) => !allowed(found))
      .map(({ index, 0: found }) => ({ start: index, end: index + found.length }))
}

/** Text that people do not see and models read: tag characters, direction overrides, and runs of zero-width characters. */
const INVISIBLE =
  /[\u{e0000}-\u{e007f}]+|[\u202a-\u202e\u2066-\u2069]+|(?:[\u200b\u200c\u2060-\u2064\ufeff\u00ad]){3,}/gu
const invisible: FindSpans = (text) =>
  [...text.matchAll(INVISIBLE)].map(({ index, 0: found }) => ({ start: index, end: index + found.length }))

/** Undefined for a rule that judges a text as a whole. */
export function findsOf(rule: Rule): FindSpans | undefined {
  switch (rule.type) {
    case 'regex':
      return rule.require ? undefined : patternFinder(rule.patterns)
    case 'words':
      return rule.require ? undefined : wordFinder(rule.words)
    case 'secrets':
      return secrets
    case 'urls':
      return addressFinder(rule.hosts)
    case 'invisible':
      return invisible
    default:
      return undefined
  }
}

/** By place, without overlaps. */
function ordered(spans: readonly Span[]): Span[] {
  const out: Span[] = []
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const last = out.at(-1)
    if (!last || span.start >= last.end) out.push(span)
  }
  return out
}

export const REDACTED = '[REDACTED]'

export function redacted(text: string, spans: readonly Span[]): string {
  let out = ''
  let at = 0
  for (const { start, end } of spans) {
    out += text.slice(at, start) + REDACTED
    at = end
  }
  return out + text.slice(at)
}

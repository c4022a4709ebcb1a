// What the scripted provider says, before any dialect dresses it: text derived from the last message, tool calls
// spelt out in it, an object for a schema, and how many tokens that is. No randomness, no clock.

import { createHash } from 'node:crypto'
import type { Behaviour } from './behaviour.ts'
import { type Doc, doc, list, literal, str } from './json.ts'
import type { Event } from './wire.ts'

export const CREATED = 1_750_000_000
/** Stands in a text for bytes that are not UTF-8; the wire puts them there. */
export const BAD_UTF8 = '\uE000'
/** Stands in a text for a filling too large to build; the wire writes it piece by piece. */
export const FILL = '\uE001'

/** One request as a dialect hands it over. */
export type Call = {
  id: string
  /** The model the reply names. */
  model: string
  operation: string
  document: Doc
  headers: Record<string, string>
  stream: boolean
  sse: boolean
  b: Behaviour
  /** Prompt prefixes seen so far: what has been marked for caching is read from the cache the second time. */
  seenPrefixes: Set<string>
}

/** What a dialect answers with. */
export type Answer = {
  framing: 'sse' | 'array' | 'body'
  /** Of a stream whose events are bytes already. */
  contentType?: string
  events: Iterable<Event>
  usage: Usage
}

/** A request that the real provider would refuse. */
export class Refusal extends Error {
  status: number
  code: string | undefined
  constructor(status: number, message: string, code?: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** How a dialect spells an error; `undefined` parts take the usual value for the status. */
export type ErrorParts = { message: string; code?: string; type?: string; retryAfter?: string; requestId: string }

export type Dialect = {
  answer(call: Call): Answer
  error(status: number, parts: ErrorParts): Doc
  errorEvent(status: number, parts: ErrorParts, call: Call): Event
  headers(id: string): Record<string, string>
}

// --- tokens ---------------------------------------------------------------------------------------------------

/** One token per four characters, rounded up. */
export const tokensIn = (characters: number): number => Math.ceil(characters / 4)

/** A picture, a file, a sound: ten tokens, whatever it holds. */
export const NON_TEXT = 40

export type Usage = {
  input: number
  output: number
  cacheRead: number
  cacheWrite: number
  reasoning: number
  /** Output tokens by the text alone, which is what single events are counted in. */
  counted: number
  /** As reported: a number, or something hostile. */
  said: { input: unknown; output: unknown; total: unknown; other: (count: number) => unknown }
}

export function usageOf(
  b: Behaviour,
  input: number,
  output: number,
  extra: { cacheRead?: number; cacheWrite?: number; reasoning?: number } = {},
): Usage {
  const claim = (claimed: string | undefined, truth: number) =>
    claimed !== undefined && /^\d{1,15}$/.test(claimed) ? Number(claimed) : truth
  const claimedInput = claim(b['usage-input'], input)
  const claimedOutput = claim(b['usage-output'], output)
  const huge = b['usage-huge'] === undefined ? undefined : literal(b['usage-huge'])
  const shown = (claimed: string | undefined, count: number) =>
    huge ?? (claimed === undefined || /^\d{1,15}$/.test(claimed) ? count : literal(claimed))
  return {
    input: claimedInput,
    output: claimedOutput,
    cacheRead: Math.min(b.cached ?? extra.cacheRead ?? 0, claimedInput),
    cacheWrite: extra.cacheWrite ?? 0,
    reasoning: extra.reasoning ?? 0,
    counted: output,
    said: {
      input: shown(b['usage-input'], claimedInput),
      output: shown(b['usage-output'], claimedOutput),
      total: huge ?? claimedInput + claimedOutput,
      other: (count) => huge ?? count,
    },
  }
}

/** Counts the tokens of a text that comes in pieces, so that the pieces add up to the whole. */
export function meter(): (characters: number) => number {
  let seen = 0
  return (characters) => {
    const before = tokensIn(seen)
    seen += characters
    return tokensIn(seen) - before
  }
}

// --- what is said ---------------------------------------------------------------------------------------------

export type Asked = {
  /** The text of the last message. */
  last: string
  tools: { name: string; schema: unknown }[]
  choice: 'auto' | 'none' | 'required' | { name: string }
  parallel: boolean
  /** A JSON schema, or `true` for any JSON object. */
  schema?: unknown
  maxTokens: number | undefined
  stop: string[]
  reasoning: boolean
}

export type Said = {
  text: string
  reasoning: string
  calls: { name: string; args: string }[]
  finish: string
  stopSequence: string | undefined
  tokens: number
  reasoningTokens: number
}

const REASONING = 'thinking about: '
const PROSE = 'The quick brown fox jumps over the lazy dog. '

/** `index` is the choice's number where several are asked for: later ones say so, so that they can be told apart. */
export function say(asked: Asked, b: Behaviour, index = 0): Said {
  const calls = callsFor(asked)
  const dictated = b.text !== undefined || b.size !== undefined || b.chunks !== undefined
  let text = b.text ?? (b.size === undefined ? saidText(asked, calls.length > 0) : proseOf(b.size))
  if (index > 0 && calls.length === 0 && asked.schema === undefined) text += ` (${index + 1})`
  if (b.chunks && text.length < b.chunks) text = `${text === '' ? PROSE : `${text} `}`.repeat(b.chunks)
  if (b['split-utf8']) text = `é漢😀 ${text}`
  if (b['bad-utf8']) text = `${BAD_UTF8} ${text}`

  let finish = calls.length > 0 ? 'tool_calls' : 'stop'
  let stopSequence: string | undefined
  for (const stop of asked.stop) {
    const at = stop === '' ? -1 : text.indexOf(stop)
    if (at >= 0) [text, stopSequence] = [text.slice(0, at), stop]
  }
  // A text that was asked for by behaviour is not cut: Anthropic's requests always carry a limit.
  if (!dictated && asked.maxTokens !== undefined && tokensIn(text.length) > asked.maxTokens) {
    text = text.slice(0, asked.maxTokens * 4)
    finish = 'length'
    stopSequence = undefined
  }
  const fill = fillOf(b)
  if (fill !== undefined) text = FILL

  const reasoning = b.reasoning ?? (asked.reasoning ? `${REASONING}${asked.last}` : '')
  const reasoningTokens = tokensIn(reasoning.length)
  const spoken = fill === undefined ? text.length : Number.isFinite(fill) ? fill : 0
  const argued = calls.reduce((sum, call) => sum + call.args.length, 0)
  return {
    text,
    reasoning,
    calls,
    finish: b.finish ?? finish,
    stopSequence,
    tokens: tokensIn(spoken + argued) + reasoningTokens,
    reasoningTokens,
  }
}

/** The size of a text that is not built here but filled in by the wire. */
export function fillOf(b: Behaviour): number | undefined {
  return b['oversized-line'] ?? b['gzip-bomb']
}

function saidText(asked: Asked, calling: boolean): string {
  if (calling) return ''
  if (asked.schema === true) return JSON.stringify({ echo: asked.last })
  if (asked.schema !== undefined) return JSON.stringify(sampleOf(asked.schema, asked.schema))
  return `echo: ${asked.last}`
}

const proseOf = (bytes: number): string => PROSE.repeat(Math.ceil(bytes / PROSE.length)).slice(0, bytes)

/** The text in deltas, and whatever an endless one adds. */
export function* piecesOf(text: string, b: Behaviour): Iterable<string> {
  yield* finitePieces(text, b)
  if (b.endless) for (let n = 1; ; n++) yield ` and on ${n}`
}

/** Words by default, so that a reader sees several deltas; a long text in larger pieces. */
export function* finitePieces(text: string, b: Behaviour): Iterable<string> {
  if (text === FILL) yield text
  else if (b.chunks) {
    const points = Array.from(text)
    for (let i = 0; i < b.chunks; i++) {
      const [from, to] = [i, i + 1].map((n) => Math.floor((n * points.length) / (b.chunks as number)))
      yield points.slice(from, to).join('')
    }
  } else if (text.length <= 4096) yield* text.match(/\s*\S+|\s+$/gu) ?? []
  else {
    for (let at = 0; at < text.length; ) {
      let end = at + 256
      const unit = text.charCodeAt(end - 1)
      if (unit >= 0xd800 && unit < 0xdc00) end++
      yield text.slice(at, end)
      at = end
    }
  }
}

/** The text of an unstreamed reply; one without end is for the wire to go on with. */
export const wholeText = (said: Said, b: Behaviour): string =>
  b.endless && said.text !== FILL ? said.text + FILL : said.text

/** Arguments arrive in pieces that respect nothing, least of all the JSON. */
export function* argumentPieces(args: string): Iterable<string> {
  for (let at = 0; at < args.length; at += 7) yield args.slice(at, at + 7)
}

/** `call:name{"a":1}` in the last message, once per call. */
function callsFor(asked: Asked): { name: string; args: string }[] {
  if (asked.choice === 'none' || asked.tools.length === 0) return []
  const calls: { name: string; args: string }[] = []
  const spelling = /call:([\w.-]+)/g
  for (let match = spelling.exec(asked.last); match; match = spelling.exec(asked.last)) {
    const name = match[1] as string
    if (!asked.tools.some((tool) => tool.name === name)) continue
    const args = objectAt(asked.last, spelling.lastIndex)
    calls.push({ name, args: args ?? '{}' })
    spelling.lastIndex += args?.length ?? 0
  }
  if (calls.length === 0 && asked.choice !== 'auto') {
    const wanted = asked.choice === 'required' ? asked.tools[0]?.name : asked.choice.name
    const tool = asked.tools.find((tool) => tool.name === wanted)
    if (tool) calls.push({ name: tool.name, args: JSON.stringify(sampleOf(tool.schema, tool.schema) ?? {}) })
  }
  return asked.parallel ? calls : calls.slice(0, 1)
}

function objectAt(text: string, start: number): string | undefined {
  if (text[start] !== '{') return undefined
  let depth = 0
  let quoted = false
  for (let at = start; at < text.length; at++) {
    const c = text[at]
    if (quoted) {
      if (c === '\\') at++
      else if (c === '"') quoted = false
    } else if (c === '"') quoted = true
    else if (c === '{') depth++
    else if (c === '}' && --depth === 0) {
      const found = text.slice(start, at + 1)
      try {
        JSON.parse(found)
        return found
      } catch {
        return undefined
      }
    }
  }
  return undefined
}

/** The smallest honest instance of a simple schema: enough for structured-output tests, no validator. */
export function sampleOf(schema: unknown, root: unknown, depth = 0): unknown {
  const s = doc(schema)
  if (depth > 20) return null
  if ('const' in s) return s.const
  if (Array.isArray(s.enum)) return s.enum[0]
  if ('default' in s) return s.default
  if (typeof s.$ref === 'string') {
    let at: unknown = root
    for (const step of s.$ref.split('/').slice(1)) at = doc(at)[step.replaceAll('~1', '/').replaceAll('~0', '~')]
    return sampleOf(at, root, depth + 1)
  }
  for (const key of ['anyOf', 'oneOf']) {
    if (Array.isArray(s[key])) return sampleOf(list(s[key])[0], root, depth + 1)
  }
  if (Array.isArray(s.allOf)) {
    return sampleOf(Object.assign({}, s, { allOf: undefined }, ...s.allOf.map(doc)), root, depth + 1)
  }
  const type = str(Array.isArray(s.type) ? s.type[0] : s.type).toLowerCase()
  if (type === 'object' || (type === '' && s.properties !== undefined)) {
    return Object.fromEntries(
      Object.entries(doc(s.properties)).map(([name, property]) => [name, sampleOf(property, root, depth + 1)]),
    )
  }
  if (type === 'array') {
    const count = Math.min(Math.max(Number(s.minItems ?? 1), 0), 100)
    return Array.from({ length: count }, () => sampleOf(s.items, root, depth + 1))
  }
  if (type === 'integer' || type === 'number') {
    const least = Number(s.minimum ?? (s.exclusiveMinimum === undefined ? 1 : Number(s.exclusiveMinimum) + 1))
    return s.maximum === undefined ? least : Math.min(least, Number(s.maximum))
  }
  if (type === 'boolean') return true
  if (type === 'string') {
    const dated = { date: '2025-06-15', 'date-time': '2025-06-15T15:06:40Z', email: 'mock@example.com' }[str(s.format)]
    return (
      dated ?? 'mock'.padEnd(Math.min(Number(s.minLength ?? 0), 10_000), 'k').slice(0, Number(s.maxLength ?? 10_000))
    )
  }
  return null
}

// --- vectors, signatures --------------------------------------------------------------------------------------

/** A unit vector that depends on the text alone. Rounded to 32 bits, so that both encodings hold the same numbers. */
export function vectorOf(text: string, dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions)
  let seed = createHash('sha256').update(text).digest().readUInt32LE(0) || 1
  let sum = 0
  for (let i = 0; i < dimensions; i++) {
    seed ^= seed << 13
    seed ^= seed >>> 17
    seed ^= seed << 5
    const value = (seed | 0) / 2 ** 31
    vector[i] = value
    sum += value * value
  }
  const length = Math.sqrt(sum) || 1
  return vector.map((value) => value / length)
}

/** What only one account can read: opaque, and it says whose it is. */
export const sealFor = (account: string, text: string): string => signatureOf(text) + sealOf(account)
export const isSealedFor = (account: string, seal: string): boolean => seal.endsWith(sealOf(account))
const sealOf = (account: string): string => `.${signatureOf(account).slice(0, 8)}`

/** What a provider signs its reasoning with: opaque, and different for another text. */
export const signatureOf = (text: string): string => createHash('sha256').update(`signed ${text}`).digest('base64')

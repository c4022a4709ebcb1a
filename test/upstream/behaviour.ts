// What a reply can be told to do wrong (or slowly, or at length), and how a request says so.
// One table: parsing, types, `describeBehaviours()` and the README's table all come from it.

type Kind = 'number' | 'text' | 'flag'
type Spec = { kind: Kind; value: string; bare?: number | string; does: string }

const flag = (does: string) => ({ kind: 'flag' as const, value: '', does })
const number = (value: string, does: string, bare?: number) =>
  ({ kind: 'number', value, does, ...(bare === undefined ? {} : { bare }) }) as Spec & { kind: 'number' }
const text = (value: string, does: string, bare?: string) =>
  ({ kind: 'text', value, does, ...(bare === undefined ? {} : { bare }) }) as Spec & { kind: 'text' }

export const behaviours = {
  ok: flag('nothing: an ordinary reply (useful in a script: "fail twice, then ok, then fail")'),

  delay: number('ms', 'waits before the response head'),
  first: number('ms', 'waits between the head and the first content'),
  pace: number('ms', 'waits before every content event'),
  'slow-drip': number('bytes/s', 'writes the body at this rate'),
  'hang-headers': flag('reads the request and never answers'),
  'hang-connect': flag(
    'never reads: a script without `match` holds the next connection unread; from `x-mock` the head is read and the body is not; from a model name (known only from the body) it is `hang-headers`',
  ),
  stall: number('n', 'hangs for ever after n events'),
  keepalive: number('ms', 'closes the connection when it has been idle for ms after this reply, unannounced'),

  text: text('text', 'the reply text (percent-encode `+`, `,` and `%`)'),
  size: number('bytes', 'a reply text of so many ASCII bytes'),
  chunks: number('n', 'exactly n text deltas; a text that is too short is repeated'),
  reasoning: text('text', 'reasoning text, also where the request did not ask for it', 'thinking'),
  model: text('name', 'the model that the reply names'),
  finish: text('reason', 'the finish reason: stop, length, content_filter, tool_calls, or any other, verbatim'),
  endless: flag('content until the client leaves (unstreamed: a body without end)'),
  'oversized-line': number('bytes', 'one text delta (unstreamed: one text) of so many bytes, in one line'),
  'filter-only': flag('first an event without choices that carries only content-filter results, as Azure sends it'),

  'usage-input': text('n', 'reports n input tokens; the ledger follows if n is a count, else it keeps the truth'),
  'usage-output': text('n', 'reports n output tokens; same'),
  'usage-huge': text('literal', 'every usage number is this hostile literal: 1e400, -1, NaN (as a string) …', '1e400'),
  cached: number('n', 'reports n of the input tokens as read from a cache'),
  'no-usage': flag('no usage anywhere'),
  'dup-usage': flag('the event that carries the usage comes twice'),
  'usage-after-done': flag('usage comes after the terminal event'),
  'usage-always': flag('OpenAI streams: a usage chunk although nobody asked'),
  'ignore-include-usage': flag('OpenAI streams: no usage chunk although asked'),

  status: number('nnn', "an error status, in the dialect's own error shape"),
  'retry-after': text('value', 'this `retry-after` header'),
  'retry-after-ms': text('value', 'this `retry-after-ms` header'),
  'error-code': text('code', "the error's code (Gemini: its `status` word)"),
  'error-type': text('type', "the error's type"),
  'error-message': text('text', "the error's text"),
  '500-then-ok': number(
    'n',
    'the first n requests for this model name fail (500, or `status`), later ones are served',
    1,
  ),
  'inband-error': number('n', 'an error event inside the 200 stream after n events, then the end', 0),
  'echo-key': flag('401 (or `status`) whose text repeats the key it was sent'),
  html: flag('200 with an HTML page'),
  'html-error': flag('502 (or `status`) with an HTML page'),
  redirect: text('url', '307 (or a 3xx `status`) to url'),

  truncate: number('n', 'ends the response cleanly after n events: no terminal event, no error', 0),
  'half-close': number('n', 'sends FIN in the middle of the response after n events; bare: before the head', -1),
  reset: number('n', 'sends RST after n events; bare: before the head', -1),
  'no-done': flag('everything but the terminal event'),
  garbage: text(
    'http',
    'streamed: one event, then bytes that mean nothing; unstreamed: only those; `garbage=http`: instead of HTTP',
    'body',
  ),
  'bad-json': flag("cuts JSON in half: the first content event's, or the whole body"),
  'json-tail': flag('raw JSON, unframed, after the last SSE event'),

  split: number('n', 'cuts the body bytes into pieces of n, each its own write, across event borders'),
  splitat: number('n', 'sends the body in exactly two writes, cut at byte n'),
  'bad-utf8': flag('bytes in the text that are not UTF-8'),
  'split-utf8': flag('multi-byte characters in the text, and a write border inside each'),
  crlf: flag('SSE lines end in CR LF'),
  cr: flag('SSE lines end in CR'),
  comments: flag('an SSE comment before every event'),
  bom: flag('a byte order mark first'),
  'wrong-content-type': text('type', 'this content type', 'text/plain'),

  'set-cookie': flag('cookies, credentials, hop-by-hop and forged `x-stockyard-*` headers in the reply'),
  'oversized-header': number('bytes', 'a response header of so many bytes', 65536),
  gzip: flag('gzip, flushed per event, whether or not it was asked for'),
  deflate: flag('deflate, same'),
  br: flag('brotli, same'),
  zstd: flag('zstd, same'),
  'nested-encoding': number('n', 'gzip in gzip in gzip …, n deep', 8),
  'gzip-bomb': number('bytes', 'a text of so many zeros, gzipped'),
} satisfies Record<string, Spec>

export type BehaviourName = keyof typeof behaviours
type Value = { number: number; text: string; flag: true }
export type Behaviour = { [K in BehaviourName]?: Value[(typeof behaviours)[K]['kind']] }

export type Parsed = { behaviour: Behaviour; unknown: string[] }

const specOf = (name: string): Spec | undefined =>
  Object.hasOwn(behaviours, name) ? behaviours[name as BehaviourName] : undefined

/** `['stall=3', 'no-done']` → a behaviour, and the words that are none. */
export function parseWords(words: Iterable<string>): Parsed {
  const found: Record<string, unknown> = {}
  const unknown: string[] = []
  for (const word of words) {
    const trimmed = word.trim()
    if (trimmed === '') continue
    const equals = trimmed.indexOf('=')
    const name = equals < 0 ? trimmed : trimmed.slice(0, equals)
    const value = readValue(specOf(name), equals < 0 ? undefined : trimmed.slice(equals + 1))
    if (value === undefined) unknown.push(trimmed)
    else found[name] = value
  }
  return { behaviour: found, unknown }
}

const UNITS: Record<string, number> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

function readValue(spec: Spec | undefined, given: string | undefined): number | string | true | undefined {
  if (!spec) return undefined
  if (spec.kind === 'flag') return given === undefined ? true : undefined
  if (given === undefined) return spec.bare
  if (spec.kind === 'text') return decoded(given)
  const match = /^(\d+(?:\.\d+)?)([kmg]?)$/i.exec(given)
  if (!match) return undefined
  return Number(match[1]) * (UNITS[(match[2] ?? '').toLowerCase()] ?? 1)
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

/** The header form: `stall=3, pace=20`. */
export const parseHeader = (header: string): Parsed => parseWords(header.split(','))

/** The model-name form: `gpt-4o-mini+stall=3+pace=20`. */
export function parseModel(model: string): Parsed & { model: string } {
  const [name = '', ...words] = model.split('+')
  return { model: name, ...parseWords(words) }
}

/** What a script or an option gives: the header's text, or an object. Throws on a word that is none. */
export function behaviourOf(given: string | Behaviour | undefined): Behaviour {
  if (given === undefined) return {}
  if (typeof given === 'string') {
    const parsed = parseHeader(given)
    if (parsed.unknown.length > 0) throw new TypeError(`unknown behaviour: ${parsed.unknown.join(', ')}`)
    return parsed.behaviour
  }
  for (const [name, value] of Object.entries(given)) {
    const kind = specOf(name)?.kind
    const right =
      kind === 'flag' ? value === true : kind === 'text' ? typeof value === 'string' : Number.isFinite(value)
    if (!kind || !right) throw new TypeError(`unknown behaviour: ${name}=${value}`)
  }
  return given
}

/** The table of the README, and what `stockyard mock` can print about itself. */
export function describeBehaviours(): { name: string; written: string; does: string }[] {
  return Object.entries(behaviours as Record<string, Spec>).map(([name, spec]) => {
    const written =
      spec.value === '' ? name : spec.bare === undefined ? `${name}=${spec.value}` : `${name}[=${spec.value}]`
    const byDefault =
      spec.bare !== undefined && spec.bare !== -1 && !['reasoning', 'garbage'].includes(name)
        ? ` (default ${spec.bare})`
        : ''
    return { name, written, does: `${spec.does}${byDefault}` }
  })
}

/**
 * Every text of a request and its place: the one view through which content modules see what is asked, whatever the
 * dialect or the operation. What has no word of its own (`rest`, opaque parts, operations that travel whole) is walked leaf
 * by leaf, so that a field nobody thought of is seen too. Left alone: names and ids, bytes, signatures.
 */
import type { Exchange } from './exchange.ts'
import type { ChatRequest, JsonObject, JsonValue, MediaPart, Message, ModelRequest, Part, Rest } from './request.ts'

/** Whose words a text is. */
export type Place =
  | 'system'
  | 'user'
  | 'assistant'
  | 'tool-arguments'
  | 'tool-result'
  | 'file-name'
  | 'end-user'
  | 'input'
  /** Definitions of tools, and schemas: to be read, and changed only by who was asked to. */
  | 'tools'
  | 'other'

/** Returns the same string where nothing changes. */
export type Change = (text: string, place: Place) => string

/** Fields that describe shapes, not contents. Compared without case and separators, like the next. */
const SHAPES = new Set([
  'schema',
  'jsonschema',
  'inputschema',
  'parameters',
  'parametersjsonschema',
  'responseschema',
  'outputschema',
  'tools',
])
/** What a program reads, in a field that describes shapes or anywhere. */
const WORDS = new Set(['type'])
const SHAPE_WORDS = new Set(['type', 'required', 'format', '$schema', '$ref', '$id'])
/** Fields for bytes and signatures, if what stands there looks like it: some formats put plain text into `data`. */
const BYTES = new Set([
  'data',
  'filedata',
  'b64json',
  'base64',
  'bytes',
  'signature',
  'thoughtsignature',
  'encryptedcontent',
])
const bare = (name: string): string => name.replace(/[_-]/g, '').toLowerCase()
const looksLikeBytes = (value: JsonValue): boolean =>
  typeof value === 'string' && value.length > 40 && /^(?:data:[^,]*,)?[\w+/=-]*$/.test(value)
const sealed = (name: string, value: JsonValue): boolean =>
  WORDS.has(name) || (BYTES.has(bare(name)) && looksLikeBytes(value))

/**
 * The same request where `change` changed nothing; calls it for the same texts in the same order each time. Whoever leaves
 * definitions of tools alone need not wait for them.
 */
export function mapTexts(request: ModelRequest, change: Change, tools = true): ModelRequest {
  if (request.operation === 'chat') return chat(request, change, tools)
  if (request.operation === 'embeddings') {
    const input = each(request.input, (text) => (typeof text === 'string' ? change(text, 'input') : text))
    return patched(request, { input, ...ends(request, change) })
  }
  const place = request.operation === 'completion' ? 'input' : 'other'
  return fields(request as unknown as JsonObject, change, place, new Set(['operation', 'model'])) as never
}

/** Calls `see` for every text, and changes nothing. */
export function eachText(request: ModelRequest, see: (text: string, place: Place) => void, tools = true): void {
  const change = (text: string, place: Place): string => {
    see(text, place)
    return text
  }
  mapTexts(request, change, tools)
}

/**
 * Why a request cannot be looked at whole, so that somebody who must has to refuse it; undefined if it can. Sound and
 * pictures count as seen: there is no text in them to look at.
 */
export function hides(x: Exchange, request: ModelRequest): { problem: string; param?: string } | undefined {
  const numbers = tokenNumbers(request)
  if (numbers !== undefined) {
    return {
      problem: `"${numbers}" holds token numbers, whose text cannot be looked at; send it as text`,
      param: numbers,
    }
  }
  const { relay } = x
  if (!relay || relay.json) {
    return namesTwice(x.body.toString('utf8'), x.json)
      ? { problem: 'an object in it names the same field twice' }
      : undefined
  }
  if (x.body.length === 0) return undefined
  if (!relay.rewrite)
    return { problem: `nobody can look into a body of type "${(relay.contentType ?? '').slice(0, 100)}"` }
  // Fields of a form are seen; what it uploads is kept or run as a batch by the vendor.
  return x.operation === 'objects' || x.operation === 'native'
    ? { problem: 'it uploads a file that nobody can look into' }
    : undefined
}

/** Prompts as token numbers: the field that holds them. */
export function tokenNumbers(request: ModelRequest): string | undefined {
  const numbers = (value: JsonValue | undefined): boolean =>
    Array.isArray(value) && value.some((item) => typeof item === 'number' || numbers(item))
  if (request.operation === 'embeddings') return numbers(request.input as JsonValue) ? 'input' : undefined
  if (request.operation !== 'completion') return undefined
  return Object.values(request.rest ?? {}).some(({ prompt }) => numbers(prompt)) ? 'prompt' : undefined
}

/**
 * Whether a JSON text names a field of one object twice. Readers differ in which of the two they believe, so what was
 * looked at here might not be what the upstream reads.
 */
export function namesTwice(text: string, value: JsonValue): boolean {
  let names = 0
  for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at + 1)) {
    at = closingQuote(text, at + 1)
    if (at === -1) break
    let next = at + 1
    while (text.charCodeAt(next) <= 32) next++
    if (text[next] === ':') names++
  }
  // What was added to the value since (a model from the path) is not in the text.
  return names !== namesIn(value) && names !== namesIn(JSON.parse(text) as JsonValue)
}

function closingQuote(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1)) {
    let slashes = at
    while (text[slashes - 1] === '\\') slashes--
    if ((at - slashes) % 2 === 0) return at
  }
  return -1
}

function namesIn(value: JsonValue | undefined): number {
  if (value === null || typeof value !== 'object') return 0
  let names = 0
  if (Array.isArray(value)) for (const item of value as readonly JsonValue[]) names += namesIn(item)
  else for (const field of Object.values(value)) names += 1 + namesIn(field)
  return names
}

function chat(request: ChatRequest, change: Change, tools: boolean): ChatRequest {
  const messages = each(request.messages, (message) => messageOf(message, change))
  const stop = request.stop && each(request.stop, (text) => change(text, 'other'))
  return patched(request, {
    messages,
    ...(stop ? { stop } : {}),
    ...(request.hints === undefined ? {} : { hints: restOf(request.hints, change, 'other') }),
    ...ends(request, change),
    ...(tools ? definitions(request, change) : {}),
  })
}

function definitions({ tools, hostedTools, responseFormat }: ChatRequest, change: Change): Partial<ChatRequest> {
  return {
    ...(tools ? { tools: each(tools, (tool) => shape(tool, change)) } : {}),
    ...(hostedTools ? { hostedTools: each(hostedTools, (tool) => shape(tool, change)) } : {}),
    ...(responseFormat?.type === 'schema' ? { responseFormat: shape(responseFormat, change) } : {}),
  }
}

const NAMED = new Set(['name', 'dialect', 'cache'])
/** A definition: its names stay, for the answer will use them. */
function shape<T extends object>(definition: T, change: Change): T {
  return mapFields(definition as JsonObject, (value, name) =>
    NAMED.has(name) ? value : shapeLeaves(value, change, name),
  ) as T
}

function shapeLeaves(value: JsonValue, change: Change, name: string): JsonValue {
  if (typeof value === 'string') return SHAPE_WORDS.has(name) ? value : change(value, 'tools')
  if (Array.isArray(value)) {
    if (name === 'required') return value
    return each(value as readonly JsonValue[], (item) => shapeLeaves(item, change, name))
  }
  if (value === null || typeof value !== 'object') return value
  return mapFields(value as JsonObject, (field, inner) =>
    inner === 'name' && typeof field === 'string' ? field : shapeLeaves(field, change, inner),
  )
}

/** What stands beside the conversation: who the end user is, and fields without a common word. */
function ends(request: { readonly endUser?: string; readonly rest?: Rest }, change: Change) {
  return {
    ...(request.endUser === undefined ? {} : { endUser: change(request.endUser, 'end-user') }),
    ...(request.rest === undefined ? {} : { rest: restOf(request.rest, change, 'other') }),
  }
}

function messageOf(message: Message, change: Change): Message {
  const place: Place = message.role === 'tool' ? 'tool-result' : message.role
  const parts = each(message.parts, (part) => partOf(part, change, place))
  return patched(message, {
    parts,
    ...(message.name === undefined || message.role === 'tool' ? {} : { name: change(message.name, place) }),
    ...(message.rest === undefined ? {} : { rest: restOf(message.rest, change, place) }),
  })
}

function partOf<P extends Part>(part: P, change: Change, place: Place): P {
  const rest = part.rest === undefined ? {} : { rest: restOf(part.rest, change, place) }
  const own = part as Part
  switch (own.type) {
    case 'text':
    case 'refusal':
    case 'reasoning':
      return patched(part, { text: change(own.text, place), ...rest } as unknown as Partial<P>)
    case 'tool-call':
      return patched(part, { arguments: inJson(own.arguments, change), ...rest } as unknown as Partial<P>)
    case 'tool-result': {
      const content = each(own.content, (inner) => partOf(inner, change, 'tool-result'))
      return patched(part, { content, ...rest } as unknown as Partial<P>)
    }
    case 'opaque':
      return patched(part, { value: fields(own.value, change, place), ...rest } as unknown as Partial<P>)
    default:
      return patched(part, {
        source: sourceOf(own.source, change, place),
        ...(own.name === undefined ? {} : { name: change(own.name, 'file-name') }),
        ...rest,
      } as unknown as Partial<P>)
  }
}

type Source = MediaPart['source']

const TEXTUAL = /^(?:text\/|image\/svg|application\/(?:(?:[\w.-]+\+)?json|(?:[\w.-]+\+)?xml|yaml|x-yaml|javascript))/i

/** An address that holds what it leads to. */
function dataUrl(url: string, change: Change, place: Place): string {
  const [head = '', type = ''] = /^data:([^,;]*)[^,]*,/i.exec(url) ?? []
  if (head === '') return change(url, place)
  const isBase64 = /;\s*base64\s*,$/i.test(head)
  if (isBase64 && !TEXTUAL.test(type)) return url
  const written = url.slice(head.length)
  let text = written
  try {
    text = isBase64 ? Buffer.from(written, 'base64').toString('utf8') : decodeURIComponent(written)
  } catch {
    // No such escapes: as it is written.
  }
  const changed = change(text, place)
  if (changed === text) return url
  return head + (isBase64 ? Buffer.from(changed).toString('base64') : encodeURIComponent(changed))
}

/** Whatever it is called: it begins as a text does, and is no PDF, whose tables of places must not change. */
function readsAsText(base64: string): boolean {
  const bytes = Buffer.from(base64.slice(0, 1_024), 'base64')
  if (bytes.length === 0 || bytes.includes('%PDF-') || bytes.some((b) => b < 9 || (b > 13 && b < 32))) return false
  // The last character may be cut.
  return !bytes.toString('utf8').slice(0, -1).includes('\ufffd')
}

/** Addresses are text, and so are documents that are text. */
function sourceOf(source: Source, change: Change, place: Place): Source {
  if (source.kind === 'url') {
    return patched(source, {
      url: source.url.startsWith('data:') ? dataUrl(source.url, change, place) : change(source.url, place),
    })
  }
  if (source.kind !== 'data' || !(TEXTUAL.test(source.mediaType) || readsAsText(source.base64))) return source
  const text = Buffer.from(source.base64, 'base64').toString('utf8')
  const changed = change(text, place)
  return changed === text ? source : { ...source, base64: Buffer.from(changed).toString('base64') }
}

/** The arguments of a call are JSON as text: its leaves are what is said, and the rest must stay JSON. */
function inJson(text: string, change: Change): string {
  let value: JsonValue
  try {
    value = JSON.parse(text) as JsonValue
  } catch {
    return change(text, 'tool-arguments')
  }
  const changed = leaves(value, change, 'tool-arguments', true)
  return changed === value ? text : JSON.stringify(changed)
}

function restOf(rest: Rest, change: Change, place: Place): Rest {
  return fields(rest as unknown as JsonObject, change, place) as unknown as Rest
}

/** A number in arguments may be a card's or an account's: it is looked at as text, and stays a number if nothing is in it. */
function leaves(value: JsonValue, change: Change, place: Place, numbersToo = false): JsonValue {
  if (typeof value === 'string') return change(value, place)
  if (typeof value === 'number' && numbersToo) {
    const text = String(value)
    const changed = change(text, place)
    return changed === text ? value : changed
  }
  if (Array.isArray(value))
    return each(value as readonly JsonValue[], (item) => leaves(item, change, place, numbersToo))
  if (value === null || typeof value !== 'object') return value
  if (numbersToo) return mapFields(value as JsonObject, (field) => leaves(field, change, place, true))
  return fields(value as JsonObject, change, place)
}

function fields(object: JsonObject, change: Change, place: Place, skipped?: ReadonlySet<string>): JsonObject {
  return mapFields(object, (value, name) => {
    if (skipped?.has(name) || sealed(name, value)) return value
    if (SHAPES.has(bare(name)) && typeof value !== 'string') return shapeLeaves(value, change, name)
    return leaves(value, change, place === 'other' ? placeOf(name) : place)
  })
}

/** Names that other formats give to the same places, where a request travels whole. */
function placeOf(name: string): Place {
  if (name === 'user' || name === 'safety_identifier') return 'end-user'
  if (name === 'filename' || name === 'file_name' || name.endsWith('; filename')) return 'file-name'
  return 'other'
}

/** Says an answer's text once more, token by token. */
const TOKENS = new Set(['logprobs', 'logprobsresult'])
/** What names something to a program, as long as it looks like it. */
const NAMES = /^(?:id|.*_ids?|.*Ids?|model|name|type|object|status|role|service_tier|system_fingerprint)$/
const looksLikeName = (value: JsonValue): boolean => typeof value === 'string' && /^[\w.:/-]{0,200}$/.test(value)

/**
 * Every string of what stands beside an answer's text or is a part of it that only its vendor understands. Who hides text,
 * or lets it wait, leaves out the `tokens` that would say it.
 */
export function mapStrings<V extends JsonValue>(
  value: V,
  tokens: 'keep' | 'drop',
  change: (text: string) => string,
): V {
  const of = (inner: JsonValue): JsonValue => {
    if (typeof inner === 'string') return change(inner)
    if (Array.isArray(inner)) return each(inner as readonly JsonValue[], of)
    if (inner === null || typeof inner !== 'object') return inner
    return mapFields(inner as JsonObject, (field, name) => {
      if (tokens === 'drop' && TOKENS.has(bare(name))) return null
      const isLeft = NAMES.test(name) ? looksLikeName(field) : SHAPES.has(bare(name)) || sealed(name, field)
      return isLeft ? field : of(field)
    })
  }
  return of(value) as V
}

function mapFields(object: JsonObject, f: (value: JsonValue, name: string) => JsonValue): JsonObject {
  let out: Record<string, JsonValue | undefined> | undefined
  for (const [name, value] of Object.entries(object)) {
    if (value === undefined) continue
    const next = f(value, name)
    if (next === value) continue
    out ??= Object.assign(Object.create(null) as object, object) as Record<string, JsonValue | undefined>
    out[name] = next
  }
  return out ?? object
}

function each<T>(list: readonly T[], f: (item: T) => T): readonly T[] {
  let out: T[] | undefined
  for (const [i, item] of list.entries()) {
    const next = f(item)
    if (next === item) continue
    out ??= [...list]
    out[i] = next
  }
  return out ?? list
}

function patched<T extends object>(object: T, patch: Partial<T>): T {
  for (const [name, value] of Object.entries(patch)) {
    if (object[name as keyof T] !== value) return { ...object, ...patch }
  }
  return object
}

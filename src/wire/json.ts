/**
 * Request bodies as bytes: a scanner that finds the top-level fields and refuses bombs early, and a splice that changes
 * a few of those fields while every other byte passes untouched. JSON.parse stays the judge of syntax.
 * Objects come from JSON.parse only (there `__proto__` is an own property, plain data); none is built by assignment.
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { setImmediate } from 'node:timers/promises'
import { badRequest, failure, type GatewayError } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/request.ts'

export type JsonKind = 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array'

/** Offsets are in bytes; ends are exclusive. */
export interface ScannedField {
  /** Decoded: `mod\u0065l` is `model`. */
  readonly name: string
  readonly nameStart: number
  readonly valueStart: number
  readonly valueEnd: number
  readonly kind: JsonKind
}

export interface ScannedObject {
  /** In the order of the body, duplicates included. */
  readonly fields: readonly ScannedField[]
  /** By decoded name; of duplicates the last, as JSON.parse reads it. */
  readonly byName: ReadonlyMap<string, ScannedField>
  /** Names that stand there more than once. */
  readonly duplicates: readonly string[]
  /** Just behind the opening brace. */
  readonly insertAt: number
  readonly empty: boolean
}

export interface JsonLimits {
  readonly maxDepth: number
  /** Fields of the top-level object. */
  readonly maxFields: number
  /** Keys, values and containers, all counted. */
  readonly maxTokens: number
  /** Characters of one number. */
  readonly maxNumberLength: number
}
export const JSON_LIMITS: JsonLimits = { maxDepth: 128, maxFields: 1_000, maxTokens: 400_000, maxNumberLength: 400 }

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** Throws `invalid_json` or, for bombs and bodies that are no object, `invalid_request`. Syntax below the top level is not judged. */
export function scanJson(body: Buffer, limits: JsonLimits = JSON_LIMITS): ScannedObject {
  return new Scanner(body, limits).scan()
}

class Scanner {
  readonly #body: Buffer
  readonly #limits: JsonLimits
  #at = 0
  #tokens = 0

  constructor(body: Buffer, limits: JsonLimits) {
    this.#body = body
    this.#limits = limits
  }

  scan(): ScannedObject {
    const body = this.#body
    if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf) {
      throw failure('invalid_json', { problem: 'it starts with a byte order mark (EF BB BF); send it without' })
    }
    this.#skipSpace()
    if (this.#at === body.length) throw badRequest('The request body is empty; a JSON object is wanted.')
    if (body[this.#at] !== OPEN_OBJECT) throw this.#notAnObject()
    const insertAt = ++this.#at
    const fields: ScannedField[] = []
    const byName = new Map<string, ScannedField>()
    const duplicates: string[] = []
    this.#skipSpace()
    if (body[this.#at] === CLOSE_OBJECT) this.#at++
    else {
      do {
        this.#skipSpace()
        if (fields.length === this.#limits.maxFields) throw this.#tooMuch(`has more than ${fields.length} fields`)
        const field = this.#field()
        if (byName.has(field.name) && !duplicates.includes(field.name)) duplicates.push(field.name)
        fields.push(field)
        byName.set(field.name, field)
        this.#skipSpace()
      } while (this.#more())
    }
    this.#skipSpace()
    if (this.#at < body.length) throw this.#problem('something follows the end of the object')
    return { fields, byName, duplicates, insertAt, empty: fields.length === 0 }
  }

  #field(): ScannedField {
    const nameStart = this.#at
    if (this.#body[nameStart] !== QUOTE) throw this.#problem('a field name in double quotes is missing')
    this.#count()
    this.#skipString()
    const name = this.#name(nameStart, this.#at)
    this.#skipSpace()
    if (this.#body[this.#at] !== COLON) throw this.#problem('a colon is missing')
    this.#at++
    this.#skipSpace()
    const valueStart = this.#at
    const kind = this.#skipValue()
    return { name, nameStart, valueStart, valueEnd: this.#at, kind }
  }

  #name(start: number, end: number): string {
    const raw = this.#body.toString('utf8', start + 1, end - 1)
    if (!raw.includes('\\')) return raw
    try {
      return JSON.parse(`"${raw}"`) as string
    } catch {
      this.#at = start
      throw this.#problem('a field name has an invalid escape')
    }
  }

  /** Steps over a comma (there is another field) or the closing brace. */
  #more(): boolean {
    const byte = this.#body[this.#at]
    if (byte !== COMMA && byte !== CLOSE_OBJECT) throw this.#problem('a comma or a closing brace is missing')
    this.#at++
    return byte === COMMA
  }

  #skipValue(): JsonKind {
    switch (this.#body[this.#at]) {
      case QUOTE:
        this.#count()
        this.#skipString()
        return 'string'
      case OPEN_OBJECT:
        this.#skipContainer()
        return 'object'
      case OPEN_ARRAY:
        this.#skipContainer()
        return 'array'
      case 0x74:
        return this.#skipWord('true', 'boolean')
      case 0x66:
        return this.#skipWord('false', 'boolean')
      case 0x6e:
        return this.#skipWord('null', 'null')
    }
    if (this.#at === this.#body.length || !isNumberByte(this.#body[this.#at] as number)) {
      throw this.#problem('a value is missing')
    }
    this.#skipNumber()
    return 'number'
  }

  /** To behind the bracket that closes the one at the cursor. Whether the kinds of brackets match is not looked at. */
  #skipContainer(): void {
    const body = this.#body
    const length = body.length
    const { maxDepth } = this.#limits
    // The top-level object is the first level.
    let depth = 1
    let at = this.#at
    while (at < length) {
      const byte = body[at] as number
      if (byte <= 0x20 || byte === COMMA || byte === COLON) {
        at++
        continue
      }
      this.#at = at
      if (byte === QUOTE) {
        this.#count()
        this.#skipString()
      } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        this.#count()
        if (++depth > maxDepth) throw this.#tooMuch(`is nested deeper than ${maxDepth} levels`)
        this.#at++
      } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
        this.#at++
        if (--depth === 1) return
      } else if (isNumberByte(byte)) this.#skipNumber()
      else this.#at++
      at = this.#at
    }
    this.#at = at
    throw this.#problem('it ends too early')
  }

  #skipNumber(): void {
    const body = this.#body
    const length = body.length
    const start = this.#at
    let at = start
    while (at < length && isNumberByte(body[at] as number)) at++
    this.#count()
    if (at - start > this.#limits.maxNumberLength) {
      throw this.#tooMuch(`has a number of more than ${this.#limits.maxNumberLength} characters`)
    }
    this.#at = at
  }

  #skipWord(word: string, kind: JsonKind): JsonKind {
    this.#count()
    const end = this.#at + word.length
    if (this.#body.toString('latin1', this.#at, end) !== word) {
      throw this.#problem('a value is misspelled')
    }
    this.#at = end
    return kind
  }

  /**
   * From a quote to behind its partner. Short strings are walked; long ones are hopped with indexOf, falling back to a
   * walk behind every escaped quote, so that text full of them costs no native call each.
   */
  #skipString(): void {
    const body = this.#body
    const length = body.length
    let at = this.#at + 1
    for (;;) {
      const stop = Math.min(at + 48, length)
      while (at < stop) {
        const byte = body[at]
        if (byte === QUOTE) {
          this.#at = at + 1
          return
        }
        at += byte === BACKSLASH ? 2 : 1
      }
      if (at >= length) break
      const quote = body.indexOf(QUOTE, at)
      if (quote === -1) break
      let slashes = quote
      while (slashes > at && body[slashes - 1] === BACKSLASH) slashes--
      if (((quote - slashes) & 1) === 0) {
        this.#at = quote + 1
        return
      }
      at = quote + 1
    }
    throw this.#problem('a string does not end')
  }

  // Bounds are tested before each read: a read past the end makes V8 treat every byte as a possible `undefined`.
  #skipSpace(): void {
    const body = this.#body
    const length = body.length
    let at = this.#at
    while (at < length) {
      const byte = body[at] as number
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
      at++
    }
    this.#at = at
  }

  #count(): void {
    if (++this.#tokens > this.#limits.maxTokens) {
      throw this.#tooMuch(`has more than ${this.#limits.maxTokens} keys and values`)
    }
  }

  #tooMuch(problem: string): GatewayError {
    return badRequest(`The request body ${problem} (${placeOf(this.#body, this.#at)}).`)
  }

  #problem(problem: string): GatewayError {
    return failure('invalid_json', { problem: `${problem} (${placeOf(this.#body, this.#at)})` })
  }

  #notAnObject(): GatewayError {
    const byte = this.#body[this.#at] as number
    if (byte === OPEN_ARRAY) return badRequest('The request body must be a JSON object, not an array.')
    if (byte === QUOTE) return badRequest('The request body must be a JSON object, not a string.')
    if (isNumberByte(byte)) return badRequest('The request body must be a JSON object, not a number.')
    return failure('invalid_json', { problem: 'it does not start with "{"; a JSON object is wanted' })
  }
}

/** Digits, sign, point, exponent. */
function isNumberByte(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x2e || byte === 0x2b || (byte | 0x20) === 0x65
}

/** Lines are counted only over the first 64 KiB: an error must stay cheap. */
function placeOf(body: Buffer, at: number): string {
  if (at > 65_536) return `byte ${at}`
  let line = 1
  let lineStart = 0
  for (let lf = body.indexOf(0x0a); lf !== -1 && lf < at; lf = body.indexOf(0x0a, lf + 1)) {
    line++
    lineStart = lf + 1
  }
  return `line ${line}, column ${at - lineStart + 1}`
}

export interface ParsedBody {
  readonly json: JsonObject
  readonly scan: ScannedObject
}

/** The whole judgement of a request body. Throws `invalid_json` or `invalid_request`; echoes nothing of the body. */
export function parseJsonObject(body: Buffer, limits: JsonLimits = JSON_LIMITS): ParsedBody {
  const encoding = encodingOf(body)
  const scan = scanJson(body, limits)
  return { json: parsed(body.toString(encoding)), scan }
}

/** The same for a large body: between its steps others have their turn. Each takes a few milliseconds for 10 MB (A15). */
export async function parseJsonObjectInSteps(body: Buffer, limits: JsonLimits = JSON_LIMITS): Promise<ParsedBody> {
  const encoding = encodingOf(body)
  const scan = scanJson(body, limits)
  await setImmediate()
  const text = body.toString(encoding)
  await setImmediate()
  return { json: parsed(text), scan }
}

function encodingOf(body: Buffer): 'latin1' | 'utf8' {
  if (isAscii(body)) return 'latin1'
  if (isUtf8(body)) return 'utf8'
  throw failure('invalid_json', { problem: 'it is not valid UTF-8' })
}

function parsed(text: string): JsonObject {
  try {
    return JSON.parse(text) as JsonObject
  } catch (error) {
    throw failure('invalid_json', { problem: problemOf(error) }, error)
  }
}

/** V8's complaint without the piece of the body that it quotes. */
function problemOf(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  const place = / at position (\d+)(?: \((line \d+) (column \d+)\))?/.exec(message)
  const what = message.replace(/, (?:\.\.\.)?".*$/s, '').replace(/(?: in JSON)? at position.*$/s, '')
  const where = place ? ` (${place[2] === undefined ? `character ${place[1]}` : `${place[2]}, ${place[3]}`})` : ''
  const quotes = what === '' || what.length > 80 || what.includes('"')
  return (quotes ? 'a syntax error' : what.charAt(0).toLowerCase() + what.slice(1)) + where
}

/**
 * Sets top-level fields, or removes those whose edit is `undefined`; the pieces are views of the body and replacements
 * between them. An edited name must not stand twice in the body (the caller refuses that).
 */
export function spliceJson(
  body: Buffer,
  scan: ScannedObject,
  edits: Readonly<Record<string, JsonValue | undefined>>,
): Buffer[] {
  const { fields, byName, insertAt } = scan
  const cuts: Cut[] = []
  const removed = new Set<ScannedField>()
  const inserted: string[] = []
  for (const name of Object.keys(edits)) {
    const value = edits[name]
    const field = byName.get(name)
    if (value === undefined) {
      if (field) removed.add(field)
    } else if (field) cuts.push({ start: field.valueStart, end: field.valueEnd, text: JSON.stringify(value) })
    else inserted.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`)
  }
  if (inserted.length > 0) {
    const comma = removed.size < fields.length ? ',' : ''
    cuts.push({ start: insertAt, end: insertAt, text: inserted.join(',') + comma })
  }
  // Behind the insertion, because the first field may start where that one stands, and sorting keeps their order.
  if (removed.size > 0) cutOut(fields, removed, cuts)
  cuts.sort((a, b) => a.start - b.start)
  const pieces: Buffer[] = []
  let at = 0
  for (const cut of cuts) {
    if (cut.start > at) pieces.push(body.subarray(at, cut.start))
    if (cut.text !== '') pieces.push(Buffer.from(cut.text))
    at = cut.end
  }
  if (at < body.length) pieces.push(body.subarray(at))
  return pieces
}

interface Cut {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** A removed field takes the comma before it along; where nothing is left before it, the comma behind it. */
function cutOut(fields: readonly ScannedField[], removed: ReadonlySet<ScannedField>, cuts: Cut[]): void {
  let keptBefore = false
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i] as ScannedField
    if (!removed.has(field)) {
      keptBefore = true
      continue
    }
    const start = keptBefore ? (fields[i - 1] as ScannedField).valueEnd : field.nameStart
    const end = keptBefore ? field.valueEnd : (fields[i + 1]?.nameStart ?? field.valueEnd)
    cuts.push({ start, end, text: '' })
  }
}

export function byteLength(buffers: readonly Buffer[]): number {
  let bytes = 0
  for (const buffer of buffers) bytes += buffer.length
  return bytes
}

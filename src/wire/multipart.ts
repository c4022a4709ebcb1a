/**
 * Form bodies (RFC 7578) as bytes: where the fields stand, and the same body with some of them changed while every other
 * byte passes. Files are never looked into.
 */
import { badRequest } from '../core/errors.ts'
import type { JsonValue } from '../core/request.ts'

export interface FormPart {
  readonly name: string
  readonly isFile: boolean
  /** What an uploaded file is called, where it says so. */
  readonly fileName?: string
  /** Of the whole part, from its boundary on; of its content. */
  readonly start: number
  readonly contentStart: number
  readonly contentEnd: number
}

export interface Form {
  readonly parts: readonly FormPart[]
  /** `--` and what stands between the parts. */
  readonly delimiter: string
  /** The body goes on behind what is here: this far it is known, and the last part may have no end yet. */
  readonly openFrom?: number
}

const MOST_PARTS = 1_000
const MOST_HEAD = 16 * 1024
const MOST_FIELD = 1024 * 1024

const PARAMETER = /\s*;\s*([!#$%&'*+.^`|~\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/y

/**
 * The parameters of a header field, as they are written, by their names in lower case. Undefined where anything stands
 * twice or between them: the next reader might take the other one.
 */
function parametersOf(field: string): ReadonlyMap<string, string> | undefined {
  const found = new Map<string, string>()
  PARAMETER.lastIndex = field.includes(';') ? field.indexOf(';') : field.length
  for (let at = PARAMETER.lastIndex; ; at = PARAMETER.lastIndex) {
    const match = PARAMETER.exec(field)
    if (!match) return /^\s*;?\s*$/.test(field.slice(at)) ? found : undefined
    const name = (match[1] as string).toLowerCase()
    if (found.has(name)) return undefined
    found.set(name, match[2] ?? match[3] ?? '')
  }
}

/** Throws `invalid_request` for anything that readers might understand differently. `isOpen`: the rest is still to come. */
export function scanForm(body: Buffer, contentType: string, isOpen = false): Form {
  const boundary = parametersOf(contentType)?.get('boundary')
  if (boundary === undefined || !/^[^"\\\r\n]{1,200}$/.test(boundary))
    throw badRequest('The content type multipart/form-data names no boundary, or none that is clear.')
  const delimiter = `--${boundary}`
  const parts: FormPart[] = []
  let at = body.indexOf(delimiter)
  if (at !== 0 && !(at === 2 && body[0] === 0x0d)) throw unreadable('it does not begin with its boundary')
  for (;;) {
    const after = at + delimiter.length
    if (body[after] === 0x2d && body[after + 1] === 0x2d) return { parts, delimiter }
    if (isOpen && body.length < after + 2) return { parts, delimiter, openFrom: at }
    if (body[after] !== 0x0d || body[after + 1] !== 0x0a) throw unreadable('a boundary is not followed by a line end')
    if (parts.length === MOST_PARTS) throw unreadable(`it has more than ${MOST_PARTS} parts`)
    const headEnd = body.indexOf('\r\n\r\n', after)
    if (isOpen && headEnd === -1 && body.length - after < MOST_HEAD) return { parts, delimiter, openFrom: at }
    if (headEnd === -1 || headEnd - after > MOST_HEAD) throw unreadable('a part has no end of its head')
    const next = body.indexOf(`\r\n${delimiter}`, headEnd + 2)
    if (next === -1 && !isOpen) throw unreadable('it ends too early')
    const part = { ...named(body.toString('utf8', after + 2, headEnd)), start: at, contentStart: headEnd + 4 }
    if (next === -1) {
      if (!part.isFile) throw badRequest(`"${part.name}" is too long for a form of this size.`, part.name)
      parts.push({ ...part, contentEnd: body.length })
      return { parts, delimiter, openFrom: part.contentStart }
    }
    parts.push({ ...part, contentEnd: Math.max(next, headEnd + 4) })
    at = next + 2
  }
}

function named(head: string): { name: string; isFile: boolean; fileName?: string } {
  const lines = head.split('\r\n')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (lines.some((line) => /^[ \t]|[\u0000-\u0008\u000a-\u001f]/.test(line)))
    throw unreadable('the head of a part is odd')
  const [line, more] = lines.filter((each) => /^content-disposition\s*:/i.test(each))
  const parameters = line === undefined || more !== undefined ? undefined : parametersOf(line)
  const name = parameters?.get('name')
  if (!parameters || name === undefined || name.includes('\\') || parameters.has('name*')) {
    throw unreadable('a part does not say its name, or not clearly')
  }
  const isFile = parameters.has('filename') || parameters.has('filename*')
  if (!isFile && lines.some((each) => /^content-transfer-encoding\s*:(?!\s*(?:7bit|8bit|binary)\s*$)/i.test(each))) {
    throw unreadable(`its field "${name}" is encoded`)
  }
  const names = [parameters.get('filename')?.replace(/\\(["\\])/g, '$1'), decoded(parameters.get('filename*'))]
  const fileName = [...new Set(names.filter((each) => each))].join(' ')
  return { name, isFile, ...(fileName === '' ? {} : { fileName }) }
}

/** `UTF-8''a%20b.wav` (RFC 8187); as it stands where it is not that. */
function decoded(extended: string | undefined): string | undefined {
  const value = extended?.split("'").at(-1)
  try {
    return value && decodeURIComponent(value)
  } catch {
    return extended
  }
}

const unreadable = (problem: string) => badRequest(`The form in the request body cannot be read: ${problem}.`)

/** The field under which a form says what its file is called. */
const nameField = (part: string): string => `${part}; filename`

/** The text fields, and what files are called; of those that stand more than once, all. Throws if a field that decides something stands twice. */
export function formFields(body: Buffer, form: Form, single: readonly string[]): Record<string, JsonValue> {
  const fields = new Map<string, JsonValue>()
  const add = (name: string, text: string): void => {
    const known = fields.get(name)
    fields.set(name, known === undefined ? text : [...(Array.isArray(known) ? known : [known]), text])
  }
  for (const part of form.parts) {
    if (part.isFile) {
      if (single.includes(part.name)) throw badRequest(`"${part.name}" must be a text, not a file.`, part.name)
      if (part.fileName !== undefined) add(nameField(part.name), part.fileName)
      continue
    }
    if (part.contentEnd - part.contentStart > MOST_FIELD) throw badRequest(`"${part.name}" is too long.`, part.name)
    const text = body.toString('utf8', part.contentStart, part.contentEnd)
    if (fields.has(part.name) && single.includes(part.name)) {
      throw badRequest(`"${part.name}" stands more than once in the request body.`, part.name)
    }
    add(part.name, text)
  }
  return Object.fromEntries(fields)
}

/** The body with these fields set, or gone where they are undefined. */
export function spliceForm(
  body: Buffer,
  { parts, delimiter, openFrom }: Form,
  edits: Readonly<Record<string, JsonValue | undefined>>,
): Buffer[] {
  const pieces: Buffer[] = []
  const called = new Map<string, JsonValue[]>()
  for (const { name, fileName } of parts) {
    const names = edits[nameField(name)]
    if (fileName !== undefined && names) called.set(name, Array.isArray(names) ? [...names] : [names])
  }
  for (const [name, value] of Object.entries(edits)) {
    if (value === undefined || value === null || name.endsWith(nameField(''))) continue
    for (const each of Array.isArray(value) ? (value as readonly JsonValue[]) : [value]) {
      const text = typeof each === 'string' ? each : JSON.stringify(each)
      const label = name.replace(/["\r\n]/g, (c) => encodeURIComponent(c))
      pieces.push(Buffer.from(`${delimiter}\r\nContent-Disposition: form-data; name="${label}"\r\n\r\n${text}\r\n`))
    }
  }
  for (const [i, part] of parts.entries()) {
    const next = parts[i + 1]?.start ?? (part.contentStart === openFrom ? body.length : part.contentEnd + 2)
    if (!part.isFile && Object.hasOwn(edits, part.name)) continue
    const fileName = part.fileName === undefined ? undefined : called.get(part.name)?.shift()
    if (fileName === undefined || fileName === part.fileName) pieces.push(body.subarray(part.start, next))
    else pieces.push(renamed(body, part, delimiter, String(fileName)), body.subarray(part.contentStart, next))
  }
  if (openFrom === undefined) pieces.push(Buffer.from(`${delimiter}--\r\n`))
  else if (parts.at(-1)?.contentStart !== openFrom) pieces.push(body.subarray(openFrom))
  return pieces
}

/** The head of a file's part with another name in it. */
function renamed(body: Buffer, part: FormPart, delimiter: string, fileName: string): Buffer {
  const escaped = (text: string): string => text.replace(/["\r\n]/g, (c) => encodeURIComponent(c))
  const head = body.toString('utf8', part.start + delimiter.length + 2, part.contentStart - 4).split('\r\n')
  const others = head.filter((line) => !/^content-disposition\s*:/i.test(line))
  const named = `Content-Disposition: form-data; name="${escaped(part.name)}"; filename="${escaped(fileName)}"`
  return Buffer.from(`${[delimiter, named, ...others].join('\r\n')}\r\n\r\n`)
}

type LatePart = Pick<FormPart, 'name' | 'isFile'>

/** Looks at the parts of a form's rest as it passes. `judge` throws for what may not come so late. */
export class FormRest {
  readonly #needle: Buffer
  readonly #judge: (part: LatePart) => void
  #held: Buffer
  #over = false

  constructor(body: Buffer, { delimiter, openFrom = 0 }: Form, judge: (part: LatePart) => void) {
    this.#needle = Buffer.from(`\r\n${delimiter}`)
    this.#judge = judge
    // A boundary whose head has not all come stands behind a line end, as in the middle of the form.
    this.#held = Buffer.concat([Buffer.from('\r\n'), body.subarray(openFrom)])
    this.look(Buffer.alloc(0))
  }

  look(chunk: Buffer): void {
    if (this.#over) return
    const needle = this.#needle
    const bytes = Buffer.concat([this.#held, chunk])
    let from = 0
    for (;;) {
      const at = bytes.indexOf(needle, from)
      if (at === -1) {
        this.#held = bytes.subarray(Math.max(from, bytes.length - needle.length + 1))
        return
      }
      const after = at + needle.length
      if (bytes[after] === 0x2d && bytes[after + 1] === 0x2d) {
        this.#over = true
        this.#held = bytes.subarray(0, 0)
        return
      }
      const headEnd = bytes.indexOf('\r\n\r\n', after)
      if (headEnd === -1) {
        if (bytes.length - after > MOST_HEAD) throw unreadable('a part has no end of its head')
        this.#held = bytes.subarray(at)
        return
      }
      if (bytes[after] !== 0x0d || bytes[after + 1] !== 0x0a) {
        throw unreadable('a boundary is not followed by a line end')
      }
      this.#judge(named(bytes.toString('utf8', after + 2, headEnd)))
      from = headEnd + 2
    }
  }
}

/** Bytes of texts, and bytes of files. */
export function formSizes({ parts }: Form): { readonly text: number; readonly file: number } {
  let text = 0
  let file = 0
  for (const part of parts) {
    const size = part.contentEnd - part.contentStart
    if (part.isFile) file += size
    else text += size
  }
  return { text, file }
}

/**
 * Reads one HTTP/1.1 reply after another from the bytes of a connection (RFC 9112). Strict where leniency lets two readers
 * see two messages: a length beside chunks, two lengths, folded headers, bare line feeds and unknown codings are refused.
 * Body bytes are handed on as views of what arrived, without copies.
 */

export interface ReplySink {
  /** The first byte of a reply is here. */
  onBegin(): void
  /** Header names in lower case; a repeated header is joined with `, `. Interim replies (1xx) are not told. */
  onHead(status: number, headers: Record<string, string>): void
  onBytes(chunk: Buffer): void
  onEnd(): void
}

/** What is wrong with the bytes: not HTTP, too large a head, a head that contradicts itself, or an early end. */
export class HttpError extends Error {
  override readonly name = 'HttpError'
  readonly code: 'HTTP_FORM' | 'HTTP_TOO_LARGE' | 'HTTP_CONTRADICTION' | 'HTTP_INCOMPLETE' | 'HTTP_REQUEST'
  constructor(code: HttpError['code'], message: string) {
    super(message)
    this.code = code
  }
}

const HEAD_END = Buffer.from('\r\n\r\n')
const CRLF = Buffer.from('\r\n')
const NAME = /^[!#$%&'*+.^_`|~\w-]+$/
/** Anything but control characters; bytes above ASCII come as Latin-1. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const STATUS = /^HTTP\/1\.([01]) (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/
const SIZE = /^([\da-f]{1,13})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/i
const LENGTH = /^\d{1,15}$/
const MOST_CHUNK_LINE = 1_024

const NO_BODY_AFTER_HEAD = 'HEAD'

type State = 'head' | 'length' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer' | 'until-close' | 'done'

export class ReplyReader {
  readonly #sink: ReplySink
  readonly #mostHeadBytes: number
  #state: State = 'done'
  #begun = false
  #headless = false
  /** Bytes that do not make a whole line or head yet. */
  #rest: Buffer | undefined
  /** Of the body, or of the current chunk. */
  #left = 0
  /** The connection may serve another request after this reply. */
  reusable = false
  /** Milliseconds for which the server says it keeps an idle connection. */
  keepAliveMs: number | undefined

  constructor(sink: ReplySink, mostHeadBytes: number) {
    this.#sink = sink
    this.#mostHeadBytes = mostHeadBytes
  }

  /** A reply to a request of this method is next. */
  expect(method: string): void {
    this.#state = 'head'
    this.#begun = false
    this.#headless = method === NO_BODY_AFTER_HEAD
    this.reusable = false
    this.keepAliveMs = undefined
  }

  get done(): boolean {
    return this.#state === 'done'
  }

  /** Throws an HttpError; nothing may be pushed after that. */
  push(chunk: Buffer): void {
    let bytes = chunk
    if (this.#rest) {
      bytes = Buffer.concat([this.#rest, chunk])
      this.#rest = undefined
    }
    let at = 0
    while (at < bytes.length) {
      if (this.#state === 'done') throw new HttpError('HTTP_FORM', 'bytes that no request asked for')
      const next = this.#step(bytes, at)
      if (next < 0) {
        this.#rest = at === 0 ? bytes : bytes.subarray(at)
        return
      }
      at = next
    }
  }

  /** The connection closed. */
  end(): void {
    if (this.#state === 'until-close') this.#finish()
    else if (this.#state !== 'done') throw new HttpError('HTTP_INCOMPLETE', 'the connection closed amid a reply')
  }

  /** Where to go on, or -1 for want of more bytes. */
  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case 'head':
        return this.#head(bytes, at)
      case 'length':
      case 'chunk':
        return this.#body(bytes, at)
      case 'until-close':
        this.#sink.onBytes(at === 0 ? bytes : bytes.subarray(at))
        return bytes.length
      case 'chunk-size':
        return this.#chunkSize(bytes, at)
      case 'chunk-end':
        return this.#chunkEnd(bytes, at)
      case 'trailer':
        return this.#trailer(bytes, at)
      case 'done':
        return at
    }
  }

  #head(bytes: Buffer, at: number): number {
    if (!this.#begun) {
      this.#begun = true
      this.#sink.onBegin()
    }
    const end = bytes.indexOf(HEAD_END, at)
    if ((end < 0 ? bytes.length : end) - at > this.#mostHeadBytes) {
      throw new HttpError('HTTP_TOO_LARGE', 'the head is too large')
    }
    if (end < 0) {
      // What does not begin like HTTP will not become it.
      if (!'HTTP/1.'.startsWith(bytes.toString('latin1', at, Math.min(at + 7, bytes.length)))) throw notHttp()
      return -1
    }
    const lines = bytes.toString('latin1', at, end).split('\r\n')
    const start = STATUS.exec(lines[0] as string)
    if (!start) throw notHttp()
    const status = Number(start[2])
    if (status < 200) {
      if (status === 101 || status < 100) throw new HttpError('HTTP_FORM', 'a change of protocol')
      return end + 4
    }
    const headers = headersOf(lines)
    this.#frame(status, start[1] === '1', headers)
    this.#sink.onHead(status, headers)
    if (this.#state === 'length' && this.#left === 0) this.#finish()
    return end + 4
  }

  /** How the body ends, and whether another reply may follow. */
  #frame(status: number, isModern: boolean, headers: Record<string, string>): void {
    const { connection, 'transfer-encoding': coding, 'content-length': length, 'keep-alive': hint } = headers
    const options = connection === undefined ? '' : connection.toLowerCase()
    this.reusable = isModern
      ? !/(?:^|[\s,])close(?:[\s,]|$)/.test(options)
      : /(?:^|[\s,])keep-alive(?:[\s,]|$)/.test(options)
    const seconds = hint === undefined ? undefined : /(?:^|[\s,])timeout=(\d{1,6})/i.exec(hint)?.[1]
    if (seconds !== undefined) this.keepAliveMs = Number(seconds) * 1_000
    if (coding !== undefined && length !== undefined) {
      throw new HttpError('HTTP_CONTRADICTION', 'a length beside a transfer coding')
    }
    if (length !== undefined && !LENGTH.test(length)) throw new HttpError('HTTP_CONTRADICTION', 'a length that is none')
    if (coding !== undefined && (!isModern || coding.toLowerCase() !== 'chunked')) {
      throw new HttpError('HTTP_FORM', 'a transfer coding other than chunks')
    }
    this.#left = 0
    if (this.#headless || status === 204 || status === 304) this.#state = 'length'
    else if (coding !== undefined) this.#state = 'chunk-size'
    else if (length !== undefined) {
      this.#state = 'length'
      this.#left = Number(length)
    } else {
      this.#state = 'until-close'
      this.reusable = false
    }
  }

  #body(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#left)
    this.#left -= end - at
    this.#sink.onBytes(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end))
    if (this.#left === 0) {
      if (this.#state === 'chunk') this.#state = 'chunk-end'
      else this.#finish()
    }
    return end
  }

  #chunkSize(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(CRLF, at)
    if ((end < 0 ? bytes.length : end) - at > MOST_CHUNK_LINE)
      throw new HttpError('HTTP_FORM', 'a chunk without a size')
    if (end < 0) return -1
    const size = SIZE.exec(bytes.toString('latin1', at, end))?.[1]
    if (size === undefined) throw new HttpError('HTTP_FORM', 'a chunk without a size')
    this.#left = Number.parseInt(size, 16)
    this.#state = this.#left === 0 ? 'trailer' : 'chunk'
    return end + 2
  }

  #chunkEnd(bytes: Buffer, at: number): number {
    if (bytes.length - at < 2) return -1
    if (bytes[at] !== 0x0d || bytes[at + 1] !== 0x0a) throw new HttpError('HTTP_FORM', 'a chunk longer than its size')
    this.#state = 'chunk-size'
    return at + 2
  }

  /** Fields behind the last chunk say nothing that anybody here would act on. */
  #trailer(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(CRLF, at)
    if ((end < 0 ? bytes.length : end) - at > this.#mostHeadBytes) {
      throw new HttpError('HTTP_TOO_LARGE', 'the trailer is too large')
    }
    if (end < 0) return -1
    if (end === at) this.#finish()
    return end + 2
  }

  #finish(): void {
    this.#state = 'done'
    this.#sink.onEnd()
  }
}

const notHttp = (): HttpError => new HttpError('HTTP_FORM', 'bytes that are not HTTP')

function headersOf(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] as string
    const colon = line.indexOf(':')
    if (colon < 1) throw notHttp()
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (!NAME.test(name) || !VALUE.test(value)) throw notHttp()
    if (name === '__proto__') continue
    const before = headers[name]
    if (before === undefined) headers[name] = value
    else if (name === 'content-length' || name === 'transfer-encoding') {
      throw new HttpError('HTTP_CONTRADICTION', `"${name}" stands twice`)
    } else headers[name] = `${before}, ${value}`
  }
  return headers
}

/**
 * What is known of a Gemini stream on the relay. Usage rides on every chunk, so chunks are told by byte probes and the
 * last one that carried usage is kept to be parsed once: at the finish, or when someone asks after an early end.
 */
import type { Watcher } from '../../core/dialect.ts'
import { failure, GatewayError } from '../../core/errors.ts'
import { type Frame, MARK, type ReplyEvent, type ReplyFacts } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import type { Usage } from '../../core/usage.ts'
import { sseData } from '../../wire/sse.ts'
import { bornInside } from './errors.ts'
import { ReplyReader } from './reader.ts'
import { noteSearches, usageOf, withSearches } from './usage.ts'
import { camelKeys, finishOf, isObject, listOf, numberOf, objectOf, stringOf } from './vocabulary.ts'

/** Ends, errors and the rarer kinds of parts: their chunks are parsed. Inside a text, quotes would be escaped. */
const SPECIAL =
  /"(?:finishReason|blockReason|error|functionCall|inlineData|fileData|executableCode|codeExecutionResult|toolCall|groundingMetadata)"/
const USAGE = '"usageMetadata"'
const TEXT = '"text"'
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Facts whose usage is read from the kept chunk when it is first asked for. */
class Facts implements ReplyFacts {
  id?: string
  model?: string
  finish?: NonNullable<ReplyFacts['finish']>
  textBytes = 0
  complete = false
  error?: GatewayError
  kept: Buffer | undefined
  readonly searches = new Set<string>()
  #usage: Usage | undefined

  /** Absent until a chunk counted something; an accessor's type cannot say so. */
  get usage(): Usage {
    if (this.kept) {
      const chunk = parsed(this.kept)
      this.kept = undefined
      this.#usage = usageOf(objectOf(chunk).usageMetadata) ?? this.#usage
    }
    return (this.#usage && withSearches(this.#usage, this.searches)) as Usage
  }
  set usage(usage: Usage) {
    this.kept = undefined
    this.#usage = usage
  }
}

export class GeminiWatcher implements Watcher {
  readonly facts = new Facts()
  readonly #finished = new Set<number>()
  readonly #candidates: number
  #called = false
  #isFirst = true

  constructor(asked: JsonObject) {
    const config = camelKeys(objectOf(asked.generationConfig ?? asked.generation_config))
    this.#candidates = Math.max(1, numberOf(config.candidateCount) ?? 1)
  }

  look(frame: Frame): void {
    const { bytes } = frame
    const { facts } = this
    // One character a byte: the probes cost less on a string than on the bytes.
    const text = bytes.toString('latin1')
    if (!this.#isFirst && endsObject(text) && !SPECIAL.test(text)) {
      const length = textBytes(text)
      if (length > 0) frame.marks |= MARK.content
      facts.textBytes += length
      if (text.includes(USAGE)) facts.kept = bytes
      return
    }
    const chunk = parsed(bytes)
    if (!isObject(chunk)) {
      if (!claimsMore(text)) return
      facts.error = failure('upstream_invalid', { problem: 'an event that is not JSON' })
      frame.marks |= MARK.final
      return
    }
    this.#isFirst = false
    const error = bornInside(chunk)
    if (error) {
      facts.error = error
      frame.marks |= MARK.final
      return
    }
    const id = stringOf(chunk.responseId)
    const model = stringOf(chunk.modelVersion)
    if (id !== undefined) facts.id = id
    if (model !== undefined) facts.model = model
    noteSearches(chunk, facts.searches)
    const usage = usageOf(chunk.usageMetadata)
    if (usage) facts.usage = usage
    for (const candidate of listOf(chunk.candidates)) if (isObject(candidate)) this.#candidate(candidate, frame)
    if (stringOf(objectOf(chunk.promptFeedback).blockReason) !== undefined && !chunk.candidates) {
      facts.finish = 'content-filter'
      facts.complete = true
      frame.marks |= MARK.final
    }
  }

  #candidate(candidate: JsonObject, frame: Frame): void {
    const { facts } = this
    const index = numberOf(candidate.index) ?? 0
    for (const part of listOf(objectOf(candidate.content).parts)) {
      if (!isObject(part)) continue
      const length = partBytes(part)
      facts.textBytes += length
      if (length > 0 || typeof part.text !== 'string') frame.marks |= MARK.content
      if (index === 0 && isObject(part.functionCall)) this.#called = true
    }
    const reason = stringOf(candidate.finishReason)
    if (reason === undefined || reason === 'FINISH_REASON_UNSPECIFIED') return
    frame.marks |= MARK.final
    this.#finished.add(index)
    if (index === 0) facts.finish = finishOf(reason, this.#called)
    facts.complete = this.#finished.size >= this.#candidates
  }
}

/** The facts of an unstreamed reply, or of a stream that came as one array. */
export function factsOf(body: JsonValue): ReplyFacts {
  const facts: ReplyFacts = { textBytes: 0, complete: false }
  try {
    const reader = new ReplyReader()
    const events = reader.take(body)
    for (const event of events) note(event, facts)
    for (const event of reader.end()) note(event, facts)
    facts.complete = true
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    facts.error = error
  }
  return facts
}

function note(event: ReplyEvent, facts: ReplyFacts): void {
  switch (event.type) {
    case 'reply-start':
      if (event.id !== undefined) facts.id = event.id
      if (event.model !== undefined) facts.model = event.model
      break
    case 'text-delta':
    case 'reasoning-delta':
      facts.textBytes += Buffer.byteLength(event.text)
      break
    case 'tool-call-delta':
      facts.textBytes += Buffer.byteLength(event.json)
      break
    case 'usage-report':
      facts.usage = event.usage
      break
    case 'finish':
      if (event.choice === undefined) facts.finish = event.reason
      break
  }
}

/** A frame's payload; undefined where it is none (a comment, the end of an array). */
function parsed(frame: Buffer): JsonValue | undefined {
  const start = frame.indexOf('{')
  const end = frame.lastIndexOf('}')
  if (start < 0 || end < start) return undefined
  for (const text of [frame.toString('utf8', start, end + 1), sseData(frame).data]) {
    try {
      return JSON.parse(text)
    } catch {
      // Several `data:` lines of one event, which are joined next; or no JSON at all.
    }
  }
  return undefined
}

/** Whether it should have held an object: an event with data, or a piece of an array that opens one. */
const claimsMore = (text: string): boolean => /^data:\s*[^\s[\],]/m.test(text) || /^[\s,[]*\{/.test(text)

/** Whether its last object is closed, whatever of an array comes behind it. */
function endsObject(text: string): boolean {
  let at = text.length - 1
  while (at >= 0 && (text.charCodeAt(at) <= 32 || text[at] === ',' || text[at] === ']')) at--
  return text[at] === '}'
}

function partBytes(part: JsonObject): number {
  if (typeof part.text === 'string') return Buffer.byteLength(part.text)
  const call = part.functionCall
  if (!isObject(call)) return 0
  return Buffer.byteLength(JSON.stringify(call.args ?? call.partialArgs ?? ''))
}

/** The bytes inside the strings of `"text": "…"`, escapes counted as they stand. */
function textBytes(frame: string): number {
  let sum = 0
  for (let at = frame.indexOf(TEXT); at >= 0; at = frame.indexOf(TEXT, at)) {
    at += TEXT.length
    while (frame[at] === ' ' || frame[at] === ':') at++
    if (frame.charCodeAt(at) !== QUOTE) continue
    const start = ++at
    for (let code = frame.charCodeAt(at); at < frame.length && code !== QUOTE; code = frame.charCodeAt(at)) {
      at += code === BACKSLASH ? 2 : 1
    }
    sum += at - start
  }
  return sum
}

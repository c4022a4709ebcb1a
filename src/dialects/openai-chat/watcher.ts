/**
 * What is known of a stream on the relay. An ordinary frame is told by byte probes alone: inside JSON a text cannot hold
 * `"usage":` without a backslash in it, so a probed key is a key. Parsed are the first frame, finishes, usage, errors,
 * and whatever carries no text where texts usually are.
 */
import type { Watcher } from '../../core/dialect.ts'
import { failure } from '../../core/errors.ts'
import { type Frame, MARK, type ReplyFacts } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { isComment, sseData } from '../../wire/sse.ts'
import { bornInside } from './errors.ts'
import { usageIn, usageOf } from './usage.ts'
import { finishOf, isEmpty, isObject, listOf, objectOf, said, without, wordOf } from './vocabulary.ts'

const key = (name: string): Buffer => Buffer.from(`"${name}"`)
const FINISH = key('finish_reason')
const USAGE = key('usage')
const ERROR = key('error')
const CALLS = key('tool_calls')

/** Where the text of a dialect's chunks stands. */
export const CHAT_TEXTS = ['content', 'reasoning_content', 'reasoning', 'arguments', 'refusal']

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const SMALL_N = 0x6e
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const LARGEST_DONE = 40

export class ChatWatcher implements Watcher {
  readonly facts: ReplyFacts = { textBytes: 0, complete: false }
  readonly #texts: readonly Buffer[]
  readonly #wantsUsage: boolean
  readonly #wanted: number
  readonly #finished = new Map<number, string>()
  #called = false
  #knowsHead = false

  constructor(asked: JsonObject, texts: readonly string[] = CHAT_TEXTS) {
    this.#texts = texts.map(key)
    this.#wantsUsage = objectOf(asked.stream_options).include_usage === true
    this.#wanted = typeof asked.n === 'number' && asked.n > 1 ? asked.n : 1
  }

  look(frame: Frame): void {
    const { bytes } = frame
    if (this.#knowsHead && !this.#mustParse(bytes)) {
      const length = this.#textBytes(bytes)
      if (length > 0) {
        this.facts.textBytes += length
        frame.marks |= MARK.content
        return
      }
    }
    if (!isComment(bytes)) this.#parse(frame)
  }

  #mustParse(bytes: Buffer): boolean {
    if (bytes.length <= LARGEST_DONE) return true
    // A call's name alone is content without text, and that there was a call decides what its finish means.
    if (!this.#called && isSaid(bytes, CALLS)) return true
    return isSaid(bytes, FINISH) || isSaid(bytes, USAGE) || isSaid(bytes, ERROR)
  }

  #textBytes(bytes: Buffer): number {
    let sum = 0
    for (const name of this.#texts) {
      for (let at = bytes.indexOf(name); at !== -1; ) {
        const value = valueAt(bytes, at + name.length)
        let next = at + name.length
        if (bytes[value] === QUOTE) {
          const end = stringEnd(bytes, value + 1)
          sum += end - value - 1
          next = end
        }
        at = bytes.indexOf(name, next)
      }
    }
    return sum
  }

  #parse(frame: Frame): void {
    const { facts } = this
    const { data, event } = sseData(frame.bytes)
    const text = data.trim()
    if (text === '') return
    if (text === '[DONE]') {
      frame.marks |= MARK.terminal | MARK.final
      // Without any finish reason it is the end of nothing.
      this.#settle(true)
      facts.complete = facts.finish !== undefined
      return
    }
    let chunk: JsonValue
    try {
      chunk = JSON.parse(text)
    } catch {
      facts.error = failure('upstream_invalid', { problem: 'an event that is not JSON' })
      frame.marks |= MARK.final
      return
    }
    const error = bornInside(chunk, event)
    if (error) {
      facts.error = error
      frame.marks |= MARK.final
      return
    }
    if (isObject(chunk)) this.#chunk(chunk, frame)
  }

  #chunk(chunk: JsonObject, frame: Frame): void {
    const { facts } = this
    const id = wordOf(chunk.id)
    const model = wordOf(chunk.model)
    if (id !== undefined) facts.id ??= id
    if (model !== undefined) facts.model ??= model
    const choices = listOf(chunk.choices).filter(isObject)
    if (choices.length > 0) this.#knowsHead = true
    let isFinal = false
    let hasContent = false
    for (const [i, choice] of choices.entries()) {
      const length = textBytesOf(wordsOf(choice))
      facts.textBytes += length
      if (length > 0 || hasMore(choice)) hasContent = true
      if (isCalling(choice)) this.#called = true
      const reason = wordOf(choice.finish_reason)
      if (reason === undefined) continue
      isFinal = true
      this.#finished.set(typeof choice.index === 'number' ? choice.index : i, reason)
      this.#settle(false)
    }
    const counted = usageIn(chunk)
    const usage = usageOf(counted)
    if (usage) {
      facts.usage = usage
      isFinal ||= choices.length === 0 || (this.#finished.size > 0 && !hasContent)
    }
    if (hasContent) frame.marks |= MARK.content
    if (isFinal) frame.marks |= MARK.final
    const isUsageOnly = usage !== undefined && choices.length === 0
    if (isUsageOnly && !this.#wantsUsage) frame.marks |= MARK.withhold
  }

  /** With several choices the reply is finished when the last of them is. */
  #settle(isOver: boolean): void {
    const reason = this.#finished.get(0) ?? (isOver ? [...this.#finished.values()][0] : undefined)
    if (reason === undefined || (!isOver && this.#finished.size < this.#wanted)) return
    this.facts.finish = finishOf(reason, this.#called)
  }
}

const wordsOf = (choice: JsonObject): JsonValue | undefined => choice.delta ?? choice.message ?? wordOf(choice.text)

function isCalling(choice: JsonObject): boolean {
  const { tool_calls, function_call } = objectOf(wordsOf(choice))
  return listOf(tool_calls).length > 0 || isObject(function_call)
}

/** Something to show that is no text: a call, sound, typed parts, legacy calls. */
function hasMore(choice: JsonObject): boolean {
  const delta = objectOf(choice.delta ?? choice.message)
  const beside = said(without(delta, 'role', 'index', 'content', 'refusal', 'reasoning_content', 'reasoning'))
  return Object.values(beside).some((value) =>
    Array.isArray(value) ? value.length > 0 : isObject(value) && !isEmpty(value),
  )
}

/** Bytes of all that the model wrote: the strings under the keys that hold its words. */
export function textBytesOf(value: JsonValue | undefined): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  const { content, text, reasoning_content, reasoning, refusal, thinking, tool_calls, function_call, custom } =
    objectOf(value)
  const fn = objectOf(objectOf(value).function)
  let sum = 0
  for (const words of [content, text, reasoning_content ?? reasoning, refusal, thinking, fn.arguments]) {
    if (typeof words === 'string') sum += Buffer.byteLength(words)
    else for (const item of listOf(words)) sum += textBytesOf(item)
  }
  if (isObject(function_call)) sum += textBytesOf({ function: function_call })
  if (isObject(custom)) sum += textBytesOf(custom.input)
  for (const call of listOf(tool_calls)) sum += textBytesOf(call)
  return sum
}

/** Whether a key stands here with a value other than null and the empty list. */
function isSaid(bytes: Buffer, name: Buffer): boolean {
  for (let at = bytes.indexOf(name); at !== -1; at = bytes.indexOf(name, at + name.length)) {
    const value = valueAt(bytes, at + name.length)
    if (value === -1 || bytes[value] === SMALL_N) continue
    if (bytes[value] !== OPEN_LIST || bytes[value + 1] !== CLOSE_LIST) return true
  }
  return false
}

/** Where the value of the key that ends here begins; -1 if it is no key. */
function valueAt(bytes: Buffer, afterKey: number): number {
  let at = afterKey
  while ((bytes[at] as number) <= 0x20) at++
  if (bytes[at] !== COLON) return -1
  at++
  while ((bytes[at] as number) <= 0x20) at++
  return at
}

/** The closing quote of the string that begins here. */
function stringEnd(bytes: Buffer, start: number): number {
  for (let at = start; ; ) {
    const quote = bytes.indexOf(QUOTE, at)
    if (quote === -1) return bytes.length
    let before = quote - 1
    while (before >= start && bytes[before] === BACKSLASH) before--
    if ((quote - before) % 2 === 1) return quote
    at = quote + 1
  }
}

/** The facts of an unstreamed body; `error` where it is no answer. */
export function factsOf(body: JsonValue): ReplyFacts {
  const facts: ReplyFacts = { textBytes: 0, complete: false }
  const error = bornInside(body)
  const choices = isObject(body) ? listOf(body.choices).filter(isObject) : []
  const [first] = choices
  if (error || !isObject(body) || !first) {
    facts.error = error ?? failure('upstream_invalid', { problem: 'a body without choices' })
    return facts
  }
  const id = wordOf(body.id)
  const model = wordOf(body.model)
  const usage = usageOf(usageIn(body))
  if (id !== undefined) facts.id = id
  if (model !== undefined) facts.model = model
  if (usage) facts.usage = usage
  facts.finish = finishOf(wordOf(first.finish_reason) ?? 'stop', isCalling(first))
  for (const choice of choices) facts.textBytes += textBytesOf(wordsOf(choice))
  facts.complete = true
  return facts
}

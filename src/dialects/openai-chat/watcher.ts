/**
 * What is known of a stream on the relay. An ordinary frame is not parsed but scanned once. Parsed are the first frame,
 * finishes, usage, errors, the first call, and whatever carries no text where texts usually are.
 */
import type { Watcher } from '../../core/dialect.ts'
import { failure } from '../../core/errors.ts'
import { type Frame, MARK, type ReplyFacts } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { endsWhole, isComment, sseData } from '../../wire/sse.ts'
import { bornInside } from './errors.ts'
import { type Probe, probeFor, scan } from './scan.ts'
import { usageWithTier } from './usage.ts'
import { finishOf, isEmpty, isObject, listOf, objectOf, said, without, wordOf } from './vocabulary.ts'

/** The keys of a format's texts, and what is looked for: at first, and once a call was seen. */
export interface Probes {
  readonly first: Probe
  readonly later: Probe
}
export function probesFor(...texts: readonly string[]): Probes {
  const telling = ['finish_reason', 'usage', 'error']
  // A call's name alone is content without text, and that there was a call decides what its finish means.
  return { first: probeFor(texts, [...telling, 'tool_calls']), later: probeFor(texts, telling) }
}
const CHAT = probesFor('content', 'reasoning_content', 'reasoning', 'arguments', 'refusal')

const LARGEST_DONE = 40

export class ChatWatcher implements Watcher {
  readonly facts: ReplyFacts = { textBytes: 0, complete: false }
  readonly #probes: Probes
  #probe: Probe
  /** The upstream keeps what it answers. */
  readonly #stores: boolean
  readonly #wantsUsage: boolean
  readonly #wanted: number
  readonly #finished = new Map<number, string>()
  /** The choices that called a tool. */
  readonly #called = new Set<number>()
  #knowsHead = false

  constructor(asked: JsonObject, probes: Probes = CHAT) {
    this.#probes = probes
    this.#probe = probes.first
    this.#stores = asked.store === true
    this.#wantsUsage = objectOf(asked.stream_options).include_usage === true
    this.#wanted = typeof asked.n === 'number' && asked.n > 1 ? asked.n : 1
  }

  look(frame: Frame): void {
    const { bytes } = frame
    if (this.#knowsHead && bytes.length > LARGEST_DONE) {
      const length = scan(bytes, this.#probe)
      if (length > 0 && endsWhole(bytes)) {
        this.facts.textBytes += length
        frame.marks |= MARK.content
        return
      }
    }
    if (!isComment(bytes)) this.#parse(frame)
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
    if (id !== undefined && facts.id === undefined) {
      facts.id = id
      if (this.#stores) facts.made = [{ id, kind: 'chat-completion' }]
    }
    if (model !== undefined) facts.model ??= model
    const choices = listOf(chunk.choices).filter(isObject)
    if (choices.length > 0) this.#knowsHead = true
    let isFinal = false
    let hasContent = false
    for (const [i, choice] of choices.entries()) {
      const length = textBytesOf(wordsOf(choice))
      facts.textBytes += length
      if (length > 0 || hasMore(choice)) hasContent = true
      const index = typeof choice.index === 'number' ? choice.index : i
      if (isCalling(choice)) this.#noteCall(index)
      const reason = wordOf(choice.finish_reason)
      if (reason === undefined) continue
      isFinal = true
      this.#finished.set(index, reason)
      this.#settle(false)
    }
    const usage = usageWithTier(chunk)
    if (usage) {
      facts.usage = usage
      isFinal ||= choices.length === 0 || (this.#finished.size > 0 && !hasContent)
    }
    if (hasContent) frame.marks |= MARK.content
    if (isFinal) frame.marks |= MARK.final
    const isUsageOnly = usage !== undefined && choices.length === 0
    if (isUsageOnly && !this.#wantsUsage) frame.marks |= MARK.withhold
  }

  #noteCall(index: number): void {
    this.#called.add(index)
    if (this.#called.size >= this.#wanted) this.#probe = this.#probes.later
  }

  /** With several choices the reply is finished when the last of them is. */
  #settle(isOver: boolean): void {
    const reason = this.#finished.get(0) ?? (isOver ? [...this.#finished.values()][0] : undefined)
    if (reason === undefined || (!isOver && this.#finished.size < this.#wanted)) return
    this.facts.finish = finishOf(reason, this.#called.has(0))
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

/** The facts of an unstreamed body; `error` where it is no answer. */
export function factsOf(body: JsonValue, asked?: JsonObject): ReplyFacts {
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
  const usage = usageWithTier(body)
  if (id !== undefined) facts.id = id
  if (id !== undefined && asked?.store === true) facts.made = [{ id, kind: 'chat-completion' }]
  if (model !== undefined) facts.model = model
  if (usage) facts.usage = usage
  facts.finish = finishOf(wordOf(first.finish_reason) ?? 'stop', isCalling(first))
  for (const choice of choices) facts.textBytes += textBytesOf(wordsOf(choice))
  facts.complete = true
  return facts
}

/**
 * What is known of a message stream as it passes on the relay. Nearly every frame is a piece of text: it is told by
 * its first bytes and its text measured where it stands. The few others are parsed.
 */
import type { Watcher } from '../../core/dialect.ts'
import { failure, GatewayError } from '../../core/errors.ts'
import type { Made } from '../../core/objects.ts'
import { type Frame, MARK, type ReplyEvent, type ReplyFacts } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { textBytes } from '../../wire/measure.ts'
import { endsWhole, sseData } from '../../wire/sse.ts'
import { bornInside } from './errors.ts'
import { MessageReader } from './reader.ts'
import { mergedUsage, usageOf } from './usage.ts'
import { finishOf, isObject, JSON_TOOL, listOf, objectOf, stringOf } from './vocabulary.ts'

const DELTA = Buffer.from('"content_block_delta"')
const TEXT_KEYS = ['"text"', '"thinking"', '"partial_json"'].map((key) => Buffer.from(key))
/** How far into a frame its type stands: behind `event: content_block_delta\ndata: {"type":`. */
const HEAD = 80

export class MessageWatcher implements Watcher {
  readonly facts: ReplyFacts = { textBytes: 0, complete: false }
  readonly #asked: JsonObject
  #usage: JsonObject | undefined
  #calls = 0
  #answers = 0

  constructor(asked: JsonObject) {
    this.#asked = asked
  }

  look(frame: Frame): void {
    const { bytes } = frame
    const { facts } = this
    if (bytes.subarray(0, HEAD).includes(DELTA) && endsWhole(bytes)) {
      frame.marks |= MARK.content
      facts.textBytes += textBytes(bytes, TEXT_KEYS)
      return
    }
    const value = parsed(bytes)
    if (!isObject(value)) return
    const error =
      value === BROKEN ? failure('upstream_invalid', { problem: 'an event that is not JSON' }) : bornInside(value)
    if (error) {
      facts.error = error
      frame.marks |= MARK.final
      return
    }
    switch (value.type) {
      case 'message_start':
        if (facts.complete) return
        this.#started(objectOf(value.message), frame)
        return
      case 'content_block_start':
        this.#block(objectOf(value.content_block), frame)
        return
      case 'content_block_delta':
        frame.marks |= MARK.content
        facts.textBytes += textBytes(bytes, TEXT_KEYS)
        return
      case 'message_delta': {
        frame.marks |= MARK.final
        this.#report(value.usage)
        this.#contained(objectOf(value.delta))
        const reason = stringOf(objectOf(value.delta).stop_reason)
        if (reason === undefined) return
        const isAnswer = reason === 'tool_use' && this.#answers > 0 && this.#calls === 0
        facts.finish = isAnswer ? 'stop' : finishOf(reason)
        return
      }
      case 'message_stop':
        frame.marks |= MARK.final | MARK.terminal
        facts.complete = true
    }
  }

  #started(message: JsonObject, frame: Frame): void {
    const { facts } = this
    const id = stringOf(message.id)
    const model = stringOf(message.model)
    if (id !== undefined) {
      facts.id = id
      if (isKept(this.#asked)) facts.made = [{ id, kind: 'message' }]
    }
    if (model !== undefined) facts.model = model
    this.#contained(message)
    this.#report(message.usage)
    for (const block of listOf(message.content)) this.#block(objectOf(block), frame)
  }

  #contained(told: JsonObject): void {
    const made = containerOf(told)
    if (made) this.facts.made = [...(this.facts.made ?? []), made]
  }

  #report(raw: JsonValue | undefined): void {
    this.#usage = mergedUsage(this.#usage, raw)
    const usage = usageOf(this.#usage)
    if (usage) this.facts.usage = usage
  }

  #block(block: JsonObject, frame: Frame): void {
    const { facts } = this
    const text = stringOf(block.text) ?? stringOf(block.thinking) ?? ''
    const isEmpty = text === '' && (block.type === 'text' || block.type === 'thinking')
    if (!isEmpty) frame.marks |= MARK.content
    if (block.type === 'text' || block.type === 'thinking') facts.textBytes += Buffer.byteLength(text)
    if (block.type === 'tool_use') {
      if (block.name === JSON_TOOL) this.#answers++
      else this.#calls++
    }
    // Another model took over, and its prices with it.
    const model = block.type === 'fallback' ? stringOf(objectOf(block.to).model) : undefined
    if (model !== undefined) facts.model = model
  }
}

/** Where code runs for this conversation: the next turn may name it. */
function containerOf(told: JsonObject): Made | undefined {
  const id = stringOf(objectOf(told.container).id)
  return id === undefined ? undefined : { id, kind: 'container' }
}

/** In a thread the server keeps its messages, and the next request names the last. */
export const isKept = (asked: JsonObject | undefined): boolean => isObject(asked?.thread)

/** The facts of an unstreamed message. */
export function factsOf(body: JsonValue, asked?: JsonObject): ReplyFacts {
  const facts: ReplyFacts = { textBytes: 0, complete: false }
  try {
    for (const event of new MessageReader().body(body)) note(event, facts)
    facts.complete = true
    const container = containerOf(objectOf(body))
    const message = facts.id !== undefined && isKept(asked) ? [{ id: facts.id, kind: 'message' }] : []
    if (container || message.length > 0) facts.made = [...message, ...(container ? [container] : [])]
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
      facts.finish = event.reason
      break
  }
}

/** What an event is whose data are no JSON. */
const BROKEN: JsonObject = {}

function parsed(bytes: Buffer): JsonValue | undefined {
  const { data } = sseData(bytes)
  if (data === '' || data === '[DONE]') return undefined
  try {
    return JSON.parse(data)
  } catch {
    return BROKEN
  }
}

/**
 * What is known of a stream of responses as it passes on the relay. Nearly every frame is a piece of text, told by its
 * type at the front; parsed are the first, the last, and those that open something.
 */
import type { Watcher } from '../../core/dialect.ts'
import { failure, GatewayError } from '../../core/errors.ts'
import { type Frame, MARK, type ReplyFacts } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { sealsMade } from '../../core/seals.ts'
import { NO_USAGE } from '../../core/usage.ts'
import { endsWhole, isComment, sseData } from '../../wire/sse.ts'
import { isObject, listOf, objectOf, wordOf } from '../openai-chat/index.ts'
import { bornInside } from './errors.ts'
import { finishOf } from './reader.ts'
import { madeIn } from './references.ts'
import { sealsIn } from './seals.ts'
import { usageOf } from './usage.ts'

/** How far into a frame its type stands: behind `event: …\ndata: {"type":`. */
const HEAD = 96
const DELTA = /response\.[a-z_.]+\.delta"/
const ENDED = /^response\.(?:completed|incomplete|failed|cancelled)$/
const TEXT = Buffer.from('"delta":"')

export class ResponseWatcher implements Watcher {
  readonly facts: ReplyFacts = { textBytes: 0, complete: false }
  #calls = 0
  #isKept = false

  look(frame: Frame): void {
    const { bytes } = frame
    if (this.facts.complete) return
    if (DELTA.test(bytes.toString('latin1', 0, HEAD)) && endsWhole(bytes)) {
      frame.marks |= MARK.content
      this.facts.textBytes += deltaBytes(bytes)
      return
    }
    if (isComment(bytes)) return
    const { data, event } = sseData(bytes)
    if (data.trim() === '' || data.trim() === '[DONE]') return
    let value: JsonValue
    try {
      value = JSON.parse(data)
    } catch {
      this.facts.error = failure('upstream_invalid', { problem: 'an event that is not JSON' })
      frame.marks |= MARK.final
      return
    }
    const error = bornInside(value)
    if (error) {
      this.facts.error = error
      frame.marks |= MARK.final
    } else if (isObject(value)) this.#take(value, wordOf(value.type) ?? event ?? '', frame)
  }

  #take(value: JsonObject, type: string, frame: Frame): void {
    const { facts } = this
    if (isObject(value.response)) {
      const { response } = value
      const id = wordOf(response.id)
      const model = wordOf(response.model)
      if (id !== undefined && facts.id === undefined) {
        facts.id = id
        this.#isKept = response.store !== false
        if (this.#isKept) facts.made = [{ id, kind: 'response' }]
      }
      if (model !== undefined) facts.model = model
      if (!ENDED.test(type)) return
      const usage = usageOf(response)
      if (usage) facts.usage = usage
      facts.finish = finishOf(response, this.#calls > 0)
      facts.complete = true
      frame.marks |= MARK.final | MARK.terminal
      return
    }
    const kind = objectOf(value.item).type
    if (type === 'response.output_item.done') {
      const item = value.item as JsonValue
      const made = [...sealsMade(sealsIn([item])), ...madeIn(item, this.#isKept)]
      if (made.length > 0) facts.made = [...(facts.made ?? []), ...made]
      return
    }
    if (type !== 'response.output_item.added' || kind === 'message' || kind === 'reasoning') return
    if (kind === 'function_call' || kind === 'custom_tool_call') this.#calls++
    frame.marks |= MARK.content
  }
}

/** As it stands there, escapes included: only an estimate depends on it. */
function deltaBytes(bytes: Buffer): number {
  const start = bytes.indexOf(TEXT)
  if (start < 0) return 0
  let end = start + TEXT.length
  while (end < bytes.length && bytes[end] !== 0x22) end += bytes[end] === 0x5c ? 2 : 1
  return end - start - TEXT.length
}

/** The facts of an unstreamed response. */
export function factsOf(body: JsonValue): ReplyFacts {
  const facts: ReplyFacts = { textBytes: 0, complete: false }
  const error = bornInside(body)
  if (error || !isObject(body) || !Array.isArray(body.output)) {
    facts.error =
      error instanceof GatewayError ? error : failure('upstream_invalid', { problem: 'a response without output' })
    return facts
  }
  const id = wordOf(body.id)
  const model = wordOf(body.model)
  const usage = usageOf(body)
  if (id !== undefined) {
    facts.id = id
    // What is done in the background is booked when it is over.
    const isRunning = body.status === 'queued' || body.status === 'in_progress'
    if (body.store !== false) facts.made = [{ id, kind: 'response', ...(isRunning ? { facts: {} } : {}) }]
    if (isRunning) facts.usage = NO_USAGE
  }
  if (model !== undefined) facts.model = model
  if (usage) facts.usage = usage
  let calls = 0
  for (const item of listOf(body.output)) {
    const { type, content, summary, arguments: json, input } = objectOf(item)
    if (type === 'function_call' || type === 'custom_tool_call') calls++
    for (const text of [json, input]) facts.textBytes += Buffer.byteLength(wordOf(text) ?? '')
    for (const part of [...listOf(content), ...listOf(summary)]) {
      const { text, refusal } = objectOf(part)
      facts.textBytes += Buffer.byteLength(wordOf(text) ?? wordOf(refusal) ?? '')
    }
  }
  const made = sealsMade(sealsIn(body.output))
  for (const item of listOf(body.output)) made.push(...madeIn(item, body.store !== false))
  if (made.length > 0) facts.made = [...(facts.made ?? []), ...made]
  facts.finish = finishOf(body, calls > 0)
  facts.complete = true
  return facts
}

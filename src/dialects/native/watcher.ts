/**
 * Looks at a stream of JSON events that passes as it is. Events that bring usage, or whose type says that something is
 * complete, belong to the end; so does `[DONE]`. Where a family names its last event, a stream without it is cut off.
 */
import type { Watcher } from '../../core/dialect.ts'
import { type Frame, MARK, type ReplyFacts } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { isComment, sseData } from '../../wire/sse.ts'
import { bornInside, isObject, wordOf } from '../openai-chat/index.ts'
import { usageIn } from './usage.ts'

/** Larger events carry pictures or sound, and what is looked for stands at their beginning or end. */
const READ_BELOW = 64 * 1024

export class EventWatcher implements Watcher {
  readonly facts: ReplyFacts
  readonly #last: RegExp | undefined

  constructor(last: RegExp | undefined) {
    this.facts = { textBytes: 0, complete: last === undefined }
    this.#last = last
  }

  look(frame: Frame): void {
    const { bytes } = frame
    if (isComment(bytes)) return
    const { data, event } = sseData(bytes)
    if (data.trim() === '[DONE]') {
      frame.marks = MARK.final | MARK.terminal
      this.facts.complete = true
      return
    }
    const type = event ?? typeIn(data)
    const mayMatter = bytes.length < READ_BELOW || bytes.includes('"usage"') || type.includes('error')
    const value = mayMatter ? parsed(data) : undefined
    const error = value === undefined ? undefined : bornInside(value, event)
    if (error) {
      this.facts.error = error
      frame.marks = MARK.final
      return
    }
    const isLast = this.#last?.test(type) === true
    frame.marks = isLast ? MARK.final : MARK.content
    if (isObject(value)) this.#learn(value)
    else this.facts.textBytes += isLast ? 0 : 1
    if (isLast) this.facts.complete = true
  }

  #learn(value: JsonObject): void {
    const usage = usageIn(value)
    const model = wordOf(value.model)
    if (usage) this.facts.usage = usage
    if (model !== undefined) this.facts.model = model
    this.facts.textBytes += Buffer.byteLength(wordOf(value.delta) ?? '')
  }
}

const typeIn = (data: string): string => /"type"\s*:\s*"([\w.-]{1,100})"/.exec(data.slice(0, 2_000))?.[1] ?? ''

function parsed(data: string): JsonValue | undefined {
  try {
    return JSON.parse(data) as JsonValue
  } catch {
    return undefined
  }
}

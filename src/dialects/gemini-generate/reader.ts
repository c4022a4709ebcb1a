/**
 * GenerateContentResponses → events, one reader for a body and for a stream. A chunk is a response of its own, its
 * parts are pieces; nothing marks where a part ends, so a part ends when one of another kind comes.
 */
import type { StreamReader } from '../../core/dialect.ts'
import { failure } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue, ModelRequest } from '../../core/request.ts'
import { originalNames } from '../../core/tool-names.ts'
import { bornInside } from './errors.ts'
import { PartialArguments } from './partial-arguments.ts'
import { COUNTED, noteSearches, usageOf, withSearches } from './usage.ts'
import {
  asRest,
  callId,
  finishOf,
  ID,
  isEmpty,
  isObject,
  listOf,
  numberOf,
  objectOf,
  stringOf,
  wireName,
} from './vocabulary.ts'

/** What a candidate tells beside its content travels as `annotation.rest.candidate`, to the same vendor only. */
const NOT_ANNOTATION = new Set(['content', 'index', 'finishReason', 'finishMessage'])

interface Choice {
  readonly index: number
  open:
    | { readonly kind: 'text' | 'reasoning' | 'call'; readonly part: number; readonly args?: PartialArguments }
    | undefined
  called: boolean
  finishReason?: string
  finishMessage?: string
}

/** Only what a caller gave in pieces or a stream's end can be known to be whole: so `end` must be called. */
export class ReplyReader implements StreamReader {
  readonly #choices = new Map<number, Choice>()
  readonly #names: ReadonlyMap<string, string>
  readonly #searches = new Set<string>()
  #started = false
  #parts = 0
  #ids = 0
  #replyId: string | undefined
  #blocked = false
  #extras = ''
  #usage = ''

  /** `asked` is the request that was written: names that had to be replaced in it come back as they were. */
  constructor(asked?: ModelRequest) {
    this.#names = originalNames(asked, wireName)
  }

  /** One event's payload: a response, or (in the framing without SSE) an array's piece with its bracket or comma. */
  read(data: string): ReplyEvent[] {
    const text = betweenElements(data)
    if (text === '') return []
    let chunks: JsonValue
    try {
      chunks = JSON.parse(`[${text}]`)
    } catch (error) {
      throw failure('upstream_invalid', { problem: 'an event that is not JSON' }, error)
    }
    return this.take(chunks)
  }

  /** A parsed response, or an array of them. */
  take(value: JsonValue): ReplyEvent[] {
    const events: ReplyEvent[] = []
    for (const chunk of Array.isArray(value) ? value : [value]) {
      const error = bornInside(chunk)
      if (error) throw error
      if (!isObject(chunk)) throw failure('upstream_invalid', { problem: 'an event that is no object' })
      this.#chunk(chunk, events)
    }
    return events
  }

  end(): ReplyEvent[] {
    const events: ReplyEvent[] = []
    const choices = [...this.#choices.values()].sort((a, b) => a.index - b.index)
    if (choices.length === 0 && this.#blocked) {
      return [{ type: 'finish', reason: 'content-filter' }, { type: 'reply-end' }]
    }
    if (choices.length === 0 || choices.some((choice) => choice.finishReason === undefined)) {
      throw failure('upstream_incomplete')
    }
    for (const choice of choices) {
      this.#close(choice, events)
      const { finishReason = '', finishMessage } = choice
      const reason = finishOf(finishReason, choice.called)
      const isPlain = finishReason === 'STOP' || finishReason === 'MAX_TOKENS'
      const own = { ...(isPlain ? {} : { finishReason }), ...(finishMessage === undefined ? {} : { finishMessage }) }
      events.push({ type: 'finish', ...at(choice), reason, ...asRest(own) })
    }
    events.push({ type: 'reply-end' })
    return events
  }

  #chunk(chunk: JsonObject, events: ReplyEvent[]): void {
    const { candidates, usageMetadata, responseId, modelVersion, ...others } = chunk
    const uncounted = Object.entries(objectOf(usageMetadata)).filter(([name]) => !COUNTED.has(name))
    const extras: JsonObject = {
      ...others,
      ...(uncounted.length > 0 ? { usageMetadata: Object.fromEntries(uncounted) } : {}),
    }
    const spelled = JSON.stringify(extras)
    if (!this.#started) {
      this.#started = true
      const id = stringOf(responseId)
      const model = stringOf(modelVersion)
      this.#replyId = id
      const created = Date.parse(stringOf(others.createTime) ?? '')
      events.push({
        type: 'reply-start',
        ...(id === undefined ? {} : { id }),
        ...(model === undefined ? {} : { model }),
        ...(Number.isNaN(created) ? {} : { created: Math.floor(created / 1_000) }),
        ...asRest(isEmpty(extras) ? {} : { response: extras }),
      })
    } else if (spelled !== this.#extras && !isEmpty(extras)) {
      events.push({ type: 'annotation', rest: { [ID]: { response: extras } } })
    }
    this.#extras = spelled
    if (stringOf(objectOf(chunk.promptFeedback).blockReason) !== undefined) this.#blocked = true

    for (const candidate of listOf(candidates)) if (isObject(candidate)) this.#candidate(candidate, events)

    noteSearches(chunk, this.#searches)
    const tokens = usageOf(usageMetadata)
    const usage = tokens && withSearches(tokens, this.#searches)
    const counted = usage ? JSON.stringify(usage) : ''
    if (usage && counted !== this.#usage) events.push({ type: 'usage-report', usage })
    this.#usage = counted
  }

  #candidate(candidate: JsonObject, events: ReplyEvent[]): void {
    const index = numberOf(candidate.index) ?? 0
    const choice: Choice = this.#choices.get(index) ?? { index, open: undefined, called: false }
    this.#choices.set(index, choice)
    for (const part of listOf(objectOf(candidate.content).parts)) if (isObject(part)) this.#part(part, choice, events)
    const beside = Object.entries(candidate).filter(([name]) => !NOT_ANNOTATION.has(name))
    if (beside.length > 0) {
      events.push({ type: 'annotation', ...at(choice), rest: { [ID]: { candidate: Object.fromEntries(beside) } } })
    }
    // Older models repeat STOP on every chunk: only the stream's end makes it final.
    const reason = stringOf(candidate.finishReason)
    if (reason !== undefined && reason !== 'FINISH_REASON_UNSPECIFIED') choice.finishReason = reason
    const message = stringOf(candidate.finishMessage)
    if (message !== undefined) choice.finishMessage = message
  }

  #part(part: JsonObject, choice: Choice, events: ReplyEvent[]): void {
    const { text, thought, thoughtSignature, functionCall, ...others } = part
    if (isObject(functionCall)) this.#call(functionCall, part, choice, events)
    else if (typeof text === 'string') {
      this.#text(text, thought === true ? 'reasoning' : 'text', stringOf(thoughtSignature), others, choice, events)
    } else if (!isEmpty(part)) {
      this.#close(choice, events)
      events.push({ type: 'opaque', part: this.#parts++, ...at(choice), dialect: ID, value: part })
    }
  }

  /**
   * A signature belongs to the part it came on and ends it. On a part without text of its own (streams send it last)
   * it belongs to the text before, where the unstreamed reply has it.
   */
  #text(
    text: string,
    kind: 'text' | 'reasoning',
    signature: string | undefined,
    others: JsonObject,
    choice: Choice,
    events: ReplyEvent[],
  ): void {
    if (text === '' && signature === undefined && isEmpty(others)) return
    if (choice.open && (choice.open.kind !== kind || !isEmpty(others))) this.#close(choice, events)
    if (!choice.open) {
      choice.open = { kind, part: this.#parts++ }
      events.push({ type: `${kind}-start`, part: choice.open.part, ...at(choice), ...asRest(others) })
    }
    const { part } = choice.open
    if (text !== '') events.push({ type: `${kind}-delta`, part, ...at(choice), text })
    if (signature === undefined) return
    events.push({ type: `${kind}-end`, part, ...at(choice), ...asRest({ thoughtSignature: signature }) })
    choice.open = undefined
  }

  /** Whole (`name`, `args`), or in pieces: a name, then `partialArgs`, then a call without `willContinue`. */
  #call(call: JsonObject, whole: JsonObject, choice: Choice, events: ReplyEvent[]): void {
    const { functionCall: _, thoughtSignature, ...others } = whole
    const name = stringOf(call.name)
    if (name !== undefined) {
      this.#close(choice, events)
      const part = this.#parts++
      const signature = stringOf(thoughtSignature)
      choice.called = true
      choice.open = { kind: 'call', part, args: new PartialArguments() }
      events.push({
        type: 'tool-call-start',
        part,
        ...at(choice),
        id: stringOf(call.id) ?? callId(this.#replyId, this.#ids++),
        name: this.#names.get(name) ?? name,
        ...(signature === undefined ? {} : { signature }),
        ...asRest(others),
      })
    }
    const { open } = choice
    // The end of a call that its last piece had already ended.
    if (open?.kind !== 'call' || !open.args) return
    let json = ''
    for (const partial of listOf(call.partialArgs)) if (isObject(partial)) json += open.args.add(partial)
    if (call.willContinue === true) {
      if (json !== '') events.push({ type: 'tool-call-delta', part: open.part, ...at(choice), json })
      return
    }
    json += isObject(call.args) && !open.args.started ? JSON.stringify(call.args) : open.args.end()
    events.push({ type: 'tool-call-delta', part: open.part, ...at(choice), json })
    events.push({ type: 'tool-call-end', part: open.part, ...at(choice) })
    choice.open = undefined
  }

  #close(choice: Choice, events: ReplyEvent[]): void {
    const { open } = choice
    if (!open) return
    choice.open = undefined
    if (open.kind !== 'call') {
      events.push({ type: `${open.kind}-end`, part: open.part, ...at(choice) })
      return
    }
    // A call that was cut off must not look whole: its JSON stays open.
    const wasCutOff = choice.finishReason !== undefined && choice.finishReason !== 'STOP'
    const json = wasCutOff ? '' : (open.args?.end() ?? '')
    if (json !== '') events.push({ type: 'tool-call-delta', part: open.part, ...at(choice), json })
    events.push({ type: 'tool-call-end', part: open.part, ...at(choice) })
  }
}

const at = (choice: Choice): { readonly choice?: number } => (choice.index === 0 ? {} : { choice: choice.index })

/** Without the brackets, commas and white space that stand around an array's elements. */
function betweenElements(data: string): string {
  const isAround = (at: number): boolean => '[], \t\r\n'.includes(data.charAt(at))
  let start = 0
  let end = data.length
  while (start < end && isAround(start)) start++
  while (end > start && isAround(end - 1)) end--
  return data.slice(start, end)
}

/**
 * Chunks and bodies of a chat completion → events. A body's message is read as one large delta, so that both ways are
 * one. Written for OpenAI and for everyone who says "compatible": what they do differently is tolerated here, once.
 */
import type { StreamReader } from '../../core/dialect.ts'
import { failure } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue, ModelRequest } from '../../core/request.ts'
import { originalNames } from '../../core/tool-names.ts'
import { bornInside } from './errors.ts'
import { textOfDetails, thinkingText } from './reasoning.ts'
import { Calls } from './tool-calls.ts'
import { usageIn, usageWithTier } from './usage.ts'
import {
  asRest,
  FINISH_NAMES,
  finishOf,
  ID,
  isEmpty,
  isObject,
  listOf,
  objectOf,
  said,
  without,
  wordOf,
} from './vocabulary.ts'

/** `obfuscation` only pads the chunk it came in. */
const CHUNK_FIELDS = ['id', 'object', 'created', 'model', 'choices', 'usage', 'obfuscation']
const CHOICE_FIELDS = ['index', 'delta', 'message', 'finish_reason', 'usage', 'error']
const DELTA_FIELDS = [
  'role',
  'index',
  'content',
  'refusal',
  'tool_calls',
  'function_call',
  'reasoning_content',
  'reasoning',
  'thinking_blocks',
  'audio',
]

/** Vendors send the same thinking in several fields at once: the first that spoke is the one that is read. */
type ReasoningSource = 'thinking_blocks' | 'reasoning_content' | 'reasoning' | 'reasoning_details' | 'content'

interface Choice {
  readonly index: number
  readonly calls: Calls
  open: { readonly kind: 'text' | 'reasoning'; readonly part: number } | undefined
  refusal: number | undefined
  source: ReasoningSource | undefined
  isFinished: boolean
}

export class ReplyReader implements StreamReader {
  readonly #choices = new Map<number, Choice>()
  readonly #names: ReadonlyMap<string, string>
  #isStarted = false
  /** `[DONE]` came: whatever still comes is not part of the reply. */
  #isDone = false
  #parts = 0
  /** What chunks say beside their choices, as it was last said. */
  #beside: JsonObject = {}
  #usage = ''
  #replyId = ''

  /** `asked` is the request that was written: names that had to be replaced in it come back as they were. */
  constructor(asked?: ModelRequest) {
    this.#names = originalNames(asked)
  }

  read(data: string, event?: string): ReplyEvent[] {
    const text = data.trim()
    if (text === '' || this.#isDone) return []
    if (text === '[DONE]') {
      this.#isDone = true
      return []
    }
    let chunk: JsonValue
    try {
      chunk = JSON.parse(text)
    } catch (error) {
      throw failure('upstream_invalid', { problem: 'an event that is not JSON' }, error)
    }
    return this.#take(chunk, event)
  }

  /** A whole body. Vendors that leave the finish reason out of one have nothing more to say. */
  readBody(body: JsonValue): ReplyEvent[] {
    const events = this.#take(body)
    if (this.#choices.size === 0) throw failure('upstream_invalid', { problem: 'a body without choices' })
    for (const choice of this.#choices.values()) if (!choice.isFinished) this.#finish(choice, 'stop', {}, events)
    events.push({ type: 'reply-end' })
    return events
  }

  /** A missing `[DONE]` is forgiven where every choice has its finish reason; the marker alone finishes nothing. */
  end(): ReplyEvent[] {
    const choices = [...this.#choices.values()]
    if (choices.length === 0 || choices.some((choice) => !choice.isFinished)) throw failure('upstream_incomplete')
    const events: ReplyEvent[] = []
    for (const choice of choices) this.#close(choice, events)
    events.push({ type: 'reply-end' })
    return events
  }

  #take(value: JsonValue, event?: string): ReplyEvent[] {
    const error = bornInside(value, event)
    if (error) throw error
    if (!isObject(value)) throw failure('upstream_invalid', { problem: 'an event that is no object' })
    const events: ReplyEvent[] = []
    const choices = listOf(value.choices)
    const usage = usageIn(value)
    this.#head(value, choices.length > 0 || usage !== undefined, events)
    for (const [i, choice] of choices.entries()) if (isObject(choice)) this.#choice(choice, i, events)
    const counted = usage ? JSON.stringify(usage) : ''
    const buckets = usage && usageWithTier(value)
    if (usage && buckets && counted !== this.#usage) {
      this.#usage = counted
      events.push({ type: 'annotation', rest: { [ID]: { usage } } }, { type: 'usage-report', usage: buckets })
    }
    return events
  }

  /** Chunks without id and choices (Azure's about the prompt's filters) come before the reply proper. */
  #head(chunk: JsonObject, isProper: boolean, events: ReplyEvent[]): void {
    const beside = said(without(chunk, ...CHUNK_FIELDS))
    const id = wordOf(chunk.id)
    if (!this.#isStarted) {
      this.#beside = { ...this.#beside, ...beside }
      if (!isProper && id === undefined) return
      this.#isStarted = true
      this.#replyId = id ?? ''
      const model = wordOf(chunk.model)
      const created = typeof chunk.created === 'number' && chunk.created > 0 ? Math.floor(chunk.created) : undefined
      events.push({
        type: 'reply-start',
        ...(id === undefined ? {} : { id }),
        ...(model === undefined ? {} : { model }),
        ...(created === undefined ? {} : { created }),
        ...asRest(isEmpty(this.#beside) ? {} : { chunk: this.#beside }),
      })
      return
    }
    const news = Object.entries(beside).filter(([name, value]) => !isSame(this.#beside[name], value))
    if (news.length === 0) return
    this.#beside = { ...this.#beside, ...beside }
    events.push({ type: 'annotation', rest: { [ID]: { chunk: Object.fromEntries(news) } } })
  }

  #choice(value: JsonObject, position: number, events: ReplyEvent[]): void {
    const index = typeof value.index === 'number' && Number.isInteger(value.index) ? value.index : position
    let choice = this.#choices.get(index)
    if (!choice) {
      const calls = new Calls(at(index), () => this.#parts++, this.#replyId, this.#names)
      choice = { index, calls, open: undefined, refusal: undefined, source: undefined, isFinished: false }
      this.#choices.set(index, choice)
    }
    const isWhole = !isObject(value.delta) && isObject(value.message)
    const delta = isWhole ? objectOf(value.message) : objectOf(value.delta)
    const mine: ReplyEvent[] = []
    this.#reasoning(delta, choice, mine)
    this.#content(delta.content, choice, mine)
    if (typeof delta.refusal === 'string' && delta.refusal !== '') {
      choice.refusal ??= this.#parts++
      mine.push({ type: 'refusal-delta', part: choice.refusal, ...at(index), text: delta.refusal })
    }
    if (isObject(delta.audio)) {
      mine.push({
        type: 'opaque',
        part: this.#parts++,
        ...at(index),
        dialect: ID,
        value: { type: 'audio', audio: delta.audio },
      })
    }
    const calls = listOf(delta.tool_calls).filter(isObject)
    const legacy = isObject(delta.function_call) ? [{ index: 0, function: delta.function_call }] : []
    for (const call of [...legacy, ...calls])
      choice.calls.take(call, isWhole, () => this.#closeOpen(choice, mine), mine)
    const others = Object.entries(said(without(delta, ...DELTA_FIELDS))).filter(
      ([, v]) => !(Array.isArray(v) && v.length === 0),
    )
    if (others.length > 0)
      mine.push({ type: 'annotation', ...at(index), rest: { [ID]: { delta: Object.fromEntries(others) } } })
    const beside = Object.entries(said(without(value, ...CHOICE_FIELDS))).filter(
      ([, v]) => !(isObject(v) && isEmpty(v)),
    )
    if (beside.length > 0) attach({ choice: Object.fromEntries(beside) }, index, mine)
    const reason = wordOf(value.finish_reason)
    if (reason !== undefined) this.#finish(choice, reason, value, mine)
    events.push(...mine)
  }

  #finish(choice: Choice, raw: string, value: JsonObject, events: ReplyEvent[]): void {
    this.#close(choice, events)
    if (choice.isFinished && events.length === 0) return
    choice.isFinished = true
    const reason = finishOf(raw, choice.calls.any)
    const isPlain = FINISH_NAMES[reason] === raw || raw === 'function_call'
    const stopSequence = wordOf(value.stop_reason)
    events.push({
      type: 'finish',
      ...at(choice.index),
      reason,
      ...(reason === 'stop' && stopSequence !== undefined ? { stopSequence } : {}),
      ...asRest(isPlain ? {} : { finish_reason: raw }),
    })
  }

  #content(content: JsonValue | undefined, choice: Choice, events: ReplyEvent[]): void {
    if (typeof content === 'string') {
      this.#grow('text', content, choice, events)
      return
    }
    for (const item of listOf(content)) {
      if (!isObject(item)) continue
      if (typeof item.text === 'string' && item.type === 'text') this.#grow('text', item.text, choice, events)
      else if (item.type === 'thinking') this.#think('content', thinkingText(item.thinking), choice, events)
      else {
        this.#closeOpen(choice, events)
        events.push({ type: 'opaque', part: this.#parts++, ...at(choice.index), dialect: ID, value: item })
      }
    }
  }

  #reasoning(delta: JsonObject, choice: Choice, events: ReplyEvent[]): void {
    const blocks = listOf(delta.thinking_blocks).filter(isObject)
    const inBlocks = blocks.map(({ thinking }) => wordOf(thinking) ?? '').join('')
    const beside = wordOf(delta.reasoning_content) ?? wordOf(delta.reasoning)
    // Blocks that repeat only the signed part of what was thought.
    if (beside !== undefined && beside !== inBlocks) this.#reasoningTexts(delta, choice, events)
    for (const block of blocks) {
      if (block.type === 'redacted_thinking') {
        this.#closeOpen(choice, events)
        const part = this.#parts++
        events.push({ type: 'reasoning-start', part, ...at(choice.index), redacted: wordOf(block.data) ?? '' })
        events.push({ type: 'reasoning-end', part, ...at(choice.index) })
        continue
      }
      this.#think('thinking_blocks', wordOf(block.thinking) ?? '', choice, events)
      const signature = wordOf(block.signature)
      if (signature === undefined) continue
      const part = this.#openAs('reasoning', choice, events)
      choice.open = undefined
      events.push({ type: 'reasoning-end', part, ...at(choice.index), signature })
    }
    if (beside === undefined || beside === inBlocks) this.#reasoningTexts(delta, choice, events)
  }

  #reasoningTexts(delta: JsonObject, choice: Choice, events: ReplyEvent[]): void {
    for (const source of ['reasoning_content', 'reasoning'] as const) {
      const text = delta[source]
      if (typeof text === 'string') this.#think(source, text, choice, events)
    }
    const details = listOf(delta.reasoning_details)
    if (details.length > 0) this.#think('reasoning_details', textOfDetails(details), choice, events)
  }

  #think(source: ReasoningSource, text: string, choice: Choice, events: ReplyEvent[]): void {
    if (text === '') return
    choice.source ??= source
    if (choice.source === source) this.#grow('reasoning', text, choice, events)
  }

  #grow(kind: 'text' | 'reasoning', text: string, choice: Choice, events: ReplyEvent[]): void {
    if (text === '') return
    const part = this.#openAs(kind, choice, events)
    events.push({ type: `${kind}-delta`, part, ...at(choice.index), text })
  }

  #openAs(kind: 'text' | 'reasoning', choice: Choice, events: ReplyEvent[]): number {
    if (choice.open?.kind === kind) return choice.open.part
    this.#closeOpen(choice, events)
    choice.calls.closeWhole(events)
    const part = this.#parts++
    choice.open = { kind, part }
    // `reasoning_content` is the usual name; another one is remembered for clients that read that one.
    const rest = kind === 'reasoning' && choice.source === 'reasoning' ? asRest({ field: 'reasoning' }) : {}
    events.push({ type: `${kind}-start`, part, ...at(choice.index), ...rest })
    return part
  }

  #closeOpen(choice: Choice, events: ReplyEvent[]): void {
    const { open } = choice
    if (!open) return
    choice.open = undefined
    events.push({ type: `${open.kind}-end`, part: open.part, ...at(choice.index) })
  }

  #close(choice: Choice, events: ReplyEvent[]): void {
    this.#closeOpen(choice, events)
    choice.calls.close(events)
  }
}

/** Facts beside a piece of text travel with it; where there is none, on their own. */
function attach(own: JsonObject, index: number, events: ReplyEvent[]): void {
  const i = events.findIndex((event) => event.type === 'text-delta')
  const event = events[i]
  if (event?.type === 'text-delta') events[i] = { ...event, rest: { [ID]: own } }
  else events.push({ type: 'annotation', ...at(index), rest: { [ID]: own } })
}

const at = (index: number): { readonly choice?: number } => (index === 0 ? {} : { choice: index })

const isSame = (a: JsonValue | undefined, b: JsonValue | undefined): boolean =>
  a === b || (typeof a === 'object' && typeof b === 'object' && JSON.stringify(a) === JSON.stringify(b))

/**
 * Messages and their streams → events, one reader for both. Blocks are numbered as they come; a block that only
 * Anthropic understands is kept whole, its streamed pieces joined, and told when it is complete.
 */
import type { StreamReader } from '../../core/dialect.ts'
import { failure } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue, ModelRequest } from '../../core/request.ts'
import { bornInside } from './errors.ts'
import { originalNames } from './names.ts'
import { mergedUsage, usageOf } from './usage.ts'
import { asRest, finishOf, ID, isObject, isPlainStop, JSON_TOOL, listOf, objectOf, stringOf } from './vocabulary.ts'

type Block = { readonly part: number } & (
  | { readonly kind: 'text' }
  | { readonly kind: 'reasoning'; signature: string }
  | { readonly kind: 'redacted' }
  /** `input` is what the block's start carried; streamed pieces replace it. */
  | { readonly kind: 'call' | 'json'; readonly input: JsonObject; pieces: boolean }
  | { readonly kind: 'opaque'; value: JsonObject; json: string }
)

export class MessageReader implements StreamReader {
  readonly #names: ReadonlyMap<string, string>
  readonly #open = new Map<number, Block>()
  #parts = 0
  #calls = 0
  #answers = 0
  #usage: JsonObject | undefined
  #state: 'waiting' | 'started' | 'finished' | 'ended' = 'waiting'

  /** `asked` is the request that was written: names that had to be replaced in it come back as they were. */
  constructor(asked?: ModelRequest) {
    this.#names = originalNames(asked)
  }

  read(data: string, event?: string): ReplyEvent[] {
    const text = data.trim()
    if (text === '' || text === '[DONE]') return []
    let value: JsonValue
    try {
      value = JSON.parse(text)
    } catch (error) {
      throw failure('upstream_invalid', { problem: 'an event that is not JSON' }, error)
    }
    if (!isObject(value)) throw failure('upstream_invalid', { problem: 'an event that is no object' })
    return this.#take(value, stringOf(value.type) ?? event)
  }

  end(): ReplyEvent[] {
    if (this.#state === 'ended') return []
    // A stop reason says that all was said, even if the last event did not make it.
    if (this.#state !== 'finished') throw failure('upstream_incomplete')
    this.#state = 'ended'
    return [{ type: 'reply-end' }]
  }

  /** A whole message, as it is answered unstreamed. */
  body(message: JsonValue): ReplyEvent[] {
    const error = bornInside(message)
    if (error) throw error
    if (!isObject(message) || !Array.isArray(message.content)) {
      throw failure('upstream_invalid', { problem: 'a body that is no message' })
    }
    const { usage, stop_reason, stop_sequence, type: _type, role: _role, id, model, content, ...rest } = message
    const events: ReplyEvent[] = []
    this.#start({ id, model, content }, events)
    const reason = stop_reason ?? (this.#calls > 0 ? 'tool_use' : 'end_turn')
    this.#usage = mergedUsage(undefined, usage)
    this.#finish({ stop_reason: reason, stop_sequence, ...rest }, events)
    this.#state = 'ended'
    events.push({ type: 'reply-end' })
    return events
  }

  #take(value: JsonObject, type: string | undefined): ReplyEvent[] {
    const error = bornInside(value)
    if (error) throw error
    const events: ReplyEvent[] = []
    // A server that begins once more, or says more after the end, adds nothing.
    if (this.#state === 'ended') return events
    const index = typeof value.index === 'number' ? value.index : 0
    switch (type) {
      case 'message_start':
        if (this.#state === 'waiting') this.#start(objectOf(value.message), events)
        break
      case 'content_block_start':
        this.#needStart(events)
        this.#blockStart(index, objectOf(value.content_block), events)
        break
      case 'content_block_delta':
        this.#needStart(events)
        this.#blockDelta(index, objectOf(value.delta), events)
        break
      case 'content_block_stop':
        this.#blockStop(index, events)
        break
      case 'message_delta': {
        const { type: _type, delta, usage, ...rest } = value
        this.#needStart(events)
        this.#usage = mergedUsage(this.#usage, usage)
        const { stop_reason } = objectOf(delta)
        if (stop_reason !== undefined && stop_reason !== null) this.#finish({ ...objectOf(delta), ...rest }, events)
        else this.#report(events)
        break
      }
      case 'message_stop':
        if (this.#state === 'waiting') throw failure('upstream_incomplete')
        if (this.#state === 'started') this.#finish({ stop_reason: this.#calls > 0 ? 'tool_use' : 'end_turn' }, events)
        this.#state = 'ended'
        events.push({ type: 'reply-end' })
        break
    }
    return events
  }

  #needStart(events: ReplyEvent[]): void {
    if (this.#state === 'waiting') this.#start({}, events)
  }

  #start(message: JsonObject, events: ReplyEvent[]): void {
    this.#state = 'started'
    const { id, model, content, usage, type: _type, role: _role, stop_reason: _r, stop_sequence: _s, ...rest } = message
    this.#usage = mergedUsage(undefined, usage)
    const known = usageOf(this.#usage)
    events.push({
      type: 'reply-start',
      ...(typeof id === 'string' ? { id } : {}),
      ...(typeof model === 'string' ? { model } : {}),
      ...(known ? { usage: known } : {}),
      ...asRest({ ...rest, ...(this.#usage ? { usage: this.#usage } : {}) }),
    })
    // A paused turn that goes on begins with the blocks it already had; they take no part in the stream's numbering.
    listOf(content).forEach((block, at) => {
      const index = -1 - at
      this.#blockStart(index, objectOf(block), events)
      this.#blockStop(index, events)
    })
  }

  #blockStart(index: number, content: JsonObject, events: ReplyEvent[]): void {
    this.#blockStop(index, events)
    const part = this.#parts++
    const { type, ...fields } = content
    switch (type) {
      case 'text': {
        const { text, citations, ...rest } = fields
        const cited = listOf(citations)
        const shown = citations === undefined ? rest : { ...rest, citations: cited.length > 0 ? [] : citations }
        this.#open.set(index, { kind: 'text', part })
        events.push({ type: 'text-start', part, ...asRest(shown) })
        if (typeof text === 'string' && text !== '') events.push({ type: 'text-delta', part, text })
        for (const citation of cited) events.push({ type: 'annotation', part, rest: { [ID]: { citation } } })
        break
      }
      case 'thinking': {
        const { thinking, signature, ...rest } = fields
        this.#open.set(index, { kind: 'reasoning', part, signature: stringOf(signature) ?? '' })
        events.push({ type: 'reasoning-start', part, ...asRest(rest) })
        if (typeof thinking === 'string' && thinking !== '')
          events.push({ type: 'reasoning-delta', part, text: thinking })
        break
      }
      case 'redacted_thinking': {
        const { data, ...rest } = fields
        this.#open.set(index, { kind: 'redacted', part })
        events.push({ type: 'reasoning-start', part, redacted: stringOf(data) ?? '', ...asRest(rest) })
        break
      }
      case 'tool_use': {
        const { id, name, input, ...rest } = fields
        const isAnswer = name === JSON_TOOL
        this.#open.set(index, { kind: isAnswer ? 'json' : 'call', part, input: objectOf(input), pieces: false })
        if (isAnswer) {
          this.#answers++
          events.push({ type: 'text-start', part })
        } else {
          this.#calls++
          const called = stringOf(name) ?? ''
          events.push({
            type: 'tool-call-start',
            part,
            id: stringOf(id) ?? '',
            name: this.#names.get(called) ?? called,
            ...asRest(rest),
          })
        }
        break
      }
      default:
        this.#open.set(index, { kind: 'opaque', part, value: content, json: '' })
    }
  }

  #blockDelta(index: number, delta: JsonObject, events: ReplyEvent[]): void {
    let block = this.#open.get(index)
    if (!block) {
      // Servers that copy this API leave out starts of plain text and thinking.
      const kind = delta.type === 'text_delta' ? 'text' : delta.type === 'thinking_delta' ? 'thinking' : undefined
      if (!kind) throw failure('upstream_invalid', { problem: `a piece of block ${index}, which never began` })
      this.#blockStart(index, { type: kind }, events)
      block = this.#open.get(index) as Block
    }
    const { part } = block
    if (block.kind === 'opaque') {
      if (delta.type === 'input_json_delta') block.json += stringOf(delta.partial_json) ?? ''
      else block.value = grown(block.value, delta)
      return
    }
    switch (delta.type) {
      case 'text_delta': {
        const text = stringOf(delta.text) ?? ''
        if (text !== '' && block.kind === 'text') events.push({ type: 'text-delta', part, text })
        return
      }
      case 'thinking_delta': {
        const text = stringOf(delta.thinking) ?? ''
        if (text !== '' && block.kind === 'reasoning') events.push({ type: 'reasoning-delta', part, text })
        return
      }
      case 'signature_delta':
        if (block.kind === 'reasoning') block.signature = stringOf(delta.signature) ?? ''
        return
      case 'input_json_delta': {
        const json = stringOf(delta.partial_json) ?? ''
        if (json === '' || (block.kind !== 'call' && block.kind !== 'json')) return
        block.pieces = true
        events.push(pieceOf(block.kind, part, json))
        return
      }
      case 'citations_delta':
        if (delta.citation !== undefined) {
          events.push({ type: 'annotation', part, rest: { [ID]: { citation: delta.citation } } })
        }
        return
      default:
        events.push({ type: 'annotation', part, rest: { [ID]: { delta } } })
    }
  }

  #blockStop(index: number, events: ReplyEvent[]): void {
    const block = this.#open.get(index)
    if (!block) return
    this.#open.delete(index)
    const { part } = block
    switch (block.kind) {
      case 'text':
        events.push({ type: 'text-end', part })
        break
      case 'reasoning': {
        const { signature } = block
        events.push({ type: 'reasoning-end', part, ...(signature === '' ? {} : { signature }) })
        break
      }
      case 'redacted':
        events.push({ type: 'reasoning-end', part })
        break
      case 'call':
      case 'json':
        // Unstreamed input, or none at all: an empty piece is how a stream says `{}`.
        if (!block.pieces) events.push(pieceOf(block.kind, part, JSON.stringify(block.input)))
        events.push({ type: block.kind === 'call' ? 'tool-call-end' : 'text-end', part })
        break
      case 'opaque': {
        const value = block.json === '' ? block.value : { ...block.value, input: parsedInput(block.json) }
        events.push({ type: 'opaque', part, dialect: ID, value })
        break
      }
    }
  }

  #closeAll(events: ReplyEvent[]): void {
    for (const index of [...this.#open.keys()]) this.#blockStop(index, events)
  }

  #report(events: ReplyEvent[]): void {
    const usage = usageOf(this.#usage)
    if (usage) events.push({ type: 'usage-report', usage })
  }

  #finish(delta: JsonObject, events: ReplyEvent[]): void {
    const { stop_reason, stop_sequence, ...rest } = delta
    const raw = stringOf(stop_reason) ?? ''
    this.#closeAll(events)
    this.#report(events)
    this.#state = 'finished'
    const isAnswer = raw === 'tool_use' && this.#answers > 0 && this.#calls === 0
    events.push({
      type: 'finish',
      reason: isAnswer ? 'stop' : finishOf(raw),
      ...(typeof stop_sequence === 'string' ? { stopSequence: stop_sequence } : {}),
      ...asRest({
        ...rest,
        ...(isPlainStop(raw) ? {} : { stop_reason: raw }),
        ...(this.#usage ? { usage: this.#usage } : {}),
      }),
    })
  }
}

const pieceOf = (kind: 'call' | 'json', part: number, json: string): ReplyEvent =>
  kind === 'call' ? { type: 'tool-call-delta', part, json } : { type: 'text-delta', part, text: json }

/** A piece joins the field of the same name: text grows, anything else is replaced. */
function grown(value: JsonObject, delta: JsonObject): JsonObject {
  const { type: _type, ...fields } = delta
  const next: Record<string, JsonValue | undefined> = { ...value }
  for (const [name, piece] of Object.entries(fields)) {
    const before = next[name]
    next[name] = typeof piece === 'string' && typeof before === 'string' ? before + piece : piece
  }
  return next
}

function parsedInput(json: string): JsonValue {
  try {
    return JSON.parse(json)
  } catch {
    // Cut off by the output limit: what there is is kept as it is.
    return json
  }
}

/**
 * Events → a message, streamed and whole. A stream has one block open at a time, so what belongs to another part while
 * a call is open waits for the call's end; text that is interrupted goes on in a block of its own. The last two events
 * are written at the reply's end, when usage and finish are both known.
 */
import type { ReplyContext, StreamWriter } from '../../core/dialect.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { estimateTokens, outputTokens, type Usage } from '../../core/usage.ts'
import { formatSse } from '../../wire/sse.ts'
import { failStream } from './errors.ts'
import { writeUsage } from './usage.ts'
import { ID, inputOf, isObject, objectOf, ownRest, stopReasonOf, stringOf } from './vocabulary.ts'

type EventOf<T extends ReplyEvent['type']> = Extract<ReplyEvent, { type: T }>
type Finish = EventOf<'finish'>

/** What the end of both forms says. `raw` is Anthropic's own usage object, where the reply came from there. */
class Ending {
  usage: Usage | undefined
  finish: Finish | undefined
  hasCalls = false
  #refuses = false

  note(event: ReplyEvent): void {
    if (event.type === 'usage-report') this.usage = event.usage
    else if (event.type === 'reply-start' && event.usage) this.usage = event.usage
    else if (event.type === 'finish') this.finish = event
    else if (event.type === 'tool-call-start') this.hasCalls = true
    else if (event.type === 'refusal-delta' && event.text !== '') this.#refuses = true
  }

  get stopReason(): string {
    const kept = stringOf(ownRest(this.finish?.rest).stop_reason)
    const reason = this.finish?.reason ?? 'stop'
    // Others say in the text alone that it is a refusal.
    const meant = this.#refuses && reason === 'stop' ? 'refusal' : reason
    return kept ?? stopReasonOf(meant, this.hasCalls, this.finish?.stopSequence)
  }

  get rest(): JsonObject {
    const { stop_reason: _, usage: _usage, ...rest } = ownRest(this.finish?.rest)
    return rest
  }

  /** `asked` counts where nobody reported: the input cannot have been nothing. */
  usageObject(asked: JsonObject): JsonObject {
    const raw = ownRest(this.finish?.rest).usage
    if (isObject(raw)) return raw
    return writeUsage(this.usage ?? { source: 'estimated', input: estimatedInput(asked) })
  }
}

export const streamWriter = (context: ReplyContext): StreamWriter => new MessageWriter(context)

class MessageWriter implements StreamWriter {
  readonly #context: ReplyContext
  readonly #ending = new Ending()
  #waiting: ReplyEvent[] = []
  #open:
    | { readonly part: number; readonly type: 'text' | 'thinking' | 'redacted' | 'tool_use'; grew: boolean }
    | undefined
  #index = -1
  #started = false
  #ended = false

  constructor(context: ReplyContext) {
    this.#context = context
  }

  write(event: ReplyEvent): string {
    if (this.#ended || ('choice' in event && event.choice)) return ''
    this.#ending.note(event)
    let out = ''
    if (!this.#started) {
      this.#started = true
      out += this.#messageStart(event.type === 'reply-start' ? event : { type: 'reply-start' })
    }
    if (event.type === 'reply-end') return out + this.#end()
    return out + this.#place(event)
  }

  /** What a filter stopped says so first. */
  fail(error: GatewayError): string {
    const isStopped = !this.#ended && this.#ending.finish?.reason === 'content-filter'
    const out = isStopped ? this.#reason() : ''
    this.#ended = true
    return out + failStream(error, this.#context.id)
  }

  #messageStart(event: EventOf<'reply-start'>): string {
    const { usage: raw, ...rest } = ownRest(event.rest)
    const { usage } = event
    const known = usage ?? { source: 'estimated' as const, input: estimatedInput(this.#context.asked) }
    const message = {
      id: event.id ?? `msg_${this.#context.id}`,
      type: 'message',
      role: 'assistant',
      model: event.model ?? this.#context.model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: isObject(raw) ? raw : { ...writeUsage(known), output_tokens: Math.max(1, outputTokens(known)) },
      ...rest,
    }
    return said('message_start', { message })
  }

  /** Writes an event of the open part or of a new one; puts it off while a call of another part is open. */
  #place(event: ReplyEvent): string {
    if (!('part' in event) || event.part === undefined) return ''
    const { part } = event
    if (!this.#open || this.#open.part === part) return this.#block(event, part)
    if (this.#open.type === 'tool_use' || this.#open.type === 'redacted') {
      this.#waiting.push(event)
      return ''
    }
    // An annotation or the late end of a closed block is no reason to interrupt another.
    const isLate = event.type === 'reasoning-end' && event.signature === undefined
    if (isLate || event.type === 'text-end' || event.type === 'annotation') return ''
    return this.#close() + this.#block(event, part)
  }

  #block(event: ReplyEvent, part: number): string {
    switch (event.type) {
      case 'text-start':
        return this.#begin(part, 'text', { type: 'text', text: '', ...ownRest(event.rest) })
      case 'text-delta':
      case 'refusal-delta':
        if (event.text === '') return ''
        return this.#again(part, 'text') + this.#delta({ type: 'text_delta', text: event.text })
      case 'text-end':
      case 'tool-call-end':
        return this.#finished(part)
      case 'reasoning-start': {
        const { redacted } = event
        return redacted === undefined
          ? this.#begin(part, 'thinking', { type: 'thinking', thinking: '', signature: '', ...ownRest(event.rest) })
          : this.#begin(part, 'redacted', { type: 'redacted_thinking', data: redacted, ...ownRest(event.rest) })
      }
      case 'reasoning-delta':
        if (event.text === '') return ''
        return this.#again(part, 'thinking') + this.#delta({ type: 'thinking_delta', thinking: event.text })
      case 'reasoning-end': {
        const { signature } = event
        if (signature === undefined) return this.#finished(part)
        const signed = this.#again(part, 'thinking') + this.#delta({ type: 'signature_delta', signature })
        return signed + this.#finished(part)
      }
      case 'tool-call-start': {
        const { id, name } = event
        return this.#begin(part, 'tool_use', { type: 'tool_use', id, name, input: {}, ...ownRest(event.rest) })
      }
      case 'tool-call-delta':
        if (event.json === '' || this.#open?.part !== part) return ''
        this.#open.grew = true
        return this.#delta({ type: 'input_json_delta', partial_json: event.json })
      case 'opaque': {
        if (event.dialect !== ID) return ''
        this.#index++
        const whole = said('content_block_start', { index: this.#index, content_block: event.value })
        return whole + said('content_block_stop', { index: this.#index })
      }
      case 'annotation': {
        const { citation, delta } = ownRest(event.rest)
        if (this.#open?.part !== part) return ''
        if (isObject(delta)) return this.#delta(delta)
        return citation === undefined ? '' : this.#delta({ type: 'citations_delta', citation })
      }
      default:
        return ''
    }
  }

  #begin(part: number, type: 'text' | 'thinking' | 'redacted' | 'tool_use', block: JsonObject): string {
    this.#open = { part, type, grew: false }
    this.#index++
    return said('content_block_start', { index: this.#index, content_block: block })
  }

  /** A block for a part that has none: it was interrupted, or (a refusal) never had a start. */
  #again(part: number, type: 'text' | 'thinking'): string {
    if (this.#open) return ''
    return this.#begin(part, type, type === 'text' ? { type, text: '' } : { type, thinking: '', signature: '' })
  }

  #delta(delta: JsonObject): string {
    return said('content_block_delta', { index: this.#index, delta })
  }

  #finished(part: number): string {
    if (this.#open?.part !== part) return ''
    let out = this.#close()
    const waiting = this.#waiting
    this.#waiting = []
    for (const event of waiting) out += this.#place(event)
    return out
  }

  #close(): string {
    if (!this.#open) return ''
    const { type, grew } = this.#open
    this.#open = undefined
    const empty = type === 'tool_use' && !grew ? this.#delta({ type: 'input_json_delta', partial_json: '' }) : ''
    return empty + said('content_block_stop', { index: this.#index })
  }

  #end(): string {
    const out = this.#reason()
    this.#ended = true
    return out + said('message_stop', {})
  }

  #reason(): string {
    let out = ''
    while (this.#open) out += this.#finished(this.#open.part)
    const { context_management, ...rest } = this.#ending.rest
    const { finish, stopReason } = this.#ending
    const delta = { stop_reason: stopReason, stop_sequence: finish?.stopSequence ?? null, ...rest }
    const usage = this.#ending.usageObject(this.#context.asked)
    return (
      out + said('message_delta', { delta, usage, ...(context_management === undefined ? {} : { context_management }) })
    )
  }
}

const said = (type: string, fields: JsonObject): string => formatSse(JSON.stringify({ type, ...fields }), type)

/** One block as it grows; text is joined, arguments are parsed at the end. */
interface Draft {
  block: Record<string, JsonValue | undefined>
  json: string
}

export function writeBody(events: readonly ReplyEvent[], context: ReplyContext): JsonObject {
  const ending = new Ending()
  const drafts = new Map<number, Draft>()
  let start: EventOf<'reply-start'> = { type: 'reply-start' }
  for (const event of events) {
    if ('choice' in event && event.choice) continue
    ending.note(event)
    if (event.type === 'reply-start') start = event
    else if ('part' in event && event.part !== undefined) grow(drafts, event, event.part)
  }
  const content = [...drafts.values()].map(({ block, json }) =>
    block.type === 'tool_use' ? { ...block, input: inputOf(json) } : block,
  )
  const { usage: _, ...rest } = ownRest(start.rest)
  return {
    id: start.id ?? `msg_${context.id}`,
    type: 'message',
    role: 'assistant',
    model: start.model ?? context.model,
    content: content.filter((block) => block.type !== 'text' || block.text !== ''),
    stop_reason: ending.stopReason,
    stop_sequence: ending.finish?.stopSequence ?? null,
    usage: ending.usageObject(context.asked),
    ...rest,
    ...ending.rest,
  }
}

function grow(drafts: Map<number, Draft>, event: ReplyEvent, part: number): void {
  const begin = (block: JsonObject): Draft => {
    const draft: Draft = { block: { ...block }, json: '' }
    drafts.set(part, draft)
    return draft
  }
  const draft = drafts.get(part)
  switch (event.type) {
    case 'text-start':
      begin({ type: 'text', text: '', ...ownRest(event.rest) })
      break
    case 'text-delta':
    case 'refusal-delta': {
      const { block } = draft ?? begin({ type: 'text', text: '' })
      block.text = (stringOf(block.text) ?? '') + event.text
      break
    }
    case 'reasoning-start':
      if (event.redacted === undefined) begin({ type: 'thinking', thinking: '', signature: '', ...ownRest(event.rest) })
      else begin({ type: 'redacted_thinking', data: event.redacted, ...ownRest(event.rest) })
      break
    case 'reasoning-delta':
      if (draft) draft.block.thinking = (stringOf(draft.block.thinking) ?? '') + event.text
      break
    case 'reasoning-end':
      if (draft && event.signature !== undefined) draft.block.signature = event.signature
      break
    case 'tool-call-start':
      begin({ type: 'tool_use', id: event.id, name: event.name, input: {}, ...ownRest(event.rest) })
      break
    case 'tool-call-delta':
      if (draft) draft.json += event.json
      break
    case 'opaque':
      if (event.dialect === ID) begin(event.value)
      break
    case 'annotation': {
      const { citation } = ownRest(event.rest)
      if (!draft || citation === undefined) break
      const { citations } = draft.block
      draft.block.citations = [...(Array.isArray(citations) ? citations : []), citation]
      break
    }
  }
}

/** Media, and words of the protocol. */
const NO_PROMPT = new Set(['data', 'url', 'image_url', 'role', 'type', 'id', 'tool_use_id', 'tool_call_id'])

/** The prompt's text in tokens, by the rule of thumb; never nothing. */
function estimatedInput(asked: JsonObject): number {
  let length = 0
  const walk = (value: JsonValue | undefined): void => {
    if (typeof value === 'string') length += value.length
    else if (Array.isArray(value)) value.forEach(walk)
    else if (isObject(value)) {
      for (const [name, inner] of Object.entries(objectOf(value))) if (!NO_PROMPT.has(name)) walk(inner)
    }
  }
  walk(asked.system)
  walk(asked.messages)
  walk(asked.tools)
  return Math.max(1, estimateTokens(length))
}

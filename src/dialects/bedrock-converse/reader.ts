/**
 * Converse's reply and its stream → events. In the stream an event is an object with one key, its type; text has no
 * start, the last block's stop may be missing, and the usage comes after the stop reason (some proxies send it before).
 */
import type { StreamReader } from '../../core/dialect.ts'
import { failure, type GatewayError } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue, ModelRequest } from '../../core/request.ts'
import { tokenCount, type Usage } from '../../core/usage.ts'
import { JSON_TOOL, originalNames } from '../anthropic-messages/index.ts'
import { isEmpty, isObject, listOf, objectOf, readError, wordOf } from '../openai-chat/index.ts'
import { asRest, FINISH, ID, LONGEST_NAME } from './vocabulary.ts'

type Open = { readonly part: number } & (
  | { readonly kind: 'text' | 'call' | 'json' }
  | { readonly kind: 'reasoning'; signature: string }
)

export class ConverseReader implements StreamReader {
  readonly #names: ReadonlyMap<string, string>
  readonly #open = new Map<number, Open>()
  #parts = 0
  #calls = 0
  #answers = 0
  #started = false
  #finished = false
  #counted = false
  #ended = false

  constructor(asked?: ModelRequest) {
    this.#names = originalNames(asked, LONGEST_NAME)
  }

  read(data: string): ReplyEvent[] {
    if (data.trim() === '') return []
    let value: JsonValue
    try {
      value = JSON.parse(data)
    } catch (error) {
      throw failure('upstream_invalid', { problem: 'an event that is not JSON' }, error)
    }
    const events: ReplyEvent[] = []
    for (const [type, payload] of Object.entries(objectOf(value))) this.#take(type, objectOf(payload), events)
    return events
  }

  end(): ReplyEvent[] {
    if (this.#ended) return []
    if (!this.#finished) throw failure('upstream_incomplete')
    this.#ended = true
    return [{ type: 'reply-end' }]
  }

  body(body: JsonValue): ReplyEvent[] {
    const reply = objectOf(body)
    const message = objectOf(objectOf(reply.output).message)
    if (!Array.isArray(message.content))
      throw bornInside(body) ?? failure('upstream_invalid', { problem: 'no message' })
    const events: ReplyEvent[] = []
    this.#start(events)
    message.content.forEach((block, index) => {
      this.#whole(index, objectOf(block), events)
    })
    const { trace, performanceConfig, additionalModelResponseFields } = reply
    this.#usage(reply.usage, {}, events)
    this.#finish(wordOf(reply.stopReason) ?? '', { trace, performanceConfig, additionalModelResponseFields }, events)
    this.#ended = true
    events.push({ type: 'reply-end' })
    return events
  }

  #take(type: string, payload: JsonObject, events: ReplyEvent[]): void {
    if (this.#ended) return
    const index = typeof payload.contentBlockIndex === 'number' ? payload.contentBlockIndex : 0
    switch (type) {
      case 'messageStart':
        this.#start(events)
        break
      case 'contentBlockStart':
        this.#start(events)
        this.#blockStart(index, objectOf(payload.start), events)
        break
      case 'contentBlockDelta':
        this.#start(events)
        this.#delta(index, objectOf(payload.delta), events)
        break
      case 'contentBlockStop':
        this.#close(index, events)
        break
      case 'messageStop': {
        const { stopReason, additionalModelResponseFields } = payload
        this.#start(events)
        this.#finish(wordOf(stopReason) ?? '', { additionalModelResponseFields }, events)
        break
      }
      case 'metadata': {
        const { usage, trace, performanceConfig } = payload
        this.#usage(usage, { trace, performanceConfig }, events)
        break
      }
      default: {
        const error = /exception$/i.test(type) ? exceptionOf(type, payload) : undefined
        if (error) throw error
      }
    }
    if (this.#finished && this.#counted) {
      this.#ended = true
      events.push({ type: 'reply-end' })
    }
  }

  #start(events: ReplyEvent[]): void {
    if (this.#started) return
    this.#started = true
    events.push({ type: 'reply-start' })
  }

  #blockStart(index: number, start: JsonObject, events: ReplyEvent[]): void {
    const use = start.toolUse
    if (!isObject(use)) return
    this.#closeAll(events)
    const part = this.#parts++
    const name = wordOf(use.name) ?? ''
    if (name === JSON_TOOL) {
      this.#answers++
      this.#open.set(index, { kind: 'json', part })
      events.push({ type: 'text-start', part })
      return
    }
    this.#calls++
    this.#open.set(index, { kind: 'call', part })
    const id = wordOf(use.toolUseId) ?? ''
    events.push({ type: 'tool-call-start', part, id, name: this.#names.get(name) ?? name })
  }

  #delta(index: number, delta: JsonObject, events: ReplyEvent[]): void {
    const { text, toolUse, reasoningContent, citation } = delta
    if (typeof text === 'string') {
      const { part } = this.#opened(index, 'text', events)
      if (text !== '') events.push({ type: 'text-delta', part, text })
    } else if (isObject(toolUse)) {
      const open = this.#open.get(index)
      const json = wordOf(toolUse.input)
      if (!open || json === undefined) return
      if (open.kind === 'json') events.push({ type: 'text-delta', part: open.part, text: json })
      else if (open.kind === 'call') events.push({ type: 'tool-call-delta', part: open.part, json })
    } else if (isObject(reasoningContent)) this.#reasoning(index, reasoningContent, events)
    else if (citation !== undefined) {
      const { part } = this.#opened(index, 'text', events)
      events.push({ type: 'annotation', part, rest: { [ID]: { citation } } })
    }
  }

  #reasoning(index: number, content: JsonObject, events: ReplyEvent[]): void {
    const { text, signature, redactedContent, data } = content
    const redacted = wordOf(redactedContent) ?? wordOf(data)
    if (redacted !== undefined) {
      this.#closeAll(events)
      const part = this.#parts++
      events.push({ type: 'reasoning-start', part, redacted }, { type: 'reasoning-end', part })
      return
    }
    const open = this.#opened(index, 'reasoning', events)
    if (wordOf(text) !== undefined) events.push({ type: 'reasoning-delta', part: open.part, text: text as string })
    if (open.kind === 'reasoning' && wordOf(signature) !== undefined) open.signature = signature as string
  }

  /** The open part of this index and kind; text and reasoning begin with their first piece. */
  #opened(index: number, kind: 'text' | 'reasoning', events: ReplyEvent[]): Open {
    const known = this.#open.get(index)
    if (known?.kind === kind) return known
    this.#closeAll(events)
    const part = this.#parts++
    const open: Open = kind === 'text' ? { kind, part } : { kind, part, signature: '' }
    this.#open.set(index, open)
    events.push({ type: `${kind}-start`, part })
    return open
  }

  #whole(index: number, block: JsonObject, events: ReplyEvent[]): void {
    const { text, toolUse, reasoningContent, citationsContent } = block
    if (typeof text === 'string') this.#delta(index, { text }, events)
    else if (isObject(toolUse)) {
      this.#blockStart(index, { toolUse }, events)
      this.#delta(index, { toolUse: { input: JSON.stringify(toolUse.input ?? {}) } }, events)
    } else if (isObject(reasoningContent)) {
      const { reasoningText, ...redacted } = reasoningContent
      this.#reasoning(index, isObject(reasoningText) ? reasoningText : redacted, events)
    } else if (isObject(citationsContent)) {
      for (const piece of listOf(citationsContent.content)) this.#delta(index, objectOf(piece), events)
      for (const citation of listOf(citationsContent.citations)) this.#delta(index, { citation }, events)
    } else if (!isEmpty(block)) {
      events.push({ type: 'opaque', part: this.#parts++, dialect: ID, value: block })
    }
    this.#close(index, events)
  }

  #close(index: number, events: ReplyEvent[]): void {
    const open = this.#open.get(index)
    if (!open) return
    this.#open.delete(index)
    const { part } = open
    if (open.kind === 'reasoning') {
      events.push({ type: 'reasoning-end', part, ...(open.signature === '' ? {} : { signature: open.signature }) })
    } else events.push({ type: open.kind === 'call' ? 'tool-call-end' : 'text-end', part })
  }

  #closeAll(events: ReplyEvent[]): void {
    for (const index of [...this.#open.keys()]) this.#close(index, events)
  }

  #usage(raw: JsonValue | undefined, beside: JsonObject, events: ReplyEvent[]): void {
    const usage = usageOf(raw)
    const rest = Object.fromEntries(Object.entries(beside).filter(([, value]) => value !== undefined))
    if (!isEmpty(rest)) events.push({ type: 'annotation', rest: { [ID]: rest } })
    if (!usage) return
    this.#counted = true
    events.push({ type: 'usage-report', usage })
  }

  #finish(stopReason: string, beside: JsonObject, events: ReplyEvent[]): void {
    if (this.#finished) return
    this.#closeAll(events)
    this.#finished = true
    const known = FINISH[stopReason] ?? 'other'
    const isAnswer = known === 'tool-calls' && this.#answers > 0 && this.#calls === 0
    const reason = isAnswer ? 'stop' : known === 'stop' && this.#calls > 0 ? 'tool-calls' : known
    const rest = Object.fromEntries(Object.entries(beside).filter(([, value]) => value !== undefined))
    events.push({ type: 'finish', reason, ...asRest({ ...rest, ...(known === 'other' ? { stopReason } : {}) }) })
  }
}

/** Its input excludes what the cache read and wrote; the written part may be told apart by its lifetime. */
export function usageOf(raw: JsonValue | undefined): Usage | undefined {
  const u = objectOf(raw)
  if (typeof u.inputTokens !== 'number' && typeof u.outputTokens !== 'number') return undefined
  const written = tokenCount(u.cacheWriteInputTokens)
  let hourly = 0
  for (const detail of listOf(u.cacheDetails)) {
    const { ttl, inputTokens } = objectOf(detail)
    if (ttl === '1h') hourly += tokenCount(inputTokens)
  }
  const cacheWrite1h = Math.min(hourly, written)
  const cacheRead = tokenCount(u.cacheReadInputTokens)
  return {
    source: 'provider',
    input: tokenCount(u.inputTokens),
    output: tokenCount(u.outputTokens),
    ...(cacheRead > 0 ? { cacheRead } : {}),
    ...(written > cacheWrite1h ? { cacheWrite5m: written - cacheWrite1h } : {}),
    ...(cacheWrite1h > 0 ? { cacheWrite1h } : {}),
  }
}

const STATUS: Readonly<Record<string, number>> = {
  validationException: 400,
  throttlingException: 429,
  modelStreamErrorException: 424,
  serviceUnavailableException: 503,
  internalServerException: 500,
}

function exceptionOf(type: string, payload: JsonObject): GatewayError {
  const message = wordOf(payload.message) ?? type
  return failure('upstream_error', { problem: message, upstreamCode: type, upstreamMessage: message }, undefined, {
    status: STATUS[type] ?? 500,
  })
}

/** AWS says `message` (or `Message`), and sometimes `__type`; the kind of exception stands in a header. */
export function bornInside(body: JsonValue): GatewayError | undefined {
  const { message, code } = complaintOf(body)
  if (message === undefined) return undefined
  return failure('upstream_error', {
    problem: message,
    upstreamMessage: message,
    ...(code === undefined ? {} : { upstreamCode: code }),
  })
}

export function complaintOf(body: JsonValue) {
  const said = objectOf(body)
  const code = wordOf(said.__type)?.replace(/^.*#/, '')
  const message = wordOf(said.message) ?? wordOf(said.Message)
  return {
    ...readError(body),
    ...(code === undefined ? {} : { code }),
    ...(message === undefined ? {} : { message }),
  }
}

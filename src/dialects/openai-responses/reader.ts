/**
 * Responses and their streams → events, one reader for both: a whole item is read as one that opened, grew and closed at
 * once. Items may grow side by side; each text, thought and call is a part. What only OpenAI understands (its own tools'
 * calls) is kept whole and told when it is complete.
 */
import type { StreamReader } from '../../core/dialect.ts'
import { failure } from '../../core/errors.ts'
import type { FinishReason, ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue, ModelRequest } from '../../core/request.ts'
import { originalNames } from '../../core/tool-names.ts'
import { isEmpty, isObject, listOf, objectOf, said, without, wordOf } from '../openai-chat/index.ts'
import { bornInside } from './errors.ts'
import { usageOf } from './usage.ts'
import { asRest, CUSTOM_ARGUMENT, ID, spaced } from './vocabulary.ts'

interface Content {
  readonly part: number
  readonly kind: 'text' | 'refusal'
  grown: number
  isOpen: boolean
}

type Item = { isDone: boolean } & (
  | { readonly kind: 'message'; readonly about: JsonObject; readonly contents: Map<number, Content> }
  /** `last` is the text that grew last: another one is set off from it. */
  | { readonly kind: 'reasoning'; readonly part: number; readonly seen: Set<string>; last: string | undefined }
  | { readonly kind: 'call'; readonly part: number; readonly isCustom: boolean; json: string }
  | { readonly kind: 'opaque'; readonly part: number }
)

const RESPONSE_FIELDS = [
  'id',
  'object',
  'created_at',
  'completed_at',
  'status',
  'error',
  'incomplete_details',
  'model',
  'output',
  'output_text',
  'usage',
]

export class ResponseReader implements StreamReader {
  readonly #names: ReadonlyMap<string, string>
  readonly #items = new Map<number, Item>()
  #parts = 0
  #calls = 0
  #state: 'waiting' | 'started' | 'ended' = 'waiting'

  constructor(asked?: ModelRequest) {
    this.#names = originalNames(asked)
  }

  read(data: string, event?: string): ReplyEvent[] {
    const text = data.trim()
    if (text === '' || text === '[DONE]' || this.#state === 'ended') return []
    let value: JsonValue
    try {
      value = JSON.parse(text)
    } catch (error) {
      throw failure('upstream_invalid', { problem: 'an event that is not JSON' }, error)
    }
    const error = bornInside(value)
    if (error) throw error
    if (!isObject(value)) throw failure('upstream_invalid', { problem: 'an event that is no object' })
    const events: ReplyEvent[] = []
    this.#take(value, wordOf(value.type) ?? event ?? '', events)
    return events
  }

  end(): ReplyEvent[] {
    if (this.#state !== 'ended') throw failure('upstream_incomplete')
    return []
  }

  /** A whole response, as it is answered unstreamed. */
  body(response: JsonValue): ReplyEvent[] {
    const error = bornInside(response)
    if (error) throw error
    if (!isObject(response) || !Array.isArray(response.output)) {
      throw failure('upstream_invalid', { problem: 'a response without output' })
    }
    const events: ReplyEvent[] = []
    this.#start(response, events)
    this.#finish(response, events)
    return events
  }

  #take(value: JsonObject, type: string, events: ReplyEvent[]): void {
    if (isObject(value.response)) {
      this.#start(value.response, events)
      if (/^response\.(?:completed|incomplete|failed|cancelled)$/.test(type)) this.#finish(value.response, events)
      return
    }
    const at = typeof value.output_index === 'number' ? value.output_index : 0
    const part = typeof value.content_index === 'number' ? value.content_index : 0
    const delta = wordOf(value.delta) ?? ''
    switch (type) {
      case 'response.output_item.added':
        this.#added(at, objectOf(value.item), events)
        return
      case 'response.output_item.done':
        this.#done(at, objectOf(value.item), events)
        return
      case 'response.content_part.added':
        if (objectOf(value.part).type === 'output_text') this.#content(at, part, 'text', events)
        return
      case 'response.output_text.delta': {
        const logprobs = listOf(value.logprobs)
        this.#grow(at, part, 'text', delta, logprobs.length > 0 ? { logprobs } : {}, events)
        return
      }
      case 'response.refusal.delta':
        this.#grow(at, part, 'refusal', delta, {}, events)
        return
      case 'response.output_text.annotation.added': {
        const content = this.#content(at, part, 'text', events)
        const { annotation } = value
        if (content && annotation)
          events.push({ type: 'annotation', part: content.part, rest: { [ID]: { annotation } } })
        return
      }
      case 'response.content_part.done':
        this.#closeContent(at, part, objectOf(value.part), events)
        return
      case 'response.reasoning_summary_text.delta':
        this.#think(at, `summary.${String(value.summary_index ?? 0)}`, delta, events)
        return
      case 'response.reasoning_text.delta':
        this.#think(at, `content.${part}`, delta, events)
        return
      case 'response.function_call_arguments.delta':
      case 'response.custom_tool_call_input.delta':
        this.#argue(at, delta, events)
    }
  }

  #start(response: JsonObject, events: ReplyEvent[]): void {
    if (this.#state !== 'waiting') return
    this.#state = 'started'
    const id = wordOf(response.id)
    const model = wordOf(response.model)
    const own = said(without(response, ...RESPONSE_FIELDS))
    events.push({
      type: 'reply-start',
      ...(id === undefined ? {} : { id }),
      ...(model === undefined ? {} : { model }),
      ...(typeof response.created_at === 'number' ? { created: Math.floor(response.created_at) } : {}),
      ...asRest(isEmpty(own) ? {} : { response: own }),
    })
  }

  #added(at: number, item: JsonObject, events: ReplyEvent[]): Item {
    const known = this.#items.get(at)
    if (known) return known
    const made = this.#itemOf(item, events)
    this.#items.set(at, made)
    return made
  }

  #itemOf(item: JsonObject, events: ReplyEvent[]): Item {
    switch (item.type) {
      case 'message': {
        const about = said(without(item, 'type', 'role', 'content', 'status'))
        return { kind: 'message', about, contents: new Map(), isDone: false }
      }
      case 'reasoning': {
        const part = this.#parts++
        const id = wordOf(item.id)
        events.push({ type: 'reasoning-start', part, ...asRest(id === undefined ? {} : { id }) })
        return { kind: 'reasoning', part, seen: new Set(), last: undefined, isDone: false }
      }
      case 'function_call':
      case 'custom_tool_call': {
        const part = this.#parts++
        const isCustom = item.type === 'custom_tool_call'
        const name = wordOf(item.name) ?? ''
        const namespace = wordOf(item.namespace)
        const own = said(without(item, 'type', 'call_id', 'name', 'arguments', 'input', 'status'))
        this.#calls++
        events.push({
          type: 'tool-call-start',
          part,
          id: wordOf(item.call_id) ?? wordOf(item.id) ?? `call_${part}`,
          name: namespace === undefined ? (this.#names.get(name) ?? name) : spaced(namespace, name),
          ...asRest({ ...own, ...(isCustom ? { type: item.type } : {}) }),
        })
        if (isCustom) events.push({ type: 'tool-call-delta', part, json: `{"${CUSTOM_ARGUMENT}":"` })
        return { kind: 'call', part, isCustom, json: '', isDone: false }
      }
      default:
        return { kind: 'opaque', part: this.#parts++, isDone: false }
    }
  }

  #content(at: number, index: number, kind: Content['kind'], events: ReplyEvent[]): Content | undefined {
    const item = this.#added(at, { type: 'message' }, events)
    if (item.kind !== 'message') return undefined
    let content = item.contents.get(index)
    if (!content) {
      content = { part: this.#parts++, kind, grown: 0, isOpen: true }
      item.contents.set(index, content)
      const own = isEmpty(item.about) ? {} : { message: item.about }
      if (kind === 'text') events.push({ type: 'text-start', part: content.part, ...asRest(own) })
    }
    return content
  }

  #grow(at: number, index: number, kind: Content['kind'], text: string, own: JsonObject, events: ReplyEvent[]): void {
    const content = this.#content(at, index, kind, events)
    if (!content?.isOpen || text === '') return
    content.grown += text.length
    const { part } = content
    if (content.kind === 'text') events.push({ type: 'text-delta', part, text, ...asRest(own) })
    else events.push({ type: 'refusal-delta', part, text })
  }

  /** What the whole part says and its pieces did not. */
  #closeContent(at: number, index: number, whole: JsonObject, events: ReplyEvent[]): void {
    const item = this.#items.get(at)
    if (item?.kind !== 'message') return
    if (whole.type !== 'output_text' && whole.type !== 'refusal') {
      if (!item.contents.has(index)) {
        item.contents.set(index, { part: -1, kind: 'refusal', grown: 0, isOpen: false })
        if (whole.type !== undefined) events.push({ type: 'opaque', part: this.#parts++, dialect: ID, value: whole })
      }
      return
    }
    const kind = whole.type === 'refusal' ? 'refusal' : 'text'
    const content = this.#content(at, index, kind, events)
    if (!content?.isOpen) return
    const text = wordOf(whole[kind]) ?? ''
    if (content.grown === 0) {
      const logprobs = listOf(whole.logprobs)
      this.#grow(at, index, kind, text, logprobs.length > 0 ? { logprobs } : {}, events)
    }
    content.isOpen = false
    if (kind === 'text') events.push({ type: 'text-end', part: content.part })
  }

  /** A summary has several texts; in one stream of thought they are paragraphs. */
  #think(at: number, key: string, text: string, events: ReplyEvent[]): void {
    const item = this.#added(at, { type: 'reasoning' }, events)
    if (item.kind !== 'reasoning' || item.isDone || text === '') return
    const { part } = item
    if (item.last !== undefined && item.last !== key) {
      events.push({ type: 'reasoning-delta', part, text: '\n\n', ...asRest({ separates: true }) })
    }
    item.last = key
    item.seen.add(key)
    events.push({
      type: 'reasoning-delta',
      part,
      text,
      ...(key.startsWith('content') ? asRest({ isContent: true }) : {}),
    })
  }

  #argue(at: number, text: string, events: ReplyEvent[]): void {
    const item = this.#items.get(at)
    if (item?.kind !== 'call' || item.isDone || text === '') return
    item.json += text
    const json = item.isCustom ? JSON.stringify(text).slice(1, -1) : text
    events.push({ type: 'tool-call-delta', part: item.part, json })
  }

  #done(at: number, whole: JsonObject, events: ReplyEvent[]): void {
    const item = this.#added(at, whole, events)
    if (item.isDone) return
    switch (item.kind) {
      case 'message':
        for (const [i, part] of listOf(whole.content).entries()) {
          const { annotations } = objectOf(part)
          const isNew = !item.contents.has(i)
          if (isNew && listOf(annotations).length > 0) {
            const content = this.#content(at, i, 'text', events)
            this.#grow(at, i, 'text', wordOf(objectOf(part).text) ?? '', {}, events)
            for (const annotation of listOf(annotations)) {
              if (content) events.push({ type: 'annotation', part: content.part, rest: { [ID]: { annotation } } })
            }
          }
          this.#closeContent(at, i, objectOf(part), events)
        }
        for (const content of item.contents.values()) {
          if (content.isOpen && content.kind === 'text') events.push({ type: 'text-end', part: content.part })
          content.isOpen = false
        }
        break
      case 'reasoning': {
        for (const list of ['summary', 'content'] as const) {
          for (const [i, part] of listOf(whole[list]).entries()) {
            const key = `${list}.${i}`
            if (!item.seen.has(key)) this.#think(at, key, wordOf(objectOf(part).text) ?? '', events)
          }
        }
        const own = said(without(whole, 'type', 'summary', 'content', 'status'))
        events.push({ type: 'reasoning-end', part: item.part, ...asRest(isEmpty(own) ? {} : { item: own }) })
        break
      }
      case 'call': {
        const text = wordOf(whole.arguments) ?? wordOf(whole.input) ?? ''
        if (item.json === '') this.#argue(at, text, events)
        if (item.isCustom) events.push({ type: 'tool-call-delta', part: item.part, json: '"}' })
        events.push({ type: 'tool-call-end', part: item.part })
        break
      }
      case 'opaque':
        events.push({ type: 'opaque', part: item.part, dialect: ID, value: whole })
    }
    item.isDone = true
  }

  #finish(response: JsonObject, events: ReplyEvent[]): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    for (const [at, item] of listOf(response.output).entries()) if (isObject(item)) this.#done(at, item, events)
    for (const [at, item] of this.#items) if (!item.isDone) this.#done(at, {}, events)
    const usage = usageOf(response)
    if (usage) events.push({ type: 'usage-report', usage })
    const own = said(without(response, ...RESPONSE_FIELDS))
    const raw = isObject(response.usage) ? { usage: response.usage } : {}
    events.push({
      type: 'finish',
      reason: finishOf(response, this.#calls > 0),
      ...asRest({ ...(isEmpty(own) ? {} : { response: own }), ...raw }),
    })
    events.push({ type: 'reply-end' })
  }
}

export function finishOf(response: JsonObject, hasCalls: boolean): FinishReason {
  const reason = objectOf(response.incomplete_details).reason
  if (response.status === 'incomplete') {
    return reason === 'max_output_tokens' ? 'length' : reason === 'content_filter' ? 'content-filter' : 'other'
  }
  return hasCalls ? 'tool-calls' : 'stop'
}

/**
 * Cohere's replies and streams → events. A turn that calls tools says its plan first: that is the model's thinking, kept
 * apart from other thinking so that it goes back where it was.
 */
import type { StreamReader } from '../../core/dialect.ts'
import { failure } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { bornInside, listOf, objectOf, wordOf } from '../openai-chat/index.ts'
import { asRest, FINISH, ID, usageOf } from './vocabulary.ts'

interface Open {
  readonly kind: 'text' | 'reasoning' | 'tool-call'
  readonly part: number
  /** Of a call: what came of its arguments. The word `null` stands for none. */
  json: string
}

export class CohereReader implements StreamReader {
  readonly #open = new Map<string, Open>()
  #parts = 0
  #calls = 0
  #started = false
  #state: 'open' | 'finished' | 'ended' = 'open'

  read(data: string): ReplyEvent[] {
    const text = data.trim()
    if (text === '' || text === '[DONE]') return []
    let value: JsonValue
    try {
      value = JSON.parse(text)
    } catch (error) {
      throw failure('upstream_invalid', { problem: 'an event that is not JSON' }, error)
    }
    const event = objectOf(value)
    if (event.type === undefined) {
      const error = bornInside(value)
      if (error) throw error
    }
    const events: ReplyEvent[] = []
    if (this.#state !== 'ended') this.#take(event, events)
    return events
  }

  end(): ReplyEvent[] {
    if (this.#state === 'ended') return []
    if (this.#state !== 'finished') throw failure('upstream_incomplete')
    this.#state = 'ended'
    return [{ type: 'reply-end' }]
  }

  body(body: JsonValue): ReplyEvent[] {
    const reply = objectOf(body)
    const message = objectOf(reply.message)
    if (reply.finish_reason === undefined && reply.message !== undefined && wordOf(reply.message) !== undefined) {
      throw bornInside(body) ?? failure('upstream_invalid', { problem: 'no message' })
    }
    if (typeof reply.message !== 'object') throw failure('upstream_invalid', { problem: 'a body that is no message' })
    const events: ReplyEvent[] = []
    this.#start(reply.id, events)
    const plan = wordOf(message.tool_plan)
    if (plan !== undefined) this.#plan(plan, events)
    this.#close('plan', events)
    listOf(message.content).forEach((item, index) => {
      this.#begin(`content ${index}`, objectOf(item), events)
      this.#close(`content ${index}`, events)
    })
    listOf(message.tool_calls).forEach((call, index) => {
      this.#call(index, objectOf(call), events)
      this.#close(`call ${index}`, events)
    })
    for (const citation of listOf(message.citations)) events.push({ type: 'annotation', rest: { [ID]: { citation } } })
    this.#finish(reply, events)
    return events
  }

  #take(event: JsonObject, events: ReplyEvent[]): void {
    const delta = objectOf(event.delta)
    const message = objectOf(delta.message)
    const index = typeof event.index === 'number' ? event.index : 0
    if (event.type !== 'message-start') this.#start(undefined, events)
    switch (event.type) {
      case 'message-start':
        this.#start(event.id, events)
        break
      case 'content-start':
        this.#close('plan', events)
        this.#begin(`content ${index}`, objectOf(message.content), events)
        break
      case 'content-delta': {
        const key = `content ${index}`
        const content = objectOf(message.content)
        if (!this.#open.has(key)) this.#begin(key, { ...content, text: '', thinking: '' }, events)
        this.#grow(key, wordOf(content.thinking) ?? wordOf(content.text), events)
        const { logprobs } = event
        if (logprobs !== undefined && logprobs !== null) {
          events.push({ type: 'annotation', rest: { [ID]: { logprobs } } })
        }
        break
      }
      case 'content-end':
        this.#close(`content ${index}`, events)
        break
      case 'tool-plan-delta':
        this.#plan(wordOf(message.tool_plan) ?? '', events)
        break
      case 'tool-call-start':
        this.#close('plan', events)
        this.#call(index, objectOf(message.tool_calls), events)
        break
      case 'tool-call-delta':
        this.#grow(`call ${index}`, wordOf(objectOf(objectOf(message.tool_calls).function).arguments), events)
        break
      case 'tool-call-end':
        this.#close(`call ${index}`, events)
        break
      case 'citation-start':
        events.push({ type: 'annotation', rest: { [ID]: { citation: message.citations ?? null } } })
        break
      case 'message-end':
        this.#finish(delta, events)
    }
  }

  #start(id: JsonValue | undefined, events: ReplyEvent[]): void {
    if (this.#started) return
    this.#started = true
    const name = wordOf(id)
    events.push({ type: 'reply-start', ...(name === undefined ? {} : { id: name }) })
  }

  #begin(key: string, content: JsonObject, events: ReplyEvent[]): void {
    const kind = content.type === 'thinking' || wordOf(content.thinking) !== undefined ? 'reasoning' : 'text'
    const part = this.#parts++
    this.#open.set(key, { kind, part, json: '' })
    events.push({ type: `${kind}-start`, part })
    this.#grow(key, wordOf(kind === 'text' ? content.text : content.thinking), events)
  }

  #plan(text: string, events: ReplyEvent[]): void {
    if (!this.#open.has('plan')) {
      const part = this.#parts++
      this.#open.set('plan', { kind: 'reasoning', part, json: '' })
      events.push({ type: 'reasoning-start', part, ...asRest({ tool_plan: true }) })
    }
    this.#grow('plan', text, events)
  }

  #call(index: number, call: JsonObject, events: ReplyEvent[]): void {
    const { name, arguments: args } = objectOf(call.function)
    const part = this.#parts++
    this.#calls++
    this.#open.set(`call ${index}`, { kind: 'tool-call', part, json: '' })
    events.push({ type: 'tool-call-start', part, id: wordOf(call.id) ?? `call_${index}`, name: wordOf(name) ?? '' })
    this.#grow(`call ${index}`, wordOf(args), events)
  }

  #grow(key: string, text: string | undefined, events: ReplyEvent[]): void {
    const open = this.#open.get(key)
    if (!open || text === undefined || text === '') return
    const { part } = open
    if (open.kind !== 'tool-call') {
      events.push({ type: open.kind === 'text' ? 'text-delta' : 'reasoning-delta', part, text })
      return
    }
    const before = open.json
    open.json += text
    // Held while it may still turn out to be nothing but the word `null`.
    if ('null'.startsWith(open.json.trim())) return
    const held = 'null'.startsWith(before.trim()) ? before : ''
    events.push({ type: 'tool-call-delta', part, json: held + text })
  }

  #close(key: string, events: ReplyEvent[]): void {
    const open = this.#open.get(key)
    if (!open) return
    this.#open.delete(key)
    const { part, kind, json } = open
    if (kind === 'tool-call' && json.trim() === 'null') events.push({ type: 'tool-call-delta', part, json: '{}' })
    events.push({ type: `${kind}-end`, part })
  }

  #finish(delta: JsonObject, events: ReplyEvent[]): void {
    for (const key of [...this.#open.keys()]) this.#close(key, events)
    const word = wordOf(delta.finish_reason) ?? ''
    if (word === 'ERROR' || word === 'TIMEOUT' || delta.error !== undefined) {
      const message = wordOf(delta.error) ?? `the model stopped with ${word}`
      throw failure('upstream_error', { problem: message, upstreamCode: word, upstreamMessage: message })
    }
    const usage = usageOf(delta.usage)
    if (usage) events.push({ type: 'usage-report', usage })
    const known = FINISH[word] ?? 'other'
    const reason = known === 'stop' && this.#calls > 0 ? 'tool-calls' : known
    events.push({ type: 'finish', reason, ...asRest(known === 'other' ? { finish_reason: word } : {}) })
    events.push({ type: 'reply-end' })
    this.#state = 'ended'
  }
}

/**
 * Events → chunks or a body of a chat completion. Every event becomes at most one delta; a stream sends the deltas, a
 * body is their sum, so both say the same.
 *
 * Thinking is `reasoning_content`; what must come back unchanged in the next turn stands where clients of gateways look
 * for it: signed and redacted thinking in `thinking_blocks` (each block whole, so that clients only collect them), a
 * thought signature on its tool call as `extra_content.google.thought_signature`.
 */
import type { ReplyContext, StreamWriter } from '../../core/dialect.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import type { Usage } from '../../core/usage.ts'
import { formatSse } from '../../wire/sse.ts'
import { failStream } from './errors.ts'
import { addDelta, addFields } from './sum.ts'
import { usageOf, writeUsage } from './usage.ts'
import {
  FINISH_NAMES,
  finishOf,
  ID,
  isEmpty,
  isObject,
  listOf,
  objectOf,
  ownRest,
  without,
  wordOf,
} from './vocabulary.ts'

/** What one event says of one choice. `beside` are fields of the choice itself, e.g. `logprobs`. */
interface Piece {
  readonly choice: number
  readonly delta: JsonObject
  readonly beside?: JsonObject
  readonly finish?: string
}

class Reply {
  readonly #context: ReplyContext
  #id: string | undefined
  #model: string | undefined
  #created: number | undefined
  #usage: Usage | undefined
  #rawUsage: JsonObject = {}
  /** Fields of chunk and body that only this dialect knows (`system_fingerprint`…), as they were last said. */
  #beside: JsonObject = {}
  readonly #thoughts = new Map<number, { text: string; readonly field: string }>()
  readonly #calls = new Map<number, { readonly index: number; isEmpty: boolean }>()
  readonly #callsOf = new Map<number, number>()
  /** The client speaks the language of before tool calls, and can be told of one call. */
  readonly #isLegacy: boolean

  constructor(context: ReplyContext) {
    this.#context = context
    this.#isLegacy = listOf(context.asked.functions).length > 0 && listOf(context.asked.tools).length === 0
  }

  take(event: ReplyEvent): Piece | undefined {
    switch (event.type) {
      case 'reply-start':
        this.#id = event.id
        this.#model = event.model
        this.#created = event.created
        if (event.usage) this.#usage = event.usage
        this.#beside = { ...this.#beside, ...objectOf(ownRest(event.rest).chunk) }
        return undefined
      case 'text-delta': {
        const beside = objectOf(ownRest(event.rest).choice)
        return { choice: event.choice ?? 0, delta: { content: event.text }, ...(isEmpty(beside) ? {} : { beside }) }
      }
      case 'reasoning-start': {
        const field = wordOf(ownRest(event.rest).field) ?? 'reasoning_content'
        this.#thoughts.set(event.part, { text: '', field })
        if (event.redacted === undefined) return undefined
        return piece(event, { thinking_blocks: [{ type: 'redacted_thinking', data: event.redacted }] })
      }
      case 'reasoning-delta': {
        const thought = this.#thoughts.get(event.part)
        if (thought) thought.text += event.text
        return piece(event, { [thought?.field ?? 'reasoning_content']: event.text })
      }
      case 'reasoning-end': {
        const thinking = this.#thoughts.get(event.part)?.text ?? ''
        this.#thoughts.delete(event.part)
        if (event.signature === undefined) return undefined
        return piece(event, { thinking_blocks: [{ type: 'thinking', thinking, signature: event.signature }] })
      }
      case 'refusal-delta':
        return piece(event, { refusal: event.text })
      case 'tool-call-start':
        return this.#callStart(event)
      case 'tool-call-delta':
        return this.#callDelta(event, event.json)
      case 'tool-call-end':
        // A call without arguments still has an object of them.
        return this.#calls.get(event.part)?.isEmpty ? this.#callDelta(event, '{}') : undefined
      case 'opaque':
        return event.dialect === ID ? this.#opaque(event) : undefined
      case 'annotation':
        return this.#annotation(event)
      case 'usage-report':
        this.#usage = event.usage
        return undefined
      case 'finish':
        return { choice: event.choice ?? 0, delta: {}, finish: this.#finishName(event) }
      case 'text-start':
      case 'text-end':
      case 'embedding':
      case 'reply-end':
        return undefined
    }
  }

  #nextIndex(choice: number): number {
    const index = this.#callsOf.get(choice) ?? 0
    this.#callsOf.set(choice, index + 1)
    return index
  }

  #callStart(event: Extract<ReplyEvent, { type: 'tool-call-start' }>): Piece | undefined {
    const index = this.#nextIndex(event.choice ?? 0)
    if (this.#isLegacy) {
      if (index > 0) return undefined
      this.#calls.set(event.part, { index, isEmpty: true })
      return piece(event, { function_call: { name: event.name, arguments: '' } })
    }
    this.#calls.set(event.part, { index, isEmpty: true })
    const { function: more, extra_content, ...own } = ownRest(event.rest)
    const { google, ...extra } = objectOf(extra_content)
    const signed =
      event.signature === undefined
        ? objectOf(extra_content)
        : { ...extra, google: { ...objectOf(google), thought_signature: event.signature } }
    const call = {
      index,
      id: event.id,
      type: 'function',
      function: { name: event.name, arguments: '', ...objectOf(more) },
      ...own,
      ...(isEmpty(signed) ? {} : { extra_content: signed }),
    }
    return piece(event, { tool_calls: [call] })
  }

  #callDelta(event: { readonly part: number; readonly choice?: number }, json: string): Piece | undefined {
    const call = this.#calls.get(event.part)
    if (!call) return undefined
    call.isEmpty = false
    if (this.#isLegacy) return piece(event, { function_call: { arguments: json } })
    return piece(event, { tool_calls: [{ index: call.index, function: { arguments: json } }] })
  }

  #opaque(event: Extract<ReplyEvent, { type: 'opaque' }>): Piece {
    const { audio, tool_call } = event.value
    if (isObject(audio)) return piece(event, { audio })
    if (!isObject(tool_call)) return piece(event, { content: [event.value] })
    return piece(event, { tool_calls: [{ index: this.#nextIndex(event.choice ?? 0), ...tool_call }] })
  }

  #annotation(event: Extract<ReplyEvent, { type: 'annotation' }>): Piece | undefined {
    const own = ownRest(event.rest)
    this.#beside = { ...this.#beside, ...objectOf(own.chunk) }
    if (isObject(own.usage)) this.#rawUsage = own.usage
    const delta = objectOf(own.delta)
    const beside = objectOf(own.choice)
    if (isEmpty(delta) && isEmpty(beside)) return undefined
    return { choice: event.choice ?? 0, delta, ...(isEmpty(beside) ? {} : { beside }) }
  }

  /** OpenAI's own word where the event kept one that means the same. */
  #finishName(event: Extract<ReplyEvent, { type: 'finish' }>): string {
    const calls = this.#callsOf.get(event.choice ?? 0) ?? 0
    const own = wordOf(ownRest(event.rest).finish_reason)
    if (own !== undefined && finishOf(own, calls > 0) === event.reason) return own
    return this.#isLegacy && event.reason === 'tool-calls' ? 'function_call' : FINISH_NAMES[event.reason]
  }

  /** As the vendor counted, fields of its own included, if that still says the same. */
  usage(): JsonObject | undefined {
    const usage = this.#usage
    if (!usage) return undefined
    const raw = usageOf(this.#rawUsage)
    return raw && JSON.stringify(raw) === JSON.stringify(usage) ? this.#rawUsage : writeUsage(usage)
  }

  /** Objects beside the choices (filter results, citations) are said once, plain values on every chunk. */
  frame(object: string, choices: readonly JsonObject[]): JsonObject {
    const beside = this.#beside
    this.#beside = Object.fromEntries(Object.entries(beside).filter(([, value]) => typeof value !== 'object'))
    return {
      id: this.#id ?? this.#context.id,
      object,
      created: this.#created ?? this.#context.created,
      model: this.#model ?? this.#context.model,
      ...beside,
      choices,
    }
  }
}

const piece = (event: { readonly choice?: number }, delta: JsonObject): Piece => ({ choice: event.choice ?? 0, delta })

export function streamWriter(context: ReplyContext): StreamWriter {
  const reply = new Reply(context)
  const opened = new Set<number>()
  const wantsUsage = objectOf(context.asked.stream_options).include_usage === true
  const send = (choices: readonly JsonObject[], usage: JsonValue) => {
    const chunk = reply.frame('chat.completion.chunk', choices)
    return formatSse(JSON.stringify(wantsUsage ? { ...chunk, usage } : chunk))
  }
  const choice = (index: number, delta: JsonObject, beside: JsonObject = {}, finish: string | null = null) =>
    send([{ index, delta, ...beside, finish_reason: finish }], null)
  return {
    write(event) {
      const said = reply.take(event)
      if (said) {
        const { choice: index, delta, beside, finish = null } = said
        let role = ''
        if (!opened.has(index)) {
          opened.add(index)
          role = choice(index, { role: 'assistant', content: delta.tool_calls || delta.function_call ? null : '' })
        }
        return role + choice(index, delta, beside, finish)
      }
      if (event.type !== 'reply-end') return ''
      const usage = wantsUsage ? reply.usage() : undefined
      return `${usage ? send([], usage) : ''}data: [DONE]\n\n`
    },
    fail: failStream,
  }
}

export function writeBody(events: readonly ReplyEvent[], context: ReplyContext): JsonObject {
  const reply = new Reply(context)
  const choices = new Map<number, { message: JsonObject; beside: JsonObject; finish: string }>()
  for (const event of events) {
    const said = reply.take(event)
    if (!said) continue
    let sum = choices.get(said.choice)
    if (!sum) {
      sum = { message: { role: 'assistant', content: null, refusal: null }, beside: { logprobs: null }, finish: 'stop' }
      choices.set(said.choice, sum)
    }
    sum.message = addDelta(sum.message, said.delta)
    if (said.beside) sum.beside = addFields(sum.beside, said.beside)
    if (said.finish !== undefined) sum.finish = said.finish
  }
  const written = [...choices]
    .sort(([a], [b]) => a - b)
    .map(([index, { message, beside, finish }]) => ({
      index,
      message: finished(message),
      ...beside,
      finish_reason: finish,
    }))
  const usage = reply.usage()
  return { ...reply.frame('chat.completion', written), ...(usage ? { usage } : {}) }
}

/** Only pieces of a stream need the index of their call. */
function finished(message: JsonObject): JsonObject {
  if (!Array.isArray(message.tool_calls)) return message
  const calls = listOf(message.tool_calls).map((call) => without(objectOf(call), 'index'))
  return { ...message, tool_calls: calls }
}

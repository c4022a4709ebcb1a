/**
 * Events → a response, streamed and whole. Every thought and call is an output item; texts that follow each other are
 * the content of one message. Items grow side by side where the events do. The whole response at the end repeats all
 * items, so an unstreamed body is that response alone.
 */
import type { ReplyContext, StreamWriter } from '../../core/dialect.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { formatSse } from '../../wire/sse.ts'
import { objectOf, without, wordOf } from '../openai-chat/index.ts'
import { failed } from './errors.ts'
import { ResponseFrame } from './response.ts'
import { type Declared, declaredTools } from './tools.ts'
import { customInput, ID, ownRest, sealed, spaced } from './vocabulary.ts'

interface Content {
  readonly part: number
  readonly kind: 'output_text' | 'refusal'
  readonly index: number
  text: string
  readonly annotations: JsonValue[]
  readonly logprobs: JsonValue[]
  isOpen: boolean
}
type Item = { readonly at: number; readonly id: string; isOpen: boolean } & (
  | { readonly kind: 'message'; readonly about: JsonObject; readonly contents: Content[] }
  | {
      readonly kind: 'reasoning'
      readonly texts: Thought[]
      own: JsonObject
      redacted: string | undefined
      signature: string | undefined
    }
  | {
      readonly kind: 'call'
      readonly callId: string
      readonly declared: Declared
      readonly own: JsonObject
      json: string
    }
  | { readonly kind: 'opaque'; readonly value: JsonObject }
)
type ItemOf<K extends Item['kind']> = Extract<Item, { kind: K }>
interface Thought {
  readonly list: 'summary' | 'content'
  readonly index: number
  text: string
}

type EventOf<T extends ReplyEvent['type']> = Extract<ReplyEvent, { type: T }>

class ResponseWriter implements StreamWriter {
  readonly #frame: ResponseFrame
  readonly #id: string
  readonly #declared: ReadonlyMap<string, Declared>
  readonly #items: Item[] = []
  /** Part → its item. */
  readonly #of = new Map<number, Item>()
  #sequence = 0
  #isStarted = false
  #isEnded = false

  constructor(context: ReplyContext) {
    this.#frame = new ResponseFrame(context)
    this.#id = context.id
    this.#declared = declaredTools(context.asked)
  }

  write(event: ReplyEvent): string {
    if (this.#isEnded || ('choice' in event && event.choice)) return ''
    this.#frame.note(event)
    let out = ''
    if (!this.#isStarted) {
      this.#isStarted = true
      out = this.#say('response.created', { response: this.#frame.running() })
      out += this.#say('response.in_progress', { response: this.#frame.running() })
    }
    return out + this.#take(event)
  }

  fail(error: GatewayError): string {
    this.#isEnded = true
    return failed(error, this.#frame.ended(this.#items.filter((item) => !item.isOpen).map(written)), this.#sequence)
  }

  /** The response as it stands: whole after the last event. */
  get response(): JsonObject {
    return this.#frame.ended(this.#items.map(written))
  }

  #say(type: string, fields: JsonObject): string {
    return formatSse(JSON.stringify({ type, sequence_number: this.#sequence++, ...fields }), type)
  }

  #take(event: ReplyEvent): string {
    switch (event.type) {
      case 'text-start':
        return this.#openContent(event.part, 'output_text', ownRest(event.rest)).out
      case 'text-delta':
        return this.#text(event, 'output_text')
      case 'refusal-delta':
        return this.#text(event, 'refusal')
      case 'text-end':
        return this.#closeContent(event.part)
      case 'reasoning-start':
        return this.#startReasoning(event)
      case 'reasoning-delta':
        return this.#think(event)
      case 'reasoning-end':
        return this.#endReasoning(event)
      case 'tool-call-start':
        return this.#startCall(event)
      case 'tool-call-delta':
        return this.#argue(event)
      case 'tool-call-end': {
        const call = this.#of.get(event.part)
        return call?.kind === 'call' ? this.#endCall(call) : ''
      }
      case 'opaque':
        return event.dialect === ID ? this.#opaque(event) : ''
      case 'annotation':
        return this.#annotation(event)
      case 'reply-end':
        return this.#end()
      default:
        return ''
    }
  }

  #add<K extends Item['kind']>(
    kind: K,
    id: string | undefined,
    fields: Omit<ItemOf<K>, 'kind' | 'at' | 'id' | 'isOpen'>,
  ): ItemOf<K> {
    const at = this.#items.length
    const prefix = { message: 'msg', reasoning: 'rs', call: 'fc', opaque: 'item' }[kind]
    const item = { kind, at, id: id ?? `${prefix}_${this.#id}_${at}`, isOpen: true, ...fields } as unknown as ItemOf<K>
    this.#items.push(item)
    return item
  }

  #added(item: Item): string {
    return this.#say('response.output_item.added', { output_index: item.at, item: written(item) })
  }

  #itemDone(item: Item): string {
    item.isOpen = false
    return this.#say('response.output_item.done', { output_index: item.at, item: written(item) })
  }

  /** The message that still takes texts. Another item ends it, and so does a text of another message. */
  #message(about: JsonObject): { item: ItemOf<'message'>; out: string } {
    const last = this.#items.at(-1)
    if (last?.kind === 'message' && last.isOpen && (about.id === undefined || about.id === last.id)) {
      return { item: last, out: '' }
    }
    const out = this.#closeMessage()
    const item = this.#add('message', wordOf(about.id), { about: without(about, 'id'), contents: [] })
    return { item, out: out + this.#added(item) }
  }

  #closeMessage(): string {
    const item = this.#items.findLast((each) => each.kind === 'message')
    if (item?.kind !== 'message' || !item.isOpen) return ''
    let out = ''
    for (const content of item.contents) out += this.#contentDone(item, content)
    return out + this.#itemDone(item)
  }

  #openContent(
    part: number,
    kind: Content['kind'],
    own: JsonObject,
  ): { content: Content; item: ItemOf<'message'>; out: string } {
    const { item, out } = this.#message(objectOf(own.message))
    const content: Content = {
      part,
      kind,
      index: item.contents.length,
      text: '',
      annotations: [],
      logprobs: [],
      isOpen: true,
    }
    item.contents.push(content)
    this.#of.set(part, item)
    const where = { item_id: item.id, output_index: item.at, content_index: content.index }
    return {
      content,
      item,
      out: out + this.#say('response.content_part.added', { ...where, part: writtenContent(content) }),
    }
  }

  /** The part's content while it is open. */
  #contentOf(part: number): { content: Content; item: ItemOf<'message'> } | undefined {
    const item = this.#of.get(part)
    if (item?.kind !== 'message') return undefined
    const content = item.contents.findLast((each) => each.part === part && each.isOpen)
    return content && { content, item }
  }

  #text(event: EventOf<'text-delta'> | EventOf<'refusal-delta'>, kind: Content['kind']): string {
    if (event.text === '') return ''
    let out = ''
    let open = this.#contentOf(event.part)
    if (!open) {
      const opened = this.#openContent(event.part, kind, {})
      out = opened.out
      open = opened
    }
    const { content, item } = open
    const logprobs = event.type === 'text-delta' ? ownRest(event.rest).logprobs : undefined
    content.text += event.text
    if (Array.isArray(logprobs)) content.logprobs.push(...logprobs)
    const where = { item_id: item.id, output_index: item.at, content_index: content.index }
    return kind === 'refusal'
      ? out + this.#say('response.refusal.delta', { ...where, delta: event.text })
      : out +
          this.#say('response.output_text.delta', {
            ...where,
            delta: event.text,
            logprobs: Array.isArray(logprobs) ? logprobs : [],
          })
  }

  #closeContent(part: number): string {
    const open = this.#contentOf(part)
    return open ? this.#contentDone(open.item, open.content) : ''
  }

  #contentDone(item: ItemOf<'message'>, content: Content): string {
    if (!content.isOpen) return ''
    content.isOpen = false
    const where = { item_id: item.id, output_index: item.at, content_index: content.index }
    const whole =
      content.kind === 'refusal'
        ? this.#say('response.refusal.done', { ...where, refusal: content.text })
        : this.#say('response.output_text.done', { ...where, text: content.text, logprobs: content.logprobs })
    return whole + this.#say('response.content_part.done', { ...where, part: writtenContent(content) })
  }

  #annotation(event: EventOf<'annotation'>): string {
    const { annotation } = ownRest(event.rest)
    const open = event.part === undefined ? undefined : this.#contentOf(event.part)
    if (!open || annotation === undefined) return ''
    const { item, content } = open
    const where = { item_id: item.id, output_index: item.at, content_index: content.index }
    const index = content.annotations.push(annotation) - 1
    return this.#say('response.output_text.annotation.added', { ...where, annotation_index: index, annotation })
  }

  #startReasoning(event: EventOf<'reasoning-start'>): string {
    const out = this.#closeMessage()
    const item = this.#add('reasoning', wordOf(ownRest(event.rest).id), {
      texts: [],
      own: {},
      redacted: event.redacted,
      signature: undefined,
    })
    this.#of.set(event.part, item)
    return out + this.#added(item)
  }

  #think(event: EventOf<'reasoning-delta'>): string {
    const item = this.#of.get(event.part)
    const { separates, isContent } = ownRest(event.rest)
    if (item?.kind !== 'reasoning' || event.text === '') return ''
    let last = item.texts.at(-1)
    let out = ''
    const list = isContent === true ? 'content' : 'summary'
    if (separates === true || !last || last.list !== list) {
      out = this.#thoughtDone(item, last)
      if (separates === true) {
        item.texts.push({ list, index: -1, text: '' })
        return out
      }
      if (last?.index === -1) item.texts.pop()
      last = { list, index: item.texts.filter((text) => text.list === list).length, text: '' }
      item.texts.push(last)
      out += this.#thoughtStarts(item, last)
    } else if (last.index === -1) {
      item.texts.pop()
      last = { list, index: item.texts.filter((text) => text.list === list).length, text: '' }
      item.texts.push(last)
      out += this.#thoughtStarts(item, last)
    }
    last.text += event.text
    const where = { item_id: item.id, output_index: item.at }
    return list === 'summary'
      ? out +
          this.#say('response.reasoning_summary_text.delta', { ...where, summary_index: last.index, delta: event.text })
      : out + this.#say('response.reasoning_text.delta', { ...where, content_index: last.index, delta: event.text })
  }

  #thoughtStarts(item: ItemOf<'reasoning'>, { list, index }: Thought): string {
    const where = { item_id: item.id, output_index: item.at }
    return list === 'summary'
      ? this.#say('response.reasoning_summary_part.added', {
          ...where,
          summary_index: index,
          part: { type: 'summary_text', text: '' },
        })
      : this.#say('response.content_part.added', {
          ...where,
          content_index: index,
          part: { type: 'reasoning_text', text: '' },
        })
  }

  #thoughtDone(item: ItemOf<'reasoning'>, thought: Thought | undefined): string {
    if (!thought || thought.index === -1) return ''
    const { list, index, text } = thought
    const where = { item_id: item.id, output_index: item.at }
    if (list === 'summary') {
      return (
        this.#say('response.reasoning_summary_text.done', { ...where, summary_index: index, text }) +
        this.#say('response.reasoning_summary_part.done', {
          ...where,
          summary_index: index,
          part: { type: 'summary_text', text },
        })
      )
    }
    return (
      this.#say('response.reasoning_text.done', { ...where, content_index: index, text }) +
      this.#say('response.content_part.done', {
        ...where,
        content_index: index,
        part: { type: 'reasoning_text', text },
      })
    )
  }

  #endReasoning(event: EventOf<'reasoning-end'>): string {
    const item = this.#of.get(event.part)
    if (item?.kind !== 'reasoning' || !item.isOpen) return ''
    const out = this.#thoughtDone(item, item.texts.at(-1))
    item.own = objectOf(ownRest(event.rest).item)
    item.signature = event.signature
    return out + this.#itemDone(item)
  }

  #startCall(event: EventOf<'tool-call-start'>): string {
    const out = this.#closeMessage()
    const { id, type, namespace, ...own } = ownRest(event.rest)
    const space = wordOf(namespace)
    const declared = this.#declared.get(event.name) ?? {
      isCustom: type === 'custom_tool_call',
      name: space === undefined ? event.name : event.name.slice(spaced(space, '').length),
      ...(space === undefined ? {} : { namespace: space }),
    }
    const item = this.#add('call', wordOf(id), { callId: event.id, declared, own, json: '' })
    this.#of.set(event.part, item)
    return out + this.#added(item)
  }

  /** A free-form input leaves whole: it is the text inside the arguments. */
  #argue(event: EventOf<'tool-call-delta'>): string {
    const item = this.#of.get(event.part)
    if (item?.kind !== 'call' || event.json === '') return ''
    item.json += event.json
    if (item.declared.isCustom) return ''
    return this.#say('response.function_call_arguments.delta', {
      item_id: item.id,
      output_index: item.at,
      delta: event.json,
    })
  }

  #endCall(item: ItemOf<'call'>): string {
    if (!item.isOpen) return ''
    const where = { item_id: item.id, output_index: item.at }
    let out = ''
    if (item.declared.isCustom) {
      const input = customInput(item.json)
      out = this.#say('response.custom_tool_call_input.delta', { ...where, delta: input })
      out += this.#say('response.custom_tool_call_input.done', { ...where, input })
    } else {
      // A call without arguments still has an object of them.
      if (item.json === '') out = this.#argue({ type: 'tool-call-delta', part: this.#partOf(item), json: '{}' })
      out += this.#say('response.function_call_arguments.done', {
        ...where,
        name: item.declared.name,
        arguments: item.json,
      })
    }
    return out + this.#itemDone(item)
  }

  #partOf(item: Item): number {
    for (const [part, each] of this.#of) if (each === item) return part
    return -1
  }

  #opaque(event: EventOf<'opaque'>): string {
    const out = this.#closeMessage()
    const item = this.#add('opaque', wordOf(event.value.id), { value: event.value })
    return out + this.#added(item) + this.#itemDone(item)
  }

  #end(): string {
    let out = this.#closeMessage()
    for (const item of this.#items) {
      if (!item.isOpen) continue
      if (item.kind === 'call') out += this.#endCall(item)
      else out += this.#itemDone(item)
    }
    this.#isEnded = true
    return out + this.#say(`response.${this.#frame.status}`, { response: this.response })
  }
}

function writtenContent(content: Content): JsonObject {
  if (content.kind === 'refusal') return { type: 'refusal', refusal: content.text }
  const { annotations, logprobs, text } = content
  return { type: 'output_text', annotations: [...annotations], logprobs: [...logprobs], text }
}

function written(item: Item): JsonObject {
  const status = item.isOpen ? 'in_progress' : 'completed'
  switch (item.kind) {
    case 'message': {
      const content = item.contents.map(writtenContent)
      return { id: item.id, type: 'message', status, role: 'assistant', content, ...item.about }
    }
    case 'reasoning': {
      const texts = (list: Thought['list'], type: string) =>
        item.texts.filter((text) => text.list === list && text.index >= 0).map(({ text }) => ({ type, text }))
      const content = texts('content', 'reasoning_text')
      const { redacted, signature } = item
      const seal =
        redacted !== undefined
          ? { encrypted_content: sealed({ kind: 'redacted', value: redacted }) }
          : signature === undefined
            ? {}
            : { encrypted_content: sealed({ kind: 'signature', value: signature }) }
      const summary = texts('summary', 'summary_text')
      return {
        id: item.id,
        type: 'reasoning',
        summary,
        ...(content.length > 0 ? { content } : {}),
        ...seal,
        ...item.own,
      }
    }
    case 'call': {
      const { declared, callId, json, own } = item
      const named = {
        call_id: callId,
        name: declared.name,
        ...(declared.namespace === undefined ? {} : { namespace: declared.namespace }),
      }
      return declared.isCustom
        ? {
            id: item.id,
            type: 'custom_tool_call',
            status,
            ...named,
            input: item.isOpen ? '' : customInput(json),
            ...own,
          }
        : { id: item.id, type: 'function_call', status, ...named, arguments: json, ...own }
    }
    case 'opaque':
      return item.value
  }
}

export const streamWriter = (context: ReplyContext): StreamWriter => new ResponseWriter(context)

export function writeBody(events: readonly ReplyEvent[], context: ReplyContext): JsonObject {
  const writer = new ResponseWriter(context)
  for (const event of events) writer.write(event)
  return writer.response
}

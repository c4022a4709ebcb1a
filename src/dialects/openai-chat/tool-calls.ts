/**
 * The tool calls of one choice, put together from their pieces. OpenAI keys pieces by `index` and says id and name once;
 * others leave the index out, give every parallel call the index 0, repeat id or name in every piece, send the name
 * late, or send the arguments as an object.
 */
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'
import { signatureIn } from './read-messages.ts'
import { asRest, callId, ID, isEmpty, isObject, objectOf, said, without, wordOf } from './vocabulary.ts'

interface Call {
  readonly part: number
  readonly index: number | undefined
  readonly id: string
  readonly signature: string | undefined
  readonly rest: JsonObject
  /** Set for a call of another kind than a function: the call as it came, its input growing. */
  readonly custom: { readonly call: JsonObject; input: string } | undefined
  name: string
  json: string
  /** The start went out: it waits for the name. */
  isStarted: boolean
  isOpen: boolean
}

export class Calls {
  readonly #at: { readonly choice?: number }
  readonly #nextPart: () => number
  readonly #replyId: string
  readonly #calls: Call[] = []
  readonly #names: ReadonlyMap<string, string>

  /** `names`: those that had to be replaced in the request, and what they were. */
  constructor(
    at: { readonly choice?: number },
    nextPart: () => number,
    replyId: string,
    names: ReadonlyMap<string, string>,
  ) {
    this.#names = names
    this.#at = at
    this.#nextPart = nextPart
    this.#replyId = replyId
  }

  get any(): boolean {
    return this.#calls.length > 0
  }

  /** One piece; in a whole message each is a call of its own. `before` ends the text that a new call follows. */
  take(piece: JsonObject, isWhole: boolean, before: () => void, events: ReplyEvent[]): void {
    const fn = objectOf(piece.function)
    const name = wordOf(fn.name)
    let call = isWhole ? undefined : this.#find(piece, name)
    if (!call) {
      before()
      this.closeWhole(events)
      call = this.#add(piece, fn)
    }
    // Whole already: what still comes repeats it.
    if (!call.isOpen) return
    if (call.custom) {
      call.custom.input += wordOf(objectOf(piece.custom).input) ?? ''
      return
    }
    if (!call.isStarted && name !== undefined) {
      call.name = name
      this.#start(call, events)
    }
    const json = argumentsText(fn.arguments)
    if (json === '') return
    call.json += json
    if (call.isStarted) events.push({ type: 'tool-call-delta', part: call.part, ...this.#at, json })
  }

  #find(piece: JsonObject, name: string | undefined): Call | undefined {
    const id = wordOf(piece.id)
    const index = indexOf(piece)
    const isNew = (call: Call) => name !== undefined && (name !== call.name || isWholeJson(call.json)) && call.isStarted
    if (index !== undefined) {
      const call = this.#calls.findLast((each) => each.index === index)
      return call && id !== undefined && id !== call.id && isNew(call) ? this.#byId(id) : call
    }
    if (id !== undefined) return this.#byId(id)
    const last = this.#calls.at(-1)
    return last && isNew(last) ? undefined : last
  }

  #byId(id: string): Call | undefined {
    return this.#calls.find((call) => call.id === id && call.isOpen)
  }

  #add(piece: JsonObject, fn: JsonObject): Call {
    const isCustom = piece.function === undefined && wordOf(piece.type) !== undefined && piece.type !== 'function'
    const { signature, rest: extra } = signatureIn(piece.extra_content)
    const more = said(without(fn, 'name', 'arguments'))
    const call: Call = {
      part: this.#nextPart(),
      index: indexOf(piece),
      id: wordOf(piece.id) ?? callId(this.#replyId, this.#calls.length),
      signature,
      rest: {
        ...said(without(piece, 'index', 'id', 'type', 'function', 'extra_content')),
        ...(isEmpty(more) ? {} : { function: more }),
        ...(isEmpty(extra) ? {} : { extra_content: extra }),
      },
      custom: isCustom ? { call: without(piece, 'index'), input: '' } : undefined,
      name: '',
      json: '',
      isStarted: false,
      isOpen: true,
    }
    this.#calls.push(call)
    return call
  }

  #start(call: Call, events: ReplyEvent[]): void {
    call.isStarted = true
    const signed = call.signature === undefined ? {} : { signature: call.signature }
    const { part, id } = call
    const name = this.#names.get(call.name) ?? call.name
    events.push({ type: 'tool-call-start', part, ...this.#at, id, name, ...signed, ...asRest(call.rest) })
    if (call.json !== '') events.push({ type: 'tool-call-delta', part, ...this.#at, json: call.json })
  }

  /** What else comes after these must be another part, so they can be closed without waiting for the end. */
  closeWhole(events: ReplyEvent[]): void {
    for (const call of this.#calls) if (call.isOpen && !call.custom && isWholeJson(call.json)) this.#end(call, events)
  }

  close(events: ReplyEvent[]): void {
    for (const call of this.#calls) if (call.isOpen) this.#end(call, events)
  }

  #end(call: Call, events: ReplyEvent[]): void {
    call.isOpen = false
    if (call.custom) {
      const { call: piece, input } = call.custom
      const whole = { ...piece, custom: { ...objectOf(piece.custom), input } }
      const value = { type: wordOf(piece.type) ?? 'custom', tool_call: whole }
      events.push({ type: 'opaque', part: call.part, ...this.#at, dialect: ID, value })
      return
    }
    if (!call.isStarted) this.#start(call, events)
    events.push({ type: 'tool-call-end', part: call.part, ...this.#at })
  }
}

const indexOf = (piece: JsonObject): number | undefined =>
  typeof piece.index === 'number' && Number.isInteger(piece.index) ? piece.index : undefined

const argumentsText = (value: JsonValue | undefined): string =>
  typeof value === 'string' ? value : isObject(value) ? JSON.stringify(value) : ''

/** Arguments are an object: nothing can follow its closing brace. */
function isWholeJson(json: string): boolean {
  if (!json.trimEnd().endsWith('}')) return false
  try {
    JSON.parse(json)
    return true
  } catch {
    return false
  }
}

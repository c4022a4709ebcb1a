/**
 * Events → GenerateContentResponses, one per piece or all in one. A function call leaves whole, because only clients
 * that asked for pieces understand them; finish reason and usage leave together at the very end.
 */
import type { ReplyContext, StreamWriter } from '../../core/dialect.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue, Rest } from '../../core/request.ts'
import type { Usage } from '../../core/usage.ts'
import { formatSse } from '../../wire/sse.ts'
import { argumentsOf } from './contents.ts'
import { writeError } from './errors.ts'
import { KEPT } from './read-contents.ts'
import { usageMetadata } from './usage.ts'
import { FINISH_NAMES, finishOf, ID, isEmpty, isOurCallId, objectOf, ownRest, stringOf } from './vocabulary.ts'

/** A piece of one part's content, ready for `parts`. */
interface Piece {
  readonly choice: number
  readonly number: number
  readonly part: JsonObject
}

type Finish = Extract<ReplyEvent, { type: 'finish' }>

/** What both writers know of a reply while its events pass. */
class Reply {
  readonly #context: ReplyContext
  #id: string | undefined
  #model: string | undefined
  #usage: Usage | undefined
  /** Members of the response itself, and of each candidate, that are still to be said. */
  #response: JsonObject = {}
  readonly #beside = new Map<number, JsonObject>()
  /** What a part carries besides its text, said with its first piece. */
  readonly #extras = new Map<number, JsonObject>()
  readonly #calls = new Map<number, { readonly call: JsonObject; readonly beside: JsonObject; json: string }>()
  readonly finishes = new Map<number, Finish>()

  constructor(context: ReplyContext) {
    this.#context = context
  }

  take(event: ReplyEvent): Piece | undefined {
    switch (event.type) {
      case 'reply-start':
        this.#id = event.id
        this.#model = event.model
        if (event.usage) this.#usage = event.usage
        this.#note(event.rest, 0)
        return undefined
      case 'text-start':
        this.#extras.set(event.part, ownRest(event.rest))
        return undefined
      case 'reasoning-start': {
        const sealed = event.redacted === undefined ? {} : { partMetadata: { [KEPT]: { redacted: event.redacted } } }
        this.#extras.set(event.part, { ...ownRest(event.rest), ...sealed })
        return undefined
      }
      case 'text-delta':
      case 'refusal-delta':
        return this.#text(event, event.text, {})
      case 'reasoning-delta':
        return this.#text(event, event.text, { thought: true })
      case 'text-end':
        return this.#end(event, ownRest(event.rest), {})
      case 'reasoning-end': {
        const { signature } = event
        const foreign = signature === undefined ? {} : { partMetadata: { [KEPT]: { signature } } }
        return this.#end(event, { ...foreign, ...ownRest(event.rest) }, { thought: true })
      }
      case 'tool-call-start': {
        const id = isOurCallId(event.id) ? {} : { id: event.id }
        const signature = event.signature === undefined ? {} : { thoughtSignature: event.signature }
        this.#calls.set(event.part, {
          call: { ...id, name: event.name },
          beside: { ...signature, ...ownRest(event.rest) },
          json: '',
        })
        return undefined
      }
      case 'tool-call-delta': {
        const call = this.#calls.get(event.part)
        if (call) call.json += event.json
        return undefined
      }
      case 'tool-call-end': {
        const held = this.#calls.get(event.part)
        if (!held) return undefined
        this.#calls.delete(event.part)
        const args = argumentsOf(held.json, () => {})
        return piece(event, { functionCall: { ...held.call, args }, ...held.beside })
      }
      case 'opaque':
        return event.dialect === ID ? piece(event, event.value) : undefined
      case 'annotation':
        this.#note(event.rest, event.choice ?? 0)
        return undefined
      case 'usage-report':
        this.#usage = event.usage
        return undefined
      case 'finish':
        this.finishes.set(event.choice ?? 0, event)
        return undefined
      case 'embedding':
      case 'reply-end':
        return undefined
    }
  }

  #note(rest: Rest | undefined, choice: number): void {
    const own = ownRest(rest)
    this.#response = { ...this.#response, ...objectOf(own.response) }
    const candidate = objectOf(own.candidate)
    if (!isEmpty(candidate)) this.#beside.set(choice, { ...this.#beside.get(choice), ...candidate })
  }

  #text(event: { part: number; choice?: number }, text: string, kind: JsonObject): Piece {
    const extras = this.#extras.get(event.part) ?? {}
    this.#extras.delete(event.part)
    return piece(event, { text, ...kind, ...extras })
  }

  /** A part that closes with something to say besides its text says it on a part without text. */
  #end(event: { part: number; choice?: number }, own: JsonObject, kind: JsonObject): Piece | undefined {
    const held = this.#extras.get(event.part) ?? {}
    this.#extras.delete(event.part)
    return isEmpty(own) && isEmpty(held) ? undefined : piece(event, { text: '', ...kind, ...merged(held, own) })
  }

  /** A response around these candidates, with whatever else waited to be said. */
  response(candidates: readonly JsonObject[], isLast: boolean): JsonObject {
    const { usageMetadata: uncounted, ...response } = this.#response
    this.#response = {}
    const usage = isLast && this.#usage ? usageMetadata(this.#usage) : {}
    const metadata = { ...usage, ...objectOf(uncounted) }
    return {
      ...(candidates.length > 0 ? { candidates } : {}),
      ...(isEmpty(metadata) ? {} : { usageMetadata: metadata }),
      modelVersion: this.#model ?? this.#context.model,
      responseId: this.#id ?? this.#context.id,
      ...response,
    }
  }

  candidate(index: number, parts: readonly JsonObject[], finish?: Finish): JsonObject {
    const beside = this.#beside.get(index) ?? {}
    this.#beside.delete(index)
    return {
      content: { parts, role: 'model' },
      ...(finish ? finishFields(finish) : {}),
      index,
      ...beside,
    }
  }

  /** The choices that ended, or (blocked before any began) none. */
  ended(): readonly (readonly [number, Finish])[] {
    if (stringOf(objectOf(this.#response.promptFeedback).blockReason) !== undefined) return []
    return [...this.finishes].sort(([a], [b]) => a - b)
  }
}

const piece = (event: { part: number; choice?: number }, part: JsonObject): Piece => ({
  choice: event.choice ?? 0,
  number: event.part,
  part,
})

/** Google's own word where the event kept one that means the same. */
function finishFields(finish: Finish): JsonObject {
  const { finishReason, finishMessage } = ownRest(finish.rest)
  const own = stringOf(finishReason)
  return {
    finishReason: own !== undefined && finishOf(own, false) === finish.reason ? own : FINISH_NAMES[finish.reason],
    ...(finishMessage === undefined ? {} : { finishMessage }),
  }
}

function merged(a: JsonObject, b: JsonObject): JsonObject {
  const metadata = { ...objectOf(a.partMetadata), ...objectOf(b.partMetadata) }
  const kept = { ...objectOf(objectOf(a.partMetadata)[KEPT]), ...objectOf(objectOf(b.partMetadata)[KEPT]) }
  const both = { ...metadata, ...(isEmpty(kept) ? {} : { [KEPT]: kept }) }
  return { ...a, ...b, ...(isEmpty(both) ? {} : { partMetadata: both }) }
}

export function streamWriter(context: ReplyContext): StreamWriter {
  const reply = new Reply(context)
  const send = (response: JsonObject) => formatSse(JSON.stringify(response))
  let isOver = false
  const end = (): string => {
    isOver = true
    const last = reply.ended().map(([index, finish]) => reply.candidate(index, [{ text: '' }], finish))
    return send(reply.response(last, true))
  }
  return {
    write(event) {
      const written = reply.take(event)
      if (written) return send(reply.response([reply.candidate(written.choice, [written.part])], false))
      return event.type === 'reply-end' ? end() : ''
    },
    /** What a filter stopped says so first. */
    fail(error) {
      const isStopped = !isOver && [...reply.finishes.values()].some(({ reason }) => reason === 'content-filter')
      return (isStopped ? end() : '') + failStream(error, context.id)
    },
  }
}

export const failStream = (error: GatewayError, requestId: string): string =>
  formatSse(JSON.stringify(writeError(error, requestId)))

export function writeBody(events: readonly ReplyEvent[], context: ReplyContext): JsonObject {
  const reply = new Reply(context)
  const parts = new Map<number, { number: number; part: JsonObject }[]>()
  for (const event of events) {
    const written = reply.take(event)
    if (!written) continue
    const said = parts.get(written.choice)
    const last = said?.at(-1)
    if (!said) parts.set(written.choice, [written])
    else if (last && last.number === written.number) {
      const text: JsonValue = `${stringOf(last.part.text) ?? ''}${stringOf(written.part.text) ?? ''}`
      last.part = { ...merged(last.part, written.part), text }
    } else said.push(written)
  }
  const candidates = reply
    .ended()
    .map(([index, finish]) => reply.candidate(index, parts.get(index)?.map(({ part }) => part) ?? [], finish))
  return reply.response(candidates, true)
}

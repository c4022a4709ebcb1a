/**
 * The module's place in a reply: hides what is found in what the model says, then puts the originals of the request back.
 * In this order, so that what was put back is not hidden again.
 */
import type { Stage } from '../../core/module.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, Rest } from '../../core/request.ts'
import { mapStrings } from '../../core/texts.ts'
import type { Hiding } from './hiding.ts'
import { type Originals, Restoring, restore } from './restoring.ts'

export interface StageParts {
  /** Absent: replies are not looked at. */
  readonly hiding?: {
    make(place: 'assistant' | 'tool-arguments'): Hiding | undefined
    /** A text that stands by itself. */
    whole(text: string): string
  }
  readonly originals: Originals
  /** The answer is JSON, so what is put back must be escaped. */
  readonly json: boolean
  /** How much a log wants to keep. */
  readonly keepBytes: number
}

type Delta = Extract<
  ReplyEvent,
  { readonly type: 'text-delta' | 'reasoning-delta' | 'refusal-delta' | 'tool-call-delta' }
>

/** One text of the reply: a part's, or the arguments of a call. */
interface Channel {
  readonly hiding: Hiding | undefined
  restoring: Restoring | undefined
  readonly last: Delta
  kept: string
}

const textOf = (event: Delta): string => (event.type === 'tool-call-delta' ? event.json : event.text)
const withText = (event: Delta, text: string): Delta =>
  event.type === 'tool-call-delta' ? { ...event, json: text } : { ...event, text }
const placeOf = (event: { readonly type: string; readonly part: number; readonly choice?: number }): string =>
  `${event.choice ?? 0}/${event.part}/${event.type.slice(0, event.type.lastIndexOf('-'))}`

export class ReplyStage implements Stage {
  readonly #parts: StageParts
  readonly #open = new Map<string, Channel>()
  readonly #kept: string[] = []
  #keptLength = 0

  constructor(parts: StageParts) {
    this.#parts = parts
  }

  push(event: ReplyEvent): readonly ReplyEvent[] {
    switch (event.type) {
      case 'text-delta':
      case 'reasoning-delta':
      case 'refusal-delta':
      case 'tool-call-delta':
        return this.#delta(event)
      case 'text-end':
      case 'reasoning-end':
      case 'tool-call-end':
        return [...this.#close(placeOf(event)), this.#sides(event)]
      case 'text-start':
      case 'reasoning-start':
      case 'tool-call-start':
        return [...this.#closeAll(event.choice ?? 0, true), this.#sides(event)]
      case 'finish':
        return [...this.#closeAll(event.choice ?? 0), this.#sides(event)]
      case 'reply-end':
        return [...this.#closeAll(), event]
      case 'opaque':
        return [{ ...event, value: this.#beside(event.value) }]
      default:
        return [this.#sides(event)]
    }
  }

  end(): readonly ReplyEvent[] {
    return this.#closeAll()
  }

  /** The text as the model said it, with what was found hidden and nothing put back. */
  keeps(most: number): Buffer {
    for (const [place, channel] of this.#open) this.#keep(place, channel)
    return Buffer.from(JSON.stringify({ masked: this.#kept })).subarray(0, most)
  }

  #delta(event: Delta): readonly ReplyEvent[] {
    const place = placeOf(event)
    let channel = this.#open.get(place)
    if (!channel) {
      const tool = event.type === 'tool-call-delta'
      const hiding = this.#parts.hiding?.make(tool ? 'tool-arguments' : 'assistant')
      channel = { hiding, restoring: undefined, last: event, kept: '' }
      this.#open.set(place, channel)
    }
    const hidden = channel.hiding ? channel.hiding.push(textOf(event)) : textOf(event)
    const text = this.#restored(channel, hidden)
    const rest = 'rest' in event && event.rest ? this.#rest(event.rest) : undefined
    if (text === '' && !rest) return []
    const { rest: _, ...plain } = event as Delta & { rest?: Rest }
    return [withText(rest ? ({ ...plain, rest } as Delta) : plain, text)]
  }

  #restored(channel: Channel, hidden: string): string {
    if (this.#parts.keepBytes > 0 && this.#keptLength < this.#parts.keepBytes) {
      channel.kept += hidden
      this.#keptLength += hidden.length
    }
    const { originals, json } = this.#parts
    if (originals.size === 0) return hidden
    // An answer that begins like an object is one, whether or not it was asked for.
    channel.restoring ??= new Restoring(
      originals,
      channel.last.type === 'tool-call-delta' || json || /^\s*[{"]/.test(hidden),
    )
    return channel.restoring.push(hidden)
  }

  #close(place: string): readonly ReplyEvent[] {
    const channel = this.#open.get(place)
    if (!channel) return []
    this.#open.delete(place)
    const hidden = channel.hiding?.end() ?? ''
    const text = this.#restored(channel, hidden) + (channel.restoring?.end() ?? '')
    this.#keep(place, channel)
    if (text === '') return []
    const { rest: _, ...plain } = channel.last as Delta & { rest?: Rest }
    return [withText(plain, text)]
  }

  /** A new part, a call or an end: nothing of what is open there can go on, but for calls, which run side by side. */
  #closeAll(choice?: number, butCalls = false): readonly ReplyEvent[] {
    if (this.#open.size === 0) return []
    const out: ReplyEvent[] = []
    for (const [place, channel] of this.#open) {
      if (choice !== undefined && (channel.last.choice ?? 0) !== choice) continue
      if (butCalls && channel.last.type === 'tool-call-delta') continue
      out.push(...this.#close(place))
    }
    return out
  }

  #keep(place: string, channel: Channel): void {
    if (channel.kept === '') return
    this.#kept.push(`${place.split('/')[2]}: ${channel.kept}`)
    channel.kept = ''
  }

  /** What stands beside the text. Token by token it would say what the text hides, so that is left out. */
  #beside(value: JsonObject): JsonObject {
    const { hiding, originals } = this.#parts
    return mapStrings(value, hiding ? 'drop' : 'keep', (text) => {
      // A text that is an object or a list must stay one.
      return restore(hiding?.whole(text) ?? text, originals, /^\s*[{[]\s*["{[]/.test(text))
    })
  }

  #sides(event: ReplyEvent): ReplyEvent {
    const { originals } = this.#parts
    const named =
      event.type === 'finish' && event.stopSequence !== undefined
        ? { ...event, stopSequence: restore(event.stopSequence, originals, false) }
        : event
    return 'rest' in named && named.rest ? { ...named, rest: this.#rest(named.rest) } : named
  }

  #rest(rest: Rest): Rest {
    return this.#beside(rest as unknown as JsonObject) as unknown as Rest
  }
}

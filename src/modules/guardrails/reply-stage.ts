/**
 * The rules over a reply. Places are looked for in a window that moves with the text; what needs the whole or asks somebody
 * else has its word when all of it has passed and the end is still here. A body is refused; a stream is cut off.
 */
import { ESCAPES, inString, type Mapped, mapped, unescaped, unfinishedEscape } from '../../core/escapes.ts'
import type { Exchange } from '../../core/exchange.ts'
import type { Host, Stage } from '../../core/module.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, Rest } from '../../core/request.ts'
import { mapStrings } from '../../core/texts.ts'
import type { Background } from './background.ts'
import { type Compiled, evidence, fired, wholeAction } from './compiled.ts'
import { STEP, VIEW } from './looks.ts'
import { ask, isRemote } from './remote/index.ts'
import { anotherAnswer, repairs } from './repair.ts'
import type { Rule } from './settings.ts'
import { REDACTED, redacted, type Span } from './spans.ts'

/** Of what has left, so much is looked at together with what comes. */
const WINDOW = 1_024

type Delta = Extract<
  ReplyEvent,
  { readonly type: 'text-delta' | 'reasoning-delta' | 'refusal-delta' | 'tool-call-delta' }
>

interface Channel {
  /** Arguments of a call, and whether what has left of them ends in a string. */
  readonly json: boolean
  inString: boolean
  last: Delta
  left: string
  held: string
  all: string
  /** The latest of it, and how much has come since it was looked at. */
  view: string
  unseen: number
}

const placeOf = (event: { readonly type: string; readonly part: number; readonly choice?: number }): string =>
  `${event.choice ?? 0}/${event.part}/${event.type.slice(0, event.type.lastIndexOf('-'))}`
const withText = (event: Delta, text: string): ReplyEvent => {
  const { rest: _, ...plain } = event as Delta & { rest?: unknown }
  return event.type === 'tool-call-delta'
    ? { ...plain, type: event.type, json: text }
    : ({ ...plain, text } as ReplyEvent)
}
const isText = (event: ReplyEvent): boolean =>
  event.type === 'text-start' || event.type === 'text-delta' || event.type === 'text-end'

const readEscapes = (json: string): Mapped => mapped(json, ESCAPES, unescaped)
const written = ({ start, end }: Span, read: Mapped): Span => ({
  start: read.original(start),
  end: read.original(end),
})

export class GuardStage implements Stage {
  readonly #host: Host
  readonly #x: Exchange
  readonly #rules: readonly Compiled[]
  readonly #later: readonly Compiled[]
  readonly #background: Background
  readonly #holdBack: number
  readonly #channels = new Map<string, Channel>()
  /** Rules that have fired already: what only notes is noted once. */
  readonly #noted = new Set<string>()
  readonly #keepsAll: boolean
  /** What stood beside the answer. */
  readonly #others: string[] = []
  readonly #looks: boolean
  /** What says the text token by token would say what was redacted, or what still waits. */
  readonly #tokens: 'keep' | 'drop'
  /** The texts wait here where they may have to be replaced. */
  readonly #waiting: ReplyEvent[] | undefined

  constructor(host: Host, x: Exchange, rules: readonly Compiled[], holdBack: number, background: Background) {
    this.#host = host
    this.#x = x
    this.#rules = rules.filter(({ rule }) => rule.timing === 'sync')
    this.#later = rules.filter(({ rule }) => rule.timing === 'async')
    this.#background = background
    const holds = this.#rules.some(({ acts, finds }) => acts && finds)
    // A body has come whole, so nothing of it has begun to leave.
    this.#holdBack = x.stream ? (holds ? holdBack : 0) : Number.POSITIVE_INFINITY
    this.#keepsAll = this.#later.length > 0 || this.#rules.some(({ finds, looks }) => !finds && !looks)
    this.#looks = this.#rules.some(({ looks }) => looks)
    const redacts = this.#rules.some(({ rule, acts }) => acts && rule.action === 'redact')
    this.#tokens = redacts || (x.stream && this.#holdBack > 0) ? 'drop' : 'keep'
    this.#waiting = this.#rules.some(({ rule, acts }) => acts && repairs(rule, x)) ? [] : undefined
  }

  push(event: ReplyEvent): readonly ReplyEvent[] {
    const out = this.#passed(event)
    if (!this.#waiting) return out
    this.#waiting.push(...out.filter(isText))
    return out.filter((each) => !isText(each))
  }

  end(): readonly ReplyEvent[] {
    return []
  }

  async last(): Promise<readonly ReplyEvent[] | undefined> {
    const texts = [...this.#texts(() => true), ...this.#others]
    const answers = this.#answers()
    if (this.#later.length > 0) {
      this.#background.start(this.#later, this.#x, { on: 'reply', textsFor: () => texts, answers })
    }
    let repaired: string | undefined
    for (const compiled of this.#rules) {
      const { rule, judge } = compiled
      const now = repaired === undefined ? texts : [repaired]
      if (isRemote(rule)) {
        const asked = { host: this.#host, x: this.#x, on: 'reply', texts: now, signal: this.#x.signal } as const
        const { verdict, reason = '' } = await ask(rule, asked)
        // What has left cannot be redacted any more.
        if (verdict !== 'allow' && verdict !== 'fires')
          this.#stops(compiled, verdict === 'flag' ? 'flag' : 'block', reason)
        continue
      }
      const reason = judge?.(now, repaired === undefined ? answers : [repaired])
      if (reason === undefined) continue
      if (compiled.acts && repaired === undefined && repairs(rule, this.#x)) {
        const other = await anotherAnswer(this.#host, this.#x, rule, answers[0] ?? '', reason)
        const still = judge?.([other], [other])
        if (still === undefined) {
          fired(this.#host, this.#x, compiled, 'repaired', reason)
          repaired = this.#again(other)
          continue
        }
      }
      this.#stops(compiled, wholeAction(compiled), reason)
    }
    if (!this.#waiting) return undefined
    return repaired === undefined ? this.#waiting : this.#replaced(repaired)
  }

  /** The texts of the reply so far, of the channels that are wanted. */
  #texts(wanted: (place: string) => boolean): string[] {
    return [...this.#channels]
      .filter(([place, { all }]) => wanted(place) && all !== '')
      .map(([, { all, json }]) => (json ? readEscapes(all).text : all))
  }

  /** By choice. A turn that only calls tools is no answer yet, and what is no conversation has none. */
  #answers(): string[] {
    const answers = this.#texts((place) => place.endsWith('/text'))
    const calls = [...this.#channels.keys()].some((place) => place.endsWith('/tool-call'))
    const talks = this.#x.operation === 'chat' || this.#x.operation === 'completion'
    return answers.length > 0 || calls || !talks ? answers : ['']
  }

  /** A text that comes whole: beside the answer, or instead of one that had passed. */
  #again(text: string): string {
    let out = text
    for (const compiled of this.#rules) {
      const { rule, finds, looks, acts } = compiled
      const spans = finds?.(out) ?? []
      const [first] = spans
      const sight = looks?.(out)
      if (first) this.#fires(compiled, rule.action, evidence(out, first.start, first.end))
      else if (sight !== undefined) this.#fires(compiled, wholeAction(compiled), sight)
      if (first && acts && rule.action === 'redact') out = redacted(out, spans)
    }
    return out
  }

  /** What only notes is noted once. */
  #fires(compiled: Compiled, action: Rule['action'], reason: string): void {
    const { rule, acts } = compiled
    const isKnown = this.#noted.has(rule.id)
    this.#noted.add(rule.id)
    if (action === 'block' && acts) this.#stops(compiled, 'block', reason)
    else if (!isKnown) fired(this.#host, this.#x, compiled, action, reason)
  }

  #sides(event: ReplyEvent): ReplyEvent {
    if (!('rest' in event) || !event.rest) return event
    return { ...event, rest: this.#beside(event.rest as unknown as JsonObject) as unknown as Rest }
  }

  /** What stands beside the text, leaf by leaf. */
  #beside(value: JsonObject): JsonObject {
    return mapStrings(value, this.#tokens, (text) => {
      if (this.#keepsAll) this.#others.push(text)
      return this.#again(text)
    })
  }

  #replaced(text: string): readonly ReplyEvent[] {
    const first = this.#waiting?.find((event) => event.type === 'text-start')
    const part = first && 'part' in first && first.part !== undefined ? first.part : 0
    return [
      { type: 'text-start', part },
      { type: 'text-delta', part, text },
      { type: 'text-end', part },
    ]
  }

  #stops(compiled: Compiled, action: 'block' | 'flag', reason: string): void {
    fired(this.#host, this.#x, compiled, action, reason)
    if (action === 'block' && compiled.acts) {
      this.#host.refuse('guardrail_blocked', { rule: compiled.rule.id, reason })
    }
  }

  #passed(event: ReplyEvent): readonly ReplyEvent[] {
    switch (event.type) {
      case 'text-delta':
      case 'reasoning-delta':
      case 'refusal-delta':
      case 'tool-call-delta':
        return this.#delta(event)
      case 'text-end':
      case 'reasoning-end':
      case 'tool-call-end':
        return [...this.#flush(placeOf(event)), this.#sides(event)]
      case 'finish':
      case 'reply-end':
        return [...[...this.#channels.keys()].flatMap((place) => this.#flush(place)), this.#sides(event)]
      case 'opaque':
        return [{ ...event, value: this.#beside(event.value) }]
      default:
        return [this.#sides(event)]
    }
  }

  #delta(bare: Delta): readonly ReplyEvent[] {
    const event = this.#sides(bare) as Delta
    const place = placeOf(event)
    const piece = event.type === 'tool-call-delta' ? event.json : event.text
    let channel = this.#channels.get(place)
    if (!channel) {
      const json = event.type === 'tool-call-delta'
      channel = { json, inString: false, last: event, left: '', held: '', all: '', view: '', unseen: 0 }
      this.#channels.set(place, channel)
    }
    channel.last = event
    channel.held += piece
    if (this.#keepsAll) channel.all += piece
    // A body comes in one piece: it is looked at when it ends.
    if (this.#holdBack === Number.POSITIVE_INFINITY) return []
    if (this.#looks) this.#view(channel, piece)
    return this.#advance(channel, event, this.#holdBack)
  }

  #view(channel: Channel, piece: string): void {
    channel.view += piece
    channel.unseen += piece.length
    if (channel.unseen < STEP) return
    this.#sight(channel, channel.view)
    channel.unseen = 0
    channel.view = channel.view.slice(-VIEW)
  }

  #sight({ json }: Channel, written: string): void {
    const text = json ? readEscapes(written).text : written
    for (const compiled of this.#rules) {
      const { rule, looks } = compiled
      if (!looks || this.#noted.has(rule.id)) continue
      const reason = looks(text)
      if (reason === undefined) continue
      this.#noted.add(rule.id)
      this.#stops(compiled, wholeAction(compiled), reason)
    }
  }

  #flush(place: string): readonly ReplyEvent[] {
    const channel = this.#channels.get(place)
    if (!channel) return []
    if (this.#looks) {
      if (this.#holdBack === Number.POSITIVE_INFINITY) this.#sight(channel, channel.held)
      else if (channel.unseen > 0) this.#sight(channel, channel.view)
      channel.unseen = 0
    }
    return channel.held === '' ? [] : this.#advance(channel, channel.last)
  }

  /** Without `hold` the text is over. */
  #advance(channel: Channel, event: Delta, hold?: number): readonly ReplyEvent[] {
    const redact: Span[] = []
    const { left, json } = channel
    const text = left + channel.held
    const read = json ? readEscapes(text) : undefined
    for (const compiled of this.#rules) {
      const { rule, finds, acts } = compiled
      if (!finds) continue
      const all = finds(read?.text ?? text)
      const spans = (read ? all.map((span) => written(span, read)) : all).filter((span) => span.end > left.length)
      const [first] = spans
      if (!first) continue
      const blocks = acts && rule.action === 'block'
      if (acts && rule.action === 'redact') {
        redact.push(...spans)
        if (json && spans.some(({ start, end }) => /"/.test(text.slice(start, end).replace(/\\./gs, '')))) {
          this.#stops(compiled, 'block', 'what it denies cannot be taken out of the arguments of a call')
        }
      }
      if (this.#noted.has(rule.id) && !blocks) continue
      this.#noted.add(rule.id)
      fired(this.#host, this.#x, compiled, rule.action, evidence(text, first.start, first.end))
      if (blocks) this.#host.refuse('guardrail_blocked', { rule: rule.id, reason: 'the answer holds what it denies' })
    }
    redact.sort((a, b) => a.start - b.start)
    let cut = Math.max(left.length, text.length - (hold ?? 0))
    if (json && hold !== undefined) cut = Math.max(left.length, unfinishedEscape(text.slice(0, cut)))
    // A find that may still grow waits with what is held.
    for (const { start, end } of redact) if (start < cut && end > cut) cut = Math.max(left.length, start)
    let out = ''
    let at = left.length
    for (const { start, end } of redact) {
      if (end > cut || end <= at) continue
      const before = text.slice(at, Math.max(at, start))
      out += before
      channel.inString = json && inString(before, channel.inString)
      out += json && !channel.inString ? JSON.stringify(REDACTED) : REDACTED
      at = end
    }
    const after = text.slice(at, cut)
    out += after
    channel.inString = json && inString(after, channel.inString)
    channel.left = text.slice(Math.max(0, cut - WINDOW), cut)
    channel.held = text.slice(cut)
    if (this.#tokens === 'drop') return out === '' ? [] : [withText(event, out)]
    return out === '' && !('rest' in event) ? [] : [this.#whole(event, out)]
  }

  #whole(event: Delta, text: string): ReplyEvent {
    return event.type === 'tool-call-delta' ? { ...event, json: text } : { ...event, text }
  }
}

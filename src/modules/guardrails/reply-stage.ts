/**
 * The rules over a reply. Places are looked for in a window that moves with the text; what needs the whole or asks somebody
 * else has its word when all of it has passed and the end is still here. A body is refused; a stream is cut off.
 */
import type { GatewayError } from '../../core/errors.ts'
import { Refusal } from '../../core/errors.ts'
import type { Exchange } from '../../core/exchange.ts'
import type { Host, Stage } from '../../core/module.ts'
import type { ReplyEvent } from '../../core/reply.ts'
import { type Compiled, evidence, fired } from './compiled.ts'
import { REDACTED, type Span } from './spans.ts'
import { ask } from './webhook.ts'

/** Of what has left, so much is looked at together with what comes. */
const WINDOW = 1_024

type Delta = Extract<
  ReplyEvent,
  { readonly type: 'text-delta' | 'reasoning-delta' | 'refusal-delta' | 'tool-call-delta' }
>

interface Channel {
  last: Delta
  left: string
  held: string
  all: string
}

const placeOf = (event: { readonly type: string; readonly part: number; readonly choice?: number }): string =>
  `${event.choice ?? 0}/${event.part}/${event.type.slice(0, event.type.lastIndexOf('-'))}`
const withText = (event: Delta, text: string): ReplyEvent => {
  const { rest: _, ...plain } = event as Delta & { rest?: unknown }
  return event.type === 'tool-call-delta'
    ? { ...plain, type: event.type, json: text }
    : ({ ...plain, text } as ReplyEvent)
}

export class GuardStage implements Stage {
  readonly #host: Host
  readonly #x: Exchange
  readonly #rules: readonly Compiled[]
  readonly #holdBack: number
  readonly #channels = new Map<string, Channel>()
  readonly #open = new Map<string, ReplyEvent>()
  /** Rules that have fired already: a flag is noted once. */
  readonly #noted = new Set<string>()
  readonly #keepsAll: boolean
  readonly #redacts: boolean
  over: GatewayError | undefined

  constructor(host: Host, x: Exchange, rules: readonly Compiled[], holdBack: number) {
    this.#host = host
    this.#x = x
    this.#rules = rules
    // A body has come whole, so nothing of it has begun to leave.
    this.#holdBack = x.stream ? holdBack : Number.POSITIVE_INFINITY
    this.#keepsAll = rules.some(({ finds }) => !finds)
    this.#redacts = rules.some(({ rule }) => rule.action === 'redact')
  }

  push(event: ReplyEvent): readonly ReplyEvent[] {
    if (this.over) return []
    try {
      return this.#passed(event)
    } catch (error) {
      if (!(error instanceof Refusal) || !this.#x.stream || this.#host.mode === 'observe') throw error
      this.over = error
      return [...this.#open.values(), { type: 'finish', reason: 'content-filter' }]
    }
  }

  end(): readonly ReplyEvent[] {
    return []
  }

  async last(): Promise<undefined> {
    const texts = [...this.#channels.values()].map((channel) => channel.all).filter((text) => text !== '')
    for (const { rule, judge } of this.#rules) {
      const reason = judge?.(texts)
      if (reason !== undefined) this.#stops(rule, rule.action === 'redact' ? 'block' : rule.action, reason)
      if (rule.type !== 'webhook') continue
      const { verdict, reason: why = 'as the webhook says' } = await ask(this.#host, rule, this.#x, 'reply', texts)
      // What has left cannot be redacted any more.
      if (verdict !== 'allow') this.#stops(rule, verdict === 'redact' ? 'block' : verdict, why)
    }
  }

  #stops(rule: Compiled['rule'], action: 'block' | 'flag', reason: string): void {
    fired(this.#host, this.#x, rule, action, reason)
    if (action === 'block') this.#host.refuse('guardrail_blocked', { rule: rule.id, reason })
  }

  #passed(event: ReplyEvent): readonly ReplyEvent[] {
    switch (event.type) {
      case 'text-delta':
      case 'reasoning-delta':
      case 'refusal-delta':
      case 'tool-call-delta':
        return this.#delta(event)
      case 'text-start':
      case 'reasoning-start':
      case 'tool-call-start': {
        const { part, choice } = event
        const end = { type: event.type.replace('-start', '-end'), part, ...(choice === undefined ? {} : { choice }) }
        this.#open.set(placeOf(event), end as ReplyEvent)
        return [event]
      }
      case 'text-end':
      case 'reasoning-end':
      case 'tool-call-end': {
        this.#open.delete(placeOf(event))
        return [...this.#flush(placeOf(event)), event]
      }
      case 'finish':
      case 'reply-end':
        return [...[...this.#channels.keys()].flatMap((place) => this.#flush(place)), event]
      default:
        return [event]
    }
  }

  #delta(event: Delta): readonly ReplyEvent[] {
    const place = placeOf(event)
    const piece = event.type === 'tool-call-delta' ? event.json : event.text
    let channel = this.#channels.get(place)
    if (!channel) {
      channel = { last: event, left: '', held: '', all: '' }
      this.#channels.set(place, channel)
    }
    channel.last = event
    channel.held += piece
    if (this.#keepsAll) channel.all += piece
    // A body comes in one piece: it is looked at when it ends.
    if (this.#holdBack === Number.POSITIVE_INFINITY) return []
    return this.#advance(channel, event, this.#holdBack)
  }

  #flush(place: string): readonly ReplyEvent[] {
    const channel = this.#channels.get(place)
    if (!channel || channel.held === '') return []
    return this.#advance(channel, channel.last, 0)
  }

  #advance(channel: Channel, event: Delta, hold: number): readonly ReplyEvent[] {
    const redact: Span[] = []
    const { left } = channel
    const text = left + channel.held
    for (const { rule, finds } of this.#rules) {
      if (!finds) continue
      const spans = finds(text).filter((span) => span.end > left.length)
      const [first] = spans
      if (!first) continue
      if (rule.action === 'redact') redact.push(...spans)
      if (this.#noted.has(rule.id) && rule.action !== 'block') continue
      this.#noted.add(rule.id)
      fired(this.#host, this.#x, rule, rule.action, evidence(text, first.start, first.end))
      if (rule.action === 'block') {
        this.#host.refuse('guardrail_blocked', { rule: rule.id, reason: 'the answer holds what it denies' })
      }
    }
    redact.sort((a, b) => a.start - b.start)
    let cut = Math.max(left.length, text.length - hold)
    // A find that may still grow waits with what is held.
    for (const { start, end } of redact) if (start < cut && end > cut) cut = Math.max(left.length, start)
    let out = ''
    let at = left.length
    for (const { start, end } of redact) {
      if (end > cut || end <= at) continue
      out += text.slice(at, Math.max(at, start)) + REDACTED
      at = end
    }
    out += text.slice(at, cut)
    channel.left = text.slice(Math.max(0, cut - WINDOW), cut)
    channel.held = text.slice(cut)
    // What stands beside the text may say token by token what was redacted.
    if (this.#redacts) return out === '' ? [] : [withText(event, out)]
    return out === '' && !('rest' in event) ? [] : [this.#whole(event, out)]
  }

  #whole(event: Delta, text: string): ReplyEvent {
    return event.type === 'tool-call-delta' ? { ...event, json: text } : { ...event, text }
  }
}

/**
 * A streamed answer that breaks off in the middle of its text and goes on at another target, which is given the part that
 * came as the beginning of its own answer. Only where the route asks for it, and only text: what cannot be picked up
 * exactly (tool calls, several choices, a refusal) ends with the error that it broke off by. Each leg is a call of its own
 * in the books, and the usage that the client is told is that of all legs.
 */
import type { Reply, ReplyEvent } from './reply.ts'
import { addUsage, type Usage } from './usage.ts'

/** Another target's answer to what was asked plus what came; undefined: there is none, so the error stands. */
export type Resume = (partial: string, error: unknown) => Promise<{ reply: Reply; before: Usage } | undefined>

type Read = (reply: Reply) => AsyncIterable<readonly ReplyEvent[]>

/** The events of all legs as those of one answer. */
export async function* legs(first: Reply, read: Read, resume: Resume): AsyncGenerator<readonly ReplyEvent[]> {
  const joint = new Joint(first)
  let reply = first
  for (;;) {
    try {
      for await (const events of read(reply)) yield joint.pass(events)
      return
    } catch (error) {
      const next = joint.text === undefined ? undefined : await resume(joint.text, error)
      if (!next) throw error
      reply = next.reply
      joint.nextLeg(next.before)
    }
  }
}

class Joint {
  readonly #first: Reply
  #text = ''
  /** Something came that no other target could go on from. */
  #spoiled = false
  #open: number | undefined
  #highest = 0
  #later = false
  #before: Usage | undefined
  /** Of a later leg: its parts' numbers → ours. */
  #parts = new Map<number, number>()

  constructor(first: Reply) {
    this.#first = first
  }

  get text(): string | undefined {
    return this.#spoiled || this.#text.trim() === '' || this.#open === undefined ? undefined : this.#text
  }

  nextLeg(before: Usage): void {
    this.#later = true
    this.#before = before
    this.#parts = new Map()
  }

  pass(events: readonly ReplyEvent[]): readonly ReplyEvent[] {
    if (!this.#later) {
      for (const event of events) this.#note(event)
      return events
    }
    return events.flatMap((event) => this.#joined(event))
  }

  #note(event: ReplyEvent): void {
    if ('part' in event && event.part !== undefined) this.#highest = Math.max(this.#highest, event.part)
    if ('choice' in event && event.choice) this.#spoiled = true
    switch (event.type) {
      case 'text-start':
        this.#open = event.part
        break
      case 'text-delta':
        this.#open ??= event.part
        this.#text += event.text
        break
      case 'text-end':
        this.#open = undefined
        break
      case 'reply-start':
      case 'reasoning-start':
      case 'reasoning-delta':
      case 'reasoning-end':
      case 'annotation':
      case 'usage-report':
        break
      default:
        this.#spoiled = true
    }
  }

  #joined(event: ReplyEvent): readonly ReplyEvent[] {
    switch (event.type) {
      case 'reply-start':
      // It thinks about how to go on; the thinking that led to the text has been told.
      case 'reasoning-start':
      case 'reasoning-delta':
      case 'reasoning-end':
        return []
      case 'usage-report':
        return [{ ...event, usage: this.#before ? addUsage(this.#before, event.usage) : event.usage }]
      case 'text-start':
        if (this.#open === undefined || this.#parts.size > 0) break
        this.#parts.set(event.part, this.#open)
        return []
      case 'text-delta': {
        if (this.#parts.size === 0 && this.#open !== undefined) this.#parts.set(event.part, this.#open)
        const text = this.#textOf(event.text)
        if (text === '') return []
        this.#text += text
        this.#first.facts.textBytes += Buffer.byteLength(text)
        return [{ ...event, text, part: this.#numbered(event.part) }]
      }
    }
    const numbered =
      'part' in event && event.part !== undefined ? { ...event, part: this.#numbered(event.part) } : event
    this.#note(numbered)
    return [numbered as ReplyEvent]
  }

  /** The beginning was handed over without the space at its end, so the next word may bring one of its own. */
  #textOf(text: string): string {
    return /\s$/.test(this.#text) ? text.replace(/^[^\S\n]+/, '') : text
  }

  #numbered(part: number): number {
    let ours = this.#parts.get(part)
    if (ours === undefined) {
      ours = ++this.#highest
      this.#parts.set(part, ours)
    }
    return ours
  }
}

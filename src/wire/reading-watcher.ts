/**
 * A watcher for dialects that have no byte probes of their own but one: what is surely a piece of content is measured
 * where it stands, everything else is read by the dialect's reader and told by its events.
 */
import type { StreamReader, Watcher } from '../core/dialect.ts'
import { GatewayError } from '../core/errors.ts'
import { type Frame, MARK, type ReplyEvent, type ReplyFacts } from '../core/reply.ts'
import { isComment, sseData } from './sse.ts'

/** Undefined: not plainly content. */
export type ContentProbe = (bytes: Buffer) => number | undefined

export class ReadingWatcher implements Watcher {
  readonly facts: ReplyFacts = { textBytes: 0, complete: false }
  readonly #reader: StreamReader
  readonly #probe: ContentProbe

  constructor(reader: StreamReader, probe: ContentProbe) {
    this.#reader = reader
    this.#probe = probe
  }

  look(frame: Frame): void {
    const text = this.#probe(frame.bytes)
    if (text !== undefined) {
      frame.marks |= MARK.content
      this.facts.textBytes += text
      return
    }
    if (isComment(frame.bytes)) return
    const { data, event } = sseData(frame.bytes)
    try {
      for (const each of this.#reader.read(data, event)) frame.marks |= note(each, this.facts)
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      this.facts.error = error
      frame.marks |= MARK.final
    }
  }
}

/** Writes what an event says into the facts; returns the marks of the frame it came in. */
export function note(event: ReplyEvent, facts: ReplyFacts): number {
  switch (event.type) {
    case 'reply-start':
      if (event.id !== undefined) facts.id = event.id
      if (event.model !== undefined) facts.model = event.model
      if (event.usage) facts.usage = event.usage
      return 0
    case 'text-delta':
    case 'reasoning-delta':
    case 'refusal-delta':
      facts.textBytes += Buffer.byteLength(event.text)
      return MARK.content
    case 'tool-call-delta':
      facts.textBytes += Buffer.byteLength(event.json)
      return MARK.content
    case 'tool-call-start':
    case 'opaque':
      return MARK.content
    case 'usage-report':
      facts.usage = event.usage
      return MARK.final
    case 'finish':
      facts.finish = event.reason
      return MARK.final
    case 'reply-end':
      facts.complete = true
      return MARK.final | MARK.terminal
    default:
      return 0
  }
}

/** The facts of an unstreamed reply; an error that came instead of it is one of them. */
export function factsOf(read: () => readonly ReplyEvent[]): ReplyFacts {
  const facts: ReplyFacts = { textBytes: 0, complete: false }
  try {
    for (const event of read()) note(event, facts)
    facts.complete = true
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    facts.complete = false
    facts.error = error
  }
  return facts
}

/**
 * Server-sent events as the elements of one JSON array: how Google streams to a client that did not ask for SSE. Takes
 * whole events; the payloads pass as they are.
 */
import { SseFramer, sseData } from './sse.ts'

export class JsonArrayEnvelope {
  readonly #framer = new SseFramer()
  #begun = false

  take(events: Buffer): Buffer[] {
    const elements: Buffer[] = []
    for (const { bytes } of this.#framer.push(events)) {
      const { data } = sseData(bytes)
      if (data === '') continue
      elements.push(Buffer.from((this.#begun ? ',\r\n' : '[') + data))
      this.#begun = true
    }
    return elements
  }

  end(): string {
    return this.#begun ? ']' : '[]'
  }
}

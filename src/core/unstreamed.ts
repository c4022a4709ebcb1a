/**
 * What is the same for every dialect whose replies are never streamed (embeddings, rankings): one body is the whole
 * reply, its facts are those of its events, and who asks for a stream gets it as the only event.
 */
import type { ReplyContext, StreamWriter, UpstreamSide } from './dialect.ts'
import { failure, GatewayError } from './errors.ts'
import type { ReplyEvent, ReplyFacts } from './reply.ts'
import type { JsonObject, JsonValue } from './request.ts'

type Own = Pick<UpstreamSide, 'writeRequest' | 'readBody' | 'readError'>

export function unstreamed(own: Own): UpstreamSide {
  return {
    ...own,
    framing: 'sse',
    factsOf: (body) => factsOf(body, own.readBody),
    streamReader() {
      let isWhole = false
      return {
        read(data) {
          if (data.trim() === '' || data.trim() === '[DONE]') return []
          isWhole = true
          return own.readBody(JSON.parse(data) as JsonValue)
        },
        end() {
          if (!isWhole) throw failure('upstream_incomplete')
          return []
        },
      }
    },
    watcher: () => ({ facts: { textBytes: 0, complete: false }, look() {} }),
  }
}

function factsOf(body: JsonValue, readBody: Own['readBody']): ReplyFacts {
  const facts: ReplyFacts = { textBytes: 0, complete: false }
  try {
    for (const event of readBody(body)) {
      if (event.type === 'reply-start') {
        if (event.id !== undefined) facts.id = event.id
        if (event.model !== undefined) facts.model = event.model
      } else if (event.type === 'usage-report') facts.usage = event.usage
    }
    facts.complete = true
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    facts.error = error
  }
  return facts
}

/** `send` turns the whole body into what this dialect's streams look like. */
export function onlyEvent(
  context: ReplyContext,
  writeBody: (events: readonly ReplyEvent[], context: ReplyContext) => JsonObject,
  send: (body: JsonObject) => string,
  fail: StreamWriter['fail'],
): StreamWriter {
  const events: ReplyEvent[] = []
  return {
    write(event) {
      events.push(event)
      return event.type === 'reply-end' ? send(writeBody(events, context)) : ''
    },
    fail,
  }
}

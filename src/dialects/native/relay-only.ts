/**
 * A dialect that is only relayed: its requests and replies are never translated, so it is a table of endpoints and a way
 * to read usage. What modules want to see of it (texts both ways) and errors are the same for all.
 */
import { type ClientSide, type Dialect, defineDialect, type FieldType } from '../../core/dialect.ts'
import { badRequest } from '../../core/errors.ts'
import type { References } from '../../core/references.ts'
import type { Endpoints } from '../../core/relay.ts'
import type { ReplyEvent, ReplyFacts } from '../../core/reply.ts'
import type { JsonObject, JsonValue, RelayOperation } from '../../core/request.ts'
import { type Seals, sealsMade } from '../../core/seals.ts'
import { onlyEvent } from '../../core/unstreamed.ts'
import type { Usage } from '../../core/usage.ts'
import { formatSse } from '../../wire/sse.ts'
import { bornInside, failStream, isObject, readError, without, wordOf, writeError } from '../openai-chat/index.ts'
import { bodyOf, eventsOf } from './texts.ts'
import { usageIn } from './usage.ts'
import { EventWatcher } from './watcher.ts'

export interface Family {
  readonly id: string
  readonly operation: RelayOperation
  readonly endpoints?: Endpoints
  readonly fields?: Readonly<Record<string, FieldType>>
  /** Where usage is not told as everybody tells it. */
  usageOf?(body: JsonObject): Usage | undefined
  /** The types of the events with which its streams end; absent: whenever the bytes do. */
  readonly last?: RegExp
  readonly references?: References
  readonly seals?: Seals
  /** The seals in an answer. */
  sealsIn?(body: JsonObject): readonly string[]
  /** What its vendor's clients want of an answer's shape, where that is not OpenAI's. */
  readonly shape?: Partial<Pick<ClientSide, 'requestIdHeader' | 'writeError' | 'failStream'>>
  /** An answer may have a field `error` that is part of it: the reason why a job failed. */
  readonly hasErrors?: true
}

export function relayOnly(family: Family): Dialect {
  const { id, operation, endpoints, last } = family
  const usageOf = family.usageOf ?? usageIn
  const write = (events: readonly ReplyEvent[]): JsonObject => bodyOf(events, id) as JsonObject
  return defineDialect({
    id,
    operation,
    ...(endpoints ? { endpoints } : {}),
    ...(family.seals ? { seals: family.seals } : {}),
    client: {
      fields: { model: 'string', stream: 'boolean', user: 'string', ...family.fields },
      streamType: 'text/event-stream',
      requestIdHeader: 'x-request-id',
      ...(family.references ? { references: family.references } : {}),
      readRequest: (body) => ({
        operation,
        model: wordOf(body.model) ?? '',
        stream: body.stream === true,
        rest: { [id]: without(body, 'model') },
      }),
      writeBody: write,
      streamWriter: (context) => onlyEvent(context, write, (body) => formatSse(JSON.stringify(body)), failStream),
      ping: ': ping\n\n',
      writeError,
      failStream,
      ...family.shape,
    },
    upstream: {
      framing: 'sse',
      writeRequest(request, { model }) {
        if (request.operation !== operation) throw badRequest(`This endpoint does ${operation}.`, 'model')
        return { ...(model === '' ? {} : { model }), ...request.rest?.[id] }
      },
      readBody: (body) => eventsOf(body, id),
      streamReader: () => ({
        read: (data) => (data.trim() === '[DONE]' ? [] : eventsOf(parsed(data), id).filter(isText)),
        end: () => [],
      }),
      watcher: () => new EventWatcher(last),
      factsOf(body) {
        const facts: ReplyFacts = { textBytes: 0, complete: true }
        const error = family.hasErrors ? undefined : bornInside(body)
        if (error) facts.error = error
        if (!isObject(body)) return facts
        const model = wordOf(body.model)
        const usage = usageOf(body)
        if (model !== undefined) facts.model = model
        if (usage) facts.usage = usage
        const seals = family.sealsIn?.(body) ?? []
        if (seals.length > 0) facts.made = sealsMade(seals)
        return facts
      },
      readError,
    },
  })
}

const isText = ({ type }: ReplyEvent): boolean => type.startsWith('text-')

function parsed(data: string): JsonValue {
  try {
    return JSON.parse(data) as JsonValue
  } catch {
    return null
  }
}

/** The texts in a JSON answer that is otherwise passed on: where they stand, and how changed ones are put back. */
import type { ReplyEvent } from '../../core/reply.ts'
import type { JsonObject, JsonValue } from '../../core/request.ts'

/** Fields in which answers carry what a model or a person said. */
const SPOKEN = new Set([
  'text',
  'transcript',
  'revised_prompt',
  'content',
  'output_text',
  'refusal',
  'summary',
  'thinking',
  'reasoning',
  'reasoning_content',
  'response',
  'arguments',
  'delta',
])

/** The same value where `change` changed nothing. */
export function mapSpoken(value: JsonValue, change: (text: string) => string, name = ''): JsonValue {
  if (typeof value === 'string') return SPOKEN.has(name) ? change(value) : value
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return (value as readonly JsonValue[]).map((item) => mapSpoken(item, change, name))
  return Object.fromEntries(
    Object.entries(value).map(([field, item]) => [field, item === undefined ? item : mapSpoken(item, change, field)]),
  )
}

/** Each text as a part of its own, numbered as it stands; the whole rides along. */
export function eventsOf(body: JsonValue, dialect: string): ReplyEvent[] {
  const events: ReplyEvent[] = [{ type: 'reply-start', rest: { [dialect]: { body } as JsonObject } }]
  let part = 0
  mapSpoken(body, (text) => {
    events.push({ type: 'text-start', part }, { type: 'text-delta', part, text }, { type: 'text-end', part })
    part++
    return text
  })
  events.push({ type: 'finish', reason: 'stop' }, { type: 'reply-end' })
  return events
}

export function bodyOf(events: readonly ReplyEvent[], dialect: string): JsonValue {
  let body: JsonValue = null
  const texts = new Map<number, string>()
  for (const event of events) {
    if (event.type === 'reply-start') body = event.rest?.[dialect]?.body ?? null
    if (event.type === 'text-delta') texts.set(event.part, (texts.get(event.part) ?? '') + event.text)
  }
  let part = 0
  return mapSpoken(body, () => texts.get(part++) ?? '')
}

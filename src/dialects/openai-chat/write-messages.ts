/**
 * Canonical messages → OpenAI's. One message of the API holds one kind of thing: a tool result is a message of its own,
 * and pictures in a result, which the API does not take there, follow in a user message after the run of results.
 */
import type { JsonObject, JsonValue, Message, Part, ReasoningPart, ToolResultPart } from '../../core/request.ts'
import { fittedName } from '../../core/tool-names.ts'
import { writeMedia } from './media.ts'
import { writeReasoning, writtenThinking } from './reasoning.ts'
import { ID, isObject, objectOf, ownRest, wireId, without } from './vocabulary.ts'

type Report = (what: string) => void

export function writeMessages(messages: readonly Message[], report: Report): JsonObject[] {
  const written: JsonObject[] = []
  let beside: JsonObject[] = []
  const flush = () => {
    if (beside.length > 0) written.push({ role: 'user', content: beside })
    beside = []
  }
  for (const message of messages) {
    const results = message.parts.filter((part) => part.type === 'tool-result')
    if (results.length === 0) flush()
    for (const part of results) {
      // The fields of a message stand on it once.
      const own = results.length === 1 ? messageFields(message) : {}
      written.push({
        role: 'tool',
        tool_call_id: wireId(part.id),
        ...resultContent(part, message, beside, report),
        ...own,
      })
    }
    const parts = message.parts.filter((part) => part.type !== 'tool-result')
    if (message.role === 'assistant') written.push(assistantMessage(message, parts, report))
    else if (message.role !== 'tool' && (parts.length > 0 || results.length === 0)) {
      const content = contentOf(parts, message, report) ?? ''
      written.push({ role: message.role, content, ...messageFields(message) })
    }
  }
  flush()
  return written
}

const messageFields = (message: Message): JsonObject => ({
  ...(message.name === undefined ? {} : { name: message.name }),
  ...ownRest(message.rest),
})

function assistantMessage(message: Message, parts: readonly Part[], report: Report): JsonObject {
  const thoughts: ReasoningPart[] = []
  const calls: JsonObject[] = []
  const content: Part[] = []
  let refusal = ''
  for (const part of parts) {
    if (part.type === 'reasoning' && !writtenThinking(part)) thoughts.push(part)
    else if (part.type === 'refusal') refusal += part.text
    else if (part.type === 'tool-call') calls.push(toolCall(part, message, report))
    else if (part.type === 'opaque' && part.dialect === ID && isObject(part.value.tool_call)) {
      calls.push(part.value.tool_call)
    } else content.push(part)
  }
  return {
    role: 'assistant',
    content: contentOf(content, message, report) ?? null,
    ...writeReasoning(thoughts, report),
    ...(refusal === '' ? {} : { refusal }),
    ...(calls.length > 0 ? { tool_calls: calls } : {}),
    ...messageFields(message),
  }
}

function toolCall(part: Extract<Part, { type: 'tool-call' }>, message: Message, report: Report): JsonObject {
  reportCache(part, message, report)
  const own = ownRest(part.rest)
  // Only where the vendor's own clients have this slot; elsewhere the signature is of another vendor.
  const hasSlot = own.extra_content !== undefined
  if (part.signature !== undefined && !hasSlot) report('thought_signature')
  const google = { ...objectOf(objectOf(own.extra_content).google), thought_signature: part.signature }
  return {
    id: wireId(part.id),
    type: 'function',
    function: { name: fittedName(part.name), arguments: part.arguments, ...objectOf(own.function) },
    ...without(own, 'function', 'extra_content'),
    ...(!hasSlot ? {} : { extra_content: { ...objectOf(own.extra_content), ...(part.signature ? { google } : {}) } }),
  }
}

function resultContent(part: ToolResultPart, message: Message, beside: JsonObject[], report: Report): JsonObject {
  if (part.isError) report('messages.tool.is_error')
  reportCache(part, message, report)
  const inside: Part[] = []
  const takesMedia = ownRest(part.rest).content !== undefined
  for (const item of part.content) {
    if (takesMedia || item.type === 'text' || item.type === 'opaque') {
      inside.push(item)
      continue
    }
    const media = writeMedia(item, report)
    if (media) beside.push(media)
  }
  const said = beside.length > 0 && inside.length === 0 ? 'The result follows.' : ''
  return { content: contentOf(inside, message, report) ?? said }
}

/** One plain text is a string, which every vendor takes; undefined where there is nothing to say. */
function contentOf(parts: readonly Part[], message: Message, report: Report): JsonValue | undefined {
  const written: JsonObject[] = []
  for (const part of parts) {
    const one = contentPart(part, message, report)
    if (one) written.push(one)
  }
  const [only] = written
  if (!only) return undefined
  if (written.length === 1 && only.type === 'text' && Object.keys(only).length === 2) return only.text as string
  return written
}

function contentPart(part: Part, message: Message, report: Report): JsonObject | undefined {
  reportCache(part, message, report)
  switch (part.type) {
    case 'text':
    case 'refusal':
      return { type: 'text', text: part.text, ...ownRest(part.rest) }
    case 'image':
    case 'file':
    case 'audio':
      return writeMedia(part, report)
    case 'reasoning': {
      const own = writtenThinking(part)
      if (!own) report('messages.reasoning')
      return own
    }
    case 'opaque':
      if (part.dialect === ID) return part.value
      report(`messages.${typeof part.value.type === 'string' ? part.value.type : 'part'}`)
      return undefined
    case 'tool-call':
    case 'tool-result':
      return undefined
  }
}

/** A marker in a field of this dialect goes back with the rest; OpenAI's API has none of its own for another's. */
function reportCache(part: Part, message: Message, report: Report): void {
  if (!part.cache) return
  const own = { ...ownRest(message.rest), ...ownRest(part.rest) }
  if (own.cache_control === undefined && own.prompt_cache_breakpoint === undefined) report('cache')
}

/**
 * Cache markers for vendors of this dialect that take Anthropic's `cache_control`: on parts of a message, on calls and on
 * tools. A result is a message of its own, so its marker stands on its last part.
 */
import type { CacheMarker, ChatRequest, JsonObject, Part } from '../../core/request.ts'
import { ID } from './vocabulary.ts'

const control = ({ ttl }: CacheMarker): JsonObject => ({ type: 'ephemeral', ...(ttl ? { ttl } : {}) })

/** The request with its markers spelled as this dialect's own fields, which are written as they are. */
export function spelledOut(request: ChatRequest): ChatRequest {
  return {
    ...request,
    messages: request.messages.map((message) => ({ ...message, parts: message.parts.map(spelledPart) })),
    ...(request.tools ? { tools: request.tools.map((tool) => marked(tool, tool.cache)) } : {}),
  }
}

function spelledPart(part: Part): Part {
  if (part.type !== 'tool-result') return marked(part, part.cache)
  const last = part.content.length - 1
  const content = part.content.map((item, i) => marked(item, item.cache ?? (i === last ? part.cache : undefined)))
  return marked({ ...part, content }, part.cache)
}

const marked = <T extends { readonly rest?: ChatRequest['rest'] }>(value: T, cache: CacheMarker | undefined): T =>
  cache ? { ...value, rest: { ...value.rest, [ID]: { cache_control: control(cache), ...value.rest?.[ID] } } } : value

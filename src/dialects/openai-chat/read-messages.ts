/**
 * A client's messages → canonical ones. A message that says how it is to be sent in a way that has no common word
 * (developer rather than system, a name, audio of an earlier answer) keeps that in its rest.
 */
import type { CacheMarker, JsonObject, JsonValue, Message, OpaquePart, Part, ToolCallPart } from '../../core/request.ts'
import { mustBe, objectsIn, optional, placeOf, required } from './fields.ts'
import { readMedia } from './media.ts'
import { REASONING_FIELDS, readReasoning, readThinking } from './reasoning.ts'
import { asRest, ID, isEmpty, isObject, objectOf, said, without, wordOf } from './vocabulary.ts'

/** Of the days before tool calls: the calls of a function by name that have no answer yet. */
type Unanswered = Map<string, string[]>

export function readMessages(values: readonly JsonValue[]): Message[] {
  const unanswered: Unanswered = new Map()
  return objectsIn(values, 'messages').map(({ value, at }) => {
    const role = required(value, 'role', 'string', at)
    switch (role) {
      case 'system':
      case 'developer':
      case 'user':
        return plainMessage(role, value, at)
      case 'assistant':
        return assistantMessage(value, at, unanswered)
      case 'tool':
        return toolMessage(value, required(value, 'tool_call_id', 'string', at), at)
      case 'function':
        return functionMessage(value, at, unanswered)
      default:
        throw mustBe('one of system, developer, user, assistant, tool, function', placeOf(at, 'role'))
    }
  })
}

/** What is left of a message, and its name and cache marker, in their canonical places. */
function finished(
  role: Message['role'],
  parts: readonly Part[],
  others: JsonObject,
  at: string,
  spelled: JsonObject = {},
): Message {
  const name = optional(others, 'name', 'string', at)
  const cache = cacheOf(others)
  const last = parts.at(-1)
  const marked = cache && last ? [...parts.slice(0, -1), { ...last, cache }] : parts
  return {
    role,
    parts: marked,
    ...(name === undefined ? {} : { name }),
    ...asRest({ ...spelled, ...said(without(others, 'name')) }),
  }
}

function plainMessage(role: 'system' | 'developer' | 'user', message: JsonObject, at: string): Message {
  const others = without(message, 'role', 'content')
  const parts = contentParts(message.content, placeOf(at, 'content'))
  if (!parts) throw mustBe('a string or an array of parts', placeOf(at, 'content'))
  return role === 'developer'
    ? finished('system', parts, others, at, { role: 'developer' })
    : finished(role, parts, others, at)
}

function assistantMessage(message: JsonObject, at: string, unanswered: Unanswered): Message {
  const others = without(message, 'role', 'content', 'refusal', 'tool_calls', 'function_call', ...REASONING_FIELDS)
  const parts: Part[] = [
    ...readReasoning(message, at),
    ...(contentParts(message.content, placeOf(at, 'content')) ?? []),
  ]
  const refusal = optional(message, 'refusal', 'string', at)
  if (refusal !== undefined) parts.push({ type: 'refusal', text: refusal })
  const calls = optional(message, 'tool_calls', 'array', at) ?? []
  for (const call of objectsIn(calls, placeOf(at, 'tool_calls'))) parts.push(toolCall(call.value, call.at))
  const legacy = optional(message, 'function_call', 'object', at)
  if (legacy) {
    const place = placeOf(at, 'function_call')
    const name = required(legacy, 'name', 'string', place)
    const id = `call_${at.replace(/\D/g, '')}_${name}`.slice(0, 40)
    const waiting = unanswered.get(name)
    if (waiting) waiting.push(id)
    else unanswered.set(name, [id])
    parts.push({ type: 'tool-call', id, name, arguments: optional(legacy, 'arguments', 'string', place) ?? '' })
  }
  return finished('assistant', parts, others, at)
}

function toolCall(call: JsonObject, at: string): ToolCallPart | OpaquePart {
  if (call.function === undefined && typeof call.type === 'string' && call.type !== 'function') {
    return { type: 'opaque', dialect: ID, value: { type: call.type, tool_call: call } }
  }
  const others = without(call, 'id', 'type', 'function', 'extra_content')
  const fn = required(call, 'function', 'object', at)
  const more = without(fn, 'name', 'arguments')
  const { signature, rest: extra } = signatureIn(call.extra_content)
  const cache = cacheOf(others)
  return {
    type: 'tool-call',
    id: required(call, 'id', 'string', at),
    name: required(fn, 'name', 'string', placeOf(at, 'function')),
    // Some frameworks hand the parsed object back.
    arguments: isObject(fn.arguments)
      ? JSON.stringify(fn.arguments)
      : (optional(fn, 'arguments', 'string', placeOf(at, 'function')) ?? ''),
    ...(signature === undefined ? {} : { signature }),
    ...(cache ? { cache } : {}),
    ...asRest({
      ...others,
      ...(isEmpty(more) ? {} : { function: more }),
      ...(call.extra_content === undefined ? {} : { extra_content: extra }),
    }),
  }
}

/** Gemini's thought signature stands where Google's own OpenAI-compatible endpoint puts it. */
export function signatureIn(extra: JsonValue | undefined): { signature: string | undefined; rest: JsonObject } {
  const { google, ...others } = objectOf(extra)
  const { thought_signature, ...more } = objectOf(google)
  return { signature: wordOf(thought_signature), rest: { ...others, ...(isEmpty(more) ? {} : { google: more }) } }
}

function toolMessage(message: JsonObject, id: string, at: string): Message {
  const others = without(message, 'role', 'content', 'tool_call_id')
  const parts = contentParts(message.content, placeOf(at, 'content'))
  if (!parts) throw mustBe('a string or an array of parts', placeOf(at, 'content'))
  const content = parts.filter(isResult)
  // The API takes text only; who sends more here has an upstream that takes it here.
  const spelled = content.some((part) => part.type !== 'text') ? asRest({ content: null }) : {}
  return finished('tool', [{ type: 'tool-result', id, content, ...spelled }], others, at)
}

const isResult = (part: Part): part is Extract<Part, { type: 'text' | 'image' | 'file' | 'audio' | 'opaque' }> =>
  part.type !== 'tool-call' && part.type !== 'tool-result' && part.type !== 'reasoning' && part.type !== 'refusal'

function functionMessage(message: JsonObject, at: string, unanswered: Unanswered): Message {
  const others = without(message, 'role', 'content', 'name')
  const name = required(message, 'name', 'string', at)
  const id = unanswered.get(name)?.shift()
  if (id === undefined) throw mustBe('the name of a function that was called before', placeOf(at, 'name'))
  const text = optional(message, 'content', 'string', at) ?? ''
  return finished('tool', [{ type: 'tool-result', id, name, content: [{ type: 'text', text }] }], others, at)
}

/** A string, or an array of parts; undefined where there is nothing. */
function contentParts(content: JsonValue | undefined, at: string): Part[] | undefined {
  if (content === undefined || content === null) return undefined
  if (typeof content === 'string') return [{ type: 'text', text: content }]
  if (!Array.isArray(content)) throw mustBe('a string or an array of parts', at)
  return objectsIn(content, at).map(({ value, at }) => contentPart(value, at))
}

function contentPart(part: JsonObject, at: string): Part {
  const others = without(part, 'type')
  const type = required(part, 'type', 'string', at)
  const cache = cacheOf(part)
  const marked = cache ? { cache } : {}
  switch (type) {
    case 'text': {
      return { type, text: required(part, 'text', 'string', at), ...marked, ...asRest(without(others, 'text')) }
    }
    case 'refusal':
      return { type, text: required(part, 'refusal', 'string', at) }
    case 'image_url':
    case 'input_audio':
    case 'file':
      return { ...readMedia(type, others, at), ...marked }
    case 'thinking':
      return readThinking(part)
    default:
      return { type: 'opaque', dialect: ID, value: part }
  }
}

/** Anthropic's marker, as OpenRouter's and LiteLLM's clients send it, or OpenAI's own. The marker itself stays in the rest. */
export function cacheOf(object: JsonObject): CacheMarker | undefined {
  const { cache_control, prompt_cache_breakpoint } = object
  if (isObject(cache_control)) {
    const { ttl } = cache_control
    return ttl === '5m' || ttl === '1h' ? { ttl } : {}
  }
  return isObject(prompt_cache_breakpoint) ? {} : undefined
}

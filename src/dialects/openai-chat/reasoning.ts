/**
 * Thinking in a conversation's history. OpenAI's own API has no slot for it; clients send back what they were given in
 * the fields that became usual, and so do we (see the reply writer):
 *
 * - `reasoning_content` or `reasoning`: the text;
 * - `thinking_blocks: [{type: 'thinking', thinking, signature} | {type: 'redacted_thinking', data}]`: signed thinking;
 * - `reasoning_details`: the same in OpenRouter's words, and what only its upstreams can read;
 * - `{type: 'thinking'}` among the content parts (Mistral).
 *
 * Each part remembers the fields it came in, and goes back in them and no others: an upstream that speaks this dialect
 * may refuse fields it did not hand out, so another vendor's thinking is left out and reported.
 */
import type { JsonObject, JsonValue, ReasoningPart } from '../../core/request.ts'
import { objectsIn, optional, placeOf } from './fields.ts'
import { asRest, isObject, listOf, objectOf, ownRest, wordOf } from './vocabulary.ts'

/** The message fields read here. */
export const REASONING_FIELDS = ['reasoning_content', 'reasoning', 'thinking_blocks', 'reasoning_details'] as const
const TEXT_FIELDS = ['reasoning_content', 'reasoning'] as const

export function readReasoning(message: JsonObject, at: string): ReasoningPart[] {
  const spelled: Record<string, JsonValue> = {}
  let text: string | undefined
  for (const name of TEXT_FIELDS) {
    const found = optional(message, name, 'string', at)
    if (found === undefined) continue
    text ??= found
    spelled[name] = null
  }
  const blocks = optional(message, 'thinking_blocks', 'array', at)
  const details = optional(message, 'reasoning_details', 'array', at)
  if (details) spelled.reasoning_details = details
  let parts: ReasoningPart[] = []
  if (blocks) {
    parts = objectsIn(blocks, placeOf(at, 'thinking_blocks')).map(({ value }) => block(value))
  } else if (details) {
    parts = signedDetails(details)
  }
  const [first, ...more] = parts
  // Texts of other fields only repeat what the signed parts say.
  if (first) return [{ ...first, rest: { ...asRest({ ...ownRest(first.rest), ...spelled }).rest } }, ...more]
  if (text === undefined && !details) return []
  return [{ type: 'reasoning', text: text ?? textOfDetails(details ?? []), ...asRest(spelled) }]
}

function block(value: JsonObject): ReasoningPart {
  const { type, thinking, signature, data, ...others } = value
  const rest = asRest({ thinking_blocks: null, ...others })
  if (type === 'redacted_thinking') return { type: 'reasoning', text: '', redacted: wordOf(data) ?? '', ...rest }
  const signed = wordOf(signature)
  return {
    type: 'reasoning',
    text: wordOf(thinking) ?? '',
    ...(signed === undefined ? {} : { signature: signed }),
    ...rest,
  }
}

/** Only Anthropic's: its models check them. What others encrypt stays in the details and goes back with them. */
function signedDetails(details: readonly JsonValue[]): ReasoningPart[] {
  const parts: ReasoningPart[] = []
  for (const detail of details) {
    if (!isObject(detail) || !/^anthropic/.test(wordOf(detail.format) ?? '')) continue
    const rest = asRest({ reasoning_details: null })
    const signature = wordOf(detail.signature)
    const data = wordOf(detail.data)
    if (data !== undefined) parts.push({ type: 'reasoning', text: '', redacted: data, ...rest })
    else if (signature !== undefined) {
      parts.push({ type: 'reasoning', text: wordOf(detail.text) ?? '', signature, ...rest })
    }
  }
  return parts
}

export const textOfDetails = (details: readonly JsonValue[]): string =>
  details.map((detail) => wordOf(objectOf(detail).text) ?? wordOf(objectOf(detail).summary) ?? '').join('')

/** One content part of type `thinking`, whose text is a string or an array of text parts. */
export function readThinking(part: JsonObject): ReasoningPart {
  const signature = wordOf(part.signature)
  const isList = Array.isArray(part.thinking)
  return {
    type: 'reasoning',
    text: thinkingText(part.thinking),
    ...(signature === undefined ? {} : { signature }),
    ...asRest({ content: { ...part, thinking: isList ? [] : '' } }),
  }
}

export const thinkingText = (thinking: JsonValue | undefined): string =>
  typeof thinking === 'string'
    ? thinking
    : listOf(thinking)
        .map((item) => (typeof item === 'string' ? item : (wordOf(objectOf(item).text) ?? '')))
        .join('')

/** A thinking part that stood among the content parts, as that part again. */
export function writtenThinking(part: ReasoningPart): JsonObject | undefined {
  const { content } = ownRest(part.rest)
  if (!isObject(content)) return undefined
  return { ...content, thinking: Array.isArray(content.thinking) ? [{ type: 'text', text: part.text }] : part.text }
}

/** The fields of an assistant message that carry its thinking. */
export function writeReasoning(parts: readonly ReasoningPart[], report: (what: string) => void): JsonObject {
  const fields: Record<string, JsonValue> = {}
  const ours = parts.filter((part) => part.rest?.['openai-chat'] !== undefined)
  if (ours.length < parts.length) report('messages.reasoning')
  const text = ours.map((part) => part.text).join('')
  const blocks: JsonObject[] = []
  for (const part of ours) {
    const { content, thinking_blocks, reasoning_content, reasoning, reasoning_details, ...others } = ownRest(part.rest)
    if (content !== undefined) continue
    if (reasoning_content !== undefined) fields.reasoning_content = text
    if (reasoning !== undefined) fields.reasoning = text
    if (isList(reasoning_details)) fields.reasoning_details = reasoning_details
    if (thinking_blocks !== undefined) blocks.push({ ...writtenBlock(part), ...others })
  }
  return blocks.length > 0 ? { ...fields, thinking_blocks: blocks } : fields
}

const isList = (value: JsonValue | undefined): value is readonly JsonValue[] => Array.isArray(value)

const writtenBlock = ({ text, signature, redacted }: ReasoningPart): JsonObject =>
  redacted === undefined
    ? { type: 'thinking', thinking: text, ...(signature === undefined ? {} : { signature }) }
    : { type: 'redacted_thinking', data: redacted }

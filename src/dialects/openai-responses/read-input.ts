/**
 * `instructions` and `input` → messages. The API's input is a flat list of items; what the assistant did between two of
 * the user's turns (thinking, words, calls) becomes one message, in its order. Items without a common word stay whole.
 */
import type {
  JsonObject,
  JsonValue,
  Message,
  Part,
  ReasoningPart,
  ToolCallPart,
  ToolResultPart,
} from '../../core/request.ts'
import { isEmpty, isObject, listOf, mustBe, optional, required, without, wordOf } from '../openai-chat/index.ts'
import { readContent } from './content.ts'
import { asRest, customArguments, ID, spaced, unsealed } from './vocabulary.ts'

export function readInput(instructions: JsonValue | undefined, input: JsonValue | undefined): Message[] {
  const messages: Message[] = []
  if (typeof instructions === 'string' && instructions !== '') {
    // Written back, they are instructions again.
    messages.push({
      role: 'system',
      parts: [{ type: 'text', text: instructions }],
      ...asRest({ role: 'instructions' }),
    })
  } else if (instructions !== undefined && instructions !== null && typeof instructions !== 'string') {
    throw mustBe('a string', 'instructions')
  }
  if (typeof input === 'string') return [...messages, { role: 'user', parts: [{ type: 'text', text: input }] }]
  if (input !== undefined && input !== null && !Array.isArray(input)) throw mustBe('a string or an array', 'input')
  for (const [i, item] of listOf(input).entries()) {
    if (!isObject(item)) throw mustBe('an object', `input[${i}]`)
    add(messages, itemOf(item, `input[${i}]`))
  }
  return messages
}

/** Neighboring items of the assistant are one turn of it; so are neighboring results. */
function add(messages: Message[], next: Message): void {
  const last = messages.at(-1)
  const joins = last && last.role === next.role && (next.role === 'assistant' || next.role === 'tool')
  if (joins) messages[messages.length - 1] = { ...last, parts: [...last.parts, ...next.parts] }
  else messages.push(next)
}

function itemOf(item: JsonObject, at: string): Message {
  const type = optional(item, 'type', 'string', at) ?? (item.role === undefined ? undefined : 'message')
  switch (type) {
    case 'message':
      return messageOf(item, at)
    case 'reasoning':
      return { role: 'assistant', parts: [reasoningOf(item)] }
    case 'function_call':
    case 'custom_tool_call':
      return { role: 'assistant', parts: [callOf(item, type, at)] }
    case 'function_call_output':
    case 'custom_tool_call_output':
      return { role: 'tool', parts: [resultOf(item, type, at)] }
    case undefined:
      throw mustBe('an item with a "type" or a "role"', at)
    default: {
      const parts: Part[] = [{ type: 'opaque', dialect: ID, value: item }]
      return { role: /_(?:output|response)$/.test(type) ? 'user' : 'assistant', parts }
    }
  }
}

/** Id, status and phase of an assistant's message go with its parts, because other items may join its turn. */
function messageOf(item: JsonObject, at: string): Message {
  const role = required(item, 'role', 'string', at)
  const parts = readContent(item.content, `${at}.content`)
  const others = without(item, 'type', 'role', 'content')
  switch (role) {
    case 'user':
    case 'system':
      return { role, parts, ...asRest({ ...others, ...(role === 'system' ? { role } : {}) }) }
    case 'developer':
      return { role: 'system', parts, ...asRest({ ...others, role }) }
    case 'assistant':
      return { role, parts: isEmpty(others) ? parts : parts.map((part) => beside(part, { message: others })) }
    default:
      throw mustBe('one of user, assistant, system, developer', `${at}.role`)
  }
}

const beside = <P extends Part>(part: P, own: JsonObject): P => ({
  ...part,
  rest: { ...part.rest, [ID]: { ...part.rest?.[ID], ...own } },
})

function reasoningOf(item: JsonObject): ReasoningPart {
  const { type: _, summary, content, encrypted_content, ...others } = item
  const texts = [...listOf(summary), ...listOf(content)].map((part) =>
    isObject(part) ? (wordOf(part.text) ?? '') : '',
  )
  const seal = unsealed(encrypted_content)
  const text = texts.filter((each) => each !== '').join('\n\n')
  if (seal) return { type: 'reasoning', text, [seal.kind]: seal.value, ...asRest({ sealed: true }) }
  return { type: 'reasoning', text, ...asRest({ item: { ...others, summary, content, encrypted_content } }) }
}

function callOf(item: JsonObject, type: 'function_call' | 'custom_tool_call', at: string): ToolCallPart {
  const { type: _, call_id: __, name: ___, arguments: ____, input: _____, ...others } = item
  const name = required(item, 'name', 'string', at)
  const namespace = wordOf(item.namespace)
  const isCustom = type === 'custom_tool_call'
  return {
    type: 'tool-call',
    id: required(item, 'call_id', 'string', at),
    name: namespace === undefined ? name : spaced(namespace, name),
    arguments: isCustom
      ? customArguments(optional(item, 'input', 'string', at) ?? '')
      : (optional(item, 'arguments', 'string', at) ?? ''),
    ...asRest({ ...others, ...(isCustom ? { type } : {}), ...(namespace === undefined ? {} : { name }) }),
  }
}

function resultOf(item: JsonObject, type: string, at: string): ToolResultPart {
  const { type: _, call_id: __, output, ...others } = item
  const content = readContent(output ?? '', `${at}.output`).map((part) =>
    part.type === 'refusal' ? ({ type: 'text', text: part.text } as const) : part,
  )
  const isCustom = type === 'custom_tool_call_output'
  const isList = Array.isArray(output)
  return {
    type: 'tool-result',
    id: required(item, 'call_id', 'string', at),
    content,
    ...asRest({ ...others, ...(isCustom ? { type } : {}), ...(isList ? { list: true } : {}) }),
  }
}

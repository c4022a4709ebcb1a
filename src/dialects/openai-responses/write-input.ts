/** Messages → `instructions` and `input`: every part of the assistant's turn becomes an item of its own, in its order. */
import { isDeepStrictEqual } from 'node:util'
import type {
  JsonObject,
  JsonValue,
  Message,
  Part,
  ReasoningPart,
  ToolCallPart,
  ToolResultPart,
} from '../../core/request.ts'
import { fittedName } from '../../core/tool-names.ts'
import { objectOf, said, wordOf } from '../openai-chat/index.ts'
import { writePart } from './content.ts'
import { customInput, ownRest } from './vocabulary.ts'

type Report = (what: string) => void

export interface WrittenInput {
  readonly instructions?: string
  readonly input: readonly JsonObject[]
}

export function writeInput(messages: readonly Message[], report: Report): WrittenInput {
  const leading = leadingInstructions(messages)
  for (const { parts } of messages.slice(0, leading)) if (parts.some(({ cache }) => cache)) report('cache')
  const instructions = messages
    .slice(0, leading)
    .flatMap((message) => message.parts.map((part) => (part.type === 'text' ? part.text : '')))
    .join('\n\n')
  const input = messages.slice(leading).flatMap((message) => itemsOf(message, report))
  return { ...(instructions === '' ? {} : { instructions }), input }
}

/** System messages at the front that a client of this API did not put into the input itself. */
function leadingInstructions(messages: readonly Message[]): number {
  const end = messages.findIndex(
    ({ role, parts, rest }) =>
      role !== 'system' ||
      parts.some(({ type }) => type !== 'text') ||
      !['instructions', undefined].includes(ownRest(rest).role as string | undefined),
  )
  return end === -1 ? messages.length : end
}

function itemsOf(message: Message, report: Report): JsonObject[] {
  if (message.name !== undefined) report('messages.name')
  const items: JsonObject[] = []
  let run: Part[] = []
  const flush = (): void => {
    if (run.length > 0) items.push(...messageItems(message, run, report))
    run = []
  }
  for (const part of message.parts) {
    if (isSpoken(part, message)) {
      if (run.length > 0 && !isDeepStrictEqual(messageOf(run[0] as Part), messageOf(part))) flush()
      run.push(part)
      continue
    }
    flush()
    const item = itemOf(part, report)
    if (item) items.push(item)
  }
  flush()
  return items
}

const messageOf = (part: Part): JsonValue | undefined => ownRest(part.rest).message

/** What stands inside a message; everything else is an item beside it. */
const isSpoken = (part: Part, { role }: Message): boolean =>
  part.type === 'text' ||
  part.type === 'refusal' ||
  part.type === 'image' ||
  part.type === 'file' ||
  part.type === 'audio' ||
  (part.type === 'opaque' && role !== 'assistant' && /^input_/.test(wordOf(part.value.type) ?? ''))

function messageItems(message: Message, parts: readonly Part[], report: Report): JsonObject[] {
  const isAnswer = message.role === 'assistant'
  const content: JsonObject[] = []
  for (const part of parts) {
    if (isAnswer && part.type !== 'text' && part.type !== 'refusal') {
      report(`messages.assistant.${part.type}`)
      continue
    }
    const written = writePart(part, isAnswer ? 'output' : 'input', report)
    if (written) content.push(written)
  }
  if (content.length === 0) return []
  const { role: own, ...others } = ownRest(message.rest)
  const role = message.role === 'system' ? (wordOf(own) === 'system' ? 'system' : 'developer') : message.role
  const about = isAnswer ? objectOf(messageOf(parts[0] as Part)) : others
  return [{ type: 'message', role, content, ...about }]
}

function itemOf(part: Part, report: Report): JsonObject | undefined {
  switch (part.type) {
    case 'reasoning':
      return reasoningItem(part, report)
    case 'tool-call':
      return callItem(part, report)
    case 'tool-result':
      return resultItem(part, report)
    case 'opaque':
      return writePart(part, 'output', report)
    default:
      return undefined
  }
}

/** Thinking goes back as it came or not at all: OpenAI can read nobody else's. */
function reasoningItem(part: ReasoningPart, report: Report): JsonObject | undefined {
  const { item } = ownRest(part.rest)
  if (item === undefined) {
    report('messages.reasoning')
    return undefined
  }
  return { type: 'reasoning', ...said(objectOf(item)) }
}

function callItem(part: ToolCallPart, report: Report): JsonObject {
  if (part.signature !== undefined) report('thought_signature')
  if (part.cache) report('cache')
  const { type, name: own, ...others } = ownRest(part.rest)
  const name = wordOf(own) ?? fittedName(part.name)
  if (type === 'custom_tool_call')
    return { type, call_id: part.id, name, input: customInput(part.arguments), ...others }
  return { type: 'function_call', call_id: part.id, name, arguments: part.arguments, ...others }
}

function resultItem(part: ToolResultPart, report: Report): JsonObject {
  if (part.isError) report('messages.tool.is_error')
  if (part.cache) report('cache')
  const { type, list, ...others } = ownRest(part.rest)
  const written = part.content.map((item) => writePart(item, 'input', report)).filter((item) => item !== undefined)
  const isText = list === undefined && written.every((item) => item.type === 'input_text')
  const output = isText ? written.map((item) => item.text).join('\n') : written
  return { type: wordOf(type) ?? 'function_call_output', call_id: part.id, output, ...others }
}

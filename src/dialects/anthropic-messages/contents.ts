/**
 * Canonical messages → `system` and `messages`. The order of parts is the client's, because thinking must come back
 * where it was (A53); only tool results move to the front of their turn, where this API wants them.
 */
import { badRequest } from '../../core/errors.ts'
import type {
  JsonObject,
  JsonValue,
  MediaPart,
  Message,
  OpaquePart,
  Part,
  ReasoningPart,
  RefusalPart,
  TextPart,
  ToolResultPart,
} from '../../core/request.ts'
import { wireId, wireName } from './names.ts'
import { cacheControl, ID, inputOf, ownRest, stringOf } from './vocabulary.ts'

type Report = (what: string) => void
type Block = Record<string, JsonValue | undefined>
interface Turn {
  readonly role: 'user' | 'assistant' | 'system'
  blocks: Block[]
}

export interface Conversation {
  readonly system?: JsonValue
  readonly messages: readonly JsonObject[]
}

/** The first turn must be the user's; where a conversation begins otherwise, this stands in for what was left out. */
const BEFORE_ASSISTANT = '(The conversation begins with the assistant.)'

export function conversationOf(messages: readonly Message[], report: Report): Conversation {
  const leading = messages.findIndex((message) => message.role !== 'system')
  const head = leading === -1 ? messages : messages.slice(0, leading)
  const system = head.flatMap((message) => blocksOf(message, false, report))
  const turns = turnsOf(leading === -1 ? [] : messages.slice(leading), report)
  if (turns.length === 0) {
    // A prompt that is nothing but instructions: this API needs one message, so they are it.
    if (system.length === 0) throw badRequest('There is no message with any content.', 'messages')
    return { messages: [{ role: 'user', content: contentOf(system) }] }
  }
  if (turns[0]?.role === 'assistant') {
    turns.unshift({ role: 'user', blocks: [{ type: 'text', text: BEFORE_ASSISTANT }] })
  }
  return {
    ...(system.length > 0 ? { system: contentOf(system) } : {}),
    messages: turns.map(({ role, blocks }) => ({ role, content: contentOf(blocks) })),
  }
}

function turnsOf(messages: readonly Message[], report: Report): Turn[] {
  const turns: Turn[] = []
  for (const message of messages) {
    const role = roleOf(message)
    const blocks = blocksOf(message, message.role === 'system' && role === 'user', report)
    if (blocks.length === 0) continue
    const last = turns.at(-1)
    if (last && last.role === role && role !== 'system') last.blocks.push(...blocks)
    else turns.push({ role, blocks })
  }
  for (const turn of turns) {
    if (turn.role !== 'user') continue
    const isResult = (block: Block): boolean => block.type === 'tool_result'
    turn.blocks = [...turn.blocks.filter(isResult), ...turn.blocks.filter((block) => !isResult(block))]
  }
  const last = turns.at(-1)
  const end = last?.role === 'assistant' ? last.blocks.at(-1) : undefined
  // An answer to be continued may not end in white space.
  if (end && typeof end.text === 'string' && end.type === 'text') end.text = end.text.trimEnd()
  return turns
}

/** A client of this API may have put a system message inside the conversation: it stays one. */
function roleOf({ role, rest }: Message): Turn['role'] {
  if (role === 'assistant') return 'assistant'
  return role === 'system' && rest?.[ID] !== undefined ? 'system' : 'user'
}

const contentOf = (blocks: readonly Block[]): JsonValue => {
  const [first] = blocks
  const isPlain = blocks.length === 1 && first?.type === 'text' && Object.keys(first).length === 2
  return isPlain ? (first.text as string) : blocks
}

function blocksOf(message: Message, isDemoted: boolean, report: Report): Block[] {
  if (message.name !== undefined) report('messages.name')
  const blocks: Block[] = []
  // Marks what was dropped and carried one: the prompt up to here is what is to be kept.
  const mark = (part: Part): void => {
    const last = blocks.at(-1)
    if (!part.cache) return
    if (last && last.type !== 'thinking' && last.type !== 'redacted_thinking') {
      Object.assign(last, cacheControl(part.cache))
    } else report('cache')
  }
  for (const part of message.parts) {
    const block = blockOf(part, message.role === 'assistant', isDemoted, report)
    if (block) blocks.push(block)
    else mark(part)
  }
  return blocks
}

function blockOf(part: Part, isAssistant: boolean, isDemoted: boolean, report: Report): Block | undefined {
  switch (part.type) {
    case 'text':
    case 'refusal':
      return textBlock(part, isDemoted)
    case 'image':
    case 'file':
    case 'audio':
      if (isAssistant) report(`messages.assistant.${part.type}`)
      return isAssistant ? undefined : mediaBlock(part, report)
    case 'reasoning':
      return isAssistant ? thinkingBlock(part, report) : undefined
    case 'tool-call':
      return {
        type: 'tool_use',
        id: wireId(part.id),
        name: wireName(part.name),
        input: inputOf(part.arguments),
        ...cacheControl(part.cache),
        ...ownRest(part.rest),
      }
    case 'tool-result':
      return resultBlock(part, report)
    case 'opaque':
      return opaqueBlock(part, report)
  }
}

/**
 * Empty text is refused, and white space alone says nothing. An instruction that came later in the conversation
 * becomes the user's words, as all models but the newest demand; the tag keeps it an instruction.
 */
function textBlock(part: TextPart | RefusalPart, isDemoted: boolean): Block | undefined {
  if (part.text.trim() === '') return undefined
  const text = isDemoted ? `<system>\n${part.text}\n</system>` : part.text
  return { type: 'text', text, ...cacheControl(part.cache), ...ownRest(part.rest) }
}

/** Thinking goes back as it came or not at all: without Anthropic's signature it would be refused. */
function thinkingBlock(part: ReasoningPart, report: Report): Block | undefined {
  if (part.cache) report('cache')
  if (part.redacted !== undefined) return { type: 'redacted_thinking', data: part.redacted, ...ownRest(part.rest) }
  if (part.signature === undefined || part.signature === '') {
    report('messages.reasoning')
    return undefined
  }
  return { type: 'thinking', thinking: part.text, signature: part.signature, ...ownRest(part.rest) }
}

function resultBlock(part: ToolResultPart, report: Report): Block {
  const blocks: Block[] = []
  for (const item of part.content) {
    const block =
      item.type === 'text'
        ? item.text.trim() === ''
          ? undefined
          : { type: 'text', text: item.text, ...cacheControl(item.cache), ...ownRest(item.rest) }
        : item.type === 'opaque'
          ? opaqueBlock(item, report)
          : mediaBlock(item, report)
    if (block) blocks.push(block)
  }
  return {
    type: 'tool_result',
    tool_use_id: wireId(part.id),
    ...(blocks.length > 0 ? { content: contentOf(blocks) } : {}),
    ...(part.isError ? { is_error: true } : {}),
    ...cacheControl(part.cache),
    ...ownRest(part.rest),
  }
}

function opaqueBlock(part: OpaquePart, report: Report): Block | undefined {
  if (part.dialect === ID) return { ...part.value, ...cacheControl(part.cache) }
  report(`messages.${stringOf(part.value.type) ?? 'part'}`)
  return undefined
}

function mediaBlock(part: MediaPart, report: Report): Block | undefined {
  if (part.detail !== undefined && part.detail !== 'auto') report('messages.image_url.detail')
  const source = sourceOf(part)
  if (!source) {
    const kind = part.source.kind === 'data' ? part.source.mediaType : part.source.kind
    report(part.type === 'audio' ? 'messages.audio' : `messages.${part.type}.${kind}`)
    return undefined
  }
  const isImage = part.type === 'image' || (part.source.kind === 'data' && part.source.mediaType.startsWith('image/'))
  return {
    type: isImage ? 'image' : 'document',
    source,
    ...(isImage || part.name === undefined ? {} : { title: part.name }),
    ...cacheControl(part.cache),
    ...ownRest(part.rest),
  }
}

function sourceOf({ type, source }: MediaPart): JsonObject | undefined {
  if (type === 'audio') return undefined
  switch (source.kind) {
    case 'url':
      return { type: 'url', url: source.url }
    case 'id':
      // Another vendor's file means nothing here.
      return source.id.startsWith('file_') ? { type: 'file', file_id: source.id } : undefined
    case 'data': {
      const { mediaType, base64 } = source
      const essence = mediaType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
      if (type === 'image' || essence.startsWith('image/') || essence === 'application/pdf') {
        return { type: 'base64', media_type: essence, data: base64 }
      }
      if (!/^text\/|[/+](?:json|xml|yaml)$/.test(essence)) return undefined
      return { type: 'text', media_type: 'text/plain', data: Buffer.from(base64, 'base64').toString('utf8') }
    }
  }
}

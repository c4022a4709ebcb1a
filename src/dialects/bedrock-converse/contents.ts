/**
 * Canonical messages → `system` and `messages` of Converse: turns alternate and begin with the user, tool results belong
 * to the user's turn, blocks are told by their only key, and no text may be blank.
 */
import { badRequest } from '../../core/errors.ts'
import type { JsonObject, MediaPart, Message, OpaquePart, Part, TextPart, ToolResultPart } from '../../core/request.ts'
import { inputOf, wireId, wireName } from '../anthropic-messages/index.ts'
import { mediaBlock } from './media.ts'
import { cachePoint, type Family, ID, LONGEST_NAME, ownRest } from './vocabulary.ts'

type Report = (what: string) => void
interface Turn {
  readonly role: 'user' | 'assistant'
  blocks: JsonObject[]
}

const BEFORE_ASSISTANT = '(The conversation begins with the assistant.)'
const WITH_DOCUMENT = '(See the document.)'

export function conversationOf(
  messages: readonly Message[],
  family: Family,
  report: Report,
): { readonly system: readonly JsonObject[]; readonly messages: readonly JsonObject[] } {
  const leading = messages.findIndex(({ role }) => role !== 'system')
  const head = leading === -1 ? messages : messages.slice(0, leading)
  const writer = new TurnWriter(family, report)
  const system = head.flatMap((message) => writer.blocksOf(message, false))
  const turns: Turn[] = []
  for (const message of leading === -1 ? [] : messages.slice(leading)) {
    const role = message.role === 'assistant' ? 'assistant' : 'user'
    const blocks = writer.blocksOf(message, message.role === 'system')
    const last = turns.at(-1)
    if (blocks.length === 0) continue
    if (last?.role === role) last.blocks.push(...blocks)
    else turns.push({ role, blocks })
  }
  if (turns.length === 0) {
    if (system.length === 0) throw badRequest('There is no message with any content.', 'messages')
    return { system: [], messages: [{ role: 'user', content: system }] }
  }
  if (turns[0]?.role === 'assistant') turns.unshift({ role: 'user', blocks: [{ text: BEFORE_ASSISTANT }] })
  return { system, messages: turns.map(finished) }
}

/** Results first, where this API looks for them; a document beside no text gets one. */
function finished({ role, blocks }: Turn): JsonObject {
  if (role === 'assistant') {
    const last = blocks.at(-1)
    // An answer to be continued may not end in white space.
    const trimmed = typeof last?.text === 'string' ? [...blocks.slice(0, -1), { text: last.text.trimEnd() }] : blocks
    return { role, content: trimmed }
  }
  const results: JsonObject[] = []
  const others: JsonObject[] = []
  let last = others
  for (const block of blocks) {
    // A marker stays behind what it marks.
    if (block.cachePoint === undefined) last = block.toolResult === undefined ? others : results
    last.push(block)
  }
  const content = [...results, ...others]
  const lacksText = content.some((block) => block.document !== undefined) && !content.some((b) => b.text !== undefined)
  return { role, content: lacksText ? [...content, { text: WITH_DOCUMENT }] : content }
}

class TurnWriter {
  readonly #family: Family
  readonly #report: Report
  #media = 0

  constructor(family: Family, report: Report) {
    this.#family = family
    this.#report = report
  }

  blocksOf(message: Message, isDemoted: boolean): JsonObject[] {
    if (message.name !== undefined) this.#report('messages.name')
    const blocks: JsonObject[] = []
    for (const part of message.parts) {
      const block = this.#block(part, message.role === 'assistant', isDemoted)
      if (block) blocks.push(block)
      if (!part.cache) continue
      const marks = this.#family.caches && blocks.length > 0 && part.type !== 'reasoning'
      if (marks) blocks.push(cachePoint(part.cache))
      else this.#report('cache')
    }
    return blocks
  }

  #block(part: Part, isAssistant: boolean, isDemoted: boolean): JsonObject | undefined {
    switch (part.type) {
      case 'text':
      case 'refusal':
        if (part.text.trim() === '') return undefined
        return { text: isDemoted ? `<system>\n${part.text}\n</system>` : part.text }
      case 'image':
      case 'file':
      case 'audio':
        if (!isAssistant) return this.#medium(part)
        this.#report(`messages.assistant.${part.type}`)
        return undefined
      case 'reasoning':
        return isAssistant ? this.#reasoning(part) : undefined
      case 'tool-call':
        return {
          toolUse: {
            toolUseId: idOf(part.id),
            name: wireName(part.name, LONGEST_NAME),
            input: inputOf(part.arguments),
            ...ownRest(part.rest),
          },
        }
      case 'tool-result':
        return this.#result(part)
      case 'opaque':
        return this.#opaque(part)
    }
  }

  /** Only what was signed may come back; models that do not sign take none. */
  #reasoning(part: Extract<Part, { type: 'reasoning' }>): JsonObject | undefined {
    if (part.redacted !== undefined) return { reasoningContent: { redactedContent: part.redacted } }
    if (part.signature) return { reasoningContent: { reasoningText: { text: part.text, signature: part.signature } } }
    this.#report('messages.reasoning')
    return undefined
  }

  #result(part: ToolResultPart): JsonObject {
    const content: JsonObject[] = []
    for (const item of part.content) {
      const block =
        item.type === 'text' ? textOf(item) : item.type === 'opaque' ? this.#opaque(item) : this.#medium(item)
      if (block) content.push(block)
    }
    // An empty result is a result.
    if (content.length === 0) content.push({ text: '(no output)' })
    return {
      toolResult: {
        toolUseId: idOf(part.id),
        content,
        ...(part.isError ? { status: 'error' } : {}),
        ...ownRest(part.rest),
      },
    }
  }

  #opaque(part: OpaquePart): JsonObject | undefined {
    if (part.dialect === ID) return part.value
    this.#report(`messages.${typeof part.value.type === 'string' ? part.value.type : 'part'}`)
    return undefined
  }

  /** What cannot be carried is said before anything is asked: an answer about an image that never arrived is no answer. */
  #medium(part: MediaPart): JsonObject {
    if (part.detail !== undefined && part.detail !== 'auto') this.#report('messages.image_url.detail')
    this.#media++
    const block = mediaBlock(part, this.#media)
    if (block) return block
    const what =
      part.source.kind === 'data' ? part.source.mediaType : `an ${part.source.kind === 'url' ? 'address' : 'id'}`
    throw badRequest(`This upstream cannot take ${part.type} content given as ${what}; send it as data.`, 'messages')
  }
}

const textOf = ({ text }: TextPart): JsonObject | undefined => (text.trim() === '' ? undefined : { text })
const idOf = (id: string): string => wireId(id, LONGEST_NAME)

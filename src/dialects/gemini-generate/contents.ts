/**
 * Messages → `systemInstruction` and `contents`. The leading system messages are the instruction, later ones become
 * user text. Google knows two roles, and turns of one role that follow each other are one: so parallel calls stay
 * together, and their results after them.
 */
import { badRequest } from '../../core/errors.ts'
import type { JsonObject, JsonValue, MediaPart, Message, Part, ToolResultPart } from '../../core/request.ts'
import { mediaTypeOf } from './media-types.ts'
import { ID, isEmpty, isObject, isOurCallId, objectOf, ownRest, stringOf, wireName } from './vocabulary.ts'

/**
 * Documented by Google for history that another model wrote: from generation 3 on, the first call of each step of the
 * current turn must carry a signature, and this one skips the check.
 */
const NO_SIGNATURE = 'skip_thought_signature_validator'

/** What `functionResponse.parts` takes, from generation 3 on; anything else follows as a part of the same turn. */
const IN_RESPONSE = new Set('image/png image/jpeg image/webp application/pdf text/plain'.split(' '))

interface Turn {
  readonly role: 'user' | 'model'
  readonly parts: JsonObject[]
}

interface Call {
  readonly name: string
  readonly order: number
}

export interface Conversation {
  readonly system?: JsonObject
  readonly contents: readonly JsonObject[]
}

export function conversationOf(
  messages: readonly Message[],
  generation: number | undefined,
  report: (what: string) => void,
): Conversation {
  const first = messages.findIndex((message) => message.role !== 'system')
  const leading = messages.slice(0, first < 0 ? messages.length : first)
  const system = leading.flatMap((message) => message.parts.flatMap((part) => plainPart(part, report)))
  const turns: Turn[] = []
  const calls = new Map<string, Call>()
  let called = 0
  const add = (role: Turn['role'], parts: readonly JsonObject[]) => {
    if (parts.length === 0) return
    const last = turns.at(-1)
    if (last?.role === role) last.parts.push(...parts)
    else turns.push({ role, parts: [...parts] })
  }

  for (let i = leading.length; i < messages.length; i++) {
    const message = messages[i] as Message
    if (message.name !== undefined) report('messages.name')
    if (message.role === 'tool') {
      // Results that have no id are matched by order, so they go in the order of their calls.
      const results: { readonly part: ToolResultPart; readonly call: Call }[] = []
      for (; messages[i]?.role === 'tool'; i++) {
        for (const part of (messages[i] as Message).parts) {
          if (part.type === 'tool-result') results.push({ part, call: callOf(part, calls) })
        }
      }
      i--
      results.sort((a, b) => a.call.order - b.call.order)
      const written = results.map(({ part, call }) => resultParts(part, call.name, generation, report))
      add('user', [...written.map((w) => w.response), ...written.flatMap((w) => w.after)])
    } else if (message.role === 'assistant') {
      for (const part of message.parts) {
        if (part.type === 'tool-call') calls.set(part.id, { name: part.name, order: called++ })
      }
      add(
        'model',
        message.parts.flatMap((part) => plainPart(part, report)),
      )
    } else
      add(
        'user',
        message.parts.flatMap((part) => plainPart(part, report)),
      )
  }

  if (generation !== undefined && generation >= 3) signCurrentTurn(turns)
  // A request must have contents: instructions alone are sent as what the user says.
  if (turns.length === 0 && system.length > 0) return { contents: [{ role: 'user', parts: system }] }
  return { ...(system.length > 0 ? { system: { parts: system } } : {}), contents: turns.map((turn) => ({ ...turn })) }
}

function callOf(part: ToolResultPart, calls: ReadonlyMap<string, Call>): Call {
  const call = calls.get(part.id)
  if (call) return call
  if (part.name !== undefined) return { name: part.name, order: Number.MAX_SAFE_INTEGER }
  throw badRequest(`The tool result for "${part.id}" follows no tool call of that id.`, 'messages')
}

/** The current turn begins with the last thing the user said; only its steps are checked. */
function signCurrentTurn(turns: readonly Turn[]): void {
  for (let i = turns.length - 1; i >= 0; i--) {
    const { role, parts } = turns[i] as Turn
    if (role === 'user') {
      if (!parts.some((part) => part.functionResponse !== undefined)) return
      continue
    }
    const at = parts.findIndex((part) => part.functionCall !== undefined)
    const call = parts[at]
    if (call && call.thoughtSignature === undefined) parts[at] = { ...call, thoughtSignature: NO_SIGNATURE }
  }
}

/** One part of an instruction, a user's or the model's turn; none where it says nothing or cannot be said. */
function plainPart(part: Part, report: (what: string) => void): JsonObject[] {
  if (part.cache) report('cache')
  const own = ownRest(part.rest)
  switch (part.type) {
    case 'text':
      return part.text === '' && isEmpty(own) ? [] : [{ text: part.text, ...own }]
    case 'refusal':
      return part.text === '' ? [] : [{ text: part.text }]
    case 'reasoning':
      // A signature outside our own rest is another vendor's, and Google would refuse the request for it.
      if (part.redacted !== undefined) report('messages.reasoning')
      return part.text === '' && own.thoughtSignature === undefined ? [] : [{ text: part.text, thought: true, ...own }]
    case 'image':
    case 'file':
    case 'audio':
      return mediaPart(part, report)
    case 'tool-call':
      return [
        {
          functionCall: {
            ...(isOurCallId(part.id) ? {} : { id: part.id }),
            name: wireName(part.name),
            args: argumentsOf(part.arguments, () => report('messages.tool_calls.arguments')),
          },
          ...(part.signature === undefined ? {} : { thoughtSignature: part.signature }),
          ...own,
        },
      ]
    case 'tool-result':
      return []
    case 'opaque':
      if (part.dialect === ID) return [part.value]
      report(`messages.${stringOf(part.value.type) ?? 'part'}`)
      return []
  }
}

/** Google takes an object only. Anything else that a model wrote is carried as `{"arguments": …}`, text if not JSON. */
export function argumentsOf(text: string, wrapped: () => void): JsonObject {
  if (text.trim() === '') return {}
  let value: JsonValue = text
  try {
    value = JSON.parse(text)
  } catch {
    // Cut off, or never JSON: carried as it stands.
  }
  if (isObject(value)) return value
  wrapped()
  return { arguments: value }
}

/** By data, or by any address as `fileData`: Google fetches public https ones itself, like those of its file stores. */
function mediaPart(part: MediaPart, report: (what: string) => void): JsonObject[] {
  const { mimeType, ...own } = ownRest(part.rest)
  if (part.detail !== undefined && part.detail !== 'auto') report('messages.image_url.detail')
  switch (part.source.kind) {
    case 'data':
      return [{ inlineData: { mimeType: part.source.mediaType, data: part.source.base64 }, ...own }]
    case 'url': {
      const type = stringOf(mimeType) ?? mediaTypeOf(part.source.url, part.type)
      return [{ fileData: { ...(type === undefined ? {} : { mimeType: type }), fileUri: part.source.url }, ...own }]
    }
    case 'id':
      report(`messages.${part.type}.id`)
      return []
  }
}

/** `{result}` or `{error}`; what came from Google's own client as an object goes back as that object. */
function resultParts(
  part: ToolResultPart,
  name: string,
  generation: number | undefined,
  report: (what: string) => void,
): { readonly response: JsonObject; readonly after: readonly JsonObject[] } {
  if (part.cache) report('cache')
  const { isObject: wasObject, part: beside, ...own } = ownRest(part.rest)
  const texts: string[] = []
  const inside: JsonObject[] = []
  const after: JsonObject[] = []
  for (const item of part.content) {
    if (item.type === 'text') texts.push(item.text)
    else if (item.type === 'opaque') report(`messages.${stringOf(item.value.type) ?? 'part'}`)
    else {
      const { source } = item
      const fits =
        source.kind === 'data' && IN_RESPONSE.has(source.mediaType) && generation !== undefined && generation >= 3
      const parts = mediaPart(item, report)
      if (fits) inside.push(...parts)
      else after.push(...parts)
    }
  }
  const text = texts.join('\n')
  let response: JsonObject = part.isError ? { error: text } : { result: text }
  if (wasObject === true) response = argumentsOf(text, () => {})
  return {
    response: {
      functionResponse: {
        ...(isOurCallId(part.id) ? {} : { id: part.id }),
        name: wireName(name),
        response,
        ...(inside.length > 0 ? { parts: inside } : {}),
        ...own,
      },
      ...objectOf(beside),
    },
    after,
  }
}

/**
 * `contents` → messages. Google's user turns hold what the user says and what functions answered; a tool message holds
 * results only, so such a turn becomes several messages in its order. Calls without an id get one of ours, and results
 * without an id are matched to them by name and order, as Google does it.
 */
import { badRequest } from '../../core/errors.ts'
import type {
  JsonObject,
  JsonValue,
  MediaPart,
  Message,
  Part,
  TextPart,
  ToolCallPart,
  ToolResultPart,
} from '../../core/request.ts'
import { kindOf, mediaTypeOf } from './media-types.ts'
import { asRest, callId, camelKeys, ID, isEmpty, isObject, listOf, objectOf, stringOf } from './vocabulary.ts'

/** The member of `partMetadata` where our reply keeps another vendor's signature or sealed thought. */
export const KEPT = 'stockyard'

export function systemMessage(instruction: JsonValue): Message {
  if (typeof instruction === 'string') return { role: 'system', parts: [{ type: 'text', text: instruction }] }
  return { role: 'system', parts: partsOf(objectOf(instruction), 'systemInstruction').map(plainPart) }
}

export function messagesOf(contents: JsonValue): Message[] {
  const messages: Message[] = []
  let made = 0
  const newId = () => callId('h', made++)
  /** The calls of the last step, oldest first. */
  let unanswered: ToolCallPart[] = []
  for (const [i, content] of listOf(contents).entries()) {
    const at = `contents[${i}]`
    if (!isObject(content)) throw badRequest(`"${at}" must be an object.`, at)
    const { role } = content
    const parts = partsOf(content, at)
    if (role === 'model') {
      const said = parts.map((part) => (isObject(part.functionCall) ? callPart(part, newId) : plainPart(part)))
      unanswered = said.filter((part) => part.type === 'tool-call')
      messages.push({ role: 'assistant', parts: said })
      continue
    }
    if (role !== undefined && role !== 'user' && role !== 'function' && role !== '') {
      throw badRequest(`"${at}.role" must be "user" or "model".`, `${at}.role`)
    }
    const runs: { readonly role: 'user' | 'tool'; readonly parts: Part[] }[] = []
    for (const part of parts) {
      const isResult = isObject(part.functionResponse)
      const read = isResult ? resultPart(part, unanswered, newId) : plainPart(part)
      const run = runs.at(-1)
      if (run && (run.role === 'tool') === isResult) run.parts.push(read)
      else runs.push({ role: isResult ? 'tool' : 'user', parts: [read] })
    }
    messages.push(...runs)
  }
  return messages
}

function partsOf(content: JsonObject, at: string): JsonObject[] {
  return listOf(content.parts).map((part, k) => {
    if (!isObject(part)) throw badRequest(`"${at}.parts[${k}]" must be an object.`, `${at}.parts[${k}]`)
    return camelKeys(part)
  })
}

function plainPart(part: JsonObject): Part {
  const { text, thought, inlineData, fileData, partMetadata, ...others } = part
  const { [KEPT]: kept, ...metadata } = objectOf(partMetadata)
  const own = { ...others, ...(isEmpty(metadata) ? {} : { partMetadata: metadata }) }
  if (typeof text === 'string') {
    if (thought !== true) return { type: 'text', text, ...asRest(own) }
    const signature = stringOf(objectOf(kept).signature)
    const redacted = stringOf(objectOf(kept).redacted)
    return {
      type: 'reasoning',
      text,
      ...(signature === undefined ? {} : { signature }),
      ...(redacted === undefined ? {} : { redacted }),
      ...asRest(own),
    }
  }
  if (isObject(inlineData)) {
    const { mimeType, data, displayName } = camelKeys(inlineData)
    const mediaType = stringOf(mimeType) ?? 'application/octet-stream'
    return {
      type: kindOf(mediaType),
      source: { kind: 'data', mediaType, base64: stringOf(data) ?? '' },
      ...(typeof displayName === 'string' ? { name: displayName } : {}),
      ...asRest(own),
    }
  }
  if (isObject(fileData)) return filePart(camelKeys(fileData), own)
  return { type: 'opaque', dialect: ID, value: part }
}

/** The media type is kept beside the address, which has no place for it. */
function filePart(fileData: JsonObject, own: JsonObject): MediaPart {
  const url = stringOf(fileData.fileUri) ?? ''
  const mimeType = stringOf(fileData.mimeType)
  return {
    type: kindOf(mimeType ?? mediaTypeOf(url, 'file') ?? ''),
    source: { kind: 'url', url },
    ...asRest({ ...own, ...(mimeType === undefined ? {} : { mimeType }) }),
  }
}

function callPart(part: JsonObject, newId: () => string): ToolCallPart {
  const { functionCall, thoughtSignature, ...others } = part
  const { id, name, args } = objectOf(functionCall)
  if (typeof name !== 'string') throw badRequest('A "functionCall" needs a name.', 'contents')
  return {
    type: 'tool-call',
    id: stringOf(id) ?? newId(),
    name,
    arguments: JSON.stringify(args ?? {}),
    ...(typeof thoughtSignature === 'string' ? { signature: thoughtSignature } : {}),
    ...asRest(others),
  }
}

function resultPart(part: JsonObject, unanswered: ToolCallPart[], newId: () => string): ToolResultPart {
  const { functionResponse, ...beside } = part
  const { id, name, response, parts, ...others } = camelKeys(objectOf(functionResponse))
  const called = unanswered.findIndex((call) => (typeof id === 'string' ? call.id === id : call.name === name))
  const call = called < 0 ? undefined : unanswered.splice(called, 1)[0]
  const { text, isError, isPlain } = said(objectOf(response))
  const media = listOf(parts).flatMap((item): MediaPart[] => {
    const read = isObject(item) ? plainPart(camelKeys(item)) : undefined
    return read && (read.type === 'image' || read.type === 'file' || read.type === 'audio') ? [read] : []
  })
  const own = { ...others, ...(isPlain ? {} : { isObject: true }), ...(isEmpty(beside) ? {} : { part: beside }) }
  return {
    type: 'tool-result',
    id: stringOf(id) ?? call?.id ?? newId(),
    ...(typeof name === 'string' ? { name } : {}),
    ...(isError ? { isError } : {}),
    content: [{ type: 'text', text } satisfies TextPart, ...media],
    ...asRest(own),
  }
}

/** A text alone under the usual names is that text; any other object is carried as its JSON. */
function said(response: JsonObject): { readonly text: string; readonly isError?: true; readonly isPlain: boolean } {
  const [name, ...more] = Object.keys(response)
  if (more.length === 0 && name === 'result' && typeof response.result === 'string') {
    return { text: response.result, isPlain: true }
  }
  if (more.length === 0 && name === 'error' && typeof response.error === 'string') {
    return { text: response.error, isError: true, isPlain: true }
  }
  return { text: JSON.stringify(response), isPlain: false }
}

/** The parts that messages and tool results hold, both ways: text, pictures, files. */
import type { JsonObject, JsonValue, MediaPart, OpaquePart, Part, RefusalPart, TextPart } from '../../core/request.ts'
import { isObject, listOf, mustBe, optional, required, without } from '../openai-chat/index.ts'
import { asRest, ID, ownRest } from './vocabulary.ts'

type Report = (what: string) => void
type ContentPart = TextPart | MediaPart | RefusalPart | OpaquePart

/** A string, or an array of parts. */
export function readContent(content: JsonValue | undefined, at: string): ContentPart[] {
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }]
  if (!Array.isArray(content)) throw mustBe('a string or an array of parts', at)
  return listOf(content).map((part, i) => {
    if (!isObject(part)) throw mustBe('an object', `${at}[${i}]`)
    return readPart(part, `${at}[${i}]`)
  })
}

function readPart(part: JsonObject, at: string): ContentPart {
  const { type, prompt_cache_breakpoint, ...fields } = part
  const cache = isObject(prompt_cache_breakpoint) ? { cache: {} } : {}
  switch (type) {
    case 'input_text':
    case 'output_text':
    case 'text': {
      const text = required(part, 'text', 'string', at)
      const { text: _, annotations, logprobs, ...others } = fields
      const lists = {
        ...(listOf(annotations).length > 0 ? { annotations } : {}),
        ...(listOf(logprobs).length > 0 ? { logprobs } : {}),
      }
      return { type: 'text', text, ...cache, ...asRest({ ...others, ...lists }) }
    }
    case 'refusal':
      return { type: 'refusal', text: required(part, 'refusal', 'string', at) }
    case 'input_image': {
      const detail = optional(part, 'detail', 'string', at)
      const source = sourceOf(optional(part, 'image_url', 'string', at), optional(part, 'file_id', 'string', at))
      if (!source) throw mustBe('an object with "image_url" or "file_id"', at)
      const others = asRest(without(fields, 'image_url', 'file_id', 'detail'))
      return { type: 'image', source, ...(detail === undefined ? {} : { detail }), ...cache, ...others }
    }
    case 'input_file': {
      const name = optional(part, 'filename', 'string', at)
      const address = optional(part, 'file_data', 'string', at) ?? optional(part, 'file_url', 'string', at)
      const source = sourceOf(address, optional(part, 'file_id', 'string', at))
      if (!source) throw mustBe('an object with "file_data", "file_url" or "file_id"', at)
      const others = asRest(without(fields, 'file_data', 'file_url', 'file_id', 'filename'))
      return { type: 'file', source, ...(name === undefined ? {} : { name }), ...cache, ...others }
    }
    case 'input_audio': {
      const { data, format } = required(part, 'input_audio', 'object', at)
      if (typeof data !== 'string' || typeof format !== 'string') break
      const mediaType = format === 'mp3' ? 'audio/mpeg' : `audio/${format}`
      return { type: 'audio', source: { kind: 'data', mediaType, base64: data }, ...cache }
    }
  }
  return { type: 'opaque', dialect: ID, value: part }
}

function sourceOf(address: string | undefined, id: string | undefined): MediaPart['source'] | undefined {
  if (address === undefined) return id === undefined ? undefined : { kind: 'id', id }
  const match = /^data:([^,]*?);base64,/i.exec(address.slice(0, 300))
  if (match) {
    return { kind: 'data', mediaType: match[1] || 'application/octet-stream', base64: address.slice(match[0].length) }
  }
  // Bare base64 is how some clients send a PDF; an address has a scheme.
  if (/^[a-z][a-z0-9+.-]*:/i.test(address)) return { kind: 'url', url: address }
  return { kind: 'data', mediaType: 'application/pdf', base64: address }
}

/** `side` says whose words they are: the API has two names for a text. */
export function writePart(part: Part, side: 'input' | 'output', report: Report): JsonObject | undefined {
  switch (part.type) {
    case 'text': {
      const { message: _, role: __, ...own } = ownRest(part.rest)
      const lists = side === 'output' ? { annotations: [], logprobs: [] } : {}
      const mark = part.cache && own.prompt_cache_breakpoint === undefined ? markOf(report) : {}
      return { type: `${side}_text`, text: part.text, ...lists, ...own, ...mark }
    }
    case 'refusal':
      return side === 'output' ? { type: 'refusal', refusal: part.text } : { type: 'input_text', text: part.text }
    case 'image':
    case 'file':
    case 'audio':
      return writeMedia(part, report)
    case 'opaque':
      if (part.dialect === ID) return part.value
      report(`messages.${typeof part.value.type === 'string' ? part.value.type : 'part'}`)
      return undefined
    default:
      return undefined
  }
}

const markOf = (report: Report): JsonObject => {
  report('cache')
  return {}
}

function writeMedia(part: MediaPart, report: Report): JsonObject | undefined {
  const { type, source } = part
  const own = ownRest(part.rest)
  const address =
    source.kind === 'url'
      ? source.url
      : source.kind === 'data'
        ? `data:${source.mediaType};base64,${source.base64}`
        : ''
  if (part.cache) report('cache')
  if (type === 'audio') {
    if (source.kind === 'data') {
      const format = source.mediaType === 'audio/mpeg' ? 'mp3' : source.mediaType.replace(/^audio\/(?:x-)?/, '')
      return { type: 'input_audio', input_audio: { data: source.base64, format }, ...own }
    }
    report(`messages.audio.${source.kind}`)
    return undefined
  }
  // Another vendor's file means nothing here.
  if (source.kind === 'id' && !/^file-/.test(source.id)) {
    report(`messages.${type}.id`)
    return undefined
  }
  if (type === 'image') {
    const where = source.kind === 'id' ? { file_id: source.id } : { image_url: address }
    return { type: 'input_image', ...where, detail: part.detail ?? 'auto', ...own }
  }
  if (source.kind === 'id') return { type: 'input_file', file_id: source.id, ...own }
  if (source.kind === 'url') return { type: 'input_file', file_url: address, ...own }
  // The API wants a name beside data.
  const filename = part.name ?? `file.${source.mediaType.replace(/^.*[/+]/, '')}`
  return { type: 'input_file', filename, file_data: address, ...own }
}

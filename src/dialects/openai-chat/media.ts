/**
 * Pictures, files and sound in messages, both ways. OpenAI carries data as a data URL, or (sound) as bare base64 with a
 * format; an address or a file id stands in the same place.
 */
import type { JsonObject, MediaPart } from '../../core/request.ts'
import { mustBe, optional, placeOf, required } from './fields.ts'
import { asRest, isEmpty, objectOf, ownRest, without } from './vocabulary.ts'

/** `wav` and `mp3` are all that the API documents; its imitators take more, named by the subtype. */
const SOUND: Readonly<Record<string, string>> = { mp3: 'audio/mpeg', wav: 'audio/wav', m4a: 'audio/mp4' }
const SOUND_NAMES: Readonly<Record<string, string>> = {
  'audio/mpeg': 'mp3',
  'audio/x-wav': 'wav',
  'audio/wave': 'wav',
  'audio/mp4': 'm4a',
}
const BY_ENDING: Readonly<Record<string, string>> = {
  pdf: 'application/pdf',
  txt: 'text/plain',
  md: 'text/markdown',
  csv: 'text/csv',
  html: 'text/html',
  json: 'application/json',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  pptx: 'application/vnd.openxmlformats-officedocument.presentationml.presentation',
}

type Source = MediaPart['source']

/** `data:image/png;base64,…` → its data; anything else is an address. */
function sourceOf(url: string): Source {
  const match = /^data:([^,]*?);base64,/i.exec(url.length > 300 ? url.slice(0, 300) : url)
  if (!match) return { kind: 'url', url }
  return { kind: 'data', mediaType: match[1] || 'application/octet-stream', base64: url.slice(match[0].length) }
}

const urlOf = (source: Extract<Source, { kind: 'data' | 'url' }>): string =>
  source.kind === 'url' ? source.url : `data:${source.mediaType};base64,${source.base64}`

/** `part` is one of type `image_url`, `input_audio` or `file`, without `type` and cache markers. */
export function readMedia(type: string, part: JsonObject, at: string): MediaPart {
  const place = placeOf(at, type)
  const rest = (inner: JsonObject, ...read: readonly string[]) => {
    const kept = without(inner, ...read)
    return asRest({ ...without(part, type), ...(isEmpty(kept) ? {} : { [type]: kept }) })
  }
  if (type === 'image_url') {
    // Many clients send the address alone.
    const image = typeof part[type] === 'string' ? { url: part[type] } : required(part, type, 'object', at)
    const url = required(image, 'url', 'string', place)
    const detail = optional(image, 'detail', 'string', place)
    const wanted = detail === undefined ? {} : { detail }
    return { type: 'image', source: sourceOf(url), ...wanted, ...rest(image, 'url', 'detail') }
  }
  if (type === 'input_audio') {
    const sound = required(part, type, 'object', at)
    const base64 = required(sound, 'data', 'string', place)
    const format = required(sound, 'format', 'string', place)
    const mediaType = SOUND[format] ?? `audio/${format}`
    return { type: 'audio', source: { kind: 'data', mediaType, base64 }, ...rest(sound, 'data', 'format') }
  }
  const file = required(part, type, 'object', at)
  const name = optional(file, 'filename', 'string', place)
  const data = optional(file, 'file_data', 'string', place)
  const id = optional(file, 'file_id', 'string', place)
  const kept = { ...(name === undefined ? {} : { name }), ...rest(file, 'file_data', 'file_id', 'filename') }
  if (data !== undefined) return { type: 'file', source: fileSource(data, name), ...kept }
  if (id !== undefined) return { type: 'file', source: { kind: 'id', id }, ...kept }
  throw mustBe('an object with "file_data" or "file_id"', place)
}

function fileSource(data: string, name: string | undefined): Source {
  if (/^(?:data|https?|gs):/i.test(data.slice(0, 8))) return sourceOf(data)
  const ending = /\.(\w+)$/.exec(name ?? '')?.[1]?.toLowerCase()
  return { kind: 'data', mediaType: (ending && BY_ENDING[ending]) || 'application/pdf', base64: data }
}

/** None where OpenAI has no way to say it, which is reported. */
export function writeMedia(part: MediaPart, report: (what: string) => void): JsonObject | undefined {
  const { source } = part
  const own = ownRest(part.rest)
  switch (part.type) {
    case 'image': {
      if (source.kind === 'id') break
      const detail = part.detail === undefined ? {} : { detail: part.detail }
      const { image_url, ...beside } = own
      return { type: 'image_url', image_url: { url: urlOf(source), ...detail, ...objectOf(image_url) }, ...beside }
    }
    case 'audio': {
      if (source.kind !== 'data') break
      const format = SOUND_NAMES[source.mediaType] ?? source.mediaType.replace(/^audio\/(?:x-)?/, '')
      const { input_audio, ...beside } = own
      return { type: 'input_audio', input_audio: { data: source.base64, format, ...objectOf(input_audio) }, ...beside }
    }
    case 'file': {
      const { file, ...beside } = own
      // The API wants a name beside data.
      const name = part.name ?? (source.kind === 'data' ? `file.${endingOf(source.mediaType)}` : undefined)
      const filename = name === undefined ? {} : { filename: name }
      const content = source.kind === 'id' ? { file_id: source.id } : { file_data: urlOf(source) }
      return { type: 'file', file: { ...filename, ...content, ...objectOf(file) }, ...beside }
    }
  }
  report(`messages.${part.type}.${source.kind}`)
  return undefined
}

const endingOf = (mediaType: string): string =>
  Object.keys(BY_ENDING).find((ending) => BY_ENDING[ending] === mediaType) ?? mediaType.replace(/^.*\//, '')

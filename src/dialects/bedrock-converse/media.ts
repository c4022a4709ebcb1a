/**
 * Images, documents and sound as Converse takes them: by data or from a bucket, under a format of its own list. It fetches
 * nothing from the web. Documents need a name of a narrow alphabet, and a text beside them.
 */
import type { JsonObject, MediaPart } from '../../core/request.ts'

const IMAGES = new Set(['png', 'jpeg', 'gif', 'webp'])
const DOCUMENTS: Readonly<Record<string, string>> = {
  'application/pdf': 'pdf',
  'text/csv': 'csv',
  'application/msword': 'doc',
  'application/vnd.openxmlformats-officedocument.wordprocessingml.document': 'docx',
  'application/vnd.ms-excel': 'xls',
  'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet': 'xlsx',
  'text/html': 'html',
  'text/plain': 'txt',
  'text/markdown': 'md',
}
const AUDIO: Readonly<Record<string, string>> = {
  mpeg: 'mp3',
  mp3: 'mp3',
  wav: 'wav',
  ogg: 'ogg',
  flac: 'flac',
  aac: 'aac',
}

/** Undefined: it cannot be carried. `number` tells documents of one message apart. */
export function mediaBlock(part: MediaPart, number: number): JsonObject | undefined {
  const { source } = part
  const from =
    source.kind === 'data'
      ? { bytes: source.base64 }
      : source.kind === 'url' && source.url.startsWith('s3://')
        ? { s3Location: { uri: source.url } }
        : undefined
  if (!from) return undefined
  const type = source.kind === 'data' ? essence(source.mediaType) : byEnding(source.kind === 'url' ? source.url : '')
  const [kind = '', sub = ''] = type.split('/')
  if (kind === 'image') {
    const format = sub === 'jpg' ? 'jpeg' : sub
    return IMAGES.has(format) ? { image: { format, source: from } } : undefined
  }
  if (kind === 'audio') {
    const format = AUDIO[sub.replace(/^x-/, '')]
    return format === undefined ? undefined : { audio: { format, source: from } }
  }
  const format = DOCUMENTS[type] ?? (/^text\/|[/+](?:json|xml|yaml)$/.test(type) ? 'txt' : undefined)
  return format === undefined ? undefined : { document: { format, name: nameOf(part, number), source: from } }
}

const essence = (mediaType: string): string => mediaType.split(';', 1)[0]?.trim().toLowerCase() ?? ''

function byEnding(url: string): string {
  const ending = /\.([A-Za-z0-9]+)$/.exec(url)?.[1]?.toLowerCase() ?? ''
  if (ending === 'jpg' || IMAGES.has(ending)) return `image/${ending}`
  return Object.entries(DOCUMENTS).find(([, format]) => format === ending)?.[0] ?? ''
}

/** Letters, digits, single spaces, hyphens and brackets, at most 200. The dot of an ending is none of them. */
function nameOf({ name }: MediaPart, number: number): string {
  const clean = (name ?? '')
    .replace(/[^A-Za-z0-9\s\-()[\]]/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 180)
  return clean === '' ? `document ${number}` : `${clean} ${number}`
}

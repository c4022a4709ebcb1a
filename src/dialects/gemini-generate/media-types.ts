/**
 * The media type of something that is only known by its address. Google wants one for most addresses; where the path's
 * ending does not tell, the kind of part does. Its own file store and video pages know theirs.
 */
const BY_ENDING: Readonly<Record<string, string>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
  gif: 'image/gif',
  heic: 'image/heic',
  heif: 'image/heif',
  bmp: 'image/bmp',
  pdf: 'application/pdf',
  txt: 'text/plain',
  md: 'text/markdown',
  csv: 'text/csv',
  html: 'text/html',
  json: 'application/json',
  mp3: 'audio/mpeg',
  wav: 'audio/wav',
  flac: 'audio/flac',
  ogg: 'audio/ogg',
  m4a: 'audio/mp4',
  aac: 'audio/aac',
  mp4: 'video/mp4',
  mov: 'video/quicktime',
  webm: 'video/webm',
}
const BY_KIND = { image: 'image/jpeg', file: 'application/pdf', audio: 'audio/mpeg' } as const
const KNOWS_ITS_OWN = /\/v1(?:alpha|beta)\/files\/|^https?:\/\/(?:www\.|m\.)?youtu(?:be\.com|\.be)\//

export function mediaTypeOf(url: string, kind: 'image' | 'file' | 'audio'): string | undefined {
  if (KNOWS_ITS_OWN.test(url)) return undefined
  const ending = /\.([A-Za-z0-9]{1,5})(?:[?#]|$)/.exec(url)?.[1]?.toLowerCase() ?? ''
  return Object.hasOwn(BY_ENDING, ending) ? BY_ENDING[ending] : BY_KIND[kind]
}

/** Which of our three kinds of part a media type is. */
export const kindOf = (mediaType: string): 'image' | 'file' | 'audio' =>
  mediaType.startsWith('image/') ? 'image' : mediaType.startsWith('audio/') ? 'audio' : 'file'

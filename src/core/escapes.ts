/**
 * JSON as text that comes in pieces, as the arguments of a call do: what its escapes mean, where one breaks off, and whether
 * a place stands in a string. And texts made from others, in which every position knows where it stood.
 */
export const ESCAPES = /\\(?:u[0-9a-fA-F]{4}|.)/gsu

const MEANT: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' }
/** What a whole escape says. */
export function unescaped(found: string): string {
  const [, kind = ''] = found
  if (kind === 'u' && found.length === 6) return String.fromCharCode(Number.parseInt(found.slice(2), 16))
  return MEANT[kind] ?? kind
}

/** Where an escape begins that the text breaks off in; its length if none. */
export function unfinishedEscape(text: string): number {
  const broken = /\\(?:u[0-9a-fA-F]{0,3})?$/.exec(text)
  if (!broken) return text.length
  let slashes = broken.index
  while (text[slashes - 1] === '\\') slashes--
  return (broken.index - slashes) % 2 === 0 ? broken.index : text.length
}

/** Whether a JSON text that stood in a string (or not) still does at its end, which is inside no escape. */
export function inString(json: string, before: boolean): boolean {
  let within = before
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (code === 92 && within) i++
    else if (code === 34) within = !within
  }
  return within
}

export interface Mapped {
  readonly text: string
  /** Where a position of the text stands in the original. */
  original(position: number): number
}
const same = (position: number): number => position

export const unmapped = (text: string): Mapped => ({ text, original: same })

/** What `pattern`, a global one, finds, replaced by what `plain` makes of it. */
export function mapped(text: string, pattern: RegExp, plain: (found: string) => string): Mapped {
  pattern.lastIndex = 0
  let out = ''
  let read = 0
  /** From these positions on, the original is so much further. */
  const at: number[] = []
  const shift: number[] = []
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const [found] = match
    const instead = plain(found)
    if (instead === found) continue
    out += text.slice(read, match.index)
    for (let i = 0; i < instead.length; i++) {
      at.push(out.length + i)
      shift.push(match.index - out.length - i)
    }
    out += instead
    read = match.index + found.length
    at.push(out.length)
    shift.push(read - out.length)
  }
  if (at.length === 0) return unmapped(text)
  out += text.slice(read)
  return { text: out, original: (position) => position + shiftAt(at, shift, position) }
}

function shiftAt(at: readonly number[], shift: readonly number[], position: number): number {
  let low = 0
  let high = at.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((at[middle] as number) <= position) low = middle + 1
    else high = middle
  }
  return low === 0 ? 0 : (shift[low - 1] as number)
}

/**
 * Text as detectors see it: full-width and other digits as ASCII, odd spaces and hyphens as plain ones, zero-width
 * characters gone, and on request JSON's escapes resolved. What is found is mapped back to the text as it was written.
 */

export interface Folded {
  readonly text: string
  /** Where a position of the folded text stands in the original. */
  original(position: number): number
}

const same = (position: number): number => position

/** Anything that folds: compatibility forms, digits of other scripts, spaces, hyphens, and what nobody sees. */
const FOLDS =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: the joiners are meant one by one
  /[\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u2015\u2024\u2028-\u202f\u205f-\u206f\u2070-\u209c\u2212\u2460-\u249b\u24b6-\u24ea\u3000\u3164\ufe00-\ufe0f\ufe50-\ufe6b\ufeff\uff01-\uff5e\uffa0]|[^\P{Nd}0-9]|[\u{1d400}-\u{1d7ff}\u{e0000}-\u{e0fff}]|(?<=[\d\u041e\u043e\u039f\u03bf][ .-]?)[\u041e\u043e\u039f\u03bf](?=[ .-]?[\d\u041e\u043e\u039f\u03bf])/gu
const ESCAPES = /\\(?:u[0-9a-fA-F]{4}|.)/gsu
const ASCII = /^[\0-\x7f]*$/

export function fold(text: string, json = false): Folded {
  const escaped = json && text.includes('\\')
  if (!escaped && ASCII.test(text)) return { text, original: same }
  const pattern = escaped ? new RegExp(`${ESCAPES.source}|${FOLDS.source}`, 'gsu') : FOLDS
  pattern.lastIndex = 0
  let out = ''
  let read = 0
  /** From these folded positions on, the original is so much further. */
  const at: number[] = []
  const shift: number[] = []
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const [found] = match
    const plain = found.startsWith('\\') && escaped ? unescaped(found) : plainOf(found)
    if (plain === found) continue
    out += text.slice(read, match.index)
    for (let i = 0; i < plain.length; i++) {
      at.push(out.length + i)
      shift.push(match.index - out.length - i)
    }
    out += plain
    read = match.index + found.length
    at.push(out.length)
    shift.push(read - out.length)
  }
  if (at.length === 0) return { text, original: same }
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

const ESCAPED: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' }
function unescaped(found: string): string {
  const [, kind = ''] = found
  if (kind === 'u' && found.length === 6) return String.fromCharCode(Number.parseInt(found.slice(2), 16))
  return ESCAPED[kind] ?? kind
}

function plainOf(char: string): string {
  const code = char.codePointAt(0) as number
  if (code === 0x41e || code === 0x43e || code === 0x39f || code === 0x3bf) return '0'
  if ((code >= 0x2010 && code <= 0x2015) || code === 0x2212) return '-'
  if (code === 0xa0 || (code >= 0x2000 && code <= 0x200a) || code === 0x202f || code === 0x205f || code === 0x3000)
    return ' '
  if (code === 0x2028 || code === 0x2029) return '\n'
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: as above
  if (/[\p{Cf}\p{Mn}\u115f\u1160\u3164\uffa0\u180b-\u180f]/u.test(char)) return ''
  if (/\p{Nd}/u.test(char)) return String(digitOf(code))
  return char.normalize('NFKC')
}

/** Unicode gives each script's ten digits in a row. */
function digitOf(code: number): number {
  let first = code
  while (code - first < 9 && /\p{Nd}/u.test(String.fromCodePoint(first - 1))) first--
  // Mathematical digits stand in five rows without a gap.
  if (code >= 0x1d7ce && code <= 0x1d7ff) return (code - 0x1d7ce) % 10
  return code - first
}

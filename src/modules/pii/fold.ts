/**
 * Text as detectors see it: full-width and other digits as ASCII, odd spaces and hyphens as plain ones, zero-width
 * characters gone, and on request JSON's escapes resolved. What is found is mapped back to the text as it was written.
 */

import { ESCAPES, type Mapped, mapped, unescaped, unmapped } from '../../core/escapes.ts'

/** Anything that folds: compatibility forms, digits of other scripts, spaces, hyphens, and what nobody sees. */
const FOLDS =
  // biome-ignore lint/suspicious/noMisleadingCharacterClass: the joiners are meant one by one
  /[\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u2015\u2024\u2028-\u202f\u205f-\u206f\u2070-\u209c\u2212\u2460-\u249b\u24b6-\u24ea\u3000\u3164\ufe00-\ufe0f\ufe50-\ufe6b\ufeff\uff01-\uff5e\uffa0]|[^\P{Nd}0-9]|[\u{1d400}-\u{1d7ff}\u{e0000}-\u{e0fff}]|(?<=[\d\u041e\u043e\u039f\u03bf][ .-]?)[\u041e\u043e\u039f\u03bf](?=[ .-]?[\d\u041e\u043e\u039f\u03bf])/gu
const ASCII = /^[\0-\x7f]*$/

export function fold(text: string, json = false): Mapped {
  const escaped = json && text.includes('\\')
  if (!escaped) return ASCII.test(text) ? unmapped(text) : mapped(text, FOLDS, plainOf)
  const pattern = new RegExp(`${ESCAPES.source}|${FOLDS.source}`, 'gsu')
  return mapped(text, pattern, (found) => (found.startsWith('\\') ? unescaped(found) : plainOf(found)))
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

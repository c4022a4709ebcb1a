/**
 * Attempts to make a model forget whose instructions it follows: signs with weights, in nine languages. A text whose distinct
 * signs reach the threshold fires. It is looked at as it stands and with its disguises taken off: compatibility and invisible
 * characters, letters set apart, digits for letters, base64 and hexadecimal. What it catches and what not says
 * guardrails-accuracy.md; a determined attacker words it differently.
 */

import { SIGNS } from './injection-signs.ts'
import type { Looks } from './looks.ts'

export interface Sighting {
  readonly score: number
  readonly signs: readonly string[]
}

const ENCODED = 0.5

export function injectionScore(text: string): Sighting {
  const found = new Map<string, number>()
  const plain = unmasked(text)
  look(plain, found)
  const apart = joined(plain)
  if (apart !== plain) look(apart, found)
  const letters = unleeted(plain)
  if (letters !== plain) look(letters, found)
  for (const hidden of decoded(plain)) {
    const before = found.size
    look(unmasked(hidden), found)
    if (found.size > before) found.set('encoded', ENCODED)
  }
  let score = 0
  for (const points of found.values()) score += points
  return { score: Math.round(score * 100) / 100, signs: [...found.keys()] }
}

export const injectionLooks =
  (threshold: number): Looks =>
  (text) => {
    const { score, signs } = injectionScore(text)
    return score >= threshold ? `injection ${score.toFixed(1)}: ${signs.join(', ')}` : undefined
  }

function look(text: string, found: Map<string, number>): void {
  for (const { name, points, patterns } of SIGNS) {
    if (!found.has(name) && patterns.some((pattern) => pattern.test(text))) found.set(name, points)
  }
}

const ASCII = /^[\t\n\r\x20-\x7e]*$/
/** Tag characters spell ASCII that nobody sees. */
const TAGS = /[\u{e0020}-\u{e007e}]/gu
// biome-ignore lint/suspicious/noMisleadingCharacterClass: the joiners are meant one by one
const INVISIBLE = /[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff]/g

function unmasked(text: string): string {
  if (ASCII.test(text)) return text
  return text
    .replace(TAGS, (char) => String.fromCharCode((char.codePointAt(0) as number) - 0xe0000))
    .replace(INVISIBLE, '')
    .normalize('NFKC')
    .replace(/[\u2018\u2019\u00b4]/g, "'")
}

/** `i g n o r e` and `i-g-n-o-r-e`. */
const joined = (text: string): string =>
  text.replace(/(?<![\p{L}\p{N}])\p{L}(?:[ ._*-]\p{L}){3,60}(?![\p{L}\p{N}])/gu, (apart) =>
    apart.replace(/[ ._*-]/g, ''),
  )

const LEET: Readonly<Record<string, string>> = { 0: 'o', 1: 'i', 3: 'e', 4: 'a', 5: 's', 7: 't', '@': 'a', $: 's' }
const LEETED = /[A-Za-z][013457@$]|[013457@$][A-Za-z]/
const unleeted = (text: string): string =>
  LEETED.test(text)
    ? text.replace(/[A-Za-z0-9@$]{2,50}/g, (word) =>
        LEETED.test(word) && !/\d{3}/.test(word) ? word.replace(/[013457@$]/g, (char) => LEET[char] ?? char) : word,
      )
    : text

const MOST_DECODED = 64
function decoded(text: string): string[] {
  const out: string[] = []
  for (const [run] of text.matchAll(/[A-Za-z0-9+/_-]{24,8192}={0,2}/g)) {
    if (out.length >= MOST_DECODED) break
    const isHex = /^(?:[0-9a-fA-F]{2})+$/.test(run)
    const said = Buffer.from(run, isHex ? 'hex' : 'base64').toString('utf8')
    if (/^[\t\n\r\x20-\x7e\u00a0-\u024f\u0400-\u04ff\u3000-\u9fff]{12,}$/.test(said)) out.push(said)
  }
  return out
}

/**
 * Where a text may be cut while it is still being written: never inside something that might become a match. A match lies
 * within one run: a word, or neighboring words of numbers, short codes and months, which is how people write cards, bank
 * accounts and dates. What ends the text in an open run must be held back.
 */

/** The characters that no match contains, and all scripts that write without spaces. */
const ENDS_WORD = /[\s"'<>,;{}|`\\]|[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\ud800-\udfff]/
const MONTH =
  /^(?:jan|feb|f[ée]v|mar|m[äa]r|apr|avr|abr|ma[iy]|mag|jun|jui|giu|jul|lug|aug|ao[uû]|ago|sep|set|o[ck]t|out|ott|nov|de[cz]|d[ée]c|dic|gen|ene|jan)\p{L}*\.?$/iu
const LINKS = /^(?:de|of)$/i
const MONTH_BEFORE = /\d \S{1,12} $|\d de \S{1,12} $/

/** A private key's opening line has words in it. */
const KEY_OPENS = '-----BEGIN'
const LONGEST_OPENING = 90

interface Kind {
  readonly number: boolean
  /** Up to four letters, which begin or continue a code. */
  readonly short: boolean
  readonly capitals: boolean
  readonly date: boolean
}
/** `after`: what stands before the word, which alone makes small letters and links part of a number or a date. */
function kindOf(word: string, after = ''): Kind {
  const number = /\d/.test(word)
  const short = !number && word.length <= 4 && /^[A-Za-z(+[]{1,4}$/.test(word)
  const capitals = short && /^[A-Z(+[]+$/.test(word)
  const numbered = number || /\d\S{0,12} {1,2}$/.test(after)
  return {
    number,
    short: short && (capitals || numbered),
    capitals,
    date:
      !number &&
      word.length <= 12 &&
      (MONTH.test(word) || (LINKS.test(word) && (numbered || MONTH_BEFORE.test(after)))),
  }
}

const mayGoOn = (a: Kind): boolean => a.number || a.short || a.date
const joins = (a: Kind, b: Kind): boolean =>
  (a.number && mayGoOn(b)) || (b.number && mayGoOn(a)) || (a.capitals && b.capitals) || (a.date && b.date)

/** Words of a run are this far apart at most. */
const isGap = (text: string, from: number, to: number): boolean => {
  const gap = text.slice(from, to)
  return gap === ' ' || gap === '  ' || gap === ', '
}

/** From where on a text that may go on must be held back; its length if nothing is open. Looks back `most` characters. */
export function openFrom(text: string, most: number): number {
  const least = Math.max(0, text.length - most)
  let start = wordStart(text, text.length, least)
  let open = start
  // The word that is being written may become anything, so whatever could go on before it is open too.
  let next: Kind | undefined
  if (start === text.length) {
    // After a space or a comma the next word is not even begun.
    const end = gapStart(text, start, least)
    if (end === start || !(end + 2 >= start && /^(?:,? ?| {1,2})$/.test(text.slice(end, start)))) start = -1
    else {
      const from = wordStart(text, end, least)
      const kind = kindOf(text.slice(from, end), text.slice(Math.max(0, from - 20), from))
      if (from === end || !mayGoOn(kind)) start = -1
      else {
        open = from
        start = from
        next = kind
      }
    }
  }
  while (start > least) {
    const end = gapStart(text, start, least)
    if (end === start || !isGap(text, end, start)) break
    const from = wordStart(text, end, least)
    if (from === end) break
    const kind = kindOf(text.slice(from, end), text.slice(Math.max(0, from - 20), from))
    if (!(next ? joins(kind, next) : mayGoOn(kind))) break
    open = from
    start = from
    next = kind
  }
  const key = text.lastIndexOf(KEY_OPENS)
  if (key >= 0 && key < open && text.length - key <= LONGEST_OPENING) open = key
  return open
}

function wordStart(text: string, end: number, least: number): number {
  let start = end
  while (start > least && !ENDS_WORD.test(text[start - 1] as string)) start--
  return start
}
function gapStart(text: string, end: number, least: number): number {
  let start = end
  while (start > least && (text[start - 1] === ' ' || text[start - 1] === ',')) start--
  return start
}

/** Spans that lie within one run: what a stream can find, too. */
export function withinRuns<S extends { readonly start: number; readonly end: number }>(
  text: string,
  spans: readonly S[],
): S[] {
  return spans.filter(({ start, end }) => {
    const words = text.slice(start, end).split(/( {1,2}|, )/)
    for (let i = 2; i < words.length; i += 2) {
      const [a, b] = [words[i - 2] as string, words[i] as string]
      if (!joins(kindOf(a, words.slice(0, i - 2).join('')), kindOf(b, `${a} `))) return false
    }
    return words.every((word, i) => i % 2 === 1 || !ENDS_WORD.test(word))
  })
}

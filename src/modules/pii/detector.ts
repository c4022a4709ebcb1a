/**
 * What finds one kind of personal data: a pattern, a check of what it found, and the words that stand before it. Detectors
 * see folded text (fold.ts), so they need to know nothing of full-width digits or zero-width characters.
 *
 * Patterns must be linear: bounded repetitions, no two ways to read the same characters.
 */
import { type Tokens, tokensOf } from './tokens.ts'

export interface Detector {
  /** The name in settings and placeholders: upper case, `EMAIL`. */
  readonly entity: string
  /** ISO 3166 code, for what only one country has. */
  readonly country?: string
  /** Global. The span is the last group where there is one, which then must end the match; else the whole match. */
  readonly pattern: RegExp
  /** Something that every match contains: text without it is not searched. The same object is asked once a text. */
  readonly needs?: string | RegExp
  /** Looks only where a number, a code that begins with a letter, or either begins, with at least so many digits. */
  readonly at?: 'number' | 'code' | 'either'
  readonly digits?: number
  /** Exactly so many digits in one piece begin it. */
  readonly run?: number
  /** Where what the pattern matched really begins, for what is easiest to see by its middle; negative: it is none. */
  head?(text: string, at: number): number
  /** Whether it is one; or how many characters of it are. */
  check?(found: string): boolean | number
  /** Words that make it likely, global. They count only before a match, so that a stream needs no look ahead. */
  readonly context?: RegExp
  /** How far before the match the words may stand; 60 characters unless told, and never more. */
  readonly within?: number
  /** `needed`: without the words it is nothing. `instead`: the words make up for a failed check. */
  readonly weight?: 'needed' | 'instead'
  /** Which of two overlapping finds stands: the more certain, then the longer. Its own words before it add two. */
  readonly certainty: number
  /** It opens unmistakably and may be long: what goes on after the hold-back is swallowed while it matches this. */
  readonly goesOn?: RegExp
  /** Needs words or spaces that a stream would have to wait for: looked for in requests only. */
  readonly requestsOnly?: true
}

export interface Found {
  readonly entity: string
  readonly start: number
  readonly end: number
  readonly certainty: number
  readonly goesOn?: RegExp
}

export const CONTEXT_REACH = 60

/** Checks cost more than patterns: beyond so many finds of one detector in one text, the pattern's word is taken. */
const MOST_CHECKS = 2_000

/** One text and what all detectors share about it. */
export class Subject {
  readonly text: string
  readonly #needs = new Map<string | RegExp, boolean>()
  readonly #words = new Map<RegExp, WordsBefore>()
  #tokens: Tokens | undefined

  constructor(text: string) {
    this.text = text
  }

  has(needs: string | RegExp): boolean {
    let known = this.#needs.get(needs)
    if (known === undefined) {
      known = typeof needs === 'string' ? this.text.includes(needs) : needs.test(this.text)
      this.#needs.set(needs, known)
    }
    return known
  }

  wordsBefore(position: number, words: RegExp, reach: number): boolean {
    let known = this.#words.get(words)
    if (!known) {
      known = new WordsBefore(this.text, words)
      this.#words.set(words, known)
    }
    return known.before(position, reach)
  }

  get tokens(): Tokens {
    this.#tokens ??= tokensOf(this.text)
    return this.#tokens
  }
}

/** A detector as it is run: its pattern bound to where it begins. */
export function search(detector: Detector): (subject: Subject, out: Found[]) => void {
  const { needs, at, digits = 1, run, pattern } = detector
  const here = at ? new RegExp(pattern.source, `${pattern.flags.replace('g', '')}y`) : new RegExp(pattern)
  return (subject, out) => {
    if (needs !== undefined && !subject.has(needs)) return
    const { text } = subject
    const judged = { checks: 0 }
    if (!at) {
      here.lastIndex = 0
      for (let match = here.exec(text); match; match = here.exec(text)) {
        const end = judge(detector, subject, match, judged, out)
        if (end > match.index) here.lastIndex = end
        else if (match[0].length === 0) here.lastIndex++
      }
      return
    }
    const { starts, digits: counts, runs, letters } = subject.tokens
    let past = 0
    for (let i = 0; i < starts.length; i++) {
      if ((counts[i] as number) < digits || (at !== 'either' && (at === 'code') !== letters[i])) continue
      if (run !== undefined && runs[i] !== run) continue
      let start = starts[i] as number
      if (start < past) continue
      if (text.charCodeAt(start - 1) === 40) start--
      here.lastIndex = start
      let match = here.exec(text)
      if (!match && start !== starts[i]) {
        here.lastIndex = start + 1
        match = here.exec(text)
      }
      if (match) past = judge(detector, subject, match, judged, out)
    }
  }
}

/** Where the find ends; 0 if it is none. */
function judge(
  { entity, check, context, weight, within = CONTEXT_REACH, certainty, goesOn, head }: Detector,
  subject: Subject,
  match: RegExpExecArray,
  judged: { checks: number },
  out: Found[],
): number {
  const whole = match[0]
  let found = match.length > 1 ? (match.findLast((group, i) => i > 0 && group !== undefined) ?? whole) : whole
  let start = match.index + whole.length - found.length
  if (head) {
    const from = head(subject.text, start)
    if (from < 0) return 0
    found = subject.text.slice(from, start) + found
    start = from
  }
  if (weight === 'needed' && context && !subject.wordsBefore(start, context, within)) return 0
  let end = start + found.length
  if (check) {
    const verdict = judged.checks++ < MOST_CHECKS ? check(found) : true
    if (verdict === false || verdict === 0) {
      if (weight !== 'instead' || !context || !subject.wordsBefore(start, context, within)) return 0
    } else if (verdict !== true) end = start + verdict
  }
  const sure = context && subject.wordsBefore(start, context, within) ? certainty + 2 : certainty
  out.push({ entity, start, end, certainty: sure, ...(goesOn ? { goesOn } : {}) })
  return end
}

/**
 * Where context words stand. The few places that the first candidates ask about are looked at one by one; when there are
 * more, all of the text is gone through once.
 */
class WordsBefore {
  readonly #text: string
  readonly #words: RegExp
  #starts: number[] | undefined
  #ends: number[] = []
  #looked = 0

  constructor(text: string, words: RegExp) {
    this.#text = text
    this.#words = words
  }

  before(position: number, reach: number): boolean {
    if (!this.#starts) {
      const from = Math.max(0, position - reach)
      this.#looked += position - from
      if (this.#looked <= this.#text.length) return this.#find(from, position, undefined)
      this.#starts = []
      this.#find(0, this.#text.length, this.#starts)
    }
    let low = 0
    let high = this.#ends.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#ends[middle] as number) <= position) low = middle + 1
      else high = middle
    }
    return low > 0 && (this.#starts[low - 1] as number) >= position - reach
  }

  /** Whether any stands there; with `starts`, all of them. */
  #find(from: number, to: number, starts: number[] | undefined): boolean {
    // One character more on either side says whether the word is a whole one.
    const first = Math.max(0, from - 2)
    const text = this.#text.slice(first, to + 1)
    const words = this.#words
    words.lastIndex = from - first
    for (let match = words.exec(text); match; match = words.exec(text)) {
      const { index } = match
      const end = index + match[0].length
      if (end > to - first) return false
      if (match[0].length === 0 || isWordBefore(text, index)) {
        words.lastIndex = index + 1
        continue
      }
      if (!starts) return true
      starts.push(first + index)
      this.#ends.push(first + end)
    }
    return false
  }
}

const WORD = /[\p{L}\p{N}]/u
function isWordBefore(text: string, at: number): boolean {
  if (at === 0) return false
  const code = text.charCodeAt(at - 1)
  if (code < 128) return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
  const isPair = code >= 0xdc00 && code <= 0xdfff && at > 1
  return WORD.test(text.slice(at - (isPair ? 2 : 1), at))
}

/** Words in any case, as whole words, for `context`. What stands before one is looked at when it is found. */
export const words = (...list: readonly string[]): RegExp =>
  new RegExp(`(?:${list.join('|')})(?![\\p{L}\\p{N}])`, 'giu')

/** Only the digits of a text. */
export const digitsOf = (text: string): string => text.replace(/\D+/g, '')

/** The check digit of cards and many numbers (ISO/IEC 7812). */
export function luhn(digits: string): boolean {
  let sum = 0
  for (let i = digits.length - 1, double = false; i >= 0; i--, double = !double) {
    const digit = digits.charCodeAt(i) - 48
    sum += double ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit
  }
  return digits.length > 0 && sum % 10 === 0
}

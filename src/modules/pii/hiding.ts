/**
 * Hides personal data in a text that comes in pieces. Nothing leaves that could still be part of a find: at most 256
 * characters are held back, usually the word that is being written. The same function serves whole texts, as one piece.
 */

import { inString, unfinishedEscape } from '../../core/escapes.ts'
import type { Find, Span } from './find.ts'
import { fold } from './fold.ts'
import { openFrom } from './runs.ts'

/** What is written in the place of a find. */
export type Replace = (entity: string, value: string) => string

/** What detectors may look back at: a word like "password" and what stands between. */
const LOOK_BACK = 160
const MOST_HELD = 256
/** Of a run that is too long to be held, so much is kept: no find that is not open-ended is longer. */
const KEPT = 192
/** A text without any of these holds nothing to find. */
const TELLING = /[\d@:]|-----|[A-Z]{8}|[-_.][\w-]{16}/

/** Open-ended entities, and what goes on belongs to them. */
export type Endings = ReadonlyMap<string, RegExp>

export class Hiding {
  readonly #find: Find
  readonly #replace: Replace
  readonly #endings: Endings
  readonly #json: boolean
  readonly #always: boolean
  readonly #passFences: boolean
  #ticks = 0
  #fenced = false
  /** What has left, as it was before anything was hidden. */
  #left = ''
  #held = ''
  /** Characters that still belong to what was hidden last. */
  #swallow: RegExp | undefined
  #inKey = false
  /** In a JSON text: whether what comes next stands in a string. */
  #inString = false

  constructor(o: {
    find: Find
    replace: Replace
    endings: Endings
    json?: boolean
    /** Patterns of others may find what has nothing telling in it. */
    always?: boolean
    /** Leaves alone what stands between ``` and ```. */
    passFences?: boolean
  }) {
    this.#find = o.find
    this.#replace = o.replace
    this.#endings = o.endings
    this.#json = o.json ?? false
    this.#always = o.always ?? false
    this.#passFences = o.passFences ?? false
  }

  push(piece: string): string {
    this.#held += this.#swallowed(piece)
    return this.#advance(false)
  }

  /** The text is over. */
  end(): string {
    const out = this.#advance(true)
    this.#left = ''
    this.#swallow = undefined
    this.#inKey = false
    return out
  }

  #advance(over: boolean): string {
    if (this.#held === '') return ''
    const text = this.#left + this.#held
    const folded = fold(text, this.#json)
    const { length } = folded.text
    let cut = text.length
    if (!over) {
      const open = openFrom(folded.text, MOST_HELD + LOOK_BACK)
      cut = Math.max(
        this.#left.length,
        Math.min(folded.original(open), this.#json ? unfinishedEscape(text) : text.length),
      )
      if (open < length && open > 0) cut = Math.max(this.#left.length, Math.min(cut, foldedStart(text, cut)))
    }
    const tooLong = text.length - cut > MOST_HELD
    if (cut === this.#left.length && !tooLong) {
      const key = folded.text.indexOf('PRIVATE KEY')
      if (key < 0) return ''
    }
    let spans: Span[] = []
    if (this.#always || TELLING.test(folded.text)) {
      spans = this.#find(text, { json: this.#json, reply: true }).filter((s) => s.start >= this.#left.length)
    }
    if (!over) {
      if (tooLong) cut = Math.max(cut, text.length - KEPT)
      for (const span of spans) {
        if (span.start >= cut || span.end <= cut) continue
        // Too long to wait for its end: hidden now, and swallowed as far as it goes on.
        const goesOn = this.#endings.get(span.entity)
        cut = tooLong && goesOn && span.end === text.length ? span.end : span.start
      }
    }
    return this.#emit(
      text,
      cut,
      spans.filter((s) => s.end <= cut),
      over,
    )
  }

  #emit(text: string, cut: number, spans: readonly Span[], over: boolean): string {
    let out = ''
    let at = this.#left.length
    for (const { entity, start, end } of spans) {
      out += this.#passing(text.slice(at, start))
      const value = text.slice(start, end)
      const instead = this.#fenced ? value : this.#replace(entity, value)
      out += this.#json && !this.#inString && instead !== value ? JSON.stringify(instead) : instead
      at = end
      if (over || end !== cut || instead === value) continue
      if (entity === 'PRIVATE_KEY' && !/-----END [^-]*-----$/.test(value)) this.#inKey = true
      else this.#swallow = this.#endings.get(entity)
    }
    out += this.#passing(text.slice(at, cut))
    this.#left = text.slice(Math.max(0, cut - LOOK_BACK), cut)
    const rest = text.slice(cut)
    this.#held = ''
    this.#held = this.#swallowed(rest)
    return out
  }

  #passing(text: string): string {
    if (this.#passFences && (this.#ticks > 0 || text.includes('`'))) {
      for (const char of text) {
        this.#ticks = char === '`' ? this.#ticks + 1 : 0
        if (this.#ticks !== 3) continue
        this.#fenced = !this.#fenced
        this.#ticks = 0
      }
    }
    if (this.#json) this.#inString = inString(text, this.#inString)
    return text
  }

  /** What of a piece does not belong to what was hidden before it. */
  #swallowed(piece: string): string {
    if (this.#inKey) {
      // The end may come in pieces too.
      const tail = this.#left + piece
      const end = /-----END [^-]{0,60}-----/.exec(tail)
      if (!end) {
        this.#left = tail.slice(-LOOK_BACK)
        return ''
      }
      this.#inKey = false
      const after = end.index + end[0].length
      this.#left = tail.slice(0, after).slice(-LOOK_BACK)
      return tail.slice(after)
    }
    if (!this.#swallow || piece === '') return piece
    const goesOn = this.#swallow.exec(piece)?.[0].length ?? 0
    if (goesOn < piece.length) this.#swallow = undefined
    this.#left = (this.#left + piece.slice(0, goesOn)).slice(-LOOK_BACK)
    return piece.slice(goesOn)
  }
}

/** Invisible characters before a cut go with what follows them: they may stand inside a find. */
function foldedStart(text: string, cut: number): number {
  let start = cut
  while (start > 0 && /[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]/.test(text[start - 1] as string)) start--
  return start
}

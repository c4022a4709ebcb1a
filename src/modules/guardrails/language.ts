/** Which language a text is written in, by an n-gram detector for 60 of them. Short and mixed texts are given the benefit. */
import { eld } from 'eld/small'
import type { Looks } from './looks.ts'

const PIECE = 2_000
/** Fewer letters say too little; where each is a word, fewer do. */
const LEAST_LETTERS = 40
const LEAST_SIGNS = 10
/** A line of code, a table or a list of names has words, but no language. */
const CODE = /```[\s\S]*?(?:```|$)|`[^`\n]*`|https?:\/\/\S+|\S+@\S+/g

const plainOf = (text: string): string => text.replace(CODE, ' ')
/** Whether there is enough of it to be judged. */
export function enough(text: string): boolean {
  const plain = plainOf(text)
  const signs = plain.match(/[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Thai}]/gu)?.length ?? 0
  return signs >= LEAST_SIGNS || (plain.match(/\p{L}/gu)?.length ?? 0) >= LEAST_LETTERS
}

export function languageLooks(languages: readonly string[]): Looks {
  const allowed = new Set(languages)
  return (text) => {
    for (let at = 0; at < text.length; at += PIECE) {
      const piece = text.slice(at, at + PIECE)
      if (!enough(piece)) continue
      const found = eld.detect(plainOf(piece))
      if (found.language !== '' && !allowed.has(found.language) && found.isReliable())
        return `language ${found.language}`
    }
    return undefined
  }
}

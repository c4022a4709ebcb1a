/**
 * Text that goes round in circles: a phrase of up to twelve words, or a character, again and again without anything between.
 * Rules, dots and rows of tables are not text.
 */
import type { Looks } from './looks.ts'

const LONGEST_PHRASE = 12
/** Of one character, which a word may well have a few of. */
const CHARACTERS_A_TIME = 10

/** Scripts without spaces have a word a sign. */
const WORD =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|(?:(?![\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}])[\p{L}\p{N}])+/gu

export function repetitionLooks(times: number): Looks {
  const character = new RegExp(`([\\p{L}\\p{N}])\\1{${times * CHARACTERS_A_TIME},}`, 'u')
  return (text) => {
    if (character.test(text)) return `a character more than ${times * CHARACTERS_A_TIME} times in a row`
    const words = text.toLowerCase().match(WORD) ?? []
    for (let length = 1; length <= LONGEST_PHRASE; length++) {
      let same = 0
      for (let i = length; i < words.length; i++) {
        same = words[i] === words[i - length] ? same + 1 : 0
        if (same >= length * (times - 1))
          return `the same ${length === 1 ? 'word' : `${length} words`} ${times} times in a row`
      }
    }
    return undefined
  }
}

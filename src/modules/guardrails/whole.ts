/** Rules that judge all of what was said together: what must be there, how long it is, whether it is the JSON that was wanted. */
import { Compile } from 'typebox/schema'
import type { Rule } from './settings.ts'
import { patternFinder, wordFinder } from './spans.ts'

/** The reason why it fires; undefined if it does not. `answers` are the texts of a reply by choice, without its other parts. */
export type Judge = (texts: readonly string[], answers: readonly string[]) => string | undefined

/** Undefined for a rule that looks at places, at each text, or asks somebody else. */
export function judgeOf(rule: Rule, on: 'request' | 'reply'): Judge | undefined {
  switch (rule.type) {
    case 'regex':
    case 'words': {
      if (!rule.require) return undefined
      const find = rule.type === 'regex' ? patternFinder(rule.patterns) : wordFinder(rule.words)
      return (texts) => (texts.some((text) => find(text).length > 0) ? undefined : 'what is required is missing')
    }
    case 'length': {
      const { maxCharacters = Number.POSITIVE_INFINITY, maxTokens = Number.POSITIVE_INFINITY } = rule
      return (texts) => {
        const characters = texts.reduce((sum, text) => sum + text.length, 0)
        if (characters > maxCharacters) return `${characters} characters, at most ${maxCharacters} are allowed`
        if (maxTokens === Number.POSITIVE_INFINITY) return undefined
        const tokens = texts.reduce((sum, text) => sum + tokensIn(text), 0)
        return tokens > maxTokens ? `about ${tokens} tokens, at most ${maxTokens} are allowed` : undefined
      }
    }
    case 'json-schema': {
      if (on === 'request') return undefined
      const schema = Compile(rule.schema)
      return (_, answers) => {
        for (const answer of answers) {
          let value: unknown
          try {
            value = JSON.parse(answer)
          } catch {
            return 'it is not JSON'
          }
          if (!schema.Check(value)) return 'it does not satisfy the schema'
        }
        return undefined
      }
    }
    default:
      return undefined
  }
}

/** Signs that are words, or nearly, are tokens of their own. */
const SIGNS = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Thai}]/gu
function tokensIn(text: string): number {
  const signs = text.match(SIGNS)?.length ?? 0
  return signs + Math.ceil((text.length - signs) / 4)
}

/** Rules that judge all of what was said together: what must be there, how long it is, whether it is the JSON that was wanted. */
import { Compile } from 'typebox/schema'
import type { Rule } from './settings.ts'
import { patternFinder, wordFinder } from './spans.ts'

/** The reason why it fires; undefined if it does not. */
export type Judge = (texts: readonly string[]) => string | undefined

/** Undefined for a rule that looks at places or asks somebody else. */
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
        const tokens = Math.ceil(characters / 4)
        return tokens > maxTokens ? `about ${tokens} tokens, at most ${maxTokens} are allowed` : undefined
      }
    }
    case 'json-schema': {
      if (on === 'request') return undefined
      const schema = Compile(rule.schema)
      return (texts) => {
        let value: unknown
        try {
          value = JSON.parse(texts.join(''))
        } catch {
          return 'it is not JSON'
        }
        return schema.Check(value) ? undefined : 'it does not satisfy the schema'
      }
    }
    default:
      return undefined
  }
}

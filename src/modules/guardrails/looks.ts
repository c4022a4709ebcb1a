/** Rules that judge one text by what it looks like as a whole: topics, code, language, repetition, injection. */
import type { Place } from '../../core/texts.ts'
import { codeLooks } from './code.ts'
import { repetitionLooks } from './repetition.ts'
import type { Rule } from './settings.ts'
import { wordFinder } from './spans.ts'

/** The reason why it fires; undefined if it does not. */
export type Looks = (text: string) => string | undefined

/** Of a stream, so much of the latest text is looked at, each time it has grown by `STEP`. */
export const VIEW = 4_096
export const STEP = 512

/** Undefined for every other rule. A promise where something has to be loaded first. */
export function looksOf(rule: Rule): Looks | undefined | Promise<Looks> {
  switch (rule.type) {
    case 'topics':
      return topicLooks(rule.topics)
    case 'code':
      return codeLooks(rule.kinds)
    case 'language':
      return import('./language.ts').then(({ languageLooks }) => languageLooks(rule.languages))
    case 'repetition':
      return repetitionLooks(rule.times)
    case 'injection':
      return import('./injection.ts').then(({ injectionLooks }) => injectionLooks(rule.threshold))
    default:
      return undefined
  }
}

/**
 * Who writes the instructions may write what nobody else may. Definitions of tools are looked into by rules that point at
 * places: to a rule that guesses, a schema looks like code.
 */
export const skips = (rule: Rule, place: Place): boolean =>
  place === 'tools' ? !POINTING.has(rule.type) : 'system' in rule && !rule.system && place === 'system'
const POINTING: ReadonlySet<Rule['type']> = new Set(['regex', 'words', 'secrets', 'urls', 'invisible'])

type Topics = Extract<Rule, { type: 'topics' }>['topics']
function topicLooks(topics: Topics): Looks {
  const compiled = topics.map(({ name, words, atLeast }) => ({ name, find: wordFinder(words), atLeast }))
  return (text) => {
    for (const { name, find, atLeast } of compiled) {
      const said = new Set(find(text).map(({ start, end }) => text.slice(start, end).toLowerCase()))
      if (said.size >= atLeast) return `topic ${name}`
    }
    return undefined
  }
}

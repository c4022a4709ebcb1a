/** Asks the scored rules about every sentence of the sets beside this file. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeLooks } from '../../src/modules/guardrails/code.ts'
import { injectionLooks } from '../../src/modules/guardrails/injection.ts'
import { enough, languageLooks } from '../../src/modules/guardrails/language.ts'
import { repetitionLooks } from '../../src/modules/guardrails/repetition.ts'

/** How many mistakes there are; one more fails the tests. */
export const COUNTS = join(import.meta.dirname, 'counts.json')

export interface Tally {
  positives: number
  negatives: number
  missed: number
  falseAlarms: number
}
export interface Measured {
  readonly rule: string
  readonly set: string
  readonly positives: number
  readonly negatives: number
  readonly missed: readonly string[]
  readonly falseAlarms: readonly string[]
  readonly byLanguage?: Readonly<Record<string, Tally>>
}

interface Sentence {
  readonly label: string
  readonly text: string
}
/** A label, a tab and a text a line; `\n` is a line break, and `{…}*n` says something n times. */
const read = (file: string): Sentence[] =>
  readFileSync(join(import.meta.dirname, file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [label = '', text = ''] = line.split('\t')
      const said = text.replaceAll('\\n', '\n').replaceAll('\\t', '\t')
      return {
        label,
        text: said.replace(/\{([^}]*)\}\*(\d+)/g, (_, piece: string, n: string) => piece.repeat(Number(n))),
      }
    })

type Fires = (text: string) => boolean
function tell(
  rule: string,
  set: string,
  yes: readonly Sentence[],
  no: readonly Sentence[],
  fires: Fires,
  languages = false,
): Measured {
  const byLanguage: Record<string, Tally> = {}
  const of = (label: string): Tally => {
    byLanguage[label] ??= { positives: 0, negatives: 0, missed: 0, falseAlarms: 0 }
    return byLanguage[label]
  }
  const missed: string[] = []
  const falseAlarms: string[] = []
  for (const { label, text } of yes) {
    of(label).positives++
    if (fires(text)) continue
    of(label).missed++
    missed.push(text)
  }
  for (const { label, text } of no) {
    of(label).negatives++
    if (!fires(text)) continue
    of(label).falseAlarms++
    falseAlarms.push(text)
  }
  return {
    rule,
    set,
    positives: yes.length,
    negatives: no.length,
    missed,
    falseAlarms,
    ...(languages ? { byLanguage } : {}),
  }
}

export async function measure(): Promise<Measured[]> {
  const attacks = read('injection-attacks.txt')
  const harmless = read('injection-harmless.txt')
  const injection = injectionLooks(1)
  const half = (set: readonly Sentence[], part: number) => set.filter((_, at) => at % 2 === part)
  const code = read('code.txt')
  const of = (label: string) => code.filter((sentence) => sentence.label === label)
  const circles = read('repetition.txt')
  const said = [...attacks, ...harmless].filter(({ text }) => enough(text))
  const all = [...new Set(said.map(({ label }) => label))]
  const only = new Map(all.map((label) => [label, languageLooks([label])]))
  const others = new Map(all.map((label) => [label, languageLooks(all.filter((other) => other !== label))]))
  const byText = new Map(said.map(({ label, text }) => [text, label]))
  const strange = said.filter(({ text }) => others.get(byText.get(text) ?? '')?.(text) === undefined)
  const wrong = said.filter(({ text }) => only.get(byText.get(text) ?? '')?.(text) !== undefined)
  return [
    tell('injection', 'looked at', half(attacks, 0), half(harmless, 0), (text) => injection(text) !== undefined, true),
    tell('injection', 'held out', half(attacks, 1), half(harmless, 1), (text) => injection(text) !== undefined, true),
    tell('code', 'program code', of('code'), of('none'), (text) => codeLooks(['code'])(text) !== undefined),
    tell('code', 'SQL', of('sql'), of('none'), (text) => codeLooks(['sql'])(text) !== undefined),
    {
      rule: 'language',
      set: `${all.length} languages`,
      positives: said.length,
      negatives: said.length,
      missed: strange.map(({ text }) => text),
      falseAlarms: wrong.map(({ text }) => text),
    },
    tell(
      'repetition',
      'made',
      circles.filter(({ label }) => label === 'yes'),
      circles.filter(({ label }) => label === 'no'),
      (text) => repetitionLooks(20)(text) !== undefined,
    ),
  ]
}

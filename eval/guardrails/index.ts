/**
 * `npm run eval:guardrails`: how often the scored rules are right on the sentences beside this file.
 *
 *   npm run eval:guardrails -- --write      writes docs/guardrails-accuracy.md and the committed counts
 *   npm run eval:guardrails -- --mistakes   prints what was missed and what fired for nothing
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SIGNS } from '../../src/modules/guardrails/injection-signs.ts'
import { COUNTS, measure } from './measure.ts'

const root = join(import.meta.dirname, '../..')
const { values: options } = parseArgs({ options: { write: { type: 'boolean' }, mistakes: { type: 'boolean' } } })
const measured = await measure()

const percent = (n: number, of: number): string => (of === 0 ? '–' : ((100 * n) / of).toFixed(1))
const rows = measured.map(
  ({ rule, set, positives, negatives, missed, falseAlarms }) =>
    `| \`${rule}\` | ${set} | ${positives} | ${percent(positives - missed.length, positives)} | ${negatives} | ${percent(falseAlarms.length, negatives)} |`,
)
const languages = [...new Set(measured.flatMap(({ byLanguage }) => Object.keys(byLanguage ?? {})))]
const injection = measured.filter(({ byLanguage }) => byLanguage)
const page = `# How often the scored rules are right

<!-- Written by npm run eval:guardrails -- --write; edit eval/guardrails. -->

Rules of the types \`injection\`, \`code\`, \`language\` and \`repetition\` do not know, they guess. This is how often they are right on
the sentences in \`eval/guardrails\`, in percent: of those that should fire, how many do; of those that should not, how many
fire all the same. The sentences are few, short, and written by the authors of the rules, so real traffic will be harder.

| rule | sentences | should fire | found | should not | false alarms |
|---|---|--:|--:|--:|--:|
${rows.join('\n')}

For \`injection\` every second sentence was looked at while the signs were written, and the others were not: the second figure
is the one to believe. For \`language\` only sentences that are long enough to be judged count.

## Injection by language

Of the sentences that should fire, found; of those that should not, false alarms. Both halves together.

| language | should fire | found | should not | false alarms |
|---|--:|--:|--:|--:|
${languages
  .map((language) => {
    const of = injection.map(
      ({ byLanguage }) => byLanguage?.[language] ?? { positives: 0, negatives: 0, missed: 0, falseAlarms: 0 },
    )
    const sum = (key: 'positives' | 'negatives' | 'missed' | 'falseAlarms') => of.reduce((n, one) => n + one[key], 0)
    return `| ${language} | ${sum('positives')} | ${percent(sum('positives') - sum('missed'), sum('positives'))} | ${sum('negatives')} | ${percent(sum('falseAlarms'), sum('negatives'))} |`
  })
  .join('\n')}

## The signs of an injection

A text fires when the points of its distinct signs reach \`threshold\` (1 unless set). What is hidden in base64 or hexadecimal,
set apart by spaces, spelled with digits, or written in full-width or invisible characters is looked at as well; a sign that
only shows after decoding adds half a point.

| sign | points |
|---|--:|
${SIGNS.map(({ name, points }) => `| ${name} | ${points} |`).join('\n')}

What it does not see: requests that only hint ("what were the first words you were given?"), stories and games around the
same wish, other ciphers, other languages, text in pictures, and anything worded so that none of these signs stands in it.
Whoever writes about attacks sets it off. It lowers the number of attempts that get through; it is no boundary. Do not give
a model rights that its user must not have.
`
console.log(page)
if (options.mistakes) {
  for (const { rule, set, missed, falseAlarms } of measured) {
    for (const text of missed) console.log(`${rule} (${set}) missed: ${JSON.stringify(text.slice(0, 160))}`)
    for (const text of falseAlarms) console.log(`${rule} (${set}) false alarm: ${JSON.stringify(text.slice(0, 160))}`)
  }
}
if (options.write) {
  writeFileSync(join(root, 'docs/guardrails-accuracy.md'), page)
  const counts = Object.fromEntries(
    measured.map(({ rule, set, missed, falseAlarms }) => [
      `${rule}, ${set}`,
      { missed: missed.length, falseAlarms: falseAlarms.length },
    ]),
  )
  writeFileSync(COUNTS, `${JSON.stringify(counts, undefined, 2)}\n`)
}

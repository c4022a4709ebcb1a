/** The generated set: at least 500 sentences for each entity in six languages, and hard negatives; the same for a seed. */
import { allFakers, type Faker } from '@faker-js/faker'
import { NEGATIVES } from './hard-negatives.ts'
import { LABELED, LABELS, LANGUAGES, type Language, PLAIN, WRAPPED } from './sentences.ts'
import { type Draw, MAKERS } from './values.ts'

export interface Labeled {
  readonly text: string
  readonly spans: readonly { readonly entity: string; readonly start: number; readonly end: number }[]
}

const FAKERS: Readonly<Record<Language, Faker>> = {
  en: allFakers.en,
  de: allFakers.de,
  fr: allFakers.fr,
  es: allFakers.es,
  it: allFakers.it,
  pt: allFakers.pt_PT,
}
const ALNUM = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'

function drawOf(faker: Faker): Draw {
  const number = (min: number, max: number): number => faker.number.int({ min, max })
  const letters = (n: number, from = ALNUM): string =>
    Array.from({ length: n }, () => from[number(0, from.length - 1)]).join('')
  return {
    faker,
    number,
    letters,
    digits: (n) => letters(n, '0123456789'),
    pick: (list) => list[number(0, list.length - 1)] as never,
  }
}

export function generate(seed: number, perEntity = 500): Labeled[] {
  for (const faker of Object.values(FAKERS)) faker.seed(seed)
  const out: Labeled[] = []
  for (const [entity, make] of Object.entries(MAKERS)) {
    const labels = LABELS[entity]
    const wrapped = WRAPPED[entity]
    const languages = labels ? (Object.keys(labels) as Language[]) : LANGUAGES
    for (let i = 0; i < perEntity; i++) {
      const language = languages[i % languages.length] as Language
      const draw = drawOf(FAKERS[language])
      const value = make(draw)
      const label = labels ? draw.pick(labels[language] as readonly string[]) : ''
      const around = draw.pick(labels ? LABELED[language] : PLAIN[language])
      const inner = wrapped ? draw.pick(wrapped) : '{}'
      const [before = '', after = ''] = around
        .replaceAll('{name}', draw.faker.person.firstName())
        .replaceAll('{label}', label)
        .replace('{}', inner)
        .split('{}')
      out.push({
        text: before + value + after,
        spans: [{ entity, start: before.length, end: before.length + value.length }],
      })
    }
  }
  const draw = drawOf(FAKERS.en)
  for (let i = 0; i < perEntity * 6; i++)
    out.push({ text: (NEGATIVES[i % NEGATIVES.length] as (d: Draw) => string)(draw), spans: [] })
  return out
}

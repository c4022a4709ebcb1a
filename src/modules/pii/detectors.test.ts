/** What detectors find and what they leave alone: the committed counts, evasions, and that nothing takes long. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { generate } from '../../../eval/pii/generate.ts'
import { labelled } from '../../../eval/pii/labelled.ts'
import { precision, recall, score } from '../../../eval/pii/score.ts'
import { Subject, search } from './detector.ts'
import { detectors } from './detectors/index.ts'
import { findEncoded } from './encoded.ts'
import { ENTITIES } from './entities.ts'
import { finder } from './find.ts'
import { merged } from './request.ts'

const find = finder(detectors)
const known = labelled()
const FLOORS: Readonly<Record<string, number>> = {
  EMAIL: 0.99,
  IBAN: 0.99,
  US_SSN: 0.99,
  IP: 0.99,
  CARD: 0.98,
  PHONE: 0.9,
}

test('the list of names is that of the detectors', () => {
  assert.deepEqual([...new Set(detectors.map((d) => d.entity))].sort(), [...ENTITIES].sort())
})

test('T93: on generated sentences every entity keeps its floor, and hard negatives stay clean', () => {
  const set = generate(4, 60)
  const { scores } = score(set, find)
  for (const entity of ENTITIES) {
    const one = scores.get(entity)
    assert.ok(one, entity)
    const floor =
      FLOORS[entity] ?? (entity.includes('_') && detectors.some((d) => d.entity === entity && d.country) ? 0.97 : 0.95)
    assert.ok(recall(one) >= floor, `${entity}: recall ${recall(one)}`)
    assert.ok(precision(one) >= 0.98, `${entity}: precision ${precision(one)}`)
  }
  const negatives = set.filter((s) => s.spans.length === 0)
  assert.ok(negatives.filter((s) => find(s.text).length === 0).length / negatives.length >= 0.98)
})

test('T93: on sentences that others labelled, no more misses and no more false alarms than committed', {
  skip: known ? false : 'the labelled set is not there (set STOCKYARD_FIXTURES)',
}, () => {
  const committed = JSON.parse(
    readFileSync(new URL('../../../eval/pii/counts.json', import.meta.url), 'utf8'),
  ) as Record<string, { missed: number; falseAlarms: number }>
  const { scores } = score(known ?? [], find)
  for (const [entity, { missed, falseAlarms }] of scores) {
    const most = committed[entity] ?? { missed: 0, falseAlarms: 0 }
    assert.ok(missed <= most.missed, `${entity}: ${missed} missed, ${most.missed} are committed`)
    assert.ok(
      falseAlarms <= most.falseAlarms,
      `${entity}: ${falseAlarms} false alarms, ${most.falseAlarms} are committed`,
    )
  }
})

/** Ways to write a value so that machines overlook it. */
const wide = (text: string): string => text.replace(/[!-~]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0))
const digitsIn = (first: number) => (text: string) =>
  text.replace(/\d/g, (d) => String.fromCodePoint(first + Number(d)))
const strewn = (char: string) => (text: string) => [...text].join(char)
const EVASIONS: readonly (readonly [string, readonly string[], (value: string) => string])[] = [
  ['full width', ['EMAIL', 'CARD', 'US_SSN', 'IBAN', 'IP'], wide],
  ['zero width', ['EMAIL', 'CARD', 'US_SSN', 'IBAN', 'IP'], strewn('\u200b')],
  ['soft hyphens', ['EMAIL', 'CARD', 'US_SSN'], strewn('\u00ad')],
  ['Arabic digits', ['CARD', 'US_SSN', 'IP'], digitsIn(0x660)],
  ['Devanagari digits', ['CARD', 'US_SSN'], digitsIn(0x966)],
  ['bold digits', ['CARD', 'US_SSN', 'IP'], digitsIn(0x1d7ce)],
  ['homoglyph zeros', ['CARD'], (v) => v.replace(/(?<=\d)0(?=\d)/g, 'о')],
  ['spaces', ['CARD'], (v) => v.replace(/\D/g, '').replace(/(\d)(?=\d)/g, '$1 ')],
  ['dots', ['CARD'], (v) => v.replace(/\D/g, '').replace(/(\d{4})(?=\d)/g, '$1.')],
  ['odd hyphens', ['US_SSN'], (v) => v.replaceAll('-', '\u2011')],
  ['no-break spaces', ['CARD'], (v) => v.replace(/[ -]/g, '\u00a0')],
  ['at and dot', ['EMAIL'], (v) => v.replace('@', ' (at) ').replace(/\.(?=[^(]*$)/g, ' (dot) ')],
  ['spaced at', ['EMAIL'], (v) => v.replace('@', ' @ ')],
  ['base64', ['EMAIL', 'US_SSN'], (v) => Buffer.from(`this is what I mean: ${v} and nothing else`).toString('base64')],
]

test('T92: of 300 and more evasions at least nine in ten are found, and nothing is found that crashes', () => {
  const values = generate(9, 12).flatMap(({ text, spans: [span] }) =>
    span ? [{ entity: span.entity, value: text.slice(span.start, span.end) }] : [],
  )
  let cases = 0
  let seen = 0
  for (const [how, entities, evade] of EVASIONS) {
    let own = 0
    let ownSeen = 0
    for (const { entity, value } of values.filter((v) => entities.includes(v.entity))) {
      const hidden = evade(value)
      const text = `Please note ${hidden} for me.`
      const spans = merged(find(text), findEncoded(text, find))
      own++
      if (spans.some((s) => s.entity === entity && s.start <= 12 && s.end >= 12 + hidden.trimEnd().length - 1))
        ownSeen++
    }
    assert.ok(ownSeen / own >= 0.8, `${how}: ${ownSeen} of ${own}`)
    cases += own
    seen += ownSeen
  }
  assert.ok(cases >= 300, `${cases} cases`)
  assert.ok(seen / cases >= 0.9, `${seen} of ${cases}`)
})

/** Texts made to be slow, as pieces to repeat. */
const SLOW = [
  '1',
  '1 ',
  '1-',
  '1.',
  '1:',
  '1/',
  'a',
  'a@',
  'a.',
  'a@a.',
  'A',
  'A1',
  'AB ',
  'ab:',
  '_',
  'a_',
  '[',
  ' ',
  '\n',
  '-',
  '-----BEGIN PRIVATE KEY-----',
  'eyJaaaaaaaaa',
  'eyJaaaaaaaaa.',
  'sk-',
  'a://a:',
  'password=',
  'password ',
  'token: a1B2',
  '+1 ',
  '+1 541 714 1388 ',
  'ssn 123-45-6789 ',
  'AB123456C ',
  '4111 1111 1111 1111 ',
  'card 4111 1111 1111 1112 ',
  'GB29NWBK60161331926818 ',
  'born 12 march ',
  '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3 ',
  '\u200b',
  '１',
  'о1',
  'a at b dot ',
  'call 5417141388 ',
  '0x',
  'bc1',
  '::',
  'f:',
  'x@y.z@',
  'é',
  '字',
]

test('T59: no detector takes long over a megabyte of anything, and none more than twice as long over twice as much', () => {
  const timed = (work: () => void): number => {
    const { user, system } = process.cpuUsage()
    work()
    const after = process.cpuUsage()
    return (after.user + after.system - user - system) / 1_000
  }
  for (const piece of SLOW) {
    const text = piece.repeat(Math.ceil(1_000_000 / piece.length))
    const subject = new Subject(text)
    assert.ok(subject.tokens.starts.length >= 0)
    for (const detector of detectors) {
      const look = search(detector)
      let ms = Number.POSITIVE_INFINITY
      // The least of three: a busy machine only ever makes it slower.
      for (let i = 0; i < 3 && ms > 100; i++)
        ms = Math.min(
          ms,
          timed(() => look(subject, [])),
        )
      assert.ok(ms <= 100, `${detector.entity}: ${ms.toFixed(0)} ms over ${JSON.stringify(piece)}`)
    }
  }
})

test('what stands near a find is not part of it, and what only looks like one is none', () => {
  const spans = (text: string): string[] => find(text).map((s) => `${s.entity} ${text.slice(s.start, s.end)}`)
  assert.deepEqual(spans('IBAN GB29 NWBK 6016 1331 9268 19 and more'), ['IBAN GB29 NWBK 6016 1331 9268 19'])
  assert.deepEqual(spans('postgres://admin:hunter2@db.example/x'), ['URL_CREDENTIALS admin:hunter2'])
  assert.deepEqual(spans('(jane@example.com), <joe@example.org>.'), ['EMAIL jane@example.com', 'EMAIL joe@example.org'])
  assert.deepEqual(spans('std::vector<int> a::b; version 10.2.3.4 at 12:30:45'), [])
  assert.deepEqual(spans('password: required, token: undefined, secret = process.env.SECRET'), [])
})

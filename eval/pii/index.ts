/**
 * `npm run eval:pii`: precision, recall and F1 of each entity, on the generated set and on the labelled one, beside two npm
 * packages for the same work (installed into eval/ on the first run); and how fast it is.
 *
 *   npm run eval:pii -- --write      writes docs/pii-accuracy.md and the committed counts
 *   npm run eval:pii -- --alone      without the two packages
 *   npm run eval:pii -- --mistakes   prints up to three mistakes of each kind
 */
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { detectors } from '../../src/modules/pii/detectors/index.ts'
import { finder } from '../../src/modules/pii/find.ts'
import { generate, type Labeled } from './generate.ts'
import { labelled } from './labelled.ts'
import { type FindSpans, f1, precision, recall, type Score, score } from './score.ts'

export const SEED = 20_261_124
const root = join(import.meta.dirname, '../..')
const { values: options } = parseArgs({
  options: { write: { type: 'boolean' }, alone: { type: 'boolean' }, mistakes: { type: 'boolean' } },
})

const find = finder(detectors)
const generated = generate(SEED)
const known = labelled()
const lines: string[] = []
const say = (line = ''): void => void lines.push(line)

const percent = (n: number): string => (n * 100).toFixed(1)
function table(set: readonly Labeled[], finders: readonly (readonly [string, FindSpans])[]): void {
  const all = finders.map(([name, one]) => [name, score(set, one)] as const)
  if (options.mistakes)
    for (const m of all[0]?.[1].mistakes ?? [])
      console.log(m.kind, m.entity, JSON.stringify(m.found), 'in', JSON.stringify(m.text.slice(0, 160)))
  const entities = [...new Set(set.flatMap((s) => s.spans.map((span) => span.entity)))]
    .filter(
      (entity) => finders.length === 1 || set === known || Object.values(COVERS).some((covers) => covers.has(entity)),
    )
    .sort()
  say(`| entity | labels | ${all.map(([name]) => `${name}: precision | recall | F1`).join(' | ')} |`)
  say(`|---|--:|${all.map(() => '--:|--:|--:').join('|')}|`)
  for (const entity of entities) {
    const labels = set.reduce((n, s) => n + s.spans.filter((span) => span.entity === entity).length, 0)
    const cells = all.map(([name, { scores }]) => {
      const one = scores.get(entity)
      if (name !== OURS && !COVERS[name]?.has(entity)) return '– | – | –'
      return one ? `${percent(precision(one))} | ${percent(recall(one))} | ${percent(f1(one))}` : '– | 0 | 0'
    })
    say(`| \`${entity}\` | ${labels} | ${cells.join(' | ')} |`)
  }
  const negatives = set.filter((s) => s.spans.length === 0)
  say()
  for (const [name, one] of finders) {
    const flagged = negatives.filter((s) => one(s.text).length > 0).length
    say(`Sentences without any label in which ${name} finds something: ${flagged} of ${negatives.length}.`)
  }
}

const OURS = 'Stockyard'
/** What the packages look for at all, under our names. */
const COVERS: Record<string, ReadonlySet<string>> = {}

/** Every so many sentences are asked of the packages too: one of them takes milliseconds for each. */
const STRIDE = 10
const sample = generated.filter((_, i) => i % STRIDE === 0)

async function others(): Promise<[string, FindSpans][]> {
  if (options.alone) return []
  const folder = join(root, 'eval')
  if (!existsSync(join(folder, 'node_modules'))) {
    const done = spawnSync('npm', ['ci', '--silent'], { cwd: folder, stdio: 'inherit' })
    if (done.status !== 0) throw new Error('the packages to compare with could not be installed; try --alone')
  }
  const found = await (await import('./peers.ts')).peers()
  for (const peer of found) {
    COVERS[peer.name] = peer.covers
    await peer.prepare([...sample, ...(known ?? [])])
  }
  return found.map(({ name, find }) => [name, find])
}

/** Megabytes for each second of this process's own time, so that a busy machine does not count. */
function speed(set: readonly Labeled[], one: FindSpans): number {
  const once = set.map((s) => s.text).join('\n')
  const text = once.repeat(Math.ceil(1_500_000 / once.length))
  for (let i = 0; i < 3; i++) one(text)
  const before = process.cpuUsage()
  for (let i = 0; i < 3; i++) one(text)
  const { user, system } = process.cpuUsage(before)
  return (3 * text.length) / (user + system)
}

const compared = await others()
say('# How well personal data is found')
say()
say('<!-- Written by npm run eval:pii -- --write; edit eval/pii. -->')
say()
say(
  'In percent. A label counts as found when a find of the same entity covers all of it. What a set labels and a package',
)
say(
  'does not look for is a dash. Names, addresses and organizations are no part of this: an external recognizer finds them.',
)
say()
say(`## Generated: ${generated.length} sentences in six languages`)
say()
say(
  `Seed ${SEED}; 500 sentences for each entity with valid checksums, and ${generated.filter((s) => s.spans.length === 0).length} sentences of code, logs, order numbers, ids and hashes without any.`,
)
say(
  'The sentences and the detectors come from the same authors, so read this as what the detectors can do where values are well',
)
say('formed and labeled in everyday words; the labelled set below was made by others.')
say()
table(generated, [[OURS, find]])
if (compared.length > 0) {
  say()
  say(`### Beside two npm packages: every ${STRIDE}th of these sentences`)
  say()
  table(sample, [[OURS, find], ...compared])
}
if (known) {
  say()
  say(`## Labelled by others: ${known.length} sentences of microsoft/presidio-research`)
  say()
  table(known, [[OURS, find], ...compared])
}
const page = `${lines.join('\n')}\n`
console.log(page)
for (const [name, set] of [
  ['generated sentences, of which every second byte is a find', generated],
  ['labelled sentences', known ?? []],
] as const) {
  if (set.length > 0)
    console.log(`All ${detectors.length} detectors, one thread, ${name}: ${speed(set, find).toFixed(1)} MB/s`)
}

if (options.write) {
  writeFileSync(join(root, 'docs/pii-accuracy.md'), page)
  if (known) {
    const counts = Object.fromEntries(
      [...score(known, find).scores.values()]
        .sort((a: Score, b: Score) => (a.entity < b.entity ? -1 : 1))
        .map(({ entity, missed, falseAlarms }) => [entity, { missed, falseAlarms }]),
    )
    writeFileSync(join(root, 'eval/pii/counts.json'), `${JSON.stringify(counts, undefined, 2)}\n`)
  }
}

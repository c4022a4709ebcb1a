/**
 * What was measured, as tables: each measure with its median and range over the trials, then the ratios that matter
 * beside what we ship at and aim for. Latencies are what a target adds to the upstream's own in the same trial.
 */

import type { PhaseId, Sample } from './measure.ts'
import { LABELS, type TargetId } from './targets.ts'
import { EVENTS } from './workloads.ts'

export interface Measured {
  /** One entry a trial; undefined where the measurement was void. The figures below are taken once. */
  readonly samples: Readonly<Partial<Record<PhaseId, readonly (Sample | undefined)[]>>>
  readonly coldStartMs: number | undefined
  /** Of the executable, where it was measured. */
  readonly executableStartMs?: number
  readonly idleMb: number | undefined
  readonly streamsMb: number | undefined
}

export interface Results {
  readonly date: string
  readonly machine: string
  readonly versions: Readonly<Record<string, string>>
  readonly trials: number
  readonly streams: number
  readonly targets: Readonly<Partial<Record<TargetId, Measured>>>
  readonly skipped: readonly string[]
  readonly warnings: readonly string[]
}

interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

type Figure = (results: Results, id: TargetId, trial: number) => number | undefined

const sampleOf = ({ targets }: Results, id: TargetId, phase: PhaseId, trial: number): Sample | undefined =>
  targets[id]?.samples[phase]?.[trial]

const perSecond =
  (phase: PhaseId, each = 1): Figure =>
  (results, id, trial) => {
    const outcome = sampleOf(results, id, phase, trial)?.outcome
    return outcome && (outcome.count * each * 1_000) / outcome.durationMs
  }

const cpuUs =
  (phase: PhaseId, each = 1): Figure =>
  (results, id, trial) => {
    const sample = sampleOf(results, id, phase, trial)
    return sample?.cpuMs === undefined ? undefined : (sample.cpuMs * 1_000) / (sample.outcome.count * each)
  }

const waitedPercent =
  (phase: PhaseId): Figure =>
  (results, id, trial) => {
    const waited = sampleOf(results, id, phase, trial)?.waited
    return waited === undefined ? undefined : waited * 100
  }

const latency =
  (phase: PhaseId, kind: 'latencyMs' | 'firstTextMs' | 'gapMs', share: 'p50' | 'p99'): Figure =>
  (results, id, trial) =>
    sampleOf(results, id, phase, trial)?.outcome[kind][share]

const less = (one: Figure, other: Figure): Figure => {
  return (results, id, trial) => {
    const [a, b] = [one(results, id, trial), other(results, id, trial)]
    return a === undefined || b === undefined ? undefined : a - b
  }
}

/** What a target adds to the upstream's own. */
const added = (figure: Figure): Figure => less(figure, (results, _, trial) => figure(results, 'direct', trial))

const timesThatOf =
  (figure: Figure, reference: TargetId): Figure =>
  (results, id, trial) => {
    const [a, b] = [figure(results, id, trial), figure(results, reference, trial)]
    return a === undefined || b === undefined ? undefined : a / b
  }

const once =
  (read: (measured: Measured) => number | undefined): Figure =>
  ({ targets }, id, trial) => {
    const measured = targets[id]
    return trial === 0 && measured ? read(measured) : undefined
  }

export const requestsPerSecond = perSecond('saturate')
const addedLong = added(less(latency('long', 'latencyMs', 'p50'), latency('one', 'latencyMs', 'p50')))

export const FIGURES = {
  requestsPerSecond,
  toRaw: timesThatOf(requestsPerSecond, 'raw'),
  toPortkey: timesThatOf(requestsPerSecond, 'portkey'),
  cpuUsRequest: cpuUs('saturate'),
  onep50: added(latency('one', 'latencyMs', 'p50')),
  onep99: added(latency('one', 'latencyMs', 'p99')),
  ratep50: added(latency('rate', 'latencyMs', 'p50')),
  ratep99: added(latency('rate', 'latencyMs', 'p99')),
  rateWaited: waitedPercent('rate'),
  long: addedLong,
  firstTextp50: added(latency('firstText', 'firstTextMs', 'p50')),
  firstTextp99: added(latency('firstText', 'firstTextMs', 'p99')),
  chunksPerSecond: perSecond('chunks', EVENTS),
  cpuUsChunk: cpuUs('chunks', EVENTS),
  cpuUsPacedChunk: cpuUs('paced', EVENTS),
  gapp99: latency('paced', 'gapMs', 'p99'),
  idleMb: once((measured) => measured.idleMb),
  streamsMb: once((measured) => measured.streamsMb),
  coldStartMs: once((measured) => measured.coldStartMs),
  executableStartMs: once((measured) => measured.executableStartMs),
} as const satisfies Record<string, Figure>
export type FigureId = keyof typeof FIGURES

const ROWS: readonly (readonly [figure: FigureId, name: string, decimals: number])[] = [
  ['requestsPerSecond', 'requests/s, one core, 64 connections', 0],
  ['toRaw', 'the same, times raw', 2],
  ['toPortkey', 'the same, times Portkey', 1],
  ['cpuUsRequest', 'CPU µs a request', 0],
  ['onep50', 'added at one client, p50 ms', 3],
  ['onep99', 'added at one client, p99 ms', 3],
  ['ratep50', 'added at 1,000 requests/s, p50 ms', 3],
  ['ratep99', 'added at 1,000 requests/s, p99 ms', 3],
  ['rateWaited', 'of that time waited for its core, %', 1],
  ['long', 'a 60 KB prompt adds over a 1 KB one, p50 ms', 3],
  ['firstTextp50', 'added to the first text, p50 ms', 3],
  ['firstTextp99', 'added to the first text, p99 ms', 3],
  ['chunksPerSecond', 'chunks/s, 64 unpaced streams', 0],
  ['cpuUsChunk', 'CPU µs a chunk, unpaced', 1],
  ['cpuUsPacedChunk', 'CPU µs a chunk, one each 20 ms', 1],
  ['gapp99', 'gap between texts sent each 20 ms, p99 ms', 1],
  ['idleMb', 'memory idle, MB', 0],
  ['streamsMb', 'memory with open streams, MB', 0],
  ['coldStartMs', 'start to first answer, ms', 0],
  ['executableStartMs', 'the same of the executable, ms', 0],
]

interface Goal {
  readonly name: string
  readonly figure: FigureId
  readonly of: TargetId
  readonly than?: TargetId
  readonly ship: number
  readonly aim: number
  readonly atLeast?: true
}

const GOALS: readonly Goal[] = [
  { name: 'modules off / raw', figure: 'toRaw', of: 'off', ship: 0.7, aim: 0.9, atLeast: true },
  { name: 'default / raw', figure: 'toRaw', of: 'default', ship: 0.6, aim: 0.75, atLeast: true },
  { name: 'default / Portkey', figure: 'toPortkey', of: 'default', ship: 6, aim: 10, atLeast: true },
  { name: 'full gateway / raw', figure: 'toRaw', of: 'gateway', ship: 0.5, aim: 0.65, atLeast: true },
  { name: 'full gateway with a crowd / raw', figure: 'toRaw', of: 'crowd', ship: 0.5, aim: 0.65, atLeast: true },
  { name: 'full gateway / Portkey', figure: 'toPortkey', of: 'gateway', ship: 5, aim: 8, atLeast: true },
  {
    name: 'default / modules off',
    figure: 'requestsPerSecond',
    of: 'default',
    than: 'off',
    ship: 0.85,
    aim: 0.95,
    atLeast: true,
  },
  {
    name: 'to Anthropic / default',
    figure: 'requestsPerSecond',
    of: 'translated',
    than: 'default',
    ship: 0.5,
    aim: 0.6,
    atLeast: true,
  },
  {
    name: 'to Anthropic / default, streams of 100 texts',
    figure: 'chunksPerSecond',
    of: 'translated',
    than: 'default',
    ship: 0.5,
    aim: 0.6,
    atLeast: true,
  },
  { name: 'added at one client, p50 ms', figure: 'onep50', of: 'default', ship: 0.25, aim: 0.12 },
  { name: 'added at one client, p99 ms', figure: 'onep99', of: 'default', ship: 1, aim: 0.4 },
  { name: 'added at 1,000 requests/s, p50 ms', figure: 'ratep50', of: 'default', ship: 0.3, aim: 0.2 },
  { name: 'added at 1,000 requests/s, p99 ms', figure: 'ratep99', of: 'default', ship: 1.5, aim: 0.8 },
  {
    name: 'added by the full gateway at 1,000 requests/s, p99 ms',
    figure: 'ratep99',
    of: 'gateway',
    ship: 1.5,
    aim: 0.8,
  },
  { name: 'a 60 KB prompt adds, p50 ms', figure: 'long', of: 'default', ship: 0.5, aim: 0.15 },
  { name: 'added to the first text, p50 ms', figure: 'firstTextp50', of: 'default', ship: 0.5, aim: 0.2 },
  { name: 'added to the first text, p99 ms', figure: 'firstTextp99', of: 'default', ship: 1.5, aim: 0.6 },
  { name: 'CPU µs a chunk, unpaced', figure: 'cpuUsChunk', of: 'default', ship: 25, aim: 10 },
  { name: 'memory idle, MB', figure: 'idleMb', of: 'default', ship: 120, aim: 80 },
  { name: 'memory with 1,000 open streams, MB', figure: 'streamsMb', of: 'default', ship: 250, aim: 150 },
  { name: 'start to first answer with a crowd, ms', figure: 'coldStartMs', of: 'crowd', ship: 2_000, aim: 1_000 },
  { name: 'start to first answer, ms', figure: 'coldStartMs', of: 'default', ship: 500, aim: 200 },
  { name: 'the same of the executable, ms', figure: 'executableStartMs', of: 'default', ship: 500, aim: 200 },
]

export function spreadOf(results: Results, figure: Figure, id: TargetId): Spread | undefined {
  const values = Array.from({ length: results.trials }, (_, trial) => figure(results, id, trial))
    .filter((value) => value !== undefined && !Number.isNaN(value))
    .sort((a, b) => (a as number) - (b as number)) as number[]
  const middle = values.length >> 1
  const [low, high] = [values[values.length % 2 === 0 ? middle - 1 : middle], values[middle]]
  if (low === undefined || high === undefined) return undefined
  return { median: (low + high) / 2, min: values[0] as number, max: values.at(-1) as number }
}

const number = (value: number, decimals: number): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })

function shown(spread: Spread | undefined, decimals: number): string {
  if (!spread) return '–'
  const median = number(spread.median, decimals)
  if (spread.min === spread.max) return median
  return `${median} (${number(spread.min, decimals)}–${number(spread.max, decimals)})`
}

/** Added latencies say nothing about the upstream itself; ratios to Portkey say nothing about the rig. */
function cell(results: Results, figure: FigureId, id: TargetId, decimals: number): string {
  const nothing: readonly FigureId[] = [
    'onep50',
    'onep99',
    'ratep50',
    'ratep99',
    'long',
    'firstTextp50',
    'firstTextp99',
  ]
  if (id === 'direct' && nothing.includes(figure)) return '–'
  if (id === 'portkey' && figure === 'toPortkey') return '–'
  return shown(spreadOf(results, FIGURES[figure], id), decimals)
}

export function measuredTable(results: Results): string[][] {
  const ids = Object.keys(results.targets) as TargetId[]
  return [
    ['', ...ids.map((id) => LABELS[id])],
    ...ROWS.map(([figure, name, decimals]) => [
      figure === 'streamsMb' ? `memory with ${results.streams.toLocaleString('en-US')} open streams, MB` : name,
      ...ids.map((id) => cell(results, figure, id, decimals)),
    ]),
  ]
}

export function goalTable(results: Results): string[][] {
  const rows = GOALS.map((goal) => {
    const figure = goal.than === undefined ? FIGURES[goal.figure] : timesThatOf(FIGURES[goal.figure], goal.than)
    const spread = spreadOf(results, figure, goal.of)
    const decimals = goal.ship < 1 ? 2 : goal.ship < 20 ? 1 : 0
    const reached = (bound: number): boolean =>
      spread !== undefined && (goal.atLeast ? spread.median >= bound : spread.median <= bound)
    const verdict =
      spread === undefined ? 'not measured' : reached(goal.aim) ? 'aim' : reached(goal.ship) ? 'ship' : 'MISSED'
    const sign = goal.atLeast ? '≥' : '≤'
    return [
      goal.name,
      shown(spread, goal.ship < 20 ? 2 : decimals),
      `${sign} ${goal.ship}`,
      `${sign} ${goal.aim}`,
      verdict,
    ]
  })
  return [['', 'measured', 'ship', 'aim', 'reached'], ...rows]
}

export function aligned(table: readonly string[][]): string {
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  const line = (row: string[]): string =>
    row
      .map((text, column) => (column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0)))
      .join('  ')
  return table.map(line).join('\n')
}

function markdown(table: readonly string[][]): string {
  const [head = [], ...rows] = table
  const rule = head.map((_, column) => (column === 0 ? '---' : '--:'))
  return [head, rule, ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

export function page(results: Results): string {
  const versions = Object.entries(results.versions)
  return `# Results of \`npm run bench\`

Measured on ${results.date} by \`npm run bench -- --write\`, in one interleaved run of ${results.trials} trials; medians, with the lowest and
the highest trial. Machine: ${results.machine}. Versions: ${versions.map(([name, version]) => `${name} ${version}`).join(', ')}.
How it is measured, and what each word means, stands in [README.md](README.md).

${markdown(measuredTable(results))}

## Against what we want

Ratios are taken within a trial.

${markdown(goalTable(results))}
${results.skipped.length > 0 ? `\n## Skipped\n\n${results.skipped.map((line) => `- ${line}`).join('\n')}\n` : ''}${results.warnings.length > 0 ? `\n## Warnings of this run\n\n${results.warnings.map((line) => `- ${line}`).join('\n')}\n` : ''}`
}

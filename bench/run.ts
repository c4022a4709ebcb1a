/**
 * `npm run bench`: measures Stockyard side by side with its upstream, a raw Node proxy and Portkey, everything interleaved
 * in one run, and prints medians, ratios and goals. Takes about five minutes.
 *
 *   npm run bench -- --quick           half a minute, one short trial: does the rig work?
 *   npm run bench -- --trials 9        more trials (5)
 *   npm run bench -- --only default    these targets beside direct and raw: off, default, bodies,
 *                                      translated, audit, gateway, crowd, portkey
 *   npm run bench -- --crowd           the full gateway, alone and with 100,000 keys and 10,000 teams beside its own
 *   npm run bench -- --patience 600  seconds to spend on waiting for a quiet machine and on repeating (60)
 *   npm run bench -- --resilience      only a failing target and 5,000 open streams, in full; the plain run ends with
 *                                      a short form of it; see resilience.ts
 *   npm run bench -- --json            the samples as JSON on standard output
 *   npm run bench -- --write           also write bench/RESULTS.md
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { contentCosts } from './content.ts'
import { canPin, RIG_CORE, residentMb } from './machine.ts'
import {
  measure,
  memoryOfStreams,
  PHASES,
  type PhaseId,
  probe,
  type Rig,
  type Sample,
  sleep,
  startLoad,
  warmUp,
} from './measure.ts'
import { aligned, goalTable, type Measured, measuredTable, page, type Results } from './report.ts'
import {
  executable,
  executableStartMs,
  installPortkey,
  LABELS,
  portkeyVersion,
  prepareStart,
  startTarget,
  startUpstream,
  stopped,
  type Target,
  type TargetId,
} from './targets.ts'
import type { WorkloadId } from './workloads.ts'

const { values: options } = parseArgs({
  options: {
    trials: { type: 'string', default: '5' },
    only: { type: 'string' },
    patience: { type: 'string', default: '60' },
    quick: { type: 'boolean', default: false },
    crowd: { type: 'boolean', default: false },
    resilience: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})
// It measures something else and ends by itself.
if (options.resilience) await import('./resilience.ts')
const trials = options.quick ? 1 : Number(options.trials)
if (!Number.isInteger(trials) || trials < 1 || trials > 100) throw new Error(`--trials ${options.trials}: 1 to 100`)
const scale = options.quick ? 0.3 : 1
const streams = options.quick ? 0 : 1_000
const phases = (Object.keys(PHASES) as PhaseId[]).filter((phase) => !options.quick || phase !== 'paced')
const wanted = (options.only?.split(',') ??
  (options.crowd ? ['gateway', 'crowd'] : undefined) ?? [
    'off',
    'default',
    'bodies',
    'translated',
    'audit',
    'gateway',
    'portkey',
  ]) as TargetId[]
for (const id of wanted) if (!Object.hasOwn(LABELS, id)) throw new Error(`--only ${id}: one of ${Object.keys(LABELS)}`)
const ids = [...new Set<TargetId>(['direct', 'raw', ...wanted])]

const say = (line: string): void => console.error(line)
const warnings: string[] = []
const skipped: string[] = []
if (!canPin) warnings.push('nothing is pinned to a core here, so "one core" is not one core')
else spawnSync('taskset', ['-a', '-c', '-p', `${RIG_CORE}`, `${process.pid}`])

prepareStart()
const upstream = await startUpstream()
const load = startLoad()
const targets: Target[] = []
const rig: Rig = {
  upstreamPid: upstream.child.pid,
  targets,
  load,
  warnings,
  patienceMs: options.quick ? 0 : Number(options.patience) * 1_000,
}
const facts = new Map<TargetId, Omit<Measured, 'samples'>>()
const bodyBytes = new Map<TargetId, number | undefined>()
const samples = new Map<TargetId, Partial<Record<PhaseId, (Sample | undefined)[]>>>()

/** Starts a target, looks at its memory while it is young, and lets it warm up. */
async function begin(id: TargetId): Promise<void> {
  say(`starting ${LABELS[id]} …`)
  const target = await startTarget(id, upstream.port)
  targets.push(target)
  bodyBytes.set(id, await probe(load, target, 'chat'))
  for (const workload of ['chat60k', 'stream'] satisfies WorkloadId[]) await probe(load, target, workload)
  await sleep(1_000)
  const idleMb = target.pid === undefined ? undefined : residentMb(target.pid)
  const streamsMb = streams > 0 ? await memoryOfStreams(rig, target, streams) : undefined
  const { coldStartMs } = target
  const executableMs = id === 'default' && existsSync(executable) ? await executableStartMs(upstream.port) : undefined
  facts.set(id, {
    coldStartMs,
    idleMb,
    streamsMb,
    ...(executableMs === undefined ? {} : { executableStartMs: executableMs }),
  })
  samples.set(id, {})
  for (const phase of ['saturate', 'chunks', 'long', 'one'] satisfies PhaseId[]) {
    await warmUp(rig, target, phase, scale)
  }
}

function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((one) => ({ one, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ one }) => one)
}

async function floor(): Promise<number> {
  const direct = targets.find(({ id }) => id === 'direct') as Target
  const sample = await measure(rig, direct, 'saturate', bodyBytes.get('direct'), scale)
  return sample === undefined ? Number.NaN : (sample.outcome.count * 1_000) / sample.outcome.durationMs
}

function sizeOf(value: number, what: string): void {
  if (!(value <= 0.05)) warnings.push(`direct drifted by ${(value * 100).toFixed(1)} % ${what}: the run is void`)
}

function versionOf(file: string): string {
  return (JSON.parse(readFileSync(join(import.meta.dirname, '..', file), 'utf8')) as { version: string }).version
}

try {
  const whyNoPortkey = ids.includes('portkey') ? installPortkey() : undefined
  for (const id of ids) {
    try {
      if (id === 'portkey' && whyNoPortkey !== undefined) throw new Error(whyNoPortkey)
      await begin(id)
    } catch (error) {
      skipped.push(`${LABELS[id]}: ${(error as Error).message}`)
      say(`SKIPPED ${skipped.at(-1)}`)
    }
  }
  const measured = targets.filter(({ id }) => samples.has(id))
  const before = await floor()
  for (let trial = 0; trial < trials; trial++) {
    for (const phase of phases) {
      say(`trial ${trial + 1} of ${trials}: ${phase}`)
      for (const target of shuffled(measured)) {
        const own = samples.get(target.id) as Partial<Record<PhaseId, (Sample | undefined)[]>>
        own[phase] ??= []
        own[phase].push(await measure(rig, target, phase, bodyBytes.get(target.id), scale))
      }
    }
  }
  sizeOf(Math.abs((await floor()) / before - 1), 'between the beginning and the end')

  const busiest = measured
    .filter(({ id }) => id !== 'direct')
    .flatMap(({ id }) => (samples.get(id)?.saturate ?? []).map((sample) => ({ id, busy: sample?.rigBusy ?? 0 })))
    .sort((a, b) => b.busy - a.busy)[0]
  if (busiest && busiest.busy > 0.85) {
    const percent = Math.round(busiest.busy * 100)
    warnings.push(`the rig's own core was ${percent} % busy under ${LABELS[busiest.id]}: its figure is the rig's bound`)
  }

  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} cores (${process.arch}, ${process.platform}), ${Math.round(totalmem() / 2 ** 30)} GB${canPin ? ', gateway on one core, upstream and load on the other' : ''}`,
    versions: {
      Stockyard: versionOf('package.json'),
      Node: process.versions.node,
      undici: versionOf('node_modules/undici/package.json'),
      ...(samples.has('portkey') ? { Portkey: portkeyVersion() } : {}),
    },
    trials,
    streams,
    targets: Object.fromEntries(measured.map(({ id }) => [id, { ...facts.get(id), samples: samples.get(id) ?? {} }])),
    skipped,
    warnings: [...new Set(warnings)],
  }
  if (options.json) console.log(JSON.stringify(results))
  else {
    console.log(`\n${aligned(measuredTable(results))}\n\n${aligned(goalTable(results))}\n`)
    for (const line of await contentCosts()) console.log(line)
    for (const line of results.skipped) console.log(`SKIPPED ${line}`)
    for (const line of results.warnings) console.log(`warning: ${line}`)
  }
  if (options.write) writeFileSync(join(import.meta.dirname, 'RESULTS.md'), page(results))
} finally {
  load.stop()
  for (const target of targets) await target.stop()
  await stopped(upstream.child)
}
// In a process of its own, as it pins nothing and has a gateway and upstreams of its own.
if (!options.json && !options.quick) {
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, 'resilience.ts'), '--quick'], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exitCode = 1
}

/**
 * One measurement of one target, and how it is guarded: the load generator does the job, this side takes the CPU time of
 * the gateway and of everything else, waits for work that trails behind, and repeats what was disturbed or went wrong.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Job, Outcome } from './load.ts'
import { busyMs, canPin, cpuMs, pinned, RIG_CORE, residentMb, waitedMs } from './machine.ts'
import type { Target } from './targets.ts'
import { isStreamed, replyText, streamText, type WorkloadId } from './workloads.ts'

export type PhaseId = 'saturate' | 'one' | 'rate' | 'long' | 'firstText' | 'chunks' | 'paced'

export const CONNECTIONS = 64
export const RATE_PER_SECOND = 1_000

interface Phase {
  readonly workload: WorkloadId
  readonly durationMs: number
  readonly how: (durationMs: number) => Job['how']
}
const closed =
  (connections: number) =>
  (durationMs: number): Job['how'] => ({ kind: 'closed', connections, durationMs })

export const PHASES: Readonly<Record<PhaseId, Phase>> = {
  saturate: { workload: 'chat', durationMs: 1_800, how: closed(CONNECTIONS) },
  one: { workload: 'chat', durationMs: 700, how: closed(1) },
  rate: {
    workload: 'chat',
    // Long enough that one hiccup of the machine is not the 99th percentile.
    durationMs: 3_000,
    how: (durationMs) => ({ kind: 'rate', perSecond: RATE_PER_SECOND, durationMs }),
  },
  long: { workload: 'chat60k', durationMs: 700, how: closed(1) },
  firstText: { workload: 'stream', durationMs: 600, how: closed(1) },
  chunks: { workload: 'stream', durationMs: 900, how: closed(CONNECTIONS) },
  paced: {
    workload: 'stream20',
    durationMs: 0,
    how: () => ({ kind: 'streams', connections: CONNECTIONS, openWithinMs: 20 }),
  },
}

export interface Sample {
  readonly outcome: Outcome
  /** Of the gateway and its children, work that trailed behind included. Absent where the machine cannot say. */
  readonly cpuMs?: number
  /** For what share of the time the gateway's serving thread waited for its core. */
  readonly waited?: number
  /** Shares of one core, from 0: the core of upstream and load; and what neither they nor a gateway used. */
  readonly rigBusy?: number
  readonly elsewhere?: number
}

export interface Rig {
  readonly upstreamPid: number
  readonly targets: readonly Target[]
  readonly load: Load
  readonly warnings: string[]
  /** Time that may still go into waiting for a quiet machine and repeating what was disturbed. */
  patienceMs: number
}

export interface Load {
  readonly pid: number
  run(job: Job): Promise<Outcome>
  stop(): void
}

/** More than this share of a core used by others disturbs. */
const DISTURBED = 0.1
const TRAILING_MS = 2_000
const LOAD_LATE_MS = 60_000

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export function startLoad(): Load {
  const [command, ...args] = pinned(RIG_CORE, [process.execPath, join(import.meta.dirname, 'load.ts')])
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const
  const child: ChildProcess = canPin
    ? spawn(command, args, { stdio: [...stdio] })
    : fork(args[0] as string, { stdio: [...stdio] })
  return {
    pid: child.pid as number,
    stop: () => child.disconnect(),
    run(job) {
      const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
      const gone = (code: number | null): void => reject(new Error(`the load generator ended with ${code}`))
      const timer = setTimeout(() => reject(new Error('the load generator did not answer')), LOAD_LATE_MS)
      child.once('exit', gone)
      child.once('message', (message: Outcome | { error: string }) => {
        clearTimeout(timer)
        child.off('exit', gone)
        if ('error' in message) reject(new Error(message.error))
        else resolve(message)
      })
      child.send(job)
      return promise
    },
  }
}

/** Asks once and reads what came back; answers the size of the body that all further replies must have. */
export async function probe(load: Load, target: Target, workload: WorkloadId): Promise<number | undefined> {
  const { port, headers } = target
  const { body = '', failed, firstFailure } = await load.run({ port, headers, workload, how: { kind: 'probe' } })
  if (failed > 0) throw new Error(`${workload}: ${firstFailure}: ${body.slice(0, 300)}`)
  if (!isStreamed(workload)) {
    const text = JSON.parse(body).choices[0].message.content
    if (text !== replyText) throw new Error(`${workload}: another text came back`)
    return Buffer.byteLength(body)
  }
  const events = body.split('\n\n').filter((event) => event.startsWith('data: {'))
  const text = events.map((event) => JSON.parse(event.slice(6)).choices[0]?.delta.content ?? '').join('')
  if (text !== streamText || !body.endsWith('data: [DONE]\n\n'))
    throw new Error(`${workload}: another stream came back`)
  return undefined
}

/** The CPU time of a process once it has come to rest, so that what it put off is counted too. */
async function cpuAtRest(pid: number): Promise<number | undefined> {
  const until = performance.now() + TRAILING_MS
  let before = cpuMs(pid)
  while (before !== undefined && performance.now() < until) {
    await sleep(50)
    const now = cpuMs(pid) ?? before
    if (now - before < 2) return now
    before = now
  }
  return before
}

const sum = (values: readonly (number | undefined)[]): number =>
  values.reduce<number>((all, one) => all + (one ?? 0), 0)

/** CPU time of all that belongs to the bench. */
function ownMs(rig: Rig): number {
  const { user, system } = process.cpuUsage()
  const others = [rig.upstreamPid, rig.load.pid, ...rig.targets.flatMap(({ pid }) => pid ?? [])]
  return sum(others.map(cpuMs)) + (user + system) / 1_000
}

async function once(rig: Rig, target: Target, job: Job): Promise<Sample> {
  const cpuBefore = target.pid === undefined ? undefined : cpuMs(target.pid)
  const waitedBefore = target.pid === undefined ? undefined : waitedMs(target.pid)
  const busyBefore = busyMs()
  const ownBefore = ownMs(rig)
  const startedAt = performance.now()
  const outcome = await rig.load.run(job)
  const tookMs = performance.now() - startedAt
  const waitedAfter = target.pid === undefined ? undefined : waitedMs(target.pid)
  const busyAfter = busyMs()
  const ownAfter = ownMs(rig)
  const busy = busyAfter.map((ms, core) => ms - (busyBefore[core] ?? 0))
  const cpuAfter = target.pid === undefined ? undefined : await cpuAtRest(target.pid)
  return {
    outcome,
    ...(cpuBefore === undefined || cpuAfter === undefined ? {} : { cpuMs: cpuAfter - cpuBefore }),
    ...(waitedBefore === undefined || waitedAfter === undefined
      ? {}
      : { waited: (waitedAfter - waitedBefore) / tookMs }),
    ...(busy.length === 0
      ? {}
      : {
          rigBusy: (busy[RIG_CORE] ?? 0) / tookMs,
          elsewhere: Math.max(0, sum(busy) - (ownAfter - ownBefore)) / tookMs,
        }),
  }
}

function jobOf({ port, headers }: Target, phase: PhaseId, bodyBytes: number | undefined, scale: number): Job {
  const { workload, durationMs, how } = PHASES[phase]
  const common = { port, headers, workload, how: how(durationMs * scale) }
  return bodyBytes === undefined ? common : { ...common, bodyBytes }
}

export async function warmUp(rig: Rig, target: Target, phase: PhaseId, scale: number): Promise<void> {
  await rig.load.run(jobOf(target, phase, undefined, scale))
}

/** What neither the rig nor a gateway uses of the machine, as a share of one core, over the next third of a second. */
async function elsewhereNow(rig: Rig): Promise<number> {
  const before = { busy: sum(busyMs()), own: ownMs(rig), at: performance.now() }
  await sleep(300)
  return (sum(busyMs()) - before.busy - (ownMs(rig) - before.own)) / (performance.now() - before.at)
}

/** Measures, and again when it was disturbed or a reply was wrong; undefined when no reply may be trusted. */
export async function measure(
  rig: Rig,
  target: Target,
  phase: PhaseId,
  bodyBytes: number | undefined,
  scale: number,
): Promise<Sample | undefined> {
  const job = jobOf(target, phase, bodyBytes, scale)
  for (let voided = 0; ; ) {
    const startedAt = performance.now()
    const sample = await once(rig, target, job)
    const { failed, firstFailure } = sample.outcome
    const elsewhere = sample.elsewhere ?? 0
    if (failed > 0) {
      if (voided++ < 2) continue
      rig.warnings.push(`${target.id}, ${phase}: void, ${failed} failed: ${firstFailure}`)
      return undefined
    }
    if (elsewhere <= DISTURBED) return sample
    if (rig.patienceMs <= 0) {
      rig.warnings.push(`${target.id}, ${phase}: something else used ${Math.round(elsewhere * 100)} % of a core`)
      return sample
    }
    while (performance.now() - startedAt < rig.patienceMs && (await elsewhereNow(rig)) > DISTURBED);
    rig.patienceMs -= performance.now() - startedAt
  }
}

/** Opens many slow streams and answers the resident memory (MB) while all are open. */
export async function memoryOfStreams(rig: Rig, target: Target, streams: number): Promise<number | undefined> {
  const { port, headers, pid } = target
  if (pid === undefined) return undefined
  const openWithinMs = 1_000
  const seen: number[] = []
  const startedAt = performance.now()
  const timer = setInterval(() => {
    const atMs = performance.now() - startedAt
    const megabytes = residentMb(pid)
    if (atMs > openWithinMs + 1_000 && atMs < 4_800 && megabytes !== undefined) seen.push(megabytes)
  }, 200)
  const outcome = await rig.load.run({
    port,
    headers,
    workload: 'stream50',
    how: { kind: 'streams', connections: streams, openWithinMs },
  })
  clearInterval(timer)
  if (outcome.failed > 0) {
    rig.warnings.push(`${target.id}, ${streams} streams: ${outcome.failed} failed: ${outcome.firstFailure}`)
  }
  if (outcome.mostOpen < streams) rig.warnings.push(`${target.id}: only ${outcome.mostOpen} streams were open at once`)
  return seen.length === 0 ? undefined : Math.max(...seen)
}

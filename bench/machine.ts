/**
 * What the machine says about processes: pinning to a core, CPU time and memory of a process with its children, and how
 * busy the cores were in all. Linux tells through /proc; elsewhere these answers are absent and the bench says so.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

export const GATEWAY_CORE = 1
export const RIG_CORE = 0

export const canPin =
  availableParallelism() >= 2 && spawnSync('taskset', ['-c', `${GATEWAY_CORE}`, 'true']).status === 0

/** The command line that runs the same on one core, where the machine can do that. */
export function pinned(core: number, command: readonly string[]): readonly [string, ...string[]] {
  const line = canPin ? ['taskset', '-c', `${core}`, ...command] : command
  return line as readonly [string, ...string[]]
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function withChildren(pid: number): number[] {
  const found = [pid]
  for (const task of list(`/proc/${pid}/task`)) {
    const children = read(`/proc/${pid}/task/${task}/children`)?.trim()
    if (children) for (const child of children.split(' ')) found.push(...withChildren(Number(child)))
  }
  return found
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/** CPU time that a process and its children have used so far, in milliseconds. */
export function cpuMs(pid: number): number | undefined {
  let total: number | undefined
  for (const one of withChildren(pid)) {
    const exact = list(`/proc/${one}/task`).map((task) => read(`/proc/${one}/task/${task}/schedstat`))
    if (exact.length > 0 && exact.every((line) => line !== undefined)) {
      for (const line of exact) total = (total ?? 0) + Number((line as string).split(' ', 1)[0]) / 1e6
      continue
    }
    const stat = read(`/proc/${one}/stat`)
    // After the name, which may hold anything: state is the first field, user and system time the 12th and 13th.
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields) total = (total ?? 0) + (Number(fields[11]) + Number(fields[12])) * 10
  }
  return total
}

/** How long the serving thread of a process could have run so far and had to wait for its core, in milliseconds. */
export function waitedMs(pid: number): number | undefined {
  const waited = read(`/proc/${pid}/task/${pid}/schedstat`)?.split(' ', 2)[1]
  return waited === undefined ? undefined : Number(waited) / 1e6
}

/** Resident memory of a process and its children, in megabytes (10^6 bytes). */
export function residentMb(pid: number): number | undefined {
  let total: number | undefined
  for (const one of withChildren(pid)) {
    const kib = /VmRSS:\s+(\d+) kB/.exec(read(`/proc/${one}/status`) ?? '')?.[1]
    if (kib !== undefined) total = (total ?? 0) + (Number(kib) * 1_024) / 1e6
  }
  return total
}

/** Time that each core has been busy so far, in milliseconds, time taken by the host included. */
export function busyMs(): number[] {
  const lines = (read('/proc/stat') ?? '').split('\n').filter((line) => /^cpu\d/.test(line))
  return lines.map((line) => {
    const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).map(Number)
    return (user + nice + system + irq + softirq + steal) * 10
  })
}

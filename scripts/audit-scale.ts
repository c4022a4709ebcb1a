/**
 * `npm run audit-scale [-- records]`: the audit trail with ten million records, or as many as you say: how fast it grows, how
 * long a proof takes, how fast it is verified, and how much memory that needs. It writes into the temporary directory (about
 * 5 GB for ten million) and removes that again. Rates are given by the time of the thread's own processor, so that other
 * programs on the machine do not count, and by the clock.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { canonical } from '../src/modules/audit/canonical.ts'
import { leafHash, verifyInclusion } from '../src/modules/audit/merkle.ts'
import { parseCheckpoint, parseNote } from '../src/modules/audit/note.ts'
import { verifyFile } from '../src/modules/audit/offline.ts'
import { audit, type ProofAnswer } from '../src/modules/audit/program.ts'
import { type Sealed, seal } from '../src/modules/audit/record.ts'
import { tables } from '../src/modules/audit/tables.ts'
import { openStore } from '../src/store/local/index.ts'
import { openBench } from '../src/store/local/program.ts'

export interface Scale {
  readonly records: number
  readonly appended: Rate
  /** By the clock; `cpu` is the mean of processor time. */
  readonly proofMs: { readonly p50: number; readonly p99: number; readonly cpu: number }
  readonly verified: Rate
  readonly problems: readonly string[]
  readonly fileBytes: number
  readonly mostMemoryBytes: number
}

/** Records in a second. */
export interface Rate {
  readonly cpu: number
  readonly clock: number
}
/** Begins to measure; the function says how fast that many were. */
function stopwatch(): (count: number) => Rate {
  const cpu = process.threadCpuUsage()
  const clock = performance.now()
  return (count) => {
    const { user, system } = process.threadCpuUsage(cpu)
    return {
      cpu: Math.round(count / ((user + system) / 1e6)),
      clock: Math.round(count / ((performance.now() - clock) / 1_000)),
    }
  }
}
const shown = ({ cpu, clock }: Rate): string => `${cpu} records/s (${clock} by the clock)`

const BATCH = 2_000
const PROOFS = 500
const silent = { debug() {}, info() {}, warn() {}, error() {} }

export async function measure(records: number, say: (line: string) => void = () => {}): Promise<Scale> {
  const dataDir = mkdtempSync(join(tmpdir(), 'stockyard-audit-scale-'))
  const workerUrl = new URL('../src/store/local/worker.ts', import.meta.url)
  const all = { audit: tables }
  const store = await openStore({
    dataDir,
    log: silent,
    tables: all,
    workerUrl,
    ballastBytes: 0,
    masterKey: '00'.repeat(32),
  })
  const bench = openBench({ dataDir, module: 'audit', tables: all })
  let mostMemoryBytes = 0
  const look = (): void => {
    mostMemoryBytes = Math.max(mostMemoryBytes, process.memoryUsage.rss())
  }
  try {
    const calls = audit.start(bench)
    const call = (name: string, argument: unknown): unknown => calls[name]?.(argument)
    const now = Date.now()
    call('open', { origin: 'scale', now })
    call('compare', { kept: [], now })
    const appending = stopwatch()
    for (let done = 0; done < records; done += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, records - done) }, (_, i) => draft(done + i, now))
      call('append', { records: batch, salts: [] })
      if (done % 1_000_000 === 0 && done > 0) say(`${done} records`)
      look()
    }
    const appended = appending(records)
    call('step', { now, force: true })
    say(`appended: ${shown(appended)}`)

    const times: number[] = []
    const proving = stopwatch()
    for (let i = 0; i < PROOFS; i++) {
      const seq = Math.floor((i + 0.5) * (records / PROOFS)) % records
      const from = performance.now()
      const { leaf, record, proof, frame } = call('proof', { seq, now }) as ProofAnswer
      times.push(performance.now() - from)
      const { size, root } = parseCheckpoint(parseNote(frame.checkpoint).text)
      const path = proof.map((hash) => Buffer.from(hash, 'base64'))
      if (!verifyInclusion(leaf, size, leafHash(canonical(record)), path, root)) throw new Error('a proof is wrong')
      look()
    }
    const cpu = 1_000 / proving(PROOFS).cpu
    times.sort((a, b) => a - b)
    const at = (share: number): number => times[Math.min(PROOFS - 1, Math.floor(PROOFS * share))] as number
    const proofMs = { p50: at(0.5), p99: at(0.99), cpu }
    say(`proof: ${cpu.toFixed(2)} ms (by the clock p50 ${proofMs.p50.toFixed(2)}, p99 ${proofMs.p99.toFixed(2)})`)

    const db = new DatabaseSync(join(dataDir, 'audit.db'), { readOnly: true })
    const verifying = stopwatch()
    const verdicts = verifyFile((name) => db.prepare(tables.statements[name] as string) as never, {
      keys: [],
      checkpoints: [],
    })
    db.close()
    look()
    const verified = verifying(records)
    const problems = verdicts?.flatMap((verdict) => verdict.problems) ?? ['nothing was signed']
    const fileBytes = statSync(join(dataDir, 'audit.db')).size
    return { records, appended, proofMs, verified, problems, fileBytes, mostMemoryBytes }
  } finally {
    bench.close()
    await store.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

function draft(i: number, at: number): Sealed {
  const facts = {
    principal: `key-${i % 1_000}`,
    revision: 7,
    operation: 'chat',
    dialect: 'openai-chat',
    model: 'gpt-4o-mini',
    peer: '127.0.0.1',
    outcome: 'done',
    status: 200,
    upstream: 'openai',
    usage: { source: 'provider', input: i % 4_000, output: i % 900 },
    cost: String(i * 37),
  }
  return seal({ at: at + i, kind: 'exchange', exchange: `req_${i}`, facts })
}

if (import.meta.main) {
  const records = Number(process.argv[2] ?? 10_000_000)
  const scale = await measure(records, console.log)
  const mb = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`
  console.log(`verified: ${shown(scale.verified)}, ${scale.problems.length} problems`)
  console.log(`file ${mb(scale.fileBytes)}, memory at most ${mb(scale.mostMemoryBytes)}`)
  const holds =
    scale.problems.length === 0 && scale.proofMs.p50 <= 5 && scale.proofMs.cpu <= 5 && scale.verified.cpu >= 100_000
  console.log(holds ? 'the goals hold: proof <= 5 ms, >= 100,000 records/s' : 'the goals do not hold')
  process.exitCode = holds ? 0 : 1
}

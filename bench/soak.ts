/**
 * `npm run soak -- --minutes 30` (A11): steady traffic, streamed and not, of which 10 % of the clients leave in the middle
 * and one of two targets fails now and then; prints the resident size each while and its slope after the warm-up.
 */
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ask, startFleet } from './fleet.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, concurrency: { type: 'string', default: '64' } },
})
const minutes = Number(values.minutes)
const concurrency = Number(values.concurrency)
if (!(minutes > 0 && minutes <= 24 * 60)) throw new Error(`--minutes ${values.minutes}: up to a day`)
if (!(concurrency >= 1 && concurrency <= 1_000)) throw new Error(`--concurrency ${values.concurrency}: 1 to 1000`)
const totalMs = minutes * 60_000
/** Heaps and caches grow for so long; of a short run half is all that can be given to that. */
const WARM_UP_MS = Math.max(totalMs / 4, Math.min(120_000, totalMs / 2))
const SAMPLE_MS = Math.min(5_000, totalMs / 40)
const ABORTS = 0.1

const fleet = await startFleet({ failingShare: 0.05, chunks: 20, paceMs: 25 })
const agent = new http.Agent({ keepAlive: true, maxSockets: concurrency })
const began = performance.now()
const samples: { readonly at: number; readonly mb: number }[] = []
let asked = 0
let left = 0
let failed = 0

async function lane(): Promise<void> {
  while (performance.now() - began < totalMs) {
    const leaves = Math.random() < ABORTS
    const { status } = await ask(fleet.port, agent, Math.random() < 0.5, leaves ? Math.random() * 300 : undefined)
    asked++
    if (leaves) left++
    else if (status !== 200) failed++
  }
}

async function watch(): Promise<void> {
  while (performance.now() - began < totalMs) {
    samples.push({ at: performance.now() - began, mb: fleet.residentMb() })
    await sleep(SAMPLE_MS)
  }
}

/** Least squares, in MiB an hour. */
function slope(of: typeof samples): number {
  const n = of.length
  const meanAt = of.reduce((sum, { at }) => sum + at, 0) / n
  const meanMb = of.reduce((sum, { mb }) => sum + mb, 0) / n
  const up = of.reduce((sum, { at, mb }) => sum + (at - meanAt) * (mb - meanMb), 0)
  const down = of.reduce((sum, { at }) => sum + (at - meanAt) ** 2, 0)
  return (up / down) * 3_600_000
}

await Promise.all([watch(), ...Array.from({ length: concurrency }, lane)])
const after = samples.filter(({ at }) => at >= WARM_UP_MS)
for (const { at, mb } of samples.filter((_, i) => i % Math.ceil(samples.length / 12) === 0)) {
  console.log(`${(at / 60_000).toFixed(1)} min  ${mb} MiB`)
}
console.log(
  `${asked} requests in ${minutes} min, ${left} left in the middle, ${failed} failed; ` +
    `RSS slope after the warm-up: ${slope(after).toFixed(1)} MiB/h over ${after.length} samples`,
)
agent.destroy()
await fleet.stop()
process.exit(failed > 0 ? 1 : 0)

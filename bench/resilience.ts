/**
 * `npm run bench -- --resilience`: latency at a fixed rate while one of two targets fails 30 % of its calls, and 5,000
 * open streams. Ends with an error if a client saw one, if more than 1.5 calls a request were made, or a chunk is missing.
 */
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask, startFleet } from './fleet.ts'

const quick = process.argv.includes('--quick')
const PER_SECOND = 200
const SECONDS = quick ? 5 : 30
const STREAMS = quick ? 500 : 5_000
const CHUNKS = 40
const PACE_MS = 250

const percentile = (sorted: readonly number[], share: number): string =>
  (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN).toFixed(1)

async function failingTarget(): Promise<boolean> {
  const fleet = await startFleet({ failingShare: 0.3, chunks: CHUNKS, paceMs: PACE_MS })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 256 })
  for (let i = 0; i < 100; i++) await ask(fleet.port, agent, false)
  const callsBefore = fleet.calls()
  const running: ReturnType<typeof ask>[] = []
  const began = performance.now()
  for (let i = 0; i < PER_SECOND * SECONDS; i++) {
    const due = (i * 1_000) / PER_SECOND - (performance.now() - began)
    if (due > 1) await sleep(due)
    running.push(ask(fleet.port, agent, false))
  }
  const answers = await Promise.all(running)
  const errors = answers.filter(({ status }) => status !== 200).length
  const attempts = (fleet.calls() - callsBefore) / answers.length
  const times = answers.map(({ ms }) => ms).sort((a, b) => a - b)
  console.log(
    `one of two targets fails 30 %: ${answers.length} requests at ${PER_SECOND}/s, ${errors} client errors, ` +
      `${attempts.toFixed(2)} calls a request, p50 ${percentile(times, 0.5)} ms, p99 ${percentile(times, 0.99)} ms`,
  )
  agent.destroy()
  await fleet.stop()
  return errors === 0 && attempts <= 1.5
}

async function manyStreams(): Promise<boolean> {
  const fleet = await startFleet({ failingShare: 0, chunks: CHUNKS, paceMs: PACE_MS })
  const agent = new http.Agent({ keepAlive: false, maxSockets: STREAMS })
  const idleMb = fleet.residentMb()
  let most = idleMb
  const watch = setInterval(() => {
    most = Math.max(most, fleet.residentMb())
  }, 500)
  const running: ReturnType<typeof ask>[] = []
  for (let i = 0; i < STREAMS; i++) {
    running.push(ask(fleet.port, agent, true))
    if (i % 50 === 49) await sleep(25)
  }
  const answers = await Promise.all(running)
  clearInterval(watch)
  const words = Array.from({ length: CHUNKS }, (_, n) => `"content":" word${n}"`)
  const isWhole = (text: string): boolean => {
    let at = 0
    for (const word of words) {
      at = text.indexOf(word, at)
      if (at < 0) return false
    }
    return text.trimEnd().endsWith('data: [DONE]')
  }
  const broken = answers.filter(({ status, text }) => status !== 200 || !isWhole(text)).length
  console.log(
    `${STREAMS} open streams, a chunk each ${PACE_MS} ms: ${broken} with a dropped chunk, ` +
      `RSS ${idleMb} MiB before, ${most} MiB at most`,
  )
  agent.destroy()
  await fleet.stop()
  return broken === 0
}

const passed = [await failingTarget(), await manyStreams()]
process.exit(passed.every(Boolean) ? 0 : 1)

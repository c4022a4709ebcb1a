/**
 * The load generator of the bench, a process of its own that its parent tells what to do. Closed loop: each connection
 * asks again as soon as it was answered. Fixed rate: requests leave on a schedule of their own, and a latency counts from
 * when its request should have left, so that a stall is seen by all who would have met it. Streams: every connection
 * opens one. Every reply is checked; loopback only; bounded in time.
 */
import { Worker } from 'node:worker_threads'
import { Connection, type Listener, type Reading } from './connection.ts'
import { Histogram, type Percentiles, percentilesOf } from './histogram.ts'
import {
  CHAT_PATH,
  EVENTS,
  FIRST_CONTENT_EVENT,
  isStreamed,
  LAST_CONTENT_EVENT,
  requestBodies,
  type WorkloadId,
} from './workloads.ts'

export interface Job {
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
  readonly workload: WorkloadId
  readonly how:
    | { readonly kind: 'probe' }
    | { readonly kind: 'closed'; readonly connections: number; readonly durationMs: number }
    | { readonly kind: 'rate'; readonly perSecond: number; readonly durationMs: number }
    | { readonly kind: 'streams'; readonly connections: number; readonly openWithinMs: number }
  /** What the body of a reply must measure, and nothing else is counted as one. Absent: only its status is checked. */
  readonly bodyBytes?: number
}

export interface Outcome {
  /** Good replies that ended within the measured time. */
  readonly count: number
  readonly durationMs: number
  readonly latencyMs: Percentiles
  /** Streams only: from the request to the first text. */
  readonly firstTextMs: Percentiles
  /** Streams only: between two arrivals of text. */
  readonly gapMs: Percentiles
  readonly mostOpen: number
  readonly failed: number
  readonly firstFailure?: string
  /** Only of a probe. */
  readonly body?: string
}

const AFTER_MS = 10_000
const STREAMS_MOST_MS = 30_000
const RATE_CONNECTIONS = 64
const ROUGH_START_MS = 250
const RATE_MOST_CONNECTIONS = 1_024

async function run(job: Job): Promise<Outcome> {
  const { how } = job
  const streamed = isStreamed(job.workload)
  const request = requestOf(job)
  const latency = new Histogram()
  const firstText = new Histogram()
  const gap = new Histogram()
  const firstTextAt = new Map<Connection, number>()
  const heardAt = new Map<Connection, number>()
  const connections = new Set<Connection>()
  const finished = Promise.withResolvers<void>()
  let failed = 0
  let firstFailure: string | undefined
  let body: string | undefined
  let inFlight = 0
  let ending = false
  let mostOpen = 0
  let endsAt = Number.POSITIVE_INFINITY
  let next: (connection: Connection) => void = () => undefined

  const fail = (why: string): void => {
    failed++
    firstFailure ??= why
  }
  const over = (): void => {
    inFlight--
    if (ending && inFlight === 0) finished.resolve()
  }
  const wrongWith = ({ status, bodyBytes, events }: Reading): string | undefined => {
    if (status !== 200) return `status ${status}`
    if (streamed && events !== EVENTS) return `${events} events instead of ${EVENTS}`
    if (!streamed && job.bodyBytes !== undefined && bodyBytes !== job.bodyBytes) {
      return `${bodyBytes} bytes instead of ${job.bodyBytes}`
    }
    return undefined
  }
  const listener: Listener = {
    ...(streamed ? { progress: heard } : {}),
    done(connection, reading) {
      const now = performance.now()
      firstTextAt.delete(connection)
      heardAt.delete(connection)
      const wrong = wrongWith(reading)
      if (wrong !== undefined) fail(wrong)
      else if (connection.startedAt >= measuredFrom && now <= endsAt) latency.record(now - connection.startedAt)
      if (how.kind === 'probe') body = Buffer.concat(reading.body).toString()
      over()
      if (!ending) next(connection)
    },
    lost(connection, why) {
      connections.delete(connection)
      firstTextAt.delete(connection)
      heardAt.delete(connection)
      if (!connection.busy) return
      fail(why)
      over()
      if (!ending && failed < 100) open().then(next, () => fail('no connection'))
    },
  }
  function heard(connection: Connection, reading: Reading): void {
    const now = performance.now()
    const before = heardAt.get(connection)
    heardAt.set(connection, now)
    if (firstTextAt.has(connection)) {
      // What belongs to the end may be held until the books are closed, which is no gap in the text.
      if (before !== undefined && reading.events <= LAST_CONTENT_EVENT) gap.record(now - before)
      return
    }
    if (reading.events < FIRST_CONTENT_EVENT) return
    firstTextAt.set(connection, now)
    if (now <= endsAt) firstText.record(now - connection.startedAt)
    if (firstTextAt.size > mostOpen) mostOpen = firstTextAt.size
  }

  async function open(): Promise<Connection> {
    const connection = new Connection(job.port, listener, how.kind === 'probe')
    connections.add(connection)
    await connection.opened
    return connection
  }
  const send = (connection: Connection, at: number): void => {
    inFlight++
    connection.send(request, at)
  }
  const openMany = (count: number): Promise<Connection[]> => Promise.all(Array.from({ length: count }, open))

  const startedAt = performance.now()
  let measuredFrom = startedAt
  const begin = (durationMs: number): void => {
    measuredFrom = performance.now()
    endsAt = measuredFrom + durationMs
  }
  if (how.kind === 'probe') {
    send(await open(), performance.now())
  } else if (how.kind === 'closed') {
    const ready = await openMany(how.connections)
    begin(how.durationMs)
    next = (connection) => send(connection, performance.now())
    ready.forEach(next)
    await sleep(how.durationMs)
  } else if (how.kind === 'streams') {
    const ready = await openMany(how.connections)
    const atOnce = Math.ceil(ready.length / (how.openWithinMs / 20))
    while (ready.length > 0) {
      for (const connection of ready.splice(0, atOnce)) send(connection, performance.now())
      await sleep(20)
    }
  } else {
    const idle = await openMany(RATE_CONNECTIONS)
    const late: number[] = []
    next = (connection) => {
      const at = late.shift()
      if (at === undefined) idle.push(connection)
      else send(connection, at)
    }
    begin(Number.POSITIVE_INFINITY)
    // The thread that keeps time and all those new connections make a rough start, which is not measured.
    measuredFrom += ROUGH_START_MS
    await onSchedule(how.perSecond, how.durationMs + ROUGH_START_MS, (at) => {
      const connection = idle.pop()
      if (connection) {
        send(connection, at)
        return
      }
      late.push(at)
      if (connections.size < RATE_MOST_CONNECTIONS) open().then(next, () => fail('no connection'))
    })
  }

  ending = true
  if (inFlight > 0) {
    const patience = how.kind === 'streams' ? STREAMS_MOST_MS : AFTER_MS
    const timer = setTimeout(finished.resolve, patience)
    await finished.promise
    clearTimeout(timer)
  }
  if (inFlight > 0) fail(`${inFlight} replies did not end`)
  for (const connection of connections) connection.close()
  return {
    count: latency.count,
    durationMs: how.kind === 'closed' || how.kind === 'rate' ? how.durationMs : performance.now() - measuredFrom,
    latencyMs: percentilesOf(latency),
    firstTextMs: percentilesOf(firstText),
    gapMs: percentilesOf(gap),
    mostOpen,
    failed,
    ...(firstFailure === undefined ? {} : { firstFailure }),
    ...(body === undefined ? {} : { body }),
  }
}

function requestOf({ port, headers, workload }: Job): Buffer {
  const body = requestBodies[workload]
  const lines = [
    `POST ${CHAT_PATH} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    'content-type: application/json',
    `content-length: ${body.length}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body])
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Timers of the event loop know whole milliseconds only, so a thread keeps the schedule: it sleeps until each moment and
 * says so. `due` gets the moment on this thread's clock (performance.now()).
 */
async function onSchedule(perSecond: number, durationMs: number, due: (at: number) => void): Promise<void> {
  const source = `
    const { parentPort, workerData: { everyMs, count } } = require('node:worker_threads')
    const nap = new Int32Array(new SharedArrayBuffer(4))
    const startAt = performance.timeOrigin + performance.now() + 20
    for (let n = 0; n < count; n++) {
      const at = startAt + n * everyMs
      const wait = at - performance.timeOrigin - performance.now()
      if (wait > 0) Atomics.wait(nap, 0, 0, wait)
      parentPort.postMessage(at)
    }`
  const count = Math.round((perSecond * durationMs) / 1_000)
  const clock = new Worker(source, { eval: true, workerData: { everyMs: 1_000 / perSecond, count } })
  clock.on('message', (at: number) => due(at - performance.timeOrigin))
  await new Promise((resolve) => clock.on('exit', resolve))
}

process.on('message', (job: Job) => {
  run(job).then(
    (outcome) => process.send?.(outcome),
    (error: Error) => process.send?.({ error: error.message }),
  )
})
process.on('disconnect', () => process.exit(0))

/**
 * The gateway as a process of its own, as an operator starts it: flags, environment, signals, exit codes. What only a
 * real process shows (a kill, a stop, memory, a blocked loop) is tested against this.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TestContext } from 'node:test'
import { type Answer, exchange } from '../running/index.ts'
import { startUpstream, type Upstream } from '../upstream/index.ts'

/** As `npm start` runs it: a bundle, made anew where a source is newer, which starts in a fifth of the time of the sources. */
export const MAIN = new URL('../../scripts/start.mjs', import.meta.url).pathname
export const ADMIN_KEY = 'sk-sy-admin-of-this-test'
export const MODEL = 'openai/gpt-4o-mini'

export interface Spawned {
  readonly url: string
  readonly port: number
  readonly process: ChildProcess
  /** From the spawn to the banner. */
  readonly startMs: number
  /** Everything it printed, both streams. */
  readonly output: () => string
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string | null>
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  admin(method: string, path: string, body?: unknown): Promise<any>
  chat(model: string, text: string, more?: object, headers?: Record<string, string>): Promise<Answer>
}

export interface SpawnOptions {
  readonly dataDir: string
  /** Base URL of what plays OpenAI, without `/v1`. */
  readonly upstream?: string
  readonly environment?: Readonly<Record<string, string>>
  /** Runs as this user, so that modes of files hold for it; only root can. */
  readonly uid?: number
  /** Instead of the product's own: a file that takes the same flags and says where it listens. */
  readonly program?: string
}

const UNDO = new WeakMap<TestContext, (() => unknown)[]>()

/** Runs when the test ends, the last one asked for first: a process ends before its directory goes. */
export function atEnd(t: TestContext, undo: () => unknown): void {
  const known = UNDO.get(t)
  if (known) return void known.push(undo)
  const all = [undo]
  UNDO.set(t, all)
  t.after(async () => {
    for (const one of all.reverse()) await one()
  })
}

export function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'stockyard-chaos-'))
  atEnd(t, () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export async function upstreamFor(t: TestContext): Promise<Upstream> {
  const upstream = await startUpstream()
  atEnd(t, () => upstream.close())
  return upstream
}

/** Starts it, and ends with its exit: resolves to its output and code. For starts that are to fail. */
export function launch(t: TestContext, options: SpawnOptions) {
  const args = [options.program ?? MAIN, 'serve', '--port', '0', '--data-dir', options.dataDir]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    env: {
      PATH: process.env.PATH,
      HOME: options.dataDir,
      STOCKYARD_ADMIN_KEY: ADMIN_KEY,
      ...(options.upstream ? { OPENAI_API_KEY: 'sk-test-secret', OPENAI_BASE_URL: `${options.upstream}/v1` } : {}),
      ...options.environment,
    },
  })
  let text = ''
  const hears = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part
      for (const hear of hears) hear()
    })
  }
  const ended = new Promise<number | string | null>((resolve) =>
    child.on('close', (code, signal) => resolve(code ?? signal)),
  )
  atEnd(t, async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, ended, hears, output: () => text }
}

/** Resolves once it listens; rejects with what it printed when it ends before. */
export async function spawnGateway(t: TestContext, options: SpawnOptions): Promise<Spawned> {
  const began = performance.now()
  const { child, ended, hears, output } = launch(t, options)
  const url = await new Promise<string>((resolve, reject) => {
    hears.add(() => {
      const found = /listens on (http:\S+)/.exec(output())?.[1]
      if (found) resolve(found)
    })
    void ended.then((how) => reject(new Error(`ended with ${how} before it listened: ${output()}`)))
  })
  hears.clear()
  const startMs = performance.now() - began
  return {
    url,
    port: Number(new URL(url).port),
    process: child,
    startMs,
    output,
    ended,
    async admin(method, path, body) {
      const answer = await exchange(`${url}/api/${path}`, method, body, { authorization: `Bearer ${ADMIN_KEY}` })
      if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
      return answer.json
    },
    chat: (model, text, more = {}, headers = {}) =>
      exchange(`${url}/v1/chat/completions`, 'POST', chatBody(model, text, more), headers),
  }
}

export const chatBody = (model: string, text: string, more: object = {}): object => ({
  model,
  messages: [{ role: 'user', content: text }],
  ...more,
})

export interface OpenStream {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly response: http.IncomingMessage
  /** What came so far. */
  readonly text: () => string
  /** All that came; `whole` says that the response was ended properly, not cut. */
  readonly over: Promise<{ readonly text: string; readonly whole: boolean }>
  leave(): void
}

/** A streamed chat whose head has come; it is read on, unless `paused`. */
export function openStream(url: string, model: string, text: string, paused = false): Promise<OpenStream> {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify(chatBody(model, text, { stream: true }))
    const request = http.request(`${url}/v1/chat/completions`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    })
    request.on('error', reject)
    request.on('response', (response) => {
      let all = ''
      if (!paused) response.setEncoding('utf8').on('data', (part: string) => (all += part))
      response.on('error', () => {})
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        response,
        text: () => all,
        over: new Promise((done) => response.on('close', () => done({ text: all, whole: response.complete }))),
        leave: () => request.destroy(),
      })
    })
    request.end(body)
  })
}

/** Asks, by turns for a stream and a whole answer, until it is over; `answered` gets the ids of what came whole. */
export async function load(gateway: Spawned, answered: Set<string>, goOn: () => boolean, client = 0): Promise<void> {
  for (let n = 0; goOn(); n++) {
    try {
      if ((n + client) % 2 === 0) {
        const stream = await openStream(gateway.url, `${MODEL}+chunks=4+pace=2`, `request ${n}`)
        const { text, whole } = await stream.over
        if (whole && text.includes('data: [DONE]')) answered.add(stream.headers['x-stockyard-request-id'] as string)
      } else {
        const answer = await gateway.chat(MODEL, `request ${n}`)
        if (answer.status === 200) answered.add(answer.headers['x-stockyard-request-id'] as string)
      }
    } catch {
      // The gateway is gone.
      return
    }
  }
}

export interface BookedAttempt {
  readonly attempt: number
  readonly exchange: string
  /** Null while it is open. */
  readonly outcome: string | null
  readonly source: string | null
  readonly held: bigint
  readonly cost: bigint | null
}

/** The attempts in a data directory's ledger, whether or not a gateway is running on it. */
export function attemptsIn(dataDir: string): readonly BookedAttempt[] {
  const db = new DatabaseSync(join(dataDir, 'ledger.db'), { readBigInts: true })
  try {
    const rows = db
      .prepare(
        `SELECT o.attempt, o.exchange, o.held, c.outcome, c.usage_source AS source, c.cost
         FROM ledger AS o LEFT JOIN ledger AS c ON c.attempt = o.attempt AND c.kind = 'closed'
         WHERE o.kind = 'opened' ORDER BY o.attempt`,
      )
      .all()
    return rows.map((row) => ({ ...row, attempt: Number(row.attempt) }) as unknown as BookedAttempt)
  } finally {
    db.close()
  }
}

/** Resident memory in bytes; undefined where the system does not tell. */
export function residentBytes(pid: number | undefined): number | undefined {
  try {
    const found = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return found === undefined ? undefined : Number(found) * 1024
  } catch {
    return undefined
  }
}
